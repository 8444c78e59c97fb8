import json

import pytest

from contracts import subjects
from tests.unit.builders import (
    NOW,
    a_command,
    a_deploy,
    a_deployment,
    a_former,
    a_moment,
    an_entity,
    an_environment,
    an_id,
    changed_fields,
    decided,
    deployed,
    document,
    facts_of,
    needing,
    record_of,
)
from worker.domain.errors import EntityNotFound, Refusal, ValidationFailed, VersionMismatch
from worker.domain.facts import EMPTY
from worker.operations import validate


def refused(command, facts):
    with pytest.raises(Refusal) as caught:
        decided(command, facts)
    return caught.value


def replacing():
    """An entity that is active in staging, what is active, and the facts."""
    entity = an_entity(version="2.0.0", event_sequence=3)
    active = a_deployment(entity, version="1.0.0", previous_deployment_id=an_id(), reason="the first")
    entity = deployed(entity)
    return entity, active, facts_of(entity, active)


def test_a_first_deploy_is_active_at_once_and_shows_what_was_asked_for():
    entity = an_entity(version="1.4.0")
    moment = a_moment(elapsed_ms=1999)
    deployment = decided(a_deploy(entity, reason="release"), facts_of(entity), moment).reply
    assert deployment.deployment_id == moment.new_id
    assert (deployment.entity_id, deployment.entity_name) == (entity.entity_id, entity.name)
    assert (deployment.version, deployment.environment, deployment.status) == ("1.4.0", "staging", "active")
    assert (deployment.deployed_by, deployment.reason) == ("alice", "release")
    assert deployment.previous_deployment_id is None
    assert deployment.deployment_duration_ms == 1999
    times = ("deployed_at", "activated_at", "created_at", "updated_at")
    assert {getattr(deployment, each) for each in times} == {NOW}


def test_a_new_deployment_has_no_trace_of_a_rollback_of_health_or_of_errors():
    entity = an_entity()
    deployment = decided(a_deploy(entity), facts_of(entity)).reply
    empty = ("rolled_back_at", "rolled_back_by", "rollback_reason", "deactivated_at", "confirm_by")
    assert {getattr(deployment, each) for each in empty} == {None}
    assert (deployment.error_logs, deployment.last_health_check, deployment.health_checks.text) == (
        None,
        None,
        "[]",
    )


def test_a_first_deploy_is_announced_as_completed_alone():
    entity = an_entity()
    decision = decided(a_deploy(entity, reason="release"), facts_of(entity))
    (completed,) = decision.events
    assert (completed.name, completed.actor, completed.reason) == ("completed", "alice", "release")
    assert completed.about is decision.reply
    assert completed.target_deployment_id is None


def test_what_was_active_is_superseded_by_the_new_one_and_announced_before_it():
    entity, active, facts = replacing()
    decision = decided(a_deploy(entity, reason="release"), facts)
    superseded, completed = decision.events
    assert [event.name for event in decision.events] == ["superseded", "completed"]
    assert (
        (superseded.actor, superseded.reason) == (completed.actor, completed.reason) == ("alice", "release")
    )
    assert superseded.about.deployment_id == active.deployment_id
    assert superseded.about.status == "inactive"
    assert completed.about is decision.reply
    assert decision.reply.previous_deployment_id == active.deployment_id


def test_superseding_changes_the_status_and_its_times_and_nothing_else():
    entity, active, facts = replacing()
    superseded = record_of(decided(a_deploy(entity), facts), active)
    assert changed_fields(active, superseded) == {"status", "deactivated_at", "updated_at"}
    assert superseded.deactivated_at == superseded.updated_at == NOW


def test_the_same_version_may_be_deployed_again_and_supersedes_itself():
    entity = deployed(an_entity())
    active = a_deployment(entity)
    decision = decided(a_deploy(entity), facts_of(entity, active))
    assert decision.reply.deployment_id != active.deployment_id
    assert record_of(decision, active).status == "inactive"


def test_what_is_active_in_another_environment_stays_as_it_is():
    entity = deployed(an_entity())
    elsewhere = a_deployment(entity, environment="production")
    decision = decided(a_deploy(entity), facts_of(entity, elsewhere))
    assert decision.reply.previous_deployment_id is None
    assert {type(record).__name__ for record in decision.records} == {"Deployment", "Entity"}
    assert len(decision.records) == 2


def test_a_deploy_after_a_retirement_replaces_nothing():
    entity = an_entity()
    decision = decided(a_deploy(entity), facts_of(entity, a_former(entity)))
    assert decision.reply.previous_deployment_id is None
    assert [event.name for event in decision.events] == ["completed"]


def test_the_entity_is_deployed_with_what_was_activated_and_keeps_everything_else():
    entity = an_entity(declared_status="validated", status="validated", revision=4)
    decision = decided(a_deploy(entity, config_override={"replicas": 9}), facts_of(entity))
    after = record_of(decision, entity)
    assert (after.status, after.declared_status) == ("deployed", "validated")
    assert (after.deployed_at, after.deployed_by) == (NOW, "alice")
    assert after.deployment_config.value == {"replicas": 9}
    assert after.config == entity.config
    assert changed_fields(entity, after) == {
        *("status", "deployed_at", "deployed_by", "deployment_config", "updated_at"),
    }


def test_without_overrides_the_entitys_documents_are_what_is_deployed():
    entity = an_entity()
    deployment = decided(a_deploy(entity, config_override={}), facts_of(entity)).reply
    assert deployment.config_snapshot == entity.config
    assert deployment.parameters_snapshot == entity.parameters


def test_an_override_replaces_its_document_and_not_the_other():
    entity = an_entity(config=document(replicas=1, region="eu"), parameters=document(a=1, b=2))
    deployment = decided(a_deploy(entity, config_override={"replicas": 2}), facts_of(entity)).reply
    assert deployment.config_snapshot.value == {"replicas": 2}
    assert deployment.parameters_snapshot == entity.parameters
    other = decided(a_deploy(entity, parameters_override={"b": 3}), facts_of(entity)).reply
    assert (other.config_snapshot, other.parameters_snapshot.value) == (entity.config, {"b": 3})


def test_a_merged_override_changes_both_documents_by_json_merge_patch():
    entity = an_entity(config=document(replicas=1, region="eu"), parameters=document(a=1, b=2))
    body = {"config_override": {"replicas": 2, "region": None}, "parameters_override": {"b": {"c": None}}}
    deployment = decided(a_deploy(entity, override_strategy="merge", **body), facts_of(entity)).reply
    assert deployment.config_snapshot.value == {"replicas": 2}
    assert deployment.parameters_snapshot.value == {"a": 1, "b": {}}


@pytest.mark.parametrize(
    ("asked", "default", "method"),
    [(None, "nats", "nats"), (None, "api", "api"), ("pipeline", "api", "pipeline"), ("nats", "api", "nats")],
)
def test_the_method_is_what_the_request_says_and_else_its_transport(asked, default, method):
    entity = an_entity()
    command = a_deploy(entity, {"default_method": default}, deployment_method=asked)
    assert decided(command, facts_of(entity)).reply.deployment_method == method


def test_both_validations_are_kept_as_they_were_found():
    entity, active, facts = replacing()
    results = decided(a_deploy(entity), facts).reply.validation_results.value
    assert (results["passed"], results["pre"]["passed"], results["post"]["passed"]) == (True, True, True)
    assert results["pre"]["checks"]["existing_deployment"] is True
    assert str(active.deployment_id) in results["pre"]["warnings"][0]
    written = results["post"]["checks"]
    assert [written[name] for name in ("deployment_exists", "has_config", "status")] == [True, True, True]


def test_what_validation_warns_of_is_told_once_each():
    entity = deployed(an_entity(config=EMPTY, health_status="degraded"))
    facts = facts_of(entity, a_deployment(entity))
    warnings = json.loads(decided(a_deploy(entity), facts).reply.warnings.text)
    assert len(warnings) == len(set(warnings)) == 3


def test_an_ordinary_deploy_has_no_warnings():
    entity = an_entity()
    assert decided(a_deploy(entity), facts_of(entity)).reply.warnings.value == []


@pytest.mark.parametrize("known", [True, False])
def test_an_entity_that_is_deleted_or_absent_is_not_found(known):
    entity = an_entity(deleted_at=NOW)
    problem = refused(a_deploy(entity), facts_of(entity) if known else facts_of())
    assert isinstance(problem, EntityNotFound)
    assert str(entity.entity_id) in problem.detail


def test_another_version_than_expected_is_refused_with_both():
    entity = an_entity(version="1.4.0")
    problem = refused(a_deploy(entity, expected_version="1.5.0"), facts_of(entity))
    assert isinstance(problem, VersionMismatch)
    assert problem.extensions == {"expected_version": "1.5.0", "actual_version": "1.4.0"}
    assert decided(a_deploy(entity, expected_version="1.4.0"), facts_of(entity)).reply.version == "1.4.0"


def test_versions_are_compared_as_text():
    entity = an_entity(version="1.4")
    assert refused(a_deploy(entity, expected_version="1.4.0"), facts_of(entity)).code == "version_mismatch"


def test_a_failed_validation_is_refused_with_all_of_it():
    entity = an_entity(health_status="unhealthy", dependencies=needing("cache", "queue"))
    problem = refused(a_deploy(entity), facts_of(entity))
    assert isinstance(problem, ValidationFailed)
    validation = problem.extensions["validation"]
    assert validation["passed"] is False
    assert len(validation["errors"]) == 3
    assert validation["checks"]["dependencies"] is validation["checks"]["health_status"] is False
    assert all(error in problem.detail for error in validation["errors"])


def test_what_an_environment_requires_is_its_own():
    entity = an_entity(declared_status="registered")
    facts = facts_of(entity, an_environment("production", require_status=("validated",)))
    assert refused(a_deploy(entity, environment="production"), facts).code == "validation_failed"
    assert decided(a_deploy(entity, environment="staging"), facts).reply.status == "active"


def test_refusals_come_in_the_order_of_the_wire():
    unfit = an_entity(version="1.0", health_status="unhealthy")
    asked = a_deploy(unfit, expected_version="2.0")
    assert refused(asked, facts_of()).code == "entity_not_found"
    assert refused(asked, facts_of(unfit)).code == "version_mismatch"
    assert refused(a_deploy(unfit, expected_version="1.0"), facts_of(unfit)).code == "validation_failed"


def preview(entity, facts, **body):
    ordinary = {"entity_id": entity.entity_id, "environment": "staging", "deployed_by": "alice"}
    return validate.preview(a_command(subjects.DEPLOY_VALIDATE, **{**ordinary, **body}), facts)


def test_a_plan_is_what_a_deploy_would_do():
    entity, active, facts = replacing()
    body = {"config_override": {"replicas": 5}, "override_strategy": "merge"}
    plan, deployment = preview(entity, facts, **body), decided(a_deploy(entity, **body), facts).reply
    assert plan.validation.passed
    assert plan.replaces is active
    assert plan.version == deployment.version == "2.0.0"
    assert (plan.config, plan.parameters) == (deployment.config_snapshot, deployment.parameters_snapshot)
    assert plan.changes() == [
        {"op": "replace", "path": "/version", "value": "2.0.0"},
        {"op": "replace", "path": "/config/replicas", "value": 5},
    ]


def test_a_plan_where_nothing_is_active_adds_everything():
    entity = an_entity(version="1", config=document(a=1), parameters=EMPTY)
    plan = preview(entity, facts_of(entity))
    assert plan.replaces is None
    assert plan.changes() == [
        {"op": "add", "path": "/version", "value": "1"},
        {"op": "add", "path": "/config", "value": {"a": 1}},
        {"op": "add", "path": "/parameters", "value": {}},
    ]


def test_validating_refuses_an_absent_entity_and_makes_a_failed_plan_of_everything_else():
    entity = an_entity(health_status="unhealthy", declared_status="draft")
    with pytest.raises(EntityNotFound):
        preview(entity, facts_of())
    plan = preview(entity, facts_of(entity), expected_version="9")
    assert not plan.validation.passed
    assert len(plan.validation.errors) == 3
    assert plan.version == entity.version


def test_a_deploy_needs_its_entity_and_what_is_active_there():
    entity = an_entity()
    needs = validate.needs(a_deploy(entity, environment="testing"))
    assert (needs.entity_id, needs.environment) == (entity.entity_id, "testing")
    assert not needs.reads_history
    assert isinstance(needs.entity_in(facts_of()), str)
