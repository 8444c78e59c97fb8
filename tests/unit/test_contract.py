import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.deployments import (
    DeploymentListRequest,
    DeployRequest,
    EntityDeploymentsRequest,
    HistoryRequest,
    RetireRequest,
    RollbackRequest,
)
from contracts.endpoints import ENDPOINTS
from contracts.entities import EntityCreate, EntityListRequest, EntityUpdate
from contracts.environments import EnvironmentSet
from contracts.examples import example
from contracts.parsing import parse
from contracts.values import Empty
from tests.unit.bodies import (
    CREATE,
    DEPLOY,
    ID,
    RETIRE,
    ROLLBACK,
    accepted,
    deploy_with,
    faulty,
    outcome,
    refusal,
)

REQUESTS = sorted({endpoint.request for endpoint in ENDPOINTS}, key=lambda model: model.__name__)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"3", b"null", b'""', b" ", b"{}x", b"{'a':1}", b"\xff", b"\xef\xbb\xbf{}", b"{,}", b"NaN"],
)
def test_what_is_no_json_object_is_a_fault_of_the_body(body):
    for model in REQUESTS:
        assert faulty(model, body) == {"body"}


def test_an_empty_body_stands_for_an_empty_object_where_nothing_is_asked_for_and_nowhere_else():
    assert parse(Empty, b"") == parse(Empty, b"{}") == Empty()
    for model in REQUESTS:
        if model is not Empty:
            assert faulty(model, b"") == {"body"}


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udc00x"', '{"\\ud83d":1}'])
def test_a_lone_surrogate_is_refused(text):
    assert faulty(DeployRequest, deploy_with(text)) == {"body"}


def test_bytes_that_are_not_utf_8_are_refused():
    assert faulty(DeployRequest, deploy_with('{"a":"X"}').replace(b"X", b"\xed\xa0\x80")) == {"body"}
    assert faulty(DeployRequest, deploy_with('{"a":"X"}').replace(b"X", b"\xc3\x28")) == {"body"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_numbers_that_are_not_finite_are_refused_at_whatever_depth(number):
    problem = refusal(DeployRequest, deploy_with(f'{{"a":{number}}}'))
    assert (problem.code, "finite" in problem.detail) == ("invalid_request", True)
    assert faulty(DeployRequest, deploy_with(f'{{"a":[1,{{"b":[{number}]}}]}}')) == {"config_override"}


def test_an_integer_of_five_thousand_digits_is_refused():
    assert faulty(DeployRequest, deploy_with('{"a":' + "9" * 5000 + "}")) == {"body"}
    assert faulty(DeploymentListRequest, b'{"page":' + b"9" * 5000 + b"}") == {"body"}


def test_an_integer_beyond_64_bits_in_a_document_stays_what_it_is():
    for number in (2**63, 2**64, -(2**70), 10**100):
        request = parse(DeployRequest, deploy_with(json.dumps({"a": number})))
        assert request.config_override == {"a": number}


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_fifty_thousand_levels_are_refused_and_break_nothing(opening):
    assert faulty(DeployRequest, opening.encode() * 50_000) == {"body"}
    assert faulty(DeployRequest, deploy_with('{"a":' + opening * 50_000)) == {"body"}


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        (DeployRequest, DEPLOY, "deployed_by"),
        (DeployRequest, DEPLOY, "deployment_method"),
        (DeployRequest, DEPLOY, "reason"),
        (DeployRequest, DEPLOY, "expected_version"),
        (RollbackRequest, ROLLBACK, "reason"),
        (RollbackRequest, ROLLBACK, "rolled_back_by"),
        (RetireRequest, RETIRE, "retired_by"),
        (RetireRequest, RETIRE, "reason"),
        (EntityCreate, CREATE, "name"),
        (EntityCreate, CREATE, "type"),
        (EntityCreate, CREATE, "version"),
        (EntityCreate, CREATE, "created_by"),
        (EntityCreate, CREATE, "description"),
        (EntityUpdate, {"entity_id": ID}, "description"),
        (EntityUpdate, {"entity_id": ID}, "updated_by"),
        (EnvironmentSet, {"environment": "staging"}, "updated_by"),
        (EntityListRequest, {}, "name"),
        (DeploymentListRequest, {}, "cursor"),
        (HistoryRequest, {"deployment_id": ID}, "cursor"),
    ],
)
def test_nul_in_a_string_is_a_fault_of_its_field(model, body, field):
    assert faulty(model, {**body, field: "a\x00b"}) == {field}


@pytest.mark.parametrize(
    "document", [{"a": "\x00"}, {"\x00": 1}, {"a": [{"b": {"c\x00": None}}]}, {"a": ["x", ["\x00y"]]}]
)
def test_nul_anywhere_in_a_document_is_a_fault_of_the_document(document):
    assert faulty(DeployRequest, {**DEPLOY, "config_override": document}) == {"config_override"}
    assert faulty(EntityCreate, {**CREATE, "parameters": document}) == {"parameters"}


def test_nul_in_tags_and_dependencies_is_a_fault_of_the_very_item():
    body = {**CREATE, "tags": ["a", "\x00"], "dependencies": [{"name": "a"}, {"name": "\x00"}]}
    assert faulty(EntityCreate, body) == {"tags.1", "dependencies.1.name"}


def test_a_nul_in_an_unknown_fields_name_is_spelled_out_in_the_refusal():
    assert faulty(DeployRequest, {**DEPLOY, "a\x00": 1}) == {"a\\u0000"}


@pytest.mark.parametrize("model", REQUESTS)
def test_an_unknown_field_is_a_fault_of_that_field(model):
    assert faulty(model, {**example(model), "colour": None}) == {"colour"}


def test_an_unknown_field_of_a_dependency_is_a_fault_of_it():
    body = {**CREATE, "dependencies": [{"name": "a", "optional": True}]}
    assert faulty(EntityCreate, body) == {"dependencies.0.optional"}


def test_every_fault_is_named_at_once():
    body = {
        "entity_id": "seven",
        "environment": "moon",
        "deployment_method": "x" * 51,
        "config_override": [],
        "parameters_override": {"a": "\x00"},
        "override_strategy": "blend",
        "wait": "yes",
        "colour": "red",
        "size": 1,
    }
    assert faulty(DeployRequest, body) == {*body, "deployed_by"}


def test_an_overridden_quarantine_without_a_reason_is_named_among_the_other_faults():
    alone = faulty(DeployRequest, {**DEPLOY, "override_quarantine": True})
    assert len(alone) == 1
    assert faulty(DeployRequest, {**DEPLOY, "override_quarantine": True, "colour": 1}) == {*alone, "colour"}
    accepted(DeployRequest, {**DEPLOY, "override_quarantine": True, "reason": "it was the network"})


@pytest.mark.parametrize(
    ("model", "body", "fields"),
    [
        (
            DeployRequest,
            DEPLOY,
            "deployment_method config_override parameters_override override_strategy expected_version wait",
        ),
        (DeployRequest, DEPLOY, "reason supersede_pending override_quarantine"),
        (RollbackRequest, ROLLBACK, "target_deployment_id"),
        (RetireRequest, RETIRE, "force"),
        (
            EntityCreate,
            CREATE,
            "created_by description config parameters status health_status tags dependencies",
        ),
        (
            EntityUpdate,
            {"entity_id": ID},
            "expected_revision updated_by name type version description config parameters status",
        ),
        (EntityUpdate, {"entity_id": ID}, "health_status tags dependencies"),
        (
            EnvironmentSet,
            {"environment": "staging"},
            "updated_by activation confirm_timeout_s auto_rollback unhealthy_after concurrency",
        ),
        (EnvironmentSet, {"environment": "staging"}, "require_status"),
        (DeploymentListRequest, {}, "entity_id environment status cursor"),
        (EntityDeploymentsRequest, {"entity_id": ID}, "environment status cursor"),
        (EntityListRequest, {}, "entity_id environment status cursor type name"),
        (HistoryRequest, {"deployment_id": ID}, "cursor"),
    ],
)
def test_null_is_the_same_as_leaving_an_optional_field_out(model, body, fields):
    assert accepted(model, {**body, **dict.fromkeys(fields.split())}) == accepted(model, body)


@pytest.mark.parametrize(
    ("model", "body"), [(DeployRequest, DEPLOY), (EntityCreate, CREATE), (RollbackRequest, ROLLBACK)]
)
def test_null_and_absence_of_a_required_field_are_faults_of_it(model, body):
    for field in body:
        assert faulty(model, {**body, field: None}) == {field}
        assert faulty(model, {name: value for name, value in body.items() if name != field}) == {field}


def test_what_is_left_out_has_the_wires_default():
    deploy = accepted(DeployRequest, DEPLOY)
    assert (deploy.override_strategy, deploy.wait, deploy.supersede_pending) == ("replace", False, False)
    assert accepted(RetireRequest, RETIRE).force is False
    create = accepted(EntityCreate, CREATE)
    assert (create.status, create.health_status) == ("registered", "unknown")
    assert (create.config, create.parameters, create.tags, create.dependencies) == ({}, {}, [], [])
    page = accepted(DeploymentListRequest, {})
    assert (page.page, page.page_size, accepted(HistoryRequest, {"deployment_id": ID}).page_size) == (
        1,
        20,
        100,
    )


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_a_request_or_a_refusal_that_names_a_fault(body):
    for model in (DeployRequest, EntityCreate, DeploymentListRequest, Empty):
        request, fields = outcome(model, body)
        assert isinstance(request, model) or fields


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted({*DeployRequest.model_fields, "colour"})), JSON))
def test_whatever_values_the_fields_have_only_they_and_the_missing_ones_are_named(changes):
    body = {**DEPLOY, **changes}
    request, fields = outcome(DeployRequest, json.dumps(body).encode())
    if request is None:
        assert {field.split(".")[0] for field in fields} <= {*changes, "body"}
    else:
        assert "colour" not in changes
