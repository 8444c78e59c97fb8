"""Bad reports in a row: they take a deployment back, once."""

import pytest

from tests.unit.builders import (
    LONG_AGO,
    NOW,
    SECOND,
    a_deploying,
    a_deployment,
    a_former,
    a_moment,
    a_pending,
    a_quarantine,
    a_report,
    a_rollback,
    an_entity,
    an_environment,
    confirmed,
    decided,
    deployed,
    facts_of,
    left_by,
    needing,
    record_of,
    told,
)
from tests.unit.records import Records
from tests.unit.test_health import LAST_STRAW, names, reports, situation
from worker.domain.facts import Quarantine
from worker.domain.snapshot import digest


def test_enough_bad_reports_in_a_row_roll_it_back_by_the_system():
    entity, target, current, facts = situation(current=LAST_STRAW)
    decision = decided(a_report(current, reported_by="probe-1"), facts)
    assert told(decision) == [
        ("health", current.deployment_id, "probe-1"),
        ("rolled_back", current.deployment_id, "system"),
        ("reactivated", target.deployment_id, "system"),
    ]
    health, gone, back = decision.events
    assert health.data["action"] == "rollback"
    assert health.about.status == "active"
    assert gone.target_deployment_id == back.target_deployment_id == target.deployment_id
    assert gone.reason == back.reason == "Unhealthy: 2 reports in a row."
    assert gone.about is decision.reply
    rolled_back = decision.reply
    assert (rolled_back.status, rolled_back.rolled_back_by) == ("rolled_back", "system")
    assert (rolled_back.rolled_back_at, rolled_back.rollback_reason) == (NOW, gone.reason)
    assert rolled_back.previous_deployment_id == target.deployment_id
    assert rolled_back.deactivated_at == NOW
    assert len(rolled_back.health_checks.value) == 3
    after = record_of(decision, entity)
    assert (after.deployed_by, after.deployment_config) == ("system", target.config_snapshot)
    assert after.status == entity.status


def test_the_reports_that_led_to_a_rollback_stand_in_its_events():
    _, _, current, facts = situation(current=LAST_STRAW)
    _, gone, back = decided(a_report(current, details={"why": "oom"}), facts).events
    of_them = gone.data["reports"].value
    assert [each["status"] for each in of_them] == ["unhealthy", "unhealthy"]
    assert of_them[-1]["details"] == {"why": "oom"}
    assert back.data["reports"].value == of_them


def test_of_more_bad_reports_than_are_kept_the_kept_ones_stand_in_the_events():
    bad = {"unhealthy_reports": 59, "health_checks": reports(*["unhealthy"] * 50)}
    _, _, current, facts = situation(current=bad, unhealthy_after=60)
    _, gone, _ = decided(a_report(current), facts).events
    assert len(gone.data["reports"].value) == 50
    assert gone.reason == "Unhealthy: 60 reports in a row."


def test_one_report_is_one_report():
    _, _, current, facts = situation(unhealthy_after=1)
    _, gone, _ = decided(a_report(current), facts).events
    assert gone.reason == "Unhealthy: 1 report in a row."
    assert len(gone.data["reports"].value) == 1


def test_a_limit_that_was_lowered_meanwhile_is_reached_by_the_next_bad_report():
    many = {"unhealthy_reports": 6, "health_checks": reports(*["unhealthy"] * 6)}
    _, _, current, facts = situation(current=many)
    assert names(decided(a_report(current), facts))[-1] == "reactivated"
    assert names(decided(a_report(current, status="degraded"), facts)) == ["health"]


def test_one_bad_report_less_than_that_leads_to_nothing():
    _, _, current, facts = situation(current=LAST_STRAW, unhealthy_after=3)
    assert names(decided(a_report(current), facts)) == ["health"]


def test_with_nothing_to_go_back_to_it_stays():
    entity, _, current, _ = situation(current=LAST_STRAW)
    facts = facts_of(entity, current, an_environment(auto_rollback=True, unhealthy_after=2))
    decision = decided(a_report(current), facts)
    assert (names(decision), decision.events[0].data["action"]) == (["health"], "none")
    assert decision.reply.status == "active"
    assert not any(isinstance(each, Quarantine) for each in decision.records)


@pytest.mark.parametrize("environment", [an_environment, confirmed])
def test_a_rollback_for_health_is_the_same_in_instant_and_in_confirmed_environments(environment):
    entity, target, current, _ = situation(current=LAST_STRAW)
    settings = environment(auto_rollback=True, unhealthy_after=2)
    facts = facts_of(entity, target, current, settings, fallbacks=[(current, target)])
    assert names(decided(a_report(current), facts)) == ["health", "rolled_back", "reactivated"]


def test_what_is_undecided_fails_between_the_report_and_the_rollback():
    entity, _, current, facts = situation(current=LAST_STRAW)
    line = [a_deploying(entity), a_pending(entity)]
    facts.absorb(line)
    decision = decided(a_report(current), facts)
    assert [(name, actor) for name, _, actor in told(decision)] == [
        *(("health", "probe"), ("failed", "system"), ("failed", "system")),
        *(("rolled_back", "system"), ("reactivated", "system")),
    ]
    assert [event.about.deployment_id for event in decision.events[1:3]] == [
        each.deployment_id for each in line
    ]
    for each in line:
        failed = record_of(decision, each)
        assert failed.error_logs == f"Overtaken by the rollback of deployment {current.deployment_id}."


def test_what_came_back_that_way_and_proves_unhealthy_too_stays():
    entity, target, current, facts = situation(current=LAST_STRAW)
    facts.absorb(decided(a_report(current), facts).records)
    back = facts.deployments[target.deployment_id]
    assert (back.status, back.came_back_for_health, back.unhealthy_reports) == ("active", True, 0)
    older = a_former(entity, deployed_at=LONG_AGO - 60 * SECOND)
    facts.absorb([older])
    facts.fallbacks[back.deployment_id] = older.deployment_id
    for _ in range(3):
        decision = decided(a_report(back), facts)
        assert (names(decision), decision.events[0].data["action"]) == (["health"], "none")
        facts.absorb(decision.records)
    assert facts.deployments[target.deployment_id].unhealthy_reports == 3


def test_what_a_person_brought_back_may_go_back_for_its_health_again():
    _, target, current, facts = situation(target={"came_back_for_health": True, "unhealthy_reports": 7})
    back = record_of(decided(a_rollback(current), facts), target)
    assert (back.came_back_for_health, back.unhealthy_reports) == (False, 0)


def test_what_comes_back_keeps_its_former_reports_and_they_do_not_count():
    former = {"health_checks": reports("unhealthy", "unhealthy"), "unhealthy_reports": 2}
    _, target, current, facts = situation(current=LAST_STRAW, target=former)
    back = record_of(decided(a_report(current), facts), target)
    assert back.health_checks == reports("unhealthy", "unhealthy")
    assert back.unhealthy_reports == 0


def test_what_goes_back_for_its_health_is_quarantined():
    entity, _, current, facts = situation(current=LAST_STRAW)
    moment = a_moment()
    decision = decided(a_report(current), facts, moment)
    (quarantine,) = [each for each in decision.records if isinstance(each, Quarantine)]
    assert quarantine == Quarantine(
        quarantine_id=moment.new_id,
        entity_id=entity.entity_id,
        environment="staging",
        version=current.version,
        snapshot_digest=digest(current.config_snapshot, current.parameters_snapshot),
        deployment_id=current.deployment_id,
        since=NOW,
        reason="Unhealthy: 2 reports in a row.",
    )


def test_what_is_quarantined_already_is_not_quarantined_twice():
    _, _, current, facts = situation(current=LAST_STRAW)
    facts.absorb([a_quarantine(current)])
    decision = decided(a_report(current), facts)
    assert names(decision)[-1] == "reactivated"
    assert not any(isinstance(each, Quarantine) for each in decision.records)
    lifted = next(iter(facts.quarantines.values()))._replace(lifted_at=NOW)
    facts.absorb([lifted])
    assert any(isinstance(each, Quarantine) for each in decided(a_report(current), facts).records)


def test_a_rollback_for_health_names_in_its_warnings_what_does_not_fit_any_more():
    entity = an_entity("cache", version="2.0.0")
    needy = an_entity("needy", dependencies=needing("cache>=2"))
    target = a_former(entity, version="1.0.0")
    current = a_deployment(entity, deployed_at=LONG_AGO + SECOND, **LAST_STRAW)
    facts = facts_of(
        *(entity, target, current, needy, a_deployment(needy)),
        an_environment(auto_rollback=True, unhealthy_after=2),
        fallbacks=[(current, target)],
    )
    (warning,) = decided(a_report(current), facts).reply.warnings.value
    assert "needy" in warning


def test_of_many_reports_in_one_batch_one_rolls_back_and_the_others_find_it_gone():
    entity = deployed(an_entity())
    former = a_former(entity)
    active = a_deployment(entity, deployed_at=LONG_AGO + 60 * SECOND)
    records = Records(entity, former, active, an_environment(auto_rollback=True, unhealthy_after=2))
    records.answers_to_all(*(a_report(active) for _ in range(5)))
    assert [row.type.split(".")[2] for row in records.events] == [
        *("health", "health", "rolled_back", "reactivated", "health", "health", "health"),
    ]
    assert records.deployments[former.deployment_id].status == "active"
    assert len(records.deployments[active.deployment_id].health_checks.value) == 5
    assert len(records.quarantines) == 1
    assert [each.deployment_id for each in records.former] == [former.deployment_id]


def test_the_reply_to_the_last_straw_shows_it_rolled_back():
    _, _, current, facts = situation(current=LAST_STRAW)
    decision = decided(a_report(current), facts)
    assert decision.reply == left_by(decision, current)
    assert decision.reply.status == "rolled_back"
