import pytest

from contracts import subjects
from contracts.deployments import DeployRequest
from contracts.quarantine import QuarantineLift
from tests.unit.bodies import DEPLOY, accepted, faulty
from tests.unit.builders import (
    NOW,
    a_command,
    a_confirmation,
    a_deploy,
    a_deploying,
    a_deployment,
    a_lift,
    a_pending,
    a_quarantine,
    a_rollback,
    an_entity,
    an_environment,
    an_id,
    changed_fields,
    confirmed,
    decided,
    document,
    facts_of,
    record_of,
)
from tests.unit.records import Records
from worker.domain.errors import InQuarantine, QuarantineNotFound, Refusal
from worker.domain.facts import Facts
from worker.operations import OPERATIONS, validate


def situation(**fields):
    """An entity whose present version and snapshot are quarantined in staging, the quarantine, the facts."""
    entity = an_entity(**fields)
    quarantine = a_quarantine(a_deployment(entity, status="rolled_back"))
    return entity, quarantine, facts_of(entity, quarantine)


def refused(command, facts):
    with pytest.raises(Refusal) as caught:
        decided(command, facts)
    return caught.value


@pytest.mark.parametrize("environment", [an_environment(), confirmed()], ids=["instant", "confirmed"])
def test_the_same_version_with_the_same_snapshot_is_not_deployed_there_again(environment):
    entity, quarantine, facts = situation()
    facts.absorb([environment])
    problem = refused(a_deploy(entity), facts)
    assert isinstance(problem, InQuarantine)
    assert (problem.code, problem.extensions) == (
        "quarantined",
        {"quarantine_id": quarantine.quarantine_id},
    )
    assert quarantine.reason in problem.detail
    assert "override_quarantine" in problem.detail


def test_what_counts_is_the_snapshot_that_would_be_deployed():
    entity, _, facts = situation(config=document(replicas=1))
    assert decided(a_deploy(entity, config_override={"replicas": 2}), facts).reply.status == "active"
    same = a_deploy(entity, config_override={"replicas": 1.0}, override_strategy="merge")
    assert refused(same, facts).code == "quarantined"
    other = a_deploy(entity, parameters_override={"region": "us"})
    assert decided(other, facts).reply.status == "active"


def test_another_version_another_environment_or_another_entity_is_free():
    entity, quarantine, facts = situation(version="1.0.0")
    newer = entity._replace(version="1.0.1")
    assert decided(a_deploy(newer), facts_of(newer, quarantine)).reply.status == "active"
    assert decided(a_deploy(entity, environment="testing"), facts).reply.status == "active"
    other = an_entity("bills")
    assert decided(a_deploy(other), facts_of(other, quarantine)).reply.status == "active"


def test_a_lifted_quarantine_holds_nothing_up_and_leaves_no_word():
    entity, quarantine, facts = situation()
    facts.absorb([quarantine._replace(lifted_at=NOW)])
    deployment = decided(a_deploy(entity), facts).reply
    assert (deployment.status, deployment.warnings.value) == ("active", [])


def test_a_second_quarantine_of_the_same_counts_where_the_first_is_lifted():
    entity, quarantine, facts = situation()
    facts.absorb([quarantine._replace(lifted_at=NOW), quarantine._replace(quarantine_id=an_id())])
    assert refused(a_deploy(entity), facts).code == "quarantined"


def test_whoever_overrides_a_quarantine_is_warned():
    entity, quarantine, facts = situation()
    decision = decided(a_deploy(entity, override_quarantine=True, reason="it is fixed"), facts)
    deployment = decision.reply
    (warning,) = deployment.warnings.value
    assert warning.startswith("Overridden: ")
    assert quarantine.reason in warning
    results = deployment.validation_results.value
    assert (results["passed"], results["pre"]["checks"]["quarantine"]) == (True, "overridden")
    assert results["pre"]["warnings"] == [warning]
    assert quarantine not in decision.records


def test_where_nothing_is_in_quarantine_an_override_says_nothing():
    entity = an_entity()
    deployment = decided(a_deploy(entity, override_quarantine=True, reason="just so"), facts_of(entity)).reply
    assert deployment.warnings.value == []
    assert "quarantine" not in deployment.validation_results.value["pre"]["checks"]


@pytest.mark.parametrize("reason", [{}, {"reason": None}, {"reason": ""}])
def test_an_override_takes_a_reason(reason):
    assert faulty(DeployRequest, {**DEPLOY, "override_quarantine": True, **reason}) == {"override_quarantine"}
    assert accepted(DeployRequest, {**DEPLOY, "override_quarantine": False, **reason})
    assert accepted(DeployRequest, {**DEPLOY, "override_quarantine": None, **reason})


def test_an_override_beside_a_faulty_reason_is_not_blamed_for_it():
    body = {**DEPLOY, "override_quarantine": True, "reason": 7}
    assert faulty(DeployRequest, body) == {"reason"}


def preview(entity, facts, **body):
    ordinary = {"entity_id": entity.entity_id, "environment": "staging", "deployed_by": "alice"}
    return validate.preview(a_command(subjects.DEPLOY_VALIDATE, **{**ordinary, **body}), facts)


def test_validating_shows_a_quarantine_as_an_error_and_an_overridden_one_as_a_warning():
    entity, quarantine, facts = situation()
    found = preview(entity, facts).validation.body()
    assert (found["passed"], found["checks"]["quarantine"]) == (False, False)
    (error,) = found["errors"]
    assert quarantine.quarantine_id in error
    found = preview(entity, facts, override_quarantine=True, reason="fixed").validation.body()
    assert (found["passed"], found["checks"]["quarantine"]) == (True, "overridden")
    assert quarantine.quarantine_id in found["warnings"][0]


def test_validating_shows_everything_that_a_deploy_would_be_refused_for():
    entity, quarantine, _ = situation(health_status="unhealthy")
    facts = facts_of(entity, quarantine, a_deploying(entity), confirmed())
    found = preview(entity, facts, expected_version="9").validation.body()
    failed = {name for name, verdict in found["checks"].items() if verdict is False}
    assert failed == {
        *("health_status", "quarantine", "in_progress", "expected_version", "existing_deployment"),
    }
    assert len(found["errors"]) == 4


def test_a_rollback_to_what_is_in_quarantine_is_not_held_up():
    entity, quarantine, _ = situation()
    current = a_deployment(entity, version="2.0.0")
    target = a_deployment(entity, deployment_id=quarantine.deployment_id, status="rolled_back")
    facts = facts_of(entity, quarantine, current, target)
    decision = decided(a_rollback(current, target_deployment_id=target.deployment_id), facts)
    assert record_of(decision, target).status == "active"


def turn(entity, pending, *others):
    first = a_deploying(entity)
    facts = facts_of(entity, first, pending, confirmed(), *others)
    return record_of(decided(a_confirmation(first, outcome="failed"), facts), pending)


def test_what_was_deployed_in_spite_of_its_quarantine_is_started_at_its_turn():
    entity, quarantine, facts = situation()
    facts.absorb([a_deploying(entity), confirmed(concurrency="queue")])
    pending = decided(a_deploy(entity, override_quarantine=True, reason="fixed"), facts).reply
    started = turn(entity, pending, quarantine)
    assert started.status == "deploying"
    pre = started.validation_results.value["pre"]
    assert pre["checks"]["quarantine"] == "overridden"
    assert len(pre["warnings"]) == 1


def test_what_is_quarantined_at_its_turn_and_was_not_before_fails():
    entity, quarantine, _ = situation()
    failed = turn(entity, a_pending(entity), quarantine)
    assert failed.status == "failed"
    assert quarantine.quarantine_id in failed.error_logs


def test_what_is_forgiven_until_its_turn_is_not_spoken_of_any_more():
    entity, _, facts = situation()
    facts.absorb([a_deploying(entity), confirmed(concurrency="queue")])
    pending = decided(a_deploy(entity, override_quarantine=True, reason="fixed"), facts).reply
    started = turn(entity, pending)
    assert "quarantine" not in started.validation_results.value["pre"]["checks"]


def test_lifting_says_when_by_whom_and_why():
    _, quarantine, facts = situation()
    decision = decided(a_lift(quarantine, lifted_by="lena", reason="patched"), facts)
    lifted = decision.reply
    assert (lifted.lifted_at, lifted.lifted_by, lifted.lift_reason) == (NOW, "lena", "patched")
    assert changed_fields(quarantine, lifted) == {"lifted_at", "lifted_by", "lift_reason"}
    assert (decision.records, decision.events) == ((lifted,), ())


def test_lifting_what_is_lifted_answers_with_it_as_it_is():
    _, quarantine, facts = situation()
    facts.absorb(decided(a_lift(quarantine, lifted_by="lena"), facts).records)
    again = decided(a_lift(quarantine, lifted_by="mona"), facts)
    assert (again.reply.lifted_by, again.records) == ("lena", ())


def test_an_unknown_quarantine_is_not_found():
    _, quarantine, _ = situation()
    problem = refused(a_lift(quarantine), facts_of())
    assert isinstance(problem, QuarantineNotFound)
    assert problem.code == "not_found"
    assert quarantine.quarantine_id in problem.detail


def test_a_lift_needs_its_quarantine_and_is_about_no_entity():
    _, quarantine, facts = situation()
    needs = OPERATIONS[subjects.QUARANTINE_LIFT].needs(a_lift(quarantine))
    assert needs.quarantine_id == quarantine.quarantine_id
    assert needs.entity_in(facts) is None


def test_a_lift_and_the_deploy_behind_it_in_one_batch_both_succeed_and_the_other_way_round_only_one():
    entity, quarantine, _ = situation()
    records = Records(entity, quarantine)
    lifted, deploy = records.answers_to_all(a_lift(quarantine), a_deploy(entity))
    assert (lifted.code, deploy.code) == (None, None)
    assert records.quarantines[quarantine.quarantine_id].lifted_by == "lena"
    records = Records(entity, quarantine)
    deploy, lifted = records.answers_to_all(a_deploy(entity), a_lift(quarantine))
    assert (deploy.code, lifted.code) == ("quarantined", None)


def test_facts_know_the_quarantines_in_force_of_a_place():
    entity, quarantine, _ = situation()
    elsewhere = quarantine._replace(quarantine_id=an_id(), environment="production")
    lifted = quarantine._replace(quarantine_id=an_id(), lifted_at=NOW)
    facts = Facts(now=NOW)
    facts.absorb([quarantine, elsewhere, lifted])
    assert [*facts.quarantined_in(entity.entity_id, "staging")] == [quarantine]


@pytest.mark.parametrize("field", ["reason", "lifted_by"])
def test_a_lift_takes_a_reason_and_a_name(field):
    body = {"quarantine_id": an_id(), "lifted_by": "lena", "reason": "fixed"}
    assert accepted(QuarantineLift, body)
    assert faulty(QuarantineLift, {**body, field: ""}) == {field}
