import json

import orjson
import pytest

from contracts import subjects
from contracts.events import CloudEvent
from contracts.problems import ProblemError
from contracts.values import Empty
from tests.unit.builders import (
    NOW,
    SECOND,
    a_deploy,
    a_deployment,
    a_former,
    a_rollback,
    an_entity,
    deployed,
)
from tests.unit.records import Records
from worker.domain.command import Durable
from worker.domain.trace import Trace

SUBJECTS = {
    subjects.DEPLOY_REQUEST: subjects.COMMAND_DEPLOY,
    subjects.DEPLOY_ROLLBACK: subjects.COMMAND_ROLLBACK,
}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def durable(command, command_id="order-1", *, body=b"{}", redelivered=False, refused=None, **envelope):
    """The command as one from the stream; its id is its key, unless the envelope has another."""
    carried = Durable(
        command_id=command_id,
        subject=SUBJECTS[command.operation],
        body=body,
        redelivered=redelivered,
        refused=refused,
    )
    known = {"durable": carried, "request_id": command_id, "key": command_id}
    return command._replace(**{**known, **envelope})


def rejections(records):
    """The events ``rejected`` so far, as the contract reads them, with their rows."""
    rows = [row for row in records.events if row.type == "library.deployment.rejected.v1"]
    return [(row, CloudEvent.model_validate_json(row.body)) for row in rows]


def test_a_durable_command_that_is_carried_out_is_announced_like_any_other():
    entity = an_entity()
    records = Records(entity)
    (answer,) = records.answers(durable(a_deploy(entity)))
    assert answer.code is None
    (row,) = records.events
    assert (row.type, json.loads(row.body)["correlationid"]) == ("library.deployment.completed.v1", "order-1")


def test_a_refused_request_that_is_not_durable_is_no_event():
    records = Records()
    records.answers(a_deploy(an_entity()))
    assert records.events == []


def test_a_refused_durable_command_is_an_event_that_holds_it_and_the_problem():
    entity = an_entity(version="1")
    records = Records(entity)
    body = b'{"entity_id": "x", "n": 1.50}'
    command = a_deploy(entity, {"trace": Trace(TRACE)}, expected_version="2")
    (answer,) = records.answers(durable(command, body=body))
    assert answer.code == "version_mismatch"
    ((row, event),) = rejections(records)
    assert (row.subject, event.subject, event.correlationid) == ("order-1", "order-1", "order-1")
    assert row.nats_subject == f"library.events.deployment.rejected.staging.{entity.entity_id}"
    assert (event.data.command, event.data.body) == ("deploy", json.loads(body))
    assert (event.data.problem["code"], event.data.problem["status"]) == ("version_mismatch", 409)
    assert (event.traceparent, event.source, event.time) == (TRACE, "library", NOW)


def test_a_rejection_changes_no_entity_and_stands_in_no_sequence():
    entity = an_entity(version="1", event_sequence=5)
    records = Records(entity)
    records.answers(a_deploy(entity), durable(a_deploy(entity, {}, expected_version="2")), a_deploy(entity))
    ((row, event),) = rejections(records)
    assert (row.entity_id, row.sequence, event.sequence) == (None, None, None)
    assert "sequence" not in json.loads(row.body)
    assert [each.sequence for each in records.events] == [6, None, 7, 8]


def test_a_rejected_rollback_is_filed_where_its_deployment_is():
    entity = deployed(an_entity())
    active = a_deployment(entity, environment="production")
    records = Records(entity, active)
    records.answers(durable(a_rollback(active)))
    ((row, event),) = rejections(records)
    assert row.nats_subject == f"library.events.deployment.rejected.production.{entity.entity_id}"
    assert (event.data.command, event.data.problem["code"]) == ("rollback", "no_rollback_target")


def test_a_rejected_rollback_of_something_unknown_has_underscores_for_what_it_does_not_tell():
    records = Records()
    records.answers(durable(a_rollback(a_deployment(an_entity()))))
    ((row, _),) = rejections(records)
    assert row.nats_subject == "library.events.deployment.rejected._._"


def test_a_durable_command_past_its_deadline_is_rejected():
    entity = an_entity()
    records = Records(entity)
    (answer,) = records.answers(durable(a_deploy(entity), deadline=NOW - SECOND))
    assert answer.code == "deadline_exceeded"
    ((_, event),) = rejections(records)
    assert event.data.problem["code"] == "deadline_exceeded"


def test_a_reused_key_is_rejected_under_the_id_of_the_command_that_reused_it():
    entity = an_entity()
    records = Records(entity)
    records.answers(
        durable(a_deploy(entity), "order-1", key="k"),
        durable(a_deploy(entity, {}, reason="another"), "order-2", key="k"),
    )
    ((_, event),) = rejections(records)
    assert (event.subject, event.data.problem["code"]) == ("order-2", "idempotency_key_reused")


@pytest.mark.parametrize("refusal", ["version_mismatch", "deadline_exceeded"])
def test_a_refused_command_that_is_delivered_again_is_rejected_once(refusal):
    entity = an_entity(version="1")
    records = Records(entity)
    late = {"deadline": NOW - SECOND} if refusal == "deadline_exceeded" else {}
    command = a_deploy(entity, {}, expected_version="2")
    records.answers(durable(command, **late))
    (again,) = records.answers(durable(command, redelivered=True, **late))
    assert again.code == refusal
    assert len(rejections(records)) == 1


def test_a_refused_command_that_stands_twice_in_a_batch_is_rejected_once():
    entity = an_entity()
    records = Records(entity)
    late = durable(a_deploy(entity), deadline=NOW - SECOND)
    answers = records.answers(late, late)
    assert [answer.code for answer in answers] == ["deadline_exceeded", "deadline_exceeded"]
    assert len(rejections(records)) == 1


def test_a_command_that_is_delivered_again_after_it_was_carried_out_has_no_second_effect():
    entity = an_entity()
    records = Records(entity)
    (first,) = records.answers(durable(a_deploy(entity)))
    (again,) = records.answers(durable(a_deploy(entity), redelivered=True))
    assert (again.body, again.replayed) == (first.body, True)
    assert len(records.events) == 1


def test_another_command_with_the_key_of_a_refused_one_is_rejected_as_well():
    entity = an_entity(version="1")
    records = Records(entity)
    command = a_deploy(entity, {}, expected_version="2")
    records.answers(durable(command, "order-1", key="k"), durable(command, "order-2", key="k"))
    assert [event.subject for _, event in rejections(records)] == ["order-1", "order-2"]


def test_what_could_not_be_read_or_was_tried_too_often_is_rejected_and_not_decided():
    entity = an_entity()
    records = Records(entity)
    problem = ProblemError("internal_error", "It failed 5 times.")
    unread = durable(a_deploy(entity), body=b"\xff not json", refused=problem, request=Empty(), key=None)
    (answer,) = records.answers(unread)
    assert answer.code is None
    ((row, event),) = rejections(records)
    assert event.data.problem["detail"] == "It failed 5 times."
    assert "not json" in event.data.body
    assert records.deployments == {}
    assert row.nats_subject == "library.events.deployment.rejected._._"


def test_a_durable_rollback_is_put_off_like_any_other_and_rejected_only_when_it_is_refused():
    entity = deployed(an_entity())
    former = a_former(entity)
    active = a_deployment(entity, deployed_at=former.deployed_at + SECOND)
    records = Records(entity, former, active)
    answers = records.answers(a_deploy(entity), durable(a_rollback(active)))
    assert answers[1] is None
    assert rejections(records) == []
    (refused,) = records.answers(durable(a_rollback(active)))
    assert refused.code == "deployment_not_active"
    assert len(rejections(records)) == 1


@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 200 + b"]" * 200, b"[" * 2000),
        *(b'{"a":1e400}', b"-1E999", b"[" + b"9" * 309 + b"]", b"9" * 5000, b"1e99999999999999999999"),
        *(b'"\\u0000"', b'"\\ud800"', b'{"\\ud800":1}', b'"\xff"', b"\xef\xbb\xbf{}", b"NaN", b"Infinity"),
        *(b"", b" ", b"{", b"nonsense", b'"\x01"', b'{"a":1}{}', b'"' + b"x" * 1024 * 1024 + b'"'),
    ],
    ids=lambda body: f"{body[:12]!r}, {len(body)}",
)
def test_a_rejected_body_that_a_reader_of_its_event_would_stumble_over_is_given_as_its_beginning(body):
    records = Records()
    records.answers(durable(a_deploy(an_entity()), body=body))
    ((row, event),) = rejections(records)
    assert event.data.body == body[:4096].decode(errors="replace")
    assert orjson.loads(row.body) == json.loads(row.body)


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"[" * 64 + b"]" * 64,
            b'{"a":' * 64 + b"1" + b"}" * 64,
            b'{"a":1.50,"a":2}',
            b" 1 ",
            b'""',
            b"null",
        ),
        *(b'{"n":1e300,"m":1e-400}', b"9" * 300, b"0." + b"1" * 5000, b'"\xc3\xbc"', b'"\\ud83d\\ude00"'),
    ],
    ids=lambda body: f"{body[:12]!r}, {len(body)}",
)
def test_a_rejected_body_that_all_can_read_is_given_as_it_came(body):
    records = Records()
    records.answers(durable(a_deploy(an_entity()), body=body))
    ((row, event),) = rejections(records)
    assert body in row.body
    assert event.data.body == json.loads(body)
    orjson.loads(row.body)
