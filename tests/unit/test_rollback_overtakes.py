"""A rollback while something is undecided."""

from tests.unit.builders import (
    a_deploying,
    a_pending,
    a_rollback,
    an_environment,
    an_id,
    changed_fields,
    confirmed,
    decided,
    record_of,
    told,
)
from tests.unit.test_rollback import refused, situation


def undecided():
    """A situation in which one is deploying and two wait behind it, and those three."""
    entity, target, current, facts = situation(others=[confirmed()])
    line = [a_deploying(entity), a_pending(entity), a_pending(entity)]
    facts.absorb(line)
    return target, current, line, facts


def test_a_rollback_fails_all_that_is_undecided_in_its_order_before_anything_else():
    target, current, line, facts = undecided()
    decision = decided(a_rollback(current, rolled_back_by="bob"), facts)
    assert told(decision) == [
        *(("failed", each.deployment_id, "bob") for each in line),
        ("rolled_back", current.deployment_id, "bob"),
        ("reactivated", target.deployment_id, "bob"),
    ]


def test_what_a_rollback_overtakes_says_which_and_changes_in_nothing_else():
    _, current, line, facts = undecided()
    decision = decided(a_rollback(current), facts)
    for each, event in zip(line, decision.events, strict=False):
        failed = record_of(decision, each)
        assert failed.error_logs == f"Overtaken by the rollback of deployment {current.deployment_id}."
        assert event.reason == failed.error_logs
        assert event.about == failed
        assert event.target_deployment_id is None
        assert changed_fields(each, failed) == {"status", "error_logs", "updated_at"}


def test_nothing_has_its_turn_after_a_rollback_in_a_confirmed_environment_and_in_an_instant_one():
    for environment in (confirmed(), an_environment()):
        _, current, line, facts = undecided()
        facts.absorb([environment])
        decision = decided(a_rollback(current), facts)
        assert {record_of(decision, each).status for each in line} == {"failed"}
        assert decision.reply.status == "rolled_back"


def test_a_rollback_that_is_refused_fails_nothing():
    _, current, line, facts = undecided()
    assert refused(a_rollback(current, target_deployment_id=an_id()), facts) == "deployment_not_found"
    assert refused(a_rollback(line[0]), facts) == "deployment_not_active"
    assert facts.waiting_in(current.entity_id, "staging") == line


def test_what_is_undecided_elsewhere_is_not_overtaken():
    entity, _, current, facts = situation()
    facts.absorb([a_deploying(entity, environment="production")])
    assert [name for name, *_ in told(decided(a_rollback(current), facts))] == ["rolled_back", "reactivated"]
