"""A second deploy while one is undecided: refused, in its place, or behind it."""

import pytest

from contracts import subjects
from contracts.deployments import MAX_WAITING
from tests.unit.builders import (
    NOW,
    SECOND,
    a_command,
    a_deploy,
    a_deploying,
    a_deployment,
    a_pending,
    a_quarantine,
    an_entity,
    an_environment,
    changed_fields,
    confirmed,
    decided,
    deployed,
    document,
    facts_of,
    record_of,
    told,
)
from worker.domain.errors import DeploymentInProgress, Refusal
from worker.operations import validate

ACTIVATIONS = ["instant", "confirmed"]


def refused(command, facts):
    with pytest.raises(Refusal) as caught:
        decided(command, facts)
    return caught.value


def behind(*line, entity, **settings):
    """Facts in which these deployments of the entity wait in staging."""
    return facts_of(entity, *line, confirmed(**settings))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_by_default_a_second_deploy_meanwhile_is_refused_with_the_one_that_is_undecided(activation):
    entity = an_entity()
    waiting = a_deploying(entity)
    problem = refused(a_deploy(entity), behind(waiting, entity=entity, activation=activation))
    assert isinstance(problem, DeploymentInProgress)
    assert problem.code == "deployment_in_progress"
    assert problem.extensions == {"deployment_id": waiting.deployment_id}
    assert "supersede_pending" in problem.detail


def test_one_in_another_environment_or_of_another_entity_is_in_nobodys_way():
    entity, other = an_entity(), an_entity("bills")
    facts = behind(a_deploying(entity, environment="testing"), a_deploying(other), other, entity=entity)
    assert decided(a_deploy(entity), facts).reply.status == "deploying"


@pytest.mark.parametrize("how", [{"concurrency": "supersede"}, {"supersede_pending": True}])
def test_all_that_is_undecided_fails_in_its_order_before_the_new_one_that_supersedes_it(how):
    entity = an_entity()
    line = [a_deploying(entity), a_pending(entity), a_pending(entity)]
    facts = behind(*line, entity=entity, concurrency=how.get("concurrency", "reject"))
    asked = {name: value for name, value in how.items() if name != "concurrency"}
    decision = decided(a_deploy(entity, deployed_by="alice", **asked), facts)
    new = decision.reply
    assert told(decision) == [
        *(("failed", each.deployment_id, "alice") for each in line),
        ("started", new.deployment_id, "alice"),
    ]
    for each, event in zip(line, decision.events, strict=False):
        failed = record_of(decision, each)
        assert (failed.status, failed.error_logs) == ("failed", event.reason)
        assert event.reason == f"Superseded by deployment {new.deployment_id} while it waited."
    assert (new.status, new.confirm_by) == ("deploying", NOW + 60 * SECOND)


def test_in_a_queue_supersede_pending_comes_first():
    entity = an_entity()
    waiting = a_deploying(entity)
    facts = behind(waiting, entity=entity, concurrency="queue")
    decision = decided(a_deploy(entity, supersede_pending=True), facts)
    assert [name for name, *_ in told(decision)] == ["failed", "started"]


def test_what_supersedes_the_undecided_leaves_the_active_one_until_it_is_confirmed_itself():
    entity = deployed(an_entity())
    active, waiting = a_deployment(entity), a_deploying(entity)
    facts = behind(active, waiting, entity=entity, concurrency="supersede")
    decision = decided(a_deploy(entity), facts)
    assert active.deployment_id not in {deployment_id for _, deployment_id, _ in told(decision)}
    assert decision.reply.previous_deployment_id is None


@pytest.mark.parametrize("how", [{"concurrency": "supersede"}, {"supersede_pending": True}])
def test_where_the_environment_was_made_instant_what_supersedes_the_undecided_is_active_at_once(how):
    entity = deployed(an_entity())
    active, waiting = a_deployment(entity), a_deploying(entity)
    environment = an_environment(concurrency=how.get("concurrency", "reject"))
    asked = {name: value for name, value in how.items() if name != "concurrency"}
    decision = decided(a_deploy(entity, **asked), facts_of(entity, active, waiting, environment))
    new = decision.reply
    assert told(decision) == [
        ("failed", waiting.deployment_id, "alice"),
        ("superseded", active.deployment_id, "alice"),
        ("completed", new.deployment_id, "alice"),
    ]
    assert (new.status, new.deployment_duration_ms) == ("active", 7)
    assert new.validation_results.value["post"]["passed"] is True


def test_with_nothing_undecided_supersede_pending_changes_nothing():
    entity = an_entity()
    decision = decided(a_deploy(entity, supersede_pending=True), behind(entity=entity))
    assert [name for name, *_ in told(decision)] == ["started"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_in_a_queue_the_new_one_is_pending_and_announced_as_queued(activation):
    entity = an_entity(config=document(a="then"))
    waiting = a_deploying(entity)
    facts = behind(waiting, entity=entity, concurrency="queue", activation=activation)
    decision = decided(a_deploy(entity, reason="hotfix"), facts)
    queued = decision.reply
    assert (queued.status, queued.confirm_by, queued.activated_at) == ("pending", None, None)
    assert queued.deployment_duration_ms is None
    assert (queued.version, queued.config_snapshot) == (entity.version, entity.config)
    assert queued.validation_results.value["post"] is None
    assert told(decision) == [("queued", queued.deployment_id, "alice")]
    assert decision.events[0].reason == "hotfix"
    assert changed_fields(entity, record_of(decision, entity)) == {"updated_at"}


def test_a_hundred_may_be_pending_and_not_one_more():
    assert MAX_WAITING == 100
    entity = an_entity()
    line = [a_deploying(entity), *(a_pending(entity) for _ in range(99))]
    facts = behind(*line, entity=entity, concurrency="queue")
    hundredth = decided(a_deploy(entity), facts)
    assert hundredth.reply.status == "pending"
    facts.absorb(hundredth.records)
    problem = refused(a_deploy(entity), facts)
    assert problem.code == "deployment_in_progress"
    assert problem.extensions == {"deployment_id": line[0].deployment_id}
    assert "100" in problem.detail


def test_a_full_queue_may_be_superseded():
    entity = an_entity()
    line = [a_deploying(entity), *(a_pending(entity) for _ in range(100))]
    facts = behind(*line, entity=entity, concurrency="queue")
    decision = decided(a_deploy(entity, supersede_pending=True), facts)
    assert len(decision.events) == 102
    assert decision.reply.status == "deploying"


def test_refusals_come_in_the_order_of_the_wire():
    entity = an_entity(version="1.0", health_status="unhealthy")
    waiting = a_deploying(entity)
    facts = behind(waiting, entity=entity)
    quarantined = facts_of(entity, waiting, confirmed(), a_quarantine(waiting))
    assert refused(a_deploy(entity, expected_version="2.0"), quarantined).code == "version_mismatch"
    assert refused(a_deploy(entity), quarantined).code == "quarantined"
    assert refused(a_deploy(entity), facts).code == "deployment_in_progress"
    assert refused(a_deploy(entity, supersede_pending=True), facts).code == "validation_failed"


def test_what_waits_fails_for_no_deploy_that_is_refused():
    entity = an_entity(declared_status="draft")
    waiting = a_deploying(entity)
    facts = behind(waiting, entity=entity, concurrency="supersede")
    assert refused(a_deploy(entity), facts).code == "validation_failed"
    assert facts.waiting_in(entity.entity_id, "staging") == [waiting]


def preview(entity, facts, **body):
    ordinary = {"entity_id": entity.entity_id, "environment": "staging", "deployed_by": "alice"}
    return validate.preview(a_command(subjects.DEPLOY_VALIDATE, **{**ordinary, **body}), facts)


def test_validating_shows_what_is_in_progress_as_an_error():
    entity = an_entity()
    waiting = a_deploying(entity)
    found = preview(entity, behind(waiting, entity=entity)).validation.body()
    assert (found["passed"], found["checks"]["in_progress"]) == (False, False)
    (error,) = found["errors"]
    assert waiting.deployment_id in error


@pytest.mark.parametrize("concurrency", ["queue", "supersede"])
def test_validating_finds_nothing_in_progress_where_a_deploy_would_be_taken(concurrency):
    entity = an_entity()
    waiting = a_deploying(entity)
    found = preview(entity, behind(waiting, entity=entity, concurrency=concurrency)).validation
    assert found.passed
    assert "in_progress" not in found.body()["checks"]
    facts = behind(waiting, entity=entity)
    assert preview(entity, facts, supersede_pending=True).validation.passed
