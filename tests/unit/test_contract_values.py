import pytest

from contracts.deployments import (
    DeploymentListRequest,
    DeployRequest,
    EntityDeploymentsRequest,
    HistoryRequest,
    RetireRequest,
    RollbackRequest,
)
from contracts.entities import EntityCreate, EntityListRequest, EntityUpdate
from contracts.environments import EnvironmentSet
from tests.unit.bodies import CREATE, DEPLOY, ID, RETIRE, ROLLBACK, accepted, faulty


@pytest.mark.parametrize(
    ("model", "body", "field", "longest"),
    [
        (DeployRequest, DEPLOY, "deployed_by", 255),
        (RollbackRequest, ROLLBACK, "rolled_back_by", 255),
        (EntityCreate, CREATE, "name", 255),
        (EntityCreate, CREATE, "version", 50),
    ],
)
def test_a_text_of_bounded_length_is_neither_empty_nor_longer(model, body, field, longest):
    assert getattr(accepted(model, {**body, field: "é" * longest}), field) == "é" * longest
    assert faulty(model, {**body, field: "é" * (longest + 1)}) == {field}
    assert faulty(model, {**body, field: ""}) == {field}


def test_the_reason_of_a_rollback_is_not_empty():
    assert faulty(RollbackRequest, {**ROLLBACK, "reason": ""}) == {"reason"}


def test_a_deployment_method_has_at_most_fifty_characters():
    assert accepted(DeployRequest, {**DEPLOY, "deployment_method": "x" * 50}).deployment_method == "x" * 50
    assert faulty(DeployRequest, {**DEPLOY, "deployment_method": "x" * 51}) == {"deployment_method"}


@pytest.mark.parametrize("field", ["deployment_method", "expected_version", "reason"])
def test_an_optional_text_of_a_deploy_that_the_wire_gives_no_shortest_length_may_be_empty(field):
    assert getattr(accepted(DeployRequest, {**DEPLOY, field: ""}), field) == ""


def test_an_expected_version_is_text_of_any_length_since_it_is_only_compared():
    assert accepted(DeployRequest, {**DEPLOY, "expected_version": "1" * 51}).expected_version == "1" * 51


@pytest.mark.parametrize(
    ("model", "body", "wrong"),
    [
        (DeployRequest, DEPLOY, {"environment": "Staging", "override_strategy": "MERGE"}),
        (EntityCreate, CREATE, {"status": "live", "health_status": "ill"}),
        (EntityUpdate, {"entity_id": ID}, {"status": "", "health_status": "ok"}),
        (DeploymentListRequest, {}, {"environment": "prod", "status": "done"}),
        (EntityListRequest, {}, {"status": "active ", "environment": ""}),
        (EnvironmentSet, {}, {"environment": "moon", "activation": "slow", "concurrency": "wait"}),
    ],
)
def test_a_word_that_is_not_in_the_list_is_a_fault_of_its_field(model, body, wrong):
    assert faulty(model, {**body, **wrong}) == set(wrong)


def test_required_statuses_are_entity_statuses_each_judged_by_itself():
    body = {"environment": "staging", "require_status": ["draft", "live", "active", 1]}
    assert faulty(EnvironmentSet, body) == {"require_status.1", "require_status.3"}
    assert accepted(EnvironmentSet, {**body, "require_status": []}).require_status == []


@pytest.mark.parametrize(
    ("model", "body", "field", "least", "most"),
    [
        (DeploymentListRequest, {}, "page", 1, None),
        (DeploymentListRequest, {}, "page_size", 1, 100),
        (EntityDeploymentsRequest, {"entity_id": ID}, "page_size", 1, 100),
        (HistoryRequest, {"deployment_id": ID}, "page_size", 1, 100),
        (EnvironmentSet, {"environment": "staging"}, "confirm_timeout_s", 1, 86400),
        (EnvironmentSet, {"environment": "staging"}, "unhealthy_after", 1, None),
    ],
)
def test_a_number_lies_between_its_bounds(model, body, field, least, most):
    assert faulty(model, {**body, field: least - 1}) == {field}
    assert getattr(accepted(model, {**body, field: least}), field) == least
    if most is not None:
        assert getattr(accepted(model, {**body, field: most}), field) == most
        assert faulty(model, {**body, field: most + 1}) == {field}


@pytest.mark.parametrize("value", ["1", 1.0, 1.5, True, [1], {}])
def test_what_only_looks_like_a_number_is_none(value):
    assert faulty(DeploymentListRequest, {"page": value}) == {"page"}


@pytest.mark.parametrize("value", [0, 1, "true", "false", "", []])
def test_what_only_looks_like_truth_is_none(value):
    assert faulty(RetireRequest, {**RETIRE, "force": value}) == {"force"}


@pytest.mark.parametrize("value", ["seven", "", 7, [], ID[:-1], ID + "0", {"id": ID}])
def test_what_is_no_uuid_is_a_fault_of_its_field(value):
    assert faulty(DeployRequest, {**DEPLOY, "entity_id": value}) == {"entity_id"}
    assert faulty(RollbackRequest, {**ROLLBACK, "target_deployment_id": value}) == {"target_deployment_id"}


@pytest.mark.parametrize("value", ["a", "a0_-z", "a" * 50])
def test_a_type_is_a_lower_case_word_of_at_most_fifty_characters(value):
    assert accepted(EntityCreate, {**CREATE, "type": value}).type == value


@pytest.mark.parametrize("value", ["", "A", "0a", "-a", "a b", "é", "a" * 51, "a\n", "aé"])
def test_any_other_type_is_a_fault(value):
    assert faulty(EntityCreate, {**CREATE, "type": value}) == {"type"}
    assert faulty(EntityUpdate, {"entity_id": ID, "type": value}) == {"type"}


@pytest.mark.parametrize("value", [">=1.2,<2", "==1.*", "~=1.4.2", "!=1.0", ">=1.0rc1"])
def test_a_dependencys_version_is_a_pep_440_specifier(value):
    created = accepted(EntityCreate, {**CREATE, "dependencies": [{"name": "a", "version": value}]})
    assert created.dependencies[0].version == value


@pytest.mark.parametrize("value", ["1.0", "^1.2", ">=", ">=1,<", "latest", ">=a", "", 1])
def test_any_other_dependency_version_is_a_fault_of_it(value):
    body = {**CREATE, "dependencies": [{"name": "a"}, {"name": "b", "version": value}]}
    assert faulty(EntityCreate, body) == {"dependencies.1.version"}


@pytest.mark.parametrize("value", [[], "x", 1, True])
def test_a_document_is_an_object(value):
    body = {**CREATE, "config": value, "parameters": value}
    assert faulty(EntityCreate, body) == {"config", "parameters"}
    body = {**DEPLOY, "config_override": value, "parameters_override": value}
    assert faulty(DeployRequest, body) == {"config_override", "parameters_override"}
