"""What is no request gets one refusal, at once, that names every fault and nothing of our insides."""

import json

import pytest

from contracts import subjects
from contracts.deployments import ConfirmRequest, DeployRequest
from contracts.endpoints import ENDPOINTS
from contracts.examples import example
from contracts.limits import MAX_BODY_BYTES
from contracts.values import Empty
from tests.inbox import Inbox, fields, problem_of

DEEP = 50_000
NO_JSON = {
    "not JSON": b"deploy it, please",
    "an array": b"[]",
    "an array with an object": b"[{}]",
    "a string": b'"{}"',
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "only white space": b" \r\n\t ",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "bad UTF-8": b'{"\xff\xfe": 1}',
    "a NUL byte": b"\x00",
    "a NUL byte behind the body": b"{}\x00",
    "two bodies": b"{}{}",
    "truncated": b'{"entity_id": "0197',
    "very deep arrays": b"[" * DEEP,
    "very deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "single quotes": b"{'a': 1}",
    "a comma at the end": b'{"a": 1,}',
}
NO_VALUES = {
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "a lone surrogate": rb'"\ud800"',
    "surrogates the wrong way round": rb'"\udc00\ud800"',
    "a NUL": rb'"\u0000"',
    "bad UTF-8": b'"\xc3\x28"',
    "an overlong NUL": b'"\xc0\x80"',
    "a CESU-8 surrogate": b'"\xed\xa0\x80"',
    "a control character": b'"\x01"',
    "a 5,000-digit integer": b"9" * 5_000,
    "a huge exponent": b"1e999999999",
    "very deep": b"[" * DEEP + b"]" * DEEP,
}
IN_DOCUMENTS = NO_VALUES | {
    "a NUL in a key": rb'{"\u0000": 1}',
    "too deep": b"[" * 64 + b"]" * 64,
}
WITH_FIELDS = [endpoint for endpoint in ENDPOINTS if endpoint.request is not Empty]


def by_subject(endpoint):
    return endpoint.subject


@pytest.fixture
async def inbox(connection):
    async with Inbox(connection) as opened:
        yield opened


def required(endpoint):
    return {name for name, field in endpoint.request.model_fields.items() if field.is_required()}


def with_surplus(endpoint, value):
    """A valid body and, behind it, a field that nobody knows, of this raw value."""
    members = json.dumps(example(endpoint.request)).encode()[1:-1]
    return b"{" + members + (b", " if members else b"") + b'"surplus": ' + value + b"}"


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=by_subject)
async def test_what_is_no_object_is_refused_as_a_whole(inbox, endpoint, body):
    problem = problem_of(await inbox.only_reply(endpoint.subject, body))

    assert fields(problem) == {"body"}


@pytest.mark.parametrize("endpoint", WITH_FIELDS, ids=by_subject)
async def test_an_empty_body_is_none_where_something_can_be_asked(inbox, endpoint):
    assert fields(problem_of(await inbox.only_reply(endpoint.subject, b""))) == {"body"}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=by_subject)
async def test_every_truncation_of_a_body_is_refused(inbox, endpoint):
    whole = json.dumps(example(endpoint.request)).encode()

    for length in range(1, len(whole), max(1, len(whole) // 8)):
        problem_of(await inbox.only_reply(endpoint.subject, whole[:length]))


@pytest.mark.parametrize("value", NO_VALUES.values(), ids=NO_VALUES)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=by_subject)
async def test_an_unknown_field_is_refused_whatever_it_holds(inbox, endpoint, value):
    problem = problem_of(await inbox.only_reply(endpoint.subject, with_surplus(endpoint, value)))

    assert fields(problem) <= {"surplus", "body"}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=by_subject)
async def test_every_unknown_field_is_named(inbox, endpoint):
    body = {**example(endpoint.request), "surplus": 1, "Entity_Id": 2, "": 3}

    problem = problem_of(await inbox.only_reply(endpoint.subject, json.dumps(body).encode()))

    assert {"surplus", "Entity_Id"} < fields(problem)
    assert len(problem["errors"]) == 3


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=by_subject)
async def test_every_field_of_the_wrong_kind_is_named(inbox, endpoint):
    names = set(endpoint.request.model_fields) | {"surplus"}
    body = dict.fromkeys(names, 1.5)

    problem = problem_of(await inbox.only_reply(endpoint.subject, json.dumps(body).encode()))

    assert fields(problem) == names


@pytest.mark.parametrize("endpoint", WITH_FIELDS, ids=by_subject)
async def test_every_empty_string_and_wrong_word_is_named(inbox, endpoint):
    names = set(endpoint.request.model_fields)
    takes_any_text = {"description"}
    if endpoint.request is DeployRequest:
        takes_any_text |= {"deployment_method", "expected_version", "reason"}
    if endpoint.request is ConfirmRequest:
        takes_any_text |= {"error"}
    body = dict.fromkeys(names, "")

    problem = problem_of(await inbox.only_reply(endpoint.subject, json.dumps(body).encode()))

    assert fields(problem) == names - takes_any_text


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if required(each)], ids=by_subject)
async def test_every_missing_field_is_named(inbox, endpoint):
    problem = problem_of(await inbox.only_reply(endpoint.subject, b"{}"))

    assert fields(problem) == required(endpoint)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=by_subject)
async def test_a_nul_in_any_text_is_named(inbox, endpoint):
    texts = {
        name
        for name, field in endpoint.request.model_fields.items()
        if "str" in str(field.annotation) and "list" not in str(field.annotation)
    }
    body = {**example(endpoint.request), **dict.fromkeys(texts, "a\0b")}
    if not texts:
        body["surplus"] = "a\0b"

    problem = problem_of(await inbox.only_reply(endpoint.subject, json.dumps(body).encode()))

    assert texts <= fields(problem)


@pytest.mark.parametrize("value", IN_DOCUMENTS.values(), ids=IN_DOCUMENTS)
@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        pytest.param(endpoint, name, id=f"{endpoint.subject} {name}")
        for endpoint in ENDPOINTS
        for name in ("config", "parameters", "config_override", "parameters_override")
        if name in endpoint.request.model_fields
    ],
)
async def test_a_document_that_cannot_be_kept_is_refused(inbox, endpoint, name, value):
    members = {key: held for key, held in example(endpoint.request).items() if key != name}
    prefix = json.dumps({**members, name: None}).encode().removesuffix(b"null}")

    problem = problem_of(await inbox.only_reply(endpoint.subject, prefix + b'{"a": ' + value + b"}}"))

    assert fields(problem) <= {name, "body"}


@pytest.mark.parametrize(
    ("subject", "faults", "named"),
    [
        (
            subjects.ENTITY_CREATE,
            {
                "dependencies": [
                    {"name": ""},
                    {"name": "a", "version": "about two"},
                    {"nome": "a"},
                    "a",
                ],
                "tags": ["a", "", 5],
                "type": "Strategy",
                "status": "sleeping",
                "health_status": "fine",
                "name": "n" * 256,
                "version": "v" * 51,
            },
            {
                "dependencies.0.name",
                "dependencies.1.version",
                "dependencies.2.name",
                "dependencies.2.nome",
                "dependencies.3",
                "tags.1",
                "tags.2",
                "type",
                "status",
                "health_status",
                "name",
                "version",
            },
        ),
        (
            subjects.DEPLOY_REQUEST,
            {
                "entity_id": "0197f3a1-52b0-7e0f-8c44",
                "environment": "mars",
                "deployed_by": "d" * 256,
                "deployment_method": "m" * 51,
                "override_strategy": "append",
                "config_override": [],
                "wait": "yes",
                "supersede_pending": 1,
            },
            {
                "entity_id",
                "environment",
                "deployed_by",
                "deployment_method",
                "override_strategy",
                "config_override",
                "wait",
                "supersede_pending",
            },
        ),
        (subjects.DEPLOY_REQUEST, {"override_quarantine": True}, {"override_quarantine"}),
        (
            subjects.DEPLOY_LIST,
            {"page": 0, "page_size": 101, "status": "running", "environment": "Staging", "cursor": "c" * 501},
            {"page", "page_size", "status", "environment", "cursor"},
        ),
        (subjects.DEPLOY_LIST, {"page": 2**40, "page_size": 0}, {"page", "page_size"}),
        (subjects.DEPLOY_LIST, {"page": "1", "page_size": True}, {"page", "page_size"}),
        (subjects.DEPLOY_HISTORY, {"page_size": 101, "page": 1}, {"page_size", "page"}),
        (
            subjects.ENVIRONMENT_SET,
            {
                "activation": "later",
                "confirm_timeout_s": 86401,
                "unhealthy_after": 0,
                "concurrency": "both",
                "require_status": ["registered", "asleep"],
            },
            {"activation", "confirm_timeout_s", "unhealthy_after", "concurrency", "require_status.1"},
        ),
        (
            subjects.ENVIRONMENT_SET,
            {"confirm_timeout_s": 0, "auto_rollback": 0},
            {"confirm_timeout_s", "auto_rollback"},
        ),
        (subjects.ENTITY_UPDATE, {"expected_revision": 0, "type": "a b"}, {"expected_revision", "type"}),
        (subjects.ENTITY_UPDATE, {"expected_revision": 2**31, "type": "a\n"}, {"expected_revision", "type"}),
        (
            subjects.DEPLOY_ROLLBACK,
            {"reason": "", "target_deployment_id": 5},
            {"reason", "target_deployment_id"},
        ),
    ],
)
async def test_every_fault_is_named_by_its_path(inbox, subject, faults, named):
    request = next(endpoint.request for endpoint in ENDPOINTS if endpoint.subject == subject)
    body = {**example(request), **faults}

    problem = problem_of(await inbox.only_reply(subject, json.dumps(body).encode()))

    assert fields(problem) == named


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=by_subject)
async def test_a_body_above_one_mebibyte_is_too_large_whatever_it_holds(inbox, endpoint):
    valid = json.dumps(example(endpoint.request)).encode()

    for body in (valid.ljust(MAX_BODY_BYTES + 1), b"x" * (MAX_BODY_BYTES * 7)):
        problem = problem_of(await inbox.only_reply(endpoint.subject, body))
        assert problem["code"] == "payload_too_large"


async def test_a_refusal_of_very_many_faults_is_shorter_than_what_it_refuses(inbox):
    body = json.dumps({f"surplus-{number}": 1 for number in range(50_000)}).encode()
    assert len(body) < MAX_BODY_BYTES

    reply = await inbox.only_reply(subjects.DEPLOY_REQUEST, body)

    assert len(reply.data) < len(body)
    assert len(problem_of(reply)["errors"]) >= 100
