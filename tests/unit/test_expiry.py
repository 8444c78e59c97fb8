import pytest

from contracts import subjects
from tests.unit.builders import (
    NOW,
    SECOND,
    a_deploying,
    a_deployment,
    a_pending,
    an_entity,
    an_environment,
    an_expiry,
    changed_fields,
    confirmed,
    decided,
    deployed,
    facts_of,
    record_of,
    told,
)
from worker.domain.errors import DeploymentNotFound
from worker.operations import OPERATIONS

MICROSECOND = SECOND / 1_000_000


def situation(*others, **fields):
    """What is active in staging, what waited too long to be confirmed there, and the facts."""
    entity = deployed(an_entity())
    active = a_deployment(entity)
    waiting = a_deploying(entity, **{"confirm_by": NOW - MICROSECOND, **fields})
    return active, waiting, facts_of(entity, active, waiting, confirmed(), *others)


def test_what_is_not_confirmed_in_time_has_failed_by_the_system_and_says_since_when():
    active, waiting, facts = situation()
    decision = decided(an_expiry(waiting), facts)
    failed = decision.reply
    assert failed.status == "failed"
    assert failed.error_logs == "No agent confirmed it by 2026-03-04T05:06:07.890122Z."
    assert changed_fields(waiting, failed) == {"status", "error_logs", "updated_at"}
    assert told(decision) == [("failed", waiting.deployment_id, "system")]
    assert decision.events[0].reason == failed.error_logs
    assert active not in decision.records


def test_what_has_time_left_to_the_very_moment_stays_and_nothing_is_announced():
    for confirm_by in (NOW, NOW + MICROSECOND, NOW + 60 * SECOND):
        _, waiting, facts = situation(confirm_by=confirm_by)
        decision = decided(an_expiry(waiting), facts)
        assert decision.reply == waiting
        assert (decision.records, decision.events) == ((), ())


@pytest.mark.parametrize("status", ["pending", "active", "inactive", "rolled_back", "failed"])
def test_what_was_decided_meanwhile_stays_so(status):
    entity = an_entity()
    decided_before = a_deploying(entity, status=status, confirm_by=NOW - 9 * SECOND)
    decision = decided(an_expiry(decided_before), facts_of(entity, decided_before, confirmed()))
    assert decision.reply == decided_before
    assert (decision.records, decision.events) == ((), ())


def test_it_expires_where_the_environment_was_made_instant_meanwhile():
    entity = an_entity()
    waiting = a_deploying(entity, confirm_by=NOW - SECOND)
    facts = facts_of(entity, waiting, an_environment())
    assert decided(an_expiry(waiting), facts).reply.status == "failed"


def test_the_next_in_line_has_its_turn_with_a_time_of_its_own():
    entity = an_entity()
    waiting, following = a_deploying(entity, confirm_by=NOW - SECOND), a_pending(entity)
    facts = facts_of(entity, waiting, following, confirmed(confirm_timeout_s=30))
    decision = decided(an_expiry(waiting), facts)
    assert told(decision) == [
        ("failed", waiting.deployment_id, "system"),
        ("started", following.deployment_id, "fred"),
    ]
    assert record_of(decision, following).confirm_by == NOW + 30 * SECOND


def test_a_second_timer_finds_nothing_to_do():
    _, waiting, facts = situation()
    facts.absorb(decided(an_expiry(waiting), facts).records)
    assert decided(an_expiry(waiting), facts).events == ()


def test_an_absent_deployment_is_not_found():
    _, waiting, _ = situation()
    with pytest.raises(DeploymentNotFound):
        decided(an_expiry(waiting), facts_of())


def test_an_expiry_needs_what_is_active_and_what_waits_where_the_deployment_is():
    _, waiting, _ = situation()
    needs = OPERATIONS[subjects.EXPIRY].needs(an_expiry(waiting))
    assert (needs.deployment_id, needs.neighbours, needs.reads_history) == (
        waiting.deployment_id,
        True,
        False,
    )
