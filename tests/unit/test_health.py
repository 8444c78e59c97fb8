import pytest

from contracts import subjects
from contracts.deployments import KEPT_REPORTS
from contracts.values import timestamp
from tests.unit.builders import (
    LONG_AGO,
    NOW,
    SECOND,
    a_deployment,
    a_former,
    a_report,
    an_entity,
    an_environment,
    changed_fields,
    decided,
    deployed,
    document,
    facts_of,
    record_of,
    told,
)
from worker.domain.errors import DeploymentNotFound
from worker.domain.facts import Document
from worker.operations import OPERATIONS


def reports(*statuses):
    """Kept reports with these statuses."""
    return Document.of([{"reported_by": "probe", "status": each} for each in statuses])


def situation(current=None, target=None, others=(), **settings):
    """A former deployment, the active one and the facts, where two bad reports lead to a rollback."""
    entity = deployed(an_entity(version="2.0.0"))
    target = a_former(entity, version="1.0.0", config_snapshot=document(a="old"), **(target or {}))
    current = a_deployment(entity, deployed_at=LONG_AGO + 60 * SECOND, **(current or {}))
    environment = an_environment(**{"auto_rollback": True, "unhealthy_after": 2, **settings})
    facts = facts_of(entity, target, current, environment, *others, fallbacks=[(current, target)])
    return entity, target, current, facts


LAST_STRAW = {"unhealthy_reports": 1, "health_checks": reports("healthy", "unhealthy")}


def names(decision):
    return [event.name for event in decision.events]


@pytest.mark.parametrize("status", ["healthy", "degraded", "unhealthy"])
def test_a_report_is_appended_to_the_deployment_with_its_time(status):
    _, _, current, facts = situation(current={"health_checks": reports("healthy")})
    decision = decided(a_report(current, status=status, details={"p99": 7}, reported_by="probe-1"), facts)
    reported = decision.reply
    assert reported.health_checks.value == [
        *reports("healthy").value,
        {"reported_by": "probe-1", "status": status, "details": {"p99": 7}, "reported_at": timestamp(NOW)},
    ]
    assert reported.last_health_check == reported.updated_at == NOW
    assert changed_fields(current, reported) <= {
        *("health_checks", "last_health_check", "unhealthy_reports", "updated_at")
    }


def test_a_report_without_details_says_so():
    _, _, current, facts = situation()
    (report,) = decided(a_report(current), facts).reply.health_checks.value
    assert report["details"] is None


def test_a_report_is_announced_by_who_made_it_with_what_it_led_to():
    entity, _, current, facts = situation()
    decision = decided(a_report(current, reported_by="probe-1"), facts)
    assert told(decision) == [("health", current.deployment_id, "probe-1")]
    (event,) = decision.events
    assert event.data["action"] == "none"
    assert event.data["report"].value == decision.reply.health_checks.value[-1]
    assert event.reason is None
    assert changed_fields(entity, record_of(decision, entity)) == {"updated_at"}


def test_the_latest_fifty_reports_are_kept():
    assert KEPT_REPORTS == 50
    _, _, current, facts = situation(current={"health_checks": reports(*["healthy"] * 49, "degraded")})
    kept = decided(a_report(current, status="degraded"), facts).reply.health_checks.value
    assert [each["status"] for each in kept] == ["healthy"] * 48 + ["degraded"] * 2
    facts.absorb([current._replace(health_checks=reports(*["healthy"] * 49))])
    assert len(decided(a_report(current), facts).reply.health_checks.value) == 50


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**63, 1.5])
def test_numbers_survive_in_the_details_of_this_report_and_of_former_ones(number):
    _, _, current, facts = situation()
    facts.absorb([decided(a_report(current, details={"n": number}), facts).reply])
    decision = decided(a_report(current, status="healthy", details={"n": number}), facts)
    assert [each["details"] for each in decision.reply.health_checks.value] == [{"n": number}] * 2
    assert decision.events[0].data["report"].value["details"] == {"n": number}


def test_bad_reports_are_counted_in_a_row_and_anything_better_ends_it():
    _, _, current, facts = situation(unhealthy_after=99)
    counted = []
    for status in ("unhealthy", "unhealthy", "degraded", "unhealthy", "healthy", "unhealthy"):
        facts.absorb(decided(a_report(current, status=status), facts).records)
        counted.append(facts.deployments[current.deployment_id].unhealthy_reports)
    assert counted == [1, 2, 0, 1, 0, 1]


def test_without_auto_rollback_bad_reports_are_counted_and_lead_to_nothing():
    _, _, current, facts = situation(current=LAST_STRAW, auto_rollback=False)
    decision = decided(a_report(current), facts)
    assert names(decision) == ["health"]
    assert decision.events[0].data["action"] == "none"
    assert decision.reply.unhealthy_reports == 2


@pytest.mark.parametrize("status", ["pending", "deploying", "inactive", "rolled_back", "failed"])
def test_a_report_on_what_is_not_active_is_kept_and_changes_nothing_else(status):
    _, _, current, facts = situation(current={**LAST_STRAW, "status": status, "unhealthy_reports": 7})
    decision = decided(a_report(current), facts)
    assert (names(decision), decision.events[0].data["action"]) == (["health"], "none")
    assert changed_fields(current, decision.reply) == {"health_checks", "last_health_check", "updated_at"}
    decision = decided(a_report(current, status="healthy"), facts)
    assert decision.reply.unhealthy_reports == 7


def test_a_late_report_on_what_was_superseded_does_not_touch_what_is_active():
    entity, target, current, facts = situation(target={"unhealthy_reports": 9})
    decision = decided(a_report(target), facts)
    assert len(decision.records) == 2
    assert facts.active(entity.entity_id, "staging") == current
    assert changed_fields(entity, record_of(decision, entity)) == {"updated_at"}
    assert decision.reply.status == "inactive"


def test_an_absent_deployment_is_not_found():
    _, _, current, _ = situation()
    with pytest.raises(DeploymentNotFound):
        decided(a_report(current), facts_of())


def test_a_report_needs_what_is_active_what_waits_and_what_it_would_go_back_to():
    _, _, current, _ = situation()
    needs = OPERATIONS[subjects.DEPLOY_HEALTH].needs(a_report(current))
    assert (needs.deployment_id, needs.neighbours, needs.fallback) == (current.deployment_id, True, True)
    assert needs.reads_history
