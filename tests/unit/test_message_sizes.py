"""What NATS could not carry is refused before anything of it is done."""

import json

import pytest

from contracts import subjects
from contracts.deployments import KEPT_REPORTS
from contracts.events import CloudEvent
from contracts.limits import MAX_DOCUMENT_BYTES, MAX_MESSAGE_BYTES
from tests.unit.builders import (
    SECOND,
    a_command,
    a_confirmation,
    a_deploy,
    a_deploying,
    a_deployment,
    a_former,
    a_report,
    a_rollback,
    an_entity,
    an_update,
    confirmed,
    deployed,
    document,
    needing,
)
from tests.unit.records import Records
from tests.unit.test_durable_rejections import durable, rejections
from worker.domain.facts import Document

MIB = 1024 * 1024
LONG = "x" * (MIB - 1024)


def running(**fields):
    """An entity, a former deployment of it and the one that is active in staging."""
    entity = deployed(an_entity(event_sequence=5))
    former = a_former(entity, version="0.9")
    active = a_deployment(entity, deployed_at=former.deployed_at + 9 * SECOND)
    return entity, former, active._replace(**fields)


def heavy(**fields):
    """The same, where the active one is as large as requests can make it."""
    documents = {"config_snapshot": document(a="x" * (MAX_DOCUMENT_BYTES - 9))}
    reports = Document.of([{"status": "healthy", "details": {"a": "x" * 16 * 1024}}] * KEPT_REPORTS)
    return running(reason=LONG, health_checks=reports, **documents, **fields)


def names(records):
    return [row.type.split(".")[2] for row in records.events]


def test_a_rollback_whose_event_nothing_carries_is_refused_and_leaves_everything_as_it_was():
    records = Records(*heavy())
    (active,) = (each for each in records.deployments.values() if each.status == "active")
    before = dict(records.deployments), dict(records.entities)

    (refused,) = records.answers(a_rollback(active, {"key": "k"}, reason=LONG))

    problem = json.loads(refused.body)
    assert (refused.code, problem["status"]) == ("payload_too_large", 413)
    assert "Shorten the reason" in problem["detail"]
    assert (records.deployments, records.entities) == before
    assert (records.events, records.outcomes) == ([], {})
    (done,) = records.answers(a_rollback(active, {"key": "k"}, reason="errors"))
    assert done.code is None
    assert names(records) == ["rolled_back", "reactivated"]
    assert max(len(row.body) for row in records.events) <= MAX_MESSAGE_BYTES


def test_the_other_commands_of_its_batch_are_decided_as_if_it_had_not_been_there():
    entity, former, active = heavy()
    records = Records(entity, former, active)
    answers = records.answers(
        a_report(active),
        a_rollback(active, reason=LONG),
        a_rollback(active, reason="errors"),
        a_deploy(entity),
    )
    assert [answer.code for answer in answers] == [None, "payload_too_large", None, None]
    assert [row.sequence for row in records.events] == [6, 7, 8, 9, 10]
    assert names(records) == ["health", "rolled_back", "reactivated", "superseded", "completed"]
    assert json.loads(answers[3].body)["previous_deployment_id"] == former.deployment_id


def test_a_deploy_that_tells_at_length_why_it_replaces_what_is_large_is_refused():
    entity, former, active = heavy(rollback_reason=LONG)
    records = Records(entity, former, active)
    answers = records.answers(a_deploy(entity, reason=LONG), a_deploy(entity, reason="shorter"))
    assert [answer.code for answer in answers] == ["payload_too_large", None]
    assert names(records) == ["superseded", "completed"]


def test_a_refused_durable_command_is_rejected_and_its_event_is_carried():
    records = Records(*heavy())
    (active,) = (each for each in records.deployments.values() if each.status == "active")
    records.answers(durable(a_rollback(active, reason=LONG), body=json.dumps({"reason": LONG}).encode()))
    ((row, event),) = rejections(records)
    assert event.data.problem["code"] == "payload_too_large"
    assert len(row.body) <= MAX_MESSAGE_BYTES


def test_a_rejection_that_nothing_carries_has_the_beginning_of_its_command_alone():
    entity = an_entity(version="1")
    records = Records(entity)
    command = a_deploy(entity, expected_version="y" * (MIB - 200))
    body = json.dumps({"expected_version": command.request.expected_version}).encode()
    (answer,) = records.answers(durable(command, body=body))
    ((row, event),) = rejections(records)
    assert answer.code == event.data.problem["code"] == "version_mismatch"
    assert len(row.body) <= MAX_MESSAGE_BYTES
    assert body.startswith(event.data.body.encode())
    assert len(event.data.body) == 4096


@pytest.mark.parametrize("name", ["x" * 255, "\u0001" * 255, "\U0001f600" * 255])
def test_warnings_of_a_rollback_stay_small_however_much_no_longer_fits(name):
    entity, former, active = running()
    entity = entity._replace(name=name, dependencies=needing(*(f"{n}{name}"[:255] for n in range(1000))))
    needy = [
        an_entity(f"needy {n}{name}"[:255], dependencies=needing(*[f"{name}=={'9.' * 120}9"] * 10))
        for n in range(200)
    ]
    records = Records(entity, former, active, *needy, *(a_deployment(each) for each in needy))
    (answer,) = records.answers(a_rollback(active))
    warnings = json.loads(answer.body)["warnings"]
    assert warnings[-1] == "... and 1100 more."
    assert len(answer.body) < MIB


def test_of_a_decision_with_several_events_each_has_its_own_number():
    entity = an_entity(event_sequence=3)
    waiting = a_deploying(entity)
    records = Records(entity, a_deployment(deployed(entity)), waiting, confirmed())
    create = a_command(subjects.ENTITY_CREATE, name="new", type="service", version="1")
    records.answers(a_confirmation(waiting), create, an_update(entity, version="3"))
    numbered = [(row.type.split(".")[2], row.sequence) for row in records.events]
    assert numbered == [("superseded", 4), ("completed", 5), ("created", 1), ("updated", 6)]
    assert [CloudEvent.model_validate_json(row.body).sequence for row in records.events] == [*"4516"]
