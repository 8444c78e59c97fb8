import json
from datetime import timedelta

import pytest

from contracts import subjects
from tests.unit.builders import (
    NOW,
    SECOND,
    a_command,
    a_deploy,
    a_deployment,
    a_former,
    a_report,
    a_retirement,
    a_rollback,
    an_entity,
    an_environment,
    an_update,
    deployed,
    needing,
)
from tests.unit.records import Records
from worker.domain.trace import Trace


def names(records, entity=None):
    """The events so far, as their names, in the order they are written in."""
    rows = [row for row in records.events if entity is None or row.entity_id == entity.entity_id]
    return [row.type.split(".")[2] for row in rows]


def body(answer):
    return json.loads(answer.body)


def running(name="invoices", **fields):
    """An entity, a former deployment of it and the one that is active in staging."""
    entity = deployed(an_entity(name, event_sequence=5), **fields)
    former = a_former(entity, version="0.9")
    return entity, former, a_deployment(entity, deployed_at=former.deployed_at + 9 * SECOND)


def test_two_deploys_of_one_entity_in_a_batch_are_numbered_without_a_gap():
    entity = an_entity(event_sequence=5)
    records = Records(entity)
    records.answers(a_deploy(entity), a_deploy(entity))
    assert [row.sequence for row in records.events] == [6, 7, 8]
    assert names(records) == ["completed", "superseded", "completed"]
    assert [json.loads(row.body)["sequence"] for row in records.events] == ["6", "7", "8"]
    assert records.entities[entity.entity_id].event_sequence == 8


def test_the_second_of_two_deploys_supersedes_the_first():
    entity, _, active = running()
    records = Records(entity, active)
    first, second = map(body, records.answers(a_deploy(entity), a_deploy(entity)))
    assert first["previous_deployment_id"] == str(active.deployment_id)
    assert second["previous_deployment_id"] == first["deployment_id"]
    by_status = {str(each.deployment_id): each.status for each in records.deployments.values()}
    assert by_status == {
        str(active.deployment_id): "inactive",
        first["deployment_id"]: "inactive",
        second["deployment_id"]: "active",
    }
    assert names(records) == ["superseded", "completed", "superseded", "completed"]


def test_each_answer_shows_what_was_when_it_was_its_turn_and_not_the_end_of_the_batch():
    entity = an_entity()
    first, second = map(body, Records(entity).answers(a_deploy(entity), a_deploy(entity)))
    assert first["status"] == second["status"] == "active"


def test_changes_of_one_entity_in_a_batch_have_times_and_ids_in_their_order():
    entity = an_entity(updated_at=NOW + SECOND)  # later than the database's clock says
    first, second, third = map(body, Records(entity).answers(*(a_deploy(entity) for _ in range(3))))
    times = [each["deployed_at"] for each in (first, second, third)]
    assert times == sorted(set(times))
    assert times[0] > "2026-03-04T05:06:08.890123Z"
    ids = [each["deployment_id"] for each in (first, second, third)]
    assert ids == sorted(ids)


def test_entities_in_a_batch_are_numbered_each_by_itself():
    one, other = an_entity("one", event_sequence=1), an_entity("other", event_sequence=40)
    records = Records(one, other)
    records.answers(a_deploy(one), a_deploy(other), a_deploy(one), a_deploy(other))
    found = {entity.name: [] for entity in (one, other)}
    for row in records.events:
        found[records.entities[row.entity_id].name].append(row.sequence)
    assert found == {"one": [2, 3, 4], "other": [41, 42, 43]}


def test_a_refusal_takes_no_number_and_writes_nothing():
    entity = an_entity(event_sequence=5)
    records = Records(entity)
    answers = records.answers(
        a_deploy(entity), a_deploy(entity, expected_version="9"), a_deploy(an_entity()), a_deploy(entity)
    )
    assert [answer.code for answer in answers] == [None, "version_mismatch", "entity_not_found", None]
    assert [row.sequence for row in records.events] == [6, 7, 8]


def test_the_next_command_of_a_batch_sees_what_the_former_changed():
    entity = an_entity(version="1.0")
    records = Records(entity)
    _, deployment, _, refused, _, unknown = records.answers(
        an_update(entity, version="2.0", config={"a": 2}),
        a_deploy(entity, expected_version="2.0"),
        a_command(subjects.ENVIRONMENT_SET, environment="production", require_status=["validated"]),
        a_deploy(entity, environment="production"),
        an_update(other := an_entity("other"), version="2"),
        a_deploy(other),
    )
    assert (body(deployment)["version"], body(deployment)["config_snapshot"]) == ("2.0", {"a": 2})
    assert refused.code == "validation_failed"
    assert unknown.code == "entity_not_found"


def test_of_two_creations_with_one_name_in_a_batch_the_second_is_refused():
    create = a_command(subjects.ENTITY_CREATE, name="invoices", type="service", version="1")
    records = Records()
    assert [answer.code for answer in records.answers(create, create)] == [None, "entity_name_taken"]
    assert len(records.entities) == 1


def test_deleting_and_deploying_in_one_batch_exclude_each_other_in_their_order():
    delete = {"deleted_by": "dora"}
    for deploy_first in (True, False):
        entity = an_entity()
        deletion = a_command(subjects.ENTITY_DELETE, entity_id=entity.entity_id, **delete)
        commands = [a_deploy(entity), deletion] if deploy_first else [deletion, a_deploy(entity)]
        answers = Records(entity).answers(*commands)
        refusal = "entity_in_use" if deploy_first else "entity_not_found"
        assert [answer.code for answer in answers] == [None, refusal]


@pytest.mark.parametrize("reads_history", [a_rollback, a_retirement])
def test_what_reads_an_entitys_past_is_put_off_behind_a_change_of_it_in_the_same_batch(reads_history):
    entity, former, active = running()
    records = Records(entity, former, active)
    answers = records.answers(a_deploy(entity), reads_history(active))
    assert answers[0].code is None
    assert answers[1] is None
    assert names(records) == ["superseded", "completed"]


def test_later_commands_of_that_entity_are_put_off_too_and_those_of_others_are_not():
    entity, former, active = running()
    other = an_entity("other")
    records = Records(entity, former, active, other)
    answers = records.answers(
        a_deploy(entity),
        a_rollback(active),
        a_deploy(entity),
        a_deploy(other),
        an_update(entity, version="3"),
        a_deploy(entity, environment="production"),
        a_deploy(other),
    )
    assert [answer is None for answer in answers] == [False, True, True, False, True, True, False]
    assert names(records, other) == ["completed", "superseded", "completed"]


def test_what_was_put_off_is_done_in_its_order_in_the_batches_after():
    entity, former, active = running()
    records = Records(entity, former, active)
    answers = records.answers_to_all(
        a_deploy(entity, environment="production"), a_rollback(active), a_deploy(entity), a_rollback(active)
    )
    assert [answer.code for answer in answers] == [None, None, None, "deployment_not_active"]
    assert names(records) == ["completed", "rolled_back", "reactivated", "superseded", "completed"]
    assert [row.sequence for row in records.events] == [6, 7, 8, 9, 10]
    assert body(answers[2])["previous_deployment_id"] == str(former.deployment_id)


def test_reports_of_health_are_decided_together_until_one_of_them_is_the_last_straw():
    entity, former, active = running()
    environment = an_environment("staging", auto_rollback=True, unhealthy_after=3)
    records = Records(entity, former, active, environment)

    answers = records.answers(*(a_report(active) for _ in range(5)))

    assert [answer and body(answer)["status"] for answer in answers] == [
        "active",
        "active",
        "rolled_back",
        None,
        None,
    ]
    assert names(records) == ["health"] * 3 + ["rolled_back", "reactivated"]
    assert [row.sequence for row in records.events] == [6, 7, 8, 9, 10]


def test_a_rollback_behind_a_report_of_health_waits_for_nobody():
    entity, former, active = running()

    answers = Records(entity, former, active).answers(a_report(active), a_rollback(active))

    assert body(answers[1])["status"] == "rolled_back"
    assert body(answers[1])["health_checks"] == body(answers[0])["health_checks"] != []


def test_a_rollback_that_comes_first_waits_for_nobody():
    entity, former, active = running()
    other, others_former, others_active = running("other")
    records = Records(entity, former, active, other, others_former, others_active)
    answers = records.answers(a_rollback(active), a_rollback(others_active), a_deploy(entity))
    assert [answer.code for answer in answers] == [None, None, None]
    assert body(answers[2])["previous_deployment_id"] == str(former.deployment_id)


def test_a_rollback_behind_a_refused_command_waits_for_nobody():
    entity, former, active = running()
    answers = Records(entity, former, active).answers(
        a_deploy(entity, expected_version="9"), a_rollback(active)
    )
    assert [answer.code for answer in answers] == ["version_mismatch", None]


def test_the_second_of_two_rollbacks_of_one_deployment_finds_it_rolled_back():
    entity, former, active = running()
    answers = Records(entity, former, active).answers_to_all(a_rollback(active), a_rollback(active))
    assert [answer.code for answer in answers] == [None, "deployment_not_active"]


def test_a_deploy_behind_an_update_that_adds_a_dependency_is_not_judged_without_it():
    cache = deployed(an_entity("cache"))
    entity = an_entity("invoices")
    records = Records(cache, a_deployment(cache), entity)
    answers = records.answers_to_all(
        an_update(entity, dependencies=[{"name": "cache"}]),
        a_deploy(entity),
    )
    assert [answer.code for answer in answers] == [None, None]


def test_a_retirement_sees_a_dependent_that_the_same_batch_made_active():
    cache = deployed(an_entity("cache"))
    active = a_deployment(cache)
    dependent = an_entity("invoices", dependencies=needing("cache"))
    answers = Records(cache, active, dependent).answers_to_all(a_deploy(dependent), a_retirement(active))
    assert [answer.code for answer in answers] == [None, "dependency_in_use"]


def test_a_deploy_sees_that_the_same_batch_retired_its_dependency():
    cache = deployed(an_entity("cache"))
    active = a_deployment(cache)
    dependent = an_entity("invoices", dependencies=needing("cache"))
    answers = Records(cache, active, dependent).answers_to_all(a_retirement(active), a_deploy(dependent))
    assert [answer.code for answer in answers] == [None, "validation_failed"]


def test_a_command_past_its_deadline_is_not_carried_out():
    entity = an_entity()
    records = Records(entity)
    late = a_deploy(entity, {"deadline": NOW - timedelta(microseconds=1)})
    punctual = a_deploy(entity, {"deadline": NOW})
    answers = records.answers(late, punctual)
    assert [answer.code for answer in answers] == ["deadline_exceeded", None]
    assert names(records) == ["completed"]


def test_a_passed_deadline_is_said_at_once_and_never_put_off():
    entity, former, active = running()
    late = a_rollback(active, {"deadline": NOW - SECOND})
    answers = Records(entity, former, active).answers(a_deploy(entity), late, a_deploy(entity))
    assert [answer.code for answer in answers] == [None, "deadline_exceeded", None]


def test_an_event_carries_the_id_and_the_trace_of_its_request():
    entity, _, active = running()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    records = Records(entity, active)
    records.answers(a_deploy(entity, {"request_id": "release-7", "trace": Trace(trace)}), a_deploy(entity))
    first, second, third, _ = (json.loads(row.body) for row in records.events)
    for event in (first, second):
        assert (event["correlationid"], event["traceparent"]) == ("release-7", trace)
    assert "traceparent" not in third
    assert third["correlationid"] != "release-7"


def test_an_event_is_filed_under_what_it_happened_to():
    entity, _, active = running()
    records = Records(entity, active)
    (answer,) = records.answers(a_deploy(entity))
    superseded, completed = records.events
    assert superseded.subject == str(active.deployment_id)
    assert completed.subject == body(answer)["deployment_id"]
    for row, name in ((superseded, "superseded"), (completed, "completed")):
        event = json.loads(row.body)
        assert row.nats_subject == f"library.events.deployment.{name}.staging.{entity.entity_id}"
        assert (event["id"], event["subject"], event["type"]) == (str(row.event_id), row.subject, row.type)
        assert row.type == f"library.deployment.{name}.v1"


def test_an_environments_event_stands_in_no_entitys_sequence():
    records = Records()
    records.answers(a_command(subjects.ENVIRONMENT_SET, environment="testing", unhealthy_after=9))
    (row,) = records.events
    assert (row.entity_id, row.sequence, row.subject) == (None, None, "testing")
    assert records.environments["testing"].unhealthy_after == 9
