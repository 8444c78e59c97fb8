"""Sizes and depths of wire.md, written out here so that a changed constant is seen."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts import limits
from contracts.deployments import DeployRequest
from contracts.entities import EntityCreate, EntityUpdate
from contracts.parsing import parse
from contracts.values import Details
from tests.unit.bodies import CREATE, DEPLOY, ID, accepted, deploy_with, faulty, refusal

MIB = 1_048_576
DOCUMENT = 262_144
DETAILS = 16_384
DOCUMENT_FIELDS = [
    (DeployRequest, DEPLOY, "config_override"),
    (DeployRequest, DEPLOY, "parameters_override"),
    (EntityCreate, CREATE, "config"),
    (EntityCreate, CREATE, "parameters"),
    (EntityUpdate, {"entity_id": ID}, "config"),
    (EntityUpdate, {"entity_id": ID}, "parameters"),
]


def of_size(size, letter="x"):
    """A document of so many bytes as compact UTF-8."""
    width = len(letter.encode())
    letters, rest = divmod(size - len('{"a":""}'), width)
    return {"a": letter * letters + "y" * rest}


def of_depth(levels, innermost):
    """A document of so many levels, objects and arrays in turn; ``innermost`` stands in the last one."""
    value = innermost
    for level in reversed(range(levels)):
        value = [value] if level % 2 else {"a": value}
    return value


def test_the_limits_are_those_of_the_wire():
    assert (limits.MAX_BODY_BYTES, limits.MAX_DOCUMENT_BYTES, limits.MAX_DETAILS_BYTES) == (
        MIB,
        DOCUMENT,
        DETAILS,
    )
    assert (limits.MAX_DEPTH, limits.MAX_KEY_CHARACTERS) == (64, 255)
    assert limits.MAX_PAGE_BYTES == limits.MIN_SERVER_PAYLOAD == 4 * MIB


def test_a_body_of_one_mebibyte_is_taken_and_one_byte_more_is_not():
    body = json.dumps(DEPLOY).encode()
    assert parse(DeployRequest, body.ljust(MIB)).deployed_by == "alice"
    assert refusal(DeployRequest, body.ljust(MIB + 1)).code == "payload_too_large"


@pytest.mark.parametrize("body", [b"[" * (MIB + 1), b"\xff" * (MIB + 1), b"x" * (8 * MIB)])
def test_a_body_that_is_too_large_is_refused_for_that_whatever_else_is_wrong_with_it(body):
    problem = refusal(DeployRequest, body)
    assert problem.code == "payload_too_large"
    assert str(len(body)) in problem.detail


@pytest.mark.parametrize("letter", ["x", "é", "😀", '"', "\n"])
@pytest.mark.parametrize(("model", "body", "field"), DOCUMENT_FIELDS)
def test_a_document_may_have_256_kib_as_compact_utf_8_and_not_a_byte_more(model, body, field, letter):
    if letter in '"\n':  # two bytes each, once written as JSON
        largest = {"a": letter * ((DOCUMENT - 8) // 2)}
        larger = {"a": letter * ((DOCUMENT - 8) // 2) + "x"}
    else:
        largest, larger = of_size(DOCUMENT, letter), of_size(DOCUMENT + 1, letter)
    assert getattr(accepted(model, {**body, field: largest}), field) == largest
    problem = refusal(model, {**body, field: larger})
    assert problem.code == "payload_too_large"
    assert field in problem.detail


def test_how_a_document_is_written_does_not_count():
    document = of_size(DOCUMENT, "é")
    spaced = json.dumps(document, indent=4, ensure_ascii=True)
    assert len(spaced) > 2 * DOCUMENT
    assert parse(DeployRequest, deploy_with(spaced)).config_override == document


@pytest.mark.parametrize("number", ["1e308", "-1.5e300", "5e-324", "1E+200"])
def test_a_number_counts_with_all_its_digits_since_postgresql_stores_and_shows_them(number):
    few, many = (deploy_with('{"a":[' + ",".join([number] * count) + "]}") for count in (100, 20_000))
    assert len(many) < DOCUMENT
    assert parse(DeployRequest, few).config_override == {"a": [float(number)] * 100}
    assert refusal(DeployRequest, many).code == "payload_too_large"


def test_each_document_has_a_limit_of_its_own():
    body = {**DEPLOY, "config_override": of_size(DOCUMENT), "parameters_override": of_size(DOCUMENT)}
    accepted(DeployRequest, body)


def test_a_document_that_is_too_large_comes_before_the_faults_of_other_fields():
    body = {**DEPLOY, "environment": "moon", "colour": 1, "config_override": of_size(DOCUMENT + 1)}
    assert refusal(DeployRequest, body).code == "payload_too_large"


@pytest.mark.parametrize(
    "fault", ['"\\u0000"', "NaN", "[" * 64 + "]" * 64], ids=["nul", "not-finite", "too-deep"]
)
def test_a_document_that_is_too_large_is_refused_for_that_whatever_else_is_wrong_with_it(fault):
    text = json.dumps(of_size(DOCUMENT + 1))[:-1] + f',"b":{fault}}}'
    assert refusal(DeployRequest, deploy_with(text)).code == "payload_too_large"


@pytest.mark.parametrize("innermost", [1, None, "x", True], ids=repr)
@pytest.mark.parametrize(("model", "body", "field"), DOCUMENT_FIELDS)
def test_the_64th_level_is_taken_and_the_65th_is_not(model, body, field, innermost):
    document = of_depth(63, innermost)  # the body is the first level
    assert getattr(accepted(model, {**body, field: document}), field) == document
    assert faulty(model, {**body, field: of_depth(64, innermost)}) == {field}


@pytest.mark.parametrize("innermost", [{}, []], ids=repr)
def test_an_empty_object_or_array_is_a_level_like_any_other(innermost):
    accepted(DeployRequest, {**DEPLOY, "config_override": of_depth(62, innermost)})
    assert faulty(DeployRequest, {**DEPLOY, "config_override": of_depth(63, innermost)}) == {
        "config_override"
    }


def test_many_members_side_by_side_are_no_depth():
    accepted(DeployRequest, {**DEPLOY, "config_override": {"a": [[]] * 1000, "b": [{}] * 1000}})


def test_details_have_16_kib_and_not_a_byte_more():
    details = TypeAdapter(Details)
    assert details.validate_python(of_size(DETAILS, "é")) == of_size(DETAILS, "é")
    with pytest.raises(ValidationError, match=str(DETAILS)):
        details.validate_python(of_size(DETAILS + 1, "é"))


def test_a_refusal_of_very_many_faults_still_fits_into_a_reply():
    body = {**CREATE, "tags": [""] * 100_000, **{"x" * 1000 + str(number): 1 for number in range(500)}}
    problem = refusal(EntityCreate, body)
    assert len(json.dumps(problem.body("id"))) < 256 * 1024
    assert len(problem.detail) < 4096
