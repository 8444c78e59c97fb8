import pytest

from contracts.environments import ENVIRONMENTS
from tests.unit.builders import (
    LONG_AGO,
    NOW,
    SECOND,
    a_deployment,
    a_former,
    a_rollback,
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
from tests.unit.records import Records
from worker.domain.errors import Refusal
from worker.domain.facts import Document
from worker.operations import rollback

CURRENT_SINCE = LONG_AGO + 60 * SECOND
BACK_THEN = LONG_AGO + 30 * SECOND


def situation(target=None, entity=None, current=None, others=()):
    """An entity with a former deployment, the current one, and the facts that name the former as fallback."""
    entity = deployed(entity or an_entity(version="2.0.0"))
    target = a_former(entity, version="1.0.0", config_snapshot=document(a="old"), **(target or {}))
    current = a_deployment(
        entity,
        version="2.0.0",
        deployed_at=CURRENT_SINCE,
        previous_deployment_id=target.deployment_id,
        **(current or {}),
    )
    facts = facts_of(entity, target, current, *others, fallbacks=[(current, target)])
    return entity, target, current, facts


def refused(command, facts):
    with pytest.raises(Refusal) as caught:
        decided(command, facts)
    return caught.value.code


def test_without_a_target_what_ran_before_is_active_again():
    _, target, current, facts = situation()
    decision = decided(a_rollback(current), facts)
    assert record_of(decision, target).status == "active"
    assert record_of(decision, current).status == "rolled_back"
    assert len(decision.records) == 3


def test_the_reply_is_the_one_rolled_back_and_says_when_by_whom_why_and_for_what():
    _, target, current, facts = situation()
    reply = decided(a_rollback(current, reason="errors", rolled_back_by="bob"), facts).reply
    assert reply.deployment_id == current.deployment_id
    assert (reply.rolled_back_at, reply.rolled_back_by, reply.rollback_reason) == (NOW, "bob", "errors")
    assert reply.previous_deployment_id == target.deployment_id
    assert reply.deactivated_at == reply.updated_at == NOW


def test_of_the_one_rolled_back_nothing_else_changes():
    _, _, current, facts = situation()
    reply = decided(a_rollback(current), facts).reply
    assert changed_fields(current, reply) <= {
        *("status", "rolled_back_at", "rolled_back_by", "rollback_reason", "previous_deployment_id"),
        *("warnings", "deactivated_at", "updated_at"),
    }
    assert reply.deployed_at == CURRENT_SINCE


def test_coming_back_changes_the_status_and_its_times_and_nothing_else():
    _, target, current, facts = situation()
    back = record_of(decided(a_rollback(current), facts), target)
    assert changed_fields(target, back) == {"status", "activated_at", "updated_at"}
    assert back.activated_at == back.updated_at == NOW
    assert back.deployed_at == LONG_AGO


def test_coming_back_leaves_what_an_earlier_rollback_wrote():
    written = {
        "status": "rolled_back",
        "rolled_back_at": BACK_THEN,
        "rolled_back_by": "erin",
        "rollback_reason": "slow",
        "previous_deployment_id": an_id(),
        "warnings": Document.of(["a warning from then"]),
    }
    _, target, current, facts = situation(target=written)
    back = record_of(decided(a_rollback(current, target_deployment_id=target.deployment_id), facts), target)
    kept = {name: value for name, value in written.items() if name != "status"}
    assert {name: getattr(back, name) for name in kept} == kept
    assert (back.status, back.deployed_at) == ("active", LONG_AGO)


def test_a_rollback_is_announced_as_rolled_back_and_then_reactivated():
    _, target, current, facts = situation()
    decision = decided(a_rollback(current, reason="errors", rolled_back_by="bob"), facts)
    gone, back = decision.events
    assert (gone.name, back.name) == ("rolled_back", "reactivated")
    assert gone.about is decision.reply
    assert back.about == record_of(decision, target)
    for event in decision.events:
        assert (event.actor, event.reason) == ("bob", "errors")
        assert event.target_deployment_id == target.deployment_id


def test_the_entity_gets_what_came_back_and_keeps_its_status():
    entity, target, current, facts = situation()
    after = record_of(decided(a_rollback(current), facts), entity)
    assert (after.deployed_at, after.deployed_by) == (NOW, "bob")
    assert after.deployment_config == target.config_snapshot
    assert changed_fields(entity, after) == {"deployed_at", "deployed_by", "deployment_config", "updated_at"}


@pytest.mark.parametrize("status", ["draft", "deployed", "archived"])
def test_a_rollback_leaves_the_entitys_status_whatever_it_is(status):
    entity, _, current, _ = situation()
    entity = deployed(entity, status=status, declared_status=status)
    former = a_former(entity)
    facts = facts_of(entity, former, current, fallbacks=[(current, former)])
    after = record_of(decided(a_rollback(current), facts), entity)
    assert (after.status, after.declared_status) == (status, status)


@pytest.mark.parametrize("status", ["inactive", "rolled_back"])
def test_a_named_target_may_be_inactive_or_rolled_back(status):
    entity, target, current, facts = situation()
    other = a_former(entity, status=status, version="0.5.0")
    facts = facts_of(entity, target, current, other, fallbacks=[(current, target)])
    decision = decided(a_rollback(current, target_deployment_id=other.deployment_id), facts)
    assert record_of(decision, other).status == "active"
    assert decision.reply.previous_deployment_id == other.deployment_id
    assert target not in decision.records


def test_a_named_target_may_be_newer_than_the_current_one():
    entity, _, current, _ = situation()
    newer = a_former(entity, deployed_at=CURRENT_SINCE + SECOND, status="rolled_back")
    decision = decided(
        a_rollback(current, target_deployment_id=newer.deployment_id), facts_of(entity, current, newer)
    )
    assert record_of(decision, newer).status == "active"


def test_nothing_holds_a_rollback_up_not_even_what_would_refuse_a_deploy():
    entity = an_entity(
        declared_status="archived", health_status="unhealthy", version=" ", dependencies=needing("cache")
    )
    strict = [
        an_environment(name, activation="confirmed", require_status=("validated",)) for name in ENVIRONMENTS
    ]
    entity, target, current, facts = situation(entity=entity, others=strict)
    assert record_of(decided(a_rollback(current), facts), target).status == "active"


def test_a_rollback_to_which_nothing_speaks_has_no_warnings():
    _, _, current, facts = situation()
    assert decided(a_rollback(current), facts).reply.warnings.value == []


def test_a_dependency_that_is_missing_after_a_rollback_is_named_in_the_warnings():
    _, _, current, facts = situation(entity=an_entity(dependencies=needing("cache>=2", "queue")))
    (first, second) = decided(a_rollback(current), facts).reply.warnings.value
    assert "cache" in first
    assert "queue" in second


def test_a_dependent_that_needs_a_newer_version_than_the_targets_is_named_in_the_warnings():
    needy = an_entity("needy", dependencies=needing("invoices>=2"))
    content = an_entity("content", dependencies=needing("invoices>=1"))
    abroad = an_entity("abroad", dependencies=needing("invoices>=2"))
    others = (
        *(needy, a_deployment(needy), content, a_deployment(content)),
        *(abroad, a_deployment(abroad, environment="production")),
    )
    _, _, current, facts = situation(others=others)
    (warning,) = decided(a_rollback(current), facts).reply.warnings.value
    assert "needy" in warning
    assert "1.0.0" in warning


def test_warnings_stand_on_the_one_rolled_back_and_in_its_event_and_not_on_the_target():
    _, target, current, facts = situation(entity=an_entity(dependencies=needing("cache")))
    decision = decided(a_rollback(current), facts)
    gone, back = decision.events
    assert len(gone.about.warnings.value) == 1
    assert back.about.warnings == target.warnings


def test_a_deployment_that_is_absent_is_not_found():
    entity, _, current, _ = situation()
    assert refused(a_rollback(current), facts_of(entity)) == "deployment_not_found"


@pytest.mark.parametrize("status", ["pending", "deploying", "inactive", "rolled_back", "failed"])
def test_only_what_is_active_is_rolled_back(status):
    _, _, current, facts = situation(current={"status": status})
    assert refused(a_rollback(current), facts) == "deployment_not_active"


def test_what_is_not_active_is_refused_with_its_status():
    _, _, current, facts = situation(current={"status": "rolled_back"})
    with pytest.raises(Refusal, match="rolled_back") as caught:
        decided(a_rollback(current), facts)
    assert caught.value.extensions == {"current_status": "rolled_back"}


def test_where_nothing_ran_before_there_is_no_target():
    entity, _, current, _ = situation()
    assert refused(a_rollback(current), facts_of(entity, current)) == "no_rollback_target"


def test_a_named_target_that_is_absent_is_not_found():
    _, _, current, facts = situation()
    assert refused(a_rollback(current, target_deployment_id=an_id()), facts) == "deployment_not_found"


@pytest.mark.parametrize(
    "target",
    [
        {"entity_id": an_id()},
        {"environment": "production"},
        {"status": "failed", "activated_at": None},
        {"status": "pending", "activated_at": None},
        {"status": "deploying", "activated_at": None},
    ],
    ids=["another entity's", "another environment's", "failed", "pending", "deploying"],
)
def test_a_target_of_elsewhere_or_that_never_was_active_is_invalid(target):
    _, target, current, facts = situation(target=target)
    command = a_rollback(current, target_deployment_id=target.deployment_id)
    assert refused(command, facts) == "invalid_rollback_target"


def test_the_deployment_itself_is_an_invalid_target():
    _, _, current, facts = situation()
    command = a_rollback(current, target_deployment_id=current.deployment_id)
    assert refused(command, facts) == "invalid_rollback_target"


@pytest.mark.parametrize("named", ["itself", "absent", "elsewhere", "nothing"])
def test_not_being_active_comes_before_everything_about_targets(named):
    entity, target, current, _ = situation(
        current={"status": "inactive"}, target={"environment": "production"}
    )
    targets = {
        "itself": current.deployment_id,
        "absent": an_id(),
        "elsewhere": target.deployment_id,
        "nothing": None,
    }
    command = a_rollback(current, target_deployment_id=targets[named])
    assert refused(command, facts_of(entity, target, current)) == "deployment_not_active"


def test_an_absent_deployment_comes_before_everything_about_targets():
    entity, target, current, _ = situation()
    command = a_rollback(current, target_deployment_id=current.deployment_id)
    assert refused(command, facts_of(entity, target)) == "deployment_not_found"


def test_a_rollback_needs_the_fallback_only_where_no_target_is_named():
    entity, target, current, _ = situation()
    unnamed = rollback.needs(a_rollback(current))
    named = rollback.needs(a_rollback(current, target_deployment_id=target.deployment_id))
    assert (unnamed.fallback, unnamed.target_id) == (True, None)
    assert (named.fallback, named.target_id) == (False, target.deployment_id)
    for needs in (unnamed, named):
        assert needs.deployment_id == current.deployment_id
        assert needs.dependents
        assert needs.reads_history
        assert needs.entity_in(facts_of(current)) == entity.entity_id
        assert needs.entity_in(facts_of()) is None


def test_a_rollback_by_a_person_names_no_reports_and_quarantines_nothing():
    _, _, current, facts = situation()
    decision = decided(a_rollback(current), facts)
    assert [event.data for event in decision.events] == [{}, {}]
    assert len(decision.records) == 3


def test_a_rollback_needs_what_waits_where_the_deployment_is():
    _, _, current, _ = situation()
    assert rollback.needs(a_rollback(current)).neighbours


def test_what_never_was_active_is_no_default_target_and_what_was_active_before_is_remembered():
    entity, target, current, _ = situation()
    never = a_former(entity, activated_at=None, deactivated_at=NOW, deployed_at=BACK_THEN)
    records = Records(entity, target, current, never)
    records.answers(a_rollback(current))
    assert records.active(entity.entity_id, "staging").deployment_id == target.deployment_id
    (former,) = records.former
    assert former == (target.deployment_id, target.activated_at, target.deactivated_at)
