"""One behaviour, three transports: every test below runs over NATS, over HTTP and from the command line."""

from typing import Any
from uuid import uuid4

from contracts import subjects
from contracts.deployments import Deployment, DeploymentPlan
from contracts.entities import Entity
from contracts.events import EventList
from tests.parity.steps import create, deploy, get, refusal, retire, rollback
from tests.parity.transports import Body, Transport


def test_what_is_deployed_is_shown_as_it_was_answered(transport: Transport):
    deployment = deploy(transport, create(transport), reason="first")

    Deployment.model_validate(deployment)
    assert deployment["status"] == "active"
    assert deployment["deployment_method"] == transport.default_method
    assert get(transport, deployment) == deployment


def test_a_second_deploy_supersedes_the_first_and_a_rollback_brings_it_back(transport: Transport):
    entity = create(transport)
    first = deploy(transport, entity)
    second = deploy(transport, entity, config_override={"b": {"d": 3}}, override_strategy="merge")
    assert second["config_snapshot"] == {"a": 1, "b": {"c": 2, "d": 3}}
    assert second["previous_deployment_id"] == first["deployment_id"]
    assert get(transport, first)["status"] == "inactive"

    rolled_back = rollback(transport, second)

    assert rolled_back["status"] == "rolled_back"
    assert rolled_back["rollback_reason"] == "it misbehaves"
    assert get(transport, first)["status"] == "active"
    page = EventList.model_validate(
        transport.ask(subjects.DEPLOY_HISTORY, deployment_id=first["deployment_id"])
    )
    assert [event.type.split(".")[2] for event in page.events] == ["completed", "superseded", "reactivated"]


def test_a_rollback_goes_to_the_target_that_is_named(transport: Transport):
    entity = create(transport)
    first, _, third = (deploy(transport, entity) for _ in range(3))

    rollback(transport, third, target_deployment_id=first["deployment_id"])

    assert get(transport, first)["status"] == "active"


def test_rollbacks_without_a_fitting_target_are_refused(transport: Transport):
    entity = create(transport)
    only = deploy(transport, entity)
    elsewhere = deploy(transport, entity, "testing")

    assert refusal(rollback, transport, only)["code"] == "no_rollback_target"
    problem = refusal(rollback, transport, only, target_deployment_id=elsewhere["deployment_id"])
    assert problem["code"] == "invalid_rollback_target"
    assert refusal(rollback, transport, {"deployment_id": str(uuid4())})["code"] == "deployment_not_found"


def test_a_retired_deployment_leaves_nothing_active(transport: Transport):
    entity = create(transport)
    deployment = deploy(transport, entity)

    assert retire(transport, deployment)["status"] == "inactive"

    assert refusal(retire, transport, deployment)["code"] == "deployment_not_active"
    after = Entity.model_validate(transport.ask(subjects.ENTITY_GET, entity_id=entity["entity_id"]))
    assert (after.status, after.deployment_config) == ("registered", None)


def test_every_fault_of_a_deploy_is_named_at_once(transport: Transport):
    entity = create(
        transport,
        status="draft",
        health_status="unhealthy",
        dependencies=[{"name": "not-there", "version": ">=1"}],
    )

    problem = refusal(deploy, transport, entity)

    assert problem["code"] == "validation_failed"
    assert len(problem["validation"]["errors"]) == 3


def test_a_dependency_holds_a_deploy_up_and_is_held_itself(transport: Transport):
    base = create(transport, version="1.5")
    dependent = create(transport, dependencies=[{"name": base["name"], "version": ">=1,<2"}])
    assert refusal(deploy, transport, dependent)["code"] == "validation_failed"
    foundation = deploy(transport, base)
    deploy(transport, dependent)

    assert refusal(retire, transport, foundation)["code"] == "dependency_in_use"
    assert retire(transport, foundation, force=True)["status"] == "inactive"


def test_a_plan_says_what_would_change_and_changes_nothing(transport: Transport):
    entity = create(transport)
    active = deploy(transport, entity)

    plan = DeploymentPlan.model_validate(
        transport.ask(
            subjects.DEPLOY_VALIDATE,
            entity_id=entity["entity_id"],
            environment="staging",
            deployed_by="parity",
            config_override={"a": 2},
        )
    )

    assert str(plan.replaces) == active["deployment_id"]
    assert plan.changes == [
        {"op": "replace", "path": "/config/a", "value": 2},
        {"op": "remove", "path": "/config/b"},
    ]
    assert get(transport, active) == active


def test_a_stale_revision_or_version_is_refused(transport: Transport):
    entity = create(transport)

    def update(**fields: Any) -> Body:
        return transport.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], **fields)

    assert update(version="2.0.0", expected_revision=1)["revision"] == 2
    assert refusal(update, version="3.0.0", expected_revision=1)["code"] == "revision_conflict"
    assert refusal(deploy, transport, entity, expected_version="1.0.0")["code"] == "version_mismatch"


def test_an_entity_is_deleted_once_nothing_of_it_runs(transport: Transport):
    entity = create(transport)
    deployment = deploy(transport, entity)

    def delete() -> Body:
        return transport.ask(subjects.ENTITY_DELETE, entity_id=entity["entity_id"], deleted_by="parity")

    assert refusal(delete)["code"] == "entity_in_use"
    retire(transport, deployment)
    assert delete()["deleted_at"]
    assert refusal(delete)["code"] == "entity_not_found"
    assert refusal(deploy, transport, entity)["code"] == "entity_not_found"
    again = create(transport, name=entity["name"])
    assert refusal(create, transport, name=again["name"])["code"] == "entity_name_taken"


def test_lists_filter_and_count(transport: Transport):
    entity = create(transport)
    deployments = [deploy(transport, entity) for _ in range(2)]

    listed = transport.ask(subjects.DEPLOY_LIST, entity_id=entity["entity_id"])
    active = transport.ask(subjects.DEPLOY_LIST, entity_id=entity["entity_id"], status="active")
    named = transport.ask(subjects.ENTITY_LIST, name=entity["name"])

    assert [each["deployment_id"] for each in listed["deployments"]] == [
        each["deployment_id"] for each in reversed(deployments)
    ]
    assert (listed["total"], active["total"], named["total"]) == (2, 1, 1)


def test_faulty_values_are_named_by_their_fields(transport: Transport):
    problem = refusal(create, transport, type="Not A Type", version="v" * 51)

    assert problem["code"] == "invalid_request"
    assert {fault["field"] for fault in problem["errors"]} == {"type", "version"}


def test_all_environments_are_there_from_the_start(transport: Transport):
    listed = transport.ask(subjects.ENVIRONMENT_LIST)

    assert [each["environment"] for each in listed["environments"]] == [
        "development",
        "testing",
        "staging",
        "production",
    ]
