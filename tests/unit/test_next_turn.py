"""What waits in line: when its turn comes, and what becomes of it."""

from tests.unit.builders import (
    NOW,
    SECOND,
    a_confirmation,
    a_deploy,
    a_deploying,
    a_deployment,
    a_former,
    a_pending,
    a_rollback,
    a_setting,
    an_entity,
    an_environment,
    an_expiry,
    an_update,
    changed_fields,
    confirmed,
    decided,
    deployed,
    document,
    facts_of,
    left_by,
    needing,
    record_of,
    told,
)
from tests.unit.records import Records
from worker.domain import validation


def following(entity, *line, environment=None):
    """The decision on a line by the refusal of its first, in staging, confirmed if nothing is said."""
    facts = facts_of(entity, *line, environment or confirmed())
    first = next(each for each in line if each.status == "deploying")
    return decided(a_confirmation(first, outcome="failed"), facts)


def test_those_in_line_have_their_turn_in_the_order_of_arrival_and_one_at_a_time():
    entity = an_entity()
    line = [a_deploying(entity), a_pending(entity), a_pending(entity)]
    decision = following(entity, *line)
    assert told(decision)[1:] == [("started", line[1].deployment_id, "fred")]
    assert line[2] not in decision.records


def test_what_starts_keeps_its_snapshot_its_version_and_when_it_was_accepted():
    entity = an_entity(version="2.0.0", config=document(a="now"))
    pending = a_pending(entity, version="1.0.0", config_snapshot=document(a="then"))
    started = record_of(following(entity, a_deploying(entity), pending), pending)
    assert changed_fields(pending, started) == {
        *("status", "confirm_by", "updated_at", "validation_results"),
    }


def test_what_has_its_turn_is_validated_again():
    entity = an_entity()
    pending = a_pending(entity)
    results = record_of(following(entity, a_deploying(entity), pending), pending).validation_results.value
    assert (results["passed"], results["pre"]["checks"]["entity_status"]) == (True, True)
    assert results["post"] is None


def test_what_is_no_longer_valid_at_its_turn_fails_by_the_system_and_the_next_has_its_turn():
    entity = an_entity(health_status="unhealthy", dependencies=needing("cache"))
    line = [a_deploying(entity), a_pending(entity), a_pending(entity)]
    decision = following(entity, *line)
    assert told(decision)[1:] == [("failed", each.deployment_id, "system") for each in line[1:]]
    failed = record_of(decision, line[1])
    results = failed.validation_results.value
    assert (results["passed"], results["pre"]["passed"], results["post"]) == (False, False, None)
    assert len(results["pre"]["errors"]) == 2
    assert failed.error_logs == decision.events[1].reason == " ".join(results["pre"]["errors"])


def test_of_a_whole_line_that_fails_each_specifier_is_read_once(monkeypatch):
    entity = an_entity(health_status="unhealthy", dependencies=needing(*(f"cache>={n}" for n in range(200))))
    cache = an_entity("cache", version="9.8.7")
    line = [a_deploying(entity), *(a_pending(entity) for _ in range(100))]
    read, specifier_set = [], validation.SpecifierSet
    monkeypatch.setattr(validation, "SpecifierSet", lambda text: read.append(text) or specifier_set(text))
    validation._contains.cache_clear()
    decision = following(entity, cache, a_deployment(cache), *line)
    assert told(decision)[1:] == [("failed", each.deployment_id, "system") for each in line[1:]]
    assert len(read) == 200


def test_in_an_environment_that_was_made_instant_those_in_line_become_active_one_after_the_other():
    entity = deployed(an_entity())
    active = a_deployment(entity)
    line = [a_deploying(entity), a_pending(entity, deployed_by="fred"), a_pending(entity, deployed_by="gina")]
    decision = following(entity, active, *line, environment=an_environment())
    assert told(decision) == [
        ("failed", line[0].deployment_id, "agent-7"),
        ("superseded", active.deployment_id, "fred"),
        ("completed", line[1].deployment_id, "fred"),
        ("superseded", line[1].deployment_id, "gina"),
        ("completed", line[2].deployment_id, "gina"),
    ]
    first, last = left_by(decision, line[1]), left_by(decision, line[2])
    assert (first.status, last.status) == ("inactive", "active")
    assert first.previous_deployment_id == active.deployment_id
    assert last.previous_deployment_id == first.deployment_id
    assert (last.deployment_duration_ms, last.confirm_by) == (5000, None)
    assert last.validation_results.value["post"]["passed"] is True
    assert left_by(decision, entity).deployed_by == "gina"


def test_what_has_its_turn_is_told_of_the_one_that_has_become_active_just_before():
    entity = deployed(an_entity())
    active, waiting, pending = a_deployment(entity), a_deploying(entity), a_pending(entity)
    facts = facts_of(entity, active, waiting, pending, confirmed())
    started = record_of(decided(a_confirmation(waiting), facts), pending)
    (warning,) = started.validation_results.value["pre"]["warnings"]
    assert waiting.deployment_id in warning
    assert active.deployment_id not in warning


def test_the_first_of_all_to_become_active_is_told_to_the_one_behind_it():
    entity = an_entity()
    waiting, pending = a_deploying(entity), a_pending(entity)
    facts = facts_of(entity, waiting, pending, confirmed())
    started = record_of(decided(a_confirmation(waiting), facts), pending)
    assert started.validation_results.value["pre"]["checks"]["existing_deployment"] is True


def test_a_line_of_deploys_is_worked_off_through_batches_and_numbered_without_a_gap():
    entity = an_entity(event_sequence=5)
    records = Records(entity, confirmed(concurrency="queue"))
    records.answers(*(a_deploy(entity, config_override={"n": n}) for n in range(4)))
    for expected in range(4):
        (first, *rest) = records.waiting(entity.entity_id, "staging")
        assert first.config_snapshot.value == {"n": expected}
        assert (first.status, {each.status for each in rest} <= {"pending"}) == ("deploying", True)
        records.answers(a_confirmation(first, outcome="active" if expected % 2 else "failed"))
    assert records.active(entity.entity_id, "staging").config_snapshot.value == {"n": 3}
    assert [row.type.split(".")[2] for row in records.events] == [
        *("started", "queued", "queued", "queued", "failed", "started", "completed", "started"),
        *("failed", "started", "superseded", "completed"),
    ]
    assert [row.sequence for row in records.events] == [*range(6, 18)]


def test_an_environment_is_what_the_former_command_of_a_batch_made_it():
    entity = an_entity()
    records = Records(entity)
    records.answers(
        a_setting(activation="confirmed", concurrency="queue"), a_deploy(entity), a_deploy(entity)
    )
    statuses = [each.status for each in records.waiting(entity.entity_id, "staging")]
    assert statuses == ["deploying", "pending"]


def test_a_timer_a_word_and_a_rollback_in_one_batch_decide_a_deployment_once():
    entity = deployed(an_entity())
    former = a_former(entity)
    active = a_deployment(entity, deployed_at=former.deployed_at + SECOND)
    waiting = a_deploying(entity, confirm_by=NOW - SECOND)
    for order in (1, -1):
        records = Records(entity, former, active, waiting, confirmed())
        commands = [an_expiry(waiting), a_confirmation(waiting), a_rollback(active)]
        records.answers_to_all(*commands[::order])
        names = [row.type.split(".")[2] for row in records.events]
        assert sorted(names) == ["failed", "reactivated", "rolled_back"]
        assert records.deployments[waiting.deployment_id].status == "failed"


def test_a_change_of_the_entity_before_its_turn_counts_in_the_same_batch():
    entity = an_entity()
    waiting, pending = a_deploying(entity), a_pending(entity)
    records = Records(entity, waiting, pending, confirmed())
    records.answers_to_all(an_update(entity, status="draft"), a_confirmation(waiting))
    assert records.deployments[waiting.deployment_id].status == "active"
    assert records.deployments[pending.deployment_id].status == "failed"
