import pytest

from contracts import subjects
from tests.unit.builders import (
    NOW,
    SECOND,
    a_confirmation,
    a_deploy,
    a_deploying,
    a_deployment,
    a_moment,
    a_pending,
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
from worker.domain.errors import DeploymentNotDeploying, DeploymentNotFound, Refusal
from worker.domain.validation import as_decided
from worker.operations import OPERATIONS


def refused(command, facts):
    with pytest.raises(Refusal) as caught:
        decided(command, facts)
    return caught.value


def situation(**fields):
    """An entity that is active in staging, what is active, what waits to be confirmed, and the facts."""
    entity = deployed(an_entity(version="2.0.0"))
    active = a_deployment(entity, version="1.0.0")
    waiting = a_deploying(entity, config_snapshot=document(a="new"), reason="release", **fields)
    return entity, active, waiting, facts_of(entity, active, waiting, confirmed())


def test_a_deploy_to_a_confirmed_environment_is_deploying_until_the_environments_time_is_over():
    entity = an_entity()
    decision = decided(a_deploy(entity, reason="release"), facts_of(entity, confirmed(confirm_timeout_s=90)))
    deployment = decision.reply
    assert (deployment.status, deployment.confirm_by) == ("deploying", NOW + 90 * SECOND)
    assert deployment.deployed_at == deployment.created_at == NOW
    unknown = ("activated_at", "deactivated_at", "deployment_duration_ms", "previous_deployment_id")
    assert {getattr(deployment, each) for each in unknown} == {None}
    assert told(decision) == [("started", deployment.deployment_id, "alice")]
    assert decision.events[0].reason == "release"


def test_what_is_active_and_the_entity_stay_as_they_are_while_another_one_is_deploying():
    entity = deployed(an_entity())
    active = a_deployment(entity)
    decision = decided(a_deploy(entity), facts_of(entity, active, confirmed()))
    assert active.deployment_id not in {
        each.deployment_id for each in decision.records if hasattr(each, "deployment_id")
    }
    assert changed_fields(entity, record_of(decision, entity)) == {"updated_at"}


def test_the_validation_of_what_is_deploying_has_passed_so_far_and_is_not_over():
    entity = an_entity()
    results = decided(a_deploy(entity), facts_of(entity, confirmed())).reply.validation_results.value
    assert (results["passed"], results["pre"]["passed"], results["post"]) == (True, True, None)


def test_another_environment_is_as_instant_as_it_was():
    entity = an_entity()
    facts = facts_of(entity, confirmed("production"), a_deploying(entity, environment="production"))
    assert decided(a_deploy(entity), facts).reply.status == "active"


def test_what_an_agent_confirms_is_active():
    _, active, waiting, facts = situation()
    deployment = decided(a_confirmation(waiting), facts).reply
    assert deployment.deployment_id == waiting.deployment_id
    assert (deployment.status, deployment.activated_at, deployment.updated_at) == ("active", NOW, NOW)
    assert deployment.previous_deployment_id == active.deployment_id
    assert changed_fields(waiting, deployment) == {
        *("status", "activated_at", "updated_at", "previous_deployment_id"),
        *("deployment_duration_ms", "validation_results"),
    }


@pytest.mark.parametrize(("ago", "milliseconds"), [(20 * SECOND, 20_000), (SECOND / 400, 2), (SECOND, 1000)])
def test_the_duration_is_counted_from_when_it_was_accepted_in_whole_milliseconds(ago, milliseconds):
    _, _, waiting, facts = situation(deployed_at=NOW - ago)
    deployment = decided(a_confirmation(waiting), facts, a_moment(elapsed_ms=7)).reply
    assert deployment.deployment_duration_ms == milliseconds


def test_the_validation_after_it_joins_the_one_before_it():
    _, _, waiting, facts = situation()
    results = decided(a_confirmation(waiting), facts).reply.validation_results.value
    assert results["pre"] == waiting.validation_results.value["pre"]
    assert results["post"] == as_decided(waiting.config_snapshot).body()
    assert results["passed"] is True


def test_what_was_active_is_superseded_before_it_by_who_made_the_new_one():
    _, active, waiting, facts = situation(deployed_by="erin")
    decision = decided(a_confirmation(waiting, agent="agent-7"), facts)
    assert told(decision) == [
        ("superseded", active.deployment_id, "erin"),
        ("completed", waiting.deployment_id, "agent-7"),
    ]
    assert [event.reason for event in decision.events] == ["release", "release"]
    superseded = record_of(decision, active)
    assert superseded.status == "inactive"
    assert changed_fields(active, superseded) == {"status", "deactivated_at", "updated_at"}


def test_the_entity_is_deployed_with_the_snapshot_by_who_deployed_and_not_by_the_agent():
    entity, _, waiting, facts = situation(deployed_by="erin")
    after = record_of(decided(a_confirmation(waiting), facts), entity)
    assert (after.status, after.deployed_by, after.deployed_at) == ("deployed", "erin", NOW)
    assert after.deployment_config == waiting.config_snapshot


def test_what_was_active_nowhere_before_supersedes_nothing():
    entity = an_entity()
    waiting = a_deploying(entity)
    decision = decided(a_confirmation(waiting), facts_of(entity, waiting, confirmed()))
    assert told(decision) == [("completed", waiting.deployment_id, "agent-7")]
    assert decision.reply.previous_deployment_id is None
    assert record_of(decision, entity).status == "deployed"


def test_what_an_agent_refuses_has_failed_and_what_was_active_stays():
    entity, active, waiting, facts = situation()
    decision = decided(a_confirmation(waiting, outcome="failed", error="out of memory"), facts)
    failed = decision.reply
    assert (failed.status, failed.error_logs) == ("failed", "out of memory")
    assert changed_fields(waiting, failed) == {"status", "error_logs", "updated_at"}
    assert told(decision) == [("failed", waiting.deployment_id, "agent-7")]
    assert decision.events[0].reason == "out of memory"
    assert active not in decision.records
    assert changed_fields(entity, record_of(decision, entity)) == {"updated_at"}


@pytest.mark.parametrize("error", [{}, {"error": None}, {"error": ""}])
def test_a_refusal_without_a_word_says_at_least_whose_it_is(error):
    _, _, waiting, facts = situation()
    failed = decided(a_confirmation(waiting, outcome="failed", agent="agent-9", **error), facts).reply
    assert failed.error_logs == "Refused by agent-9."


def test_an_error_beside_a_confirmation_is_not_kept():
    _, _, waiting, facts = situation()
    assert decided(a_confirmation(waiting, error="a trifle"), facts).reply.error_logs is None


@pytest.mark.parametrize("outcome", ["active", "failed"])
def test_details_stand_in_the_event_of_the_outcome_and_in_no_other(outcome):
    _, _, waiting, facts = situation()
    events = decided(a_confirmation(waiting, outcome=outcome, details={"pid": 7}), facts).events
    assert events[-1].data["details"].value == {"pid": 7}
    assert all(not event.data for event in events[:-1])


def test_without_details_the_event_has_none():
    _, _, waiting, facts = situation()
    assert decided(a_confirmation(waiting), facts).events[-1].data == {}


@pytest.mark.parametrize("outcome", ["active", "failed"])
def test_a_word_counts_up_to_the_last_moment_and_not_after_it(outcome):
    _, _, waiting, facts = situation(confirm_by=NOW)
    assert decided(a_confirmation(waiting, outcome=outcome), facts).reply.status == outcome
    _, _, waiting, facts = situation(confirm_by=NOW - SECOND / 1_000_000)
    problem = refused(a_confirmation(waiting, outcome=outcome), facts)
    assert isinstance(problem, DeploymentNotDeploying)
    assert (problem.code, problem.extensions) == (
        "deployment_not_active",
        {"current_status": "deploying"},
    )
    assert "in time" in problem.detail


@pytest.mark.parametrize("outcome", ["active", "failed"])
@pytest.mark.parametrize("status", ["pending", "active", "inactive", "rolled_back", "failed"])
def test_only_what_is_deploying_is_confirmed_or_refused(status, outcome):
    _, _, waiting, facts = situation(status=status)
    problem = refused(a_confirmation(waiting, outcome=outcome), facts)
    assert (problem.code, problem.extensions) == ("deployment_not_active", {"current_status": status})
    assert status in problem.detail


@pytest.mark.parametrize("second", ["active", "failed"])
@pytest.mark.parametrize("first", ["active", "failed"])
def test_the_first_word_counts(first, second):
    _, _, waiting, facts = situation()
    facts.absorb(decided(a_confirmation(waiting, outcome=first), facts).records)
    problem = refused(a_confirmation(waiting, outcome=second), facts)
    assert problem.extensions == {"current_status": first}


def test_an_absent_deployment_is_not_found():
    entity, _, waiting, _ = situation()
    assert isinstance(refused(a_confirmation(waiting), facts_of(entity)), DeploymentNotFound)


def test_a_confirmation_counts_where_the_environment_was_made_instant_meanwhile():
    entity, active, waiting, _ = situation()
    facts = facts_of(entity, active, waiting, an_environment())
    decision = decided(a_confirmation(waiting), facts)
    assert [name for name, *_ in told(decision)] == ["superseded", "completed"]
    assert decision.reply.status == "active"


def test_by_a_confirmation_the_next_in_line_is_started_after_it_with_its_time_to_be_confirmed():
    entity, active, waiting, _ = situation()
    following = a_pending(entity, reason="hotfix", deployed_by="fred")
    facts = facts_of(entity, active, waiting, following, confirmed(confirm_timeout_s=60))
    decision = decided(a_confirmation(waiting), facts)
    assert told(decision) == [
        ("superseded", active.deployment_id, "erin"),
        ("completed", waiting.deployment_id, "agent-7"),
        ("started", following.deployment_id, "fred"),
    ]
    assert decision.events[-1].reason == "hotfix"
    started = record_of(decision, following)
    assert (started.status, started.confirm_by) == ("deploying", NOW + 60 * SECOND)
    assert decision.reply.deployment_id == waiting.deployment_id


def test_by_a_refusal_the_next_in_line_is_started_after_it():
    entity, active, waiting, _ = situation()
    following = a_pending(entity)
    facts = facts_of(entity, active, waiting, following, confirmed())
    assert told(decided(a_confirmation(waiting, outcome="failed"), facts)) == [
        ("failed", waiting.deployment_id, "agent-7"),
        ("started", following.deployment_id, "fred"),
    ]


def test_a_confirmation_needs_what_is_active_and_what_waits_where_the_deployment_is():
    entity, _, waiting, facts = situation()
    needs = OPERATIONS[subjects.DEPLOY_CONFIRM].needs(a_confirmation(waiting))
    assert (needs.deployment_id, needs.neighbours) == (waiting.deployment_id, True)
    assert needs.entity_in(facts) == entity.entity_id
    assert not needs.reads_history
