import json
from uuid import UUID

from contracts import deployments, events, subjects
from tests.unit.builders import (
    LONG_AGO,
    NOW,
    SECOND,
    a_command,
    a_confirmation,
    a_deploying,
    a_deployment,
    a_former,
    a_report,
    an_entity,
    an_environment,
    an_id,
    confirmed,
    decided,
    deployed,
    document,
    facts_of,
)
from worker import rendering
from worker.dispatch.ledger import Ledger
from worker.domain.changes import Event
from worker.domain.facts import Document
from worker.domain.trace import Trace
from worker.domain.validation import as_decided

VALIDATION = {"passed": True, "checks": {}, "errors": [], "warnings": []}
RESULTS = Document.of({"passed": True, "pre": VALIDATION, "post": None})
DEPLOYMENT = a_deployment(an_entity(), validation_results=RESULTS)
ENTITY = deployed(an_entity())


def an_event(about, *, sequence=7, trace=None, **fields):
    """An event's CloudEvent as JSON, and as the contract reads it."""
    event = Event(**{"name": "completed", "about": about, "actor": "alice", **fields})
    body = rendering.event(
        event,
        rendering.record(about),
        event_id=an_id(),
        about="the subject",
        now=LONG_AGO,
        sequence=sequence,
        request_id="request-1",
        trace=Trace(trace) if trace else None,
    )
    return json.loads(body), events.CloudEvent.model_validate_json(body)


def test_an_event_is_a_cloud_event_in_structured_json():
    record = DEPLOYMENT
    found, event = an_event(record, reason="release", trace="00-abc-def-01")
    assert {name: value for name, value in found.items() if name not in ("id", "data")} == {
        "specversion": "1.0",
        "source": "library",
        "type": "library.deployment.completed.v1",
        "subject": "the subject",
        "time": "2026-01-01T12:00:00.000000Z",
        "datacontenttype": "application/json",
        "sequence": "7",
        "correlationid": "request-1",
        "traceparent": "00-abc-def-01",
    }
    assert isinstance(event.id, UUID)
    assert (event.data.actor, event.data.reason) == ("alice", "release")
    assert found["data"]["deployment"] == json.loads(rendering.deployment(record))
    assert str(event.data.deployment.deployment_id) == record.deployment_id


def test_what_an_event_does_not_have_is_absent_from_it():
    found, _ = an_event(an_environment(), name="updated", sequence=None)
    assert not {"sequence", "traceparent"} & found.keys()
    assert found["data"].keys() == {"actor", "reason", "environment"}


def test_an_events_record_stands_under_the_name_of_its_kind():
    found, event = an_event(ENTITY, name="updated", actor=None)
    assert found["type"] == "library.entity.updated.v1"
    assert found["data"]["actor"] is None
    assert str(event.data.entity.entity_id) == ENTITY.entity_id
    found, event = an_event(an_environment("testing"), name="updated", sequence=None)
    assert found["type"] == "library.environment.updated.v1"
    assert event.data.environment.environment == "testing"


def test_the_events_of_a_rollback_name_its_target():
    target = an_id()
    found, event = an_event(DEPLOYMENT, name="rolled_back", target_deployment_id=target)
    assert found["data"]["target_deployment_id"] == target
    assert str(event.data.target_deployment_id) == target


def test_an_events_subject_says_what_it_is_about_and_where():
    record, entity = DEPLOYMENT, ENTITY
    cases = [
        ("completed", record, f"library.events.deployment.completed.staging.{record.entity_id}"),
        ("created", entity, f"library.events.entity.created.{entity.entity_id}"),
        ("updated", an_environment("testing"), "library.events.environment.updated.testing"),
    ]
    for name, about, subject in cases:
        assert rendering.event_subject(Event(name=name, about=about, actor=None)) == subject


def test_integers_beyond_64_bits_survive_in_events():
    record = DEPLOYMENT._replace(config_snapshot=document(a=2**200))
    found, event = an_event(record)
    assert found["data"]["deployment"]["config_snapshot"] == {"a": 2**200}
    assert event.data.deployment.config_snapshot == {"a": 2**200}


def test_what_a_deploy_answers_is_what_its_event_holds():
    entity = an_entity()
    facts = facts_of(entity)
    command = a_command(
        subjects.DEPLOY_REQUEST, entity_id=entity.entity_id, environment="staging", deployed_by="alice"
    )
    ledger = Ledger(facts)
    reply = ledger.enter(command, decided(command, facts), NOW)
    (row,) = ledger.events
    assert reply in row.body
    shown = deployments.Deployment.model_validate_json(reply)
    assert shown.validation_results.post.model_dump() == as_decided(entity.config).body()


BIG = 10**29 + 7


def written(command, facts):
    """The reply to a command, and its events as JSON and as the contract reads them."""
    ledger = Ledger(facts)
    reply = json.loads(ledger.enter(command, decided(command, facts), NOW))
    found = [json.loads(row.body) for row in ledger.events]
    return reply, found, [events.CloudEvent.model_validate_json(row.body) for row in ledger.events]


def unwell(**settings):
    """An entity that is active in staging, what was before, and the facts; one report rolls it back."""
    entity = deployed(an_entity())
    former = a_former(entity, validation_results=RESULTS)
    active = a_deployment(entity, deployed_at=LONG_AGO + 60 * SECOND, validation_results=RESULTS)
    environment = an_environment(**{"auto_rollback": True, "unhealthy_after": 1, **settings})
    return active, former, facts_of(entity, former, active, environment, fallbacks=[(active, former)])


def test_a_health_event_holds_the_report_and_no_snapshots_and_the_reply_all_of_it():
    active, _, facts = unwell(auto_rollback=False)
    reply, (found,), (event,) = written(a_report(active, details={"n": BIG}), facts)
    assert found["type"] == "library.deployment.health.v1"
    assert (found["subject"], found["data"]["actor"]) == (active.deployment_id, "probe")
    assert found["data"]["report"] == {
        "reported_by": "probe",
        "status": "unhealthy",
        "details": {"n": BIG},
        "reported_at": "2026-03-04T05:06:07.890123Z",
    }
    assert found["data"]["action"] == event.data.action == "none"
    assert event.data.report["details"] == {"n": BIG}
    left_out = {"config_snapshot", "parameters_snapshot", "health_checks"}
    assert found["data"]["deployment"] == {name: reply[name] for name in reply if name not in left_out}
    assert reply["health_checks"] == [found["data"]["report"]]
    assert left_out <= reply.keys()
    assert found["data"].keys() == {"actor", "reason", "deployment", "report", "action"}


def test_the_events_of_a_rollback_for_health_hold_its_reports_and_whole_deployments():
    active, former, facts = unwell()
    reply, (health, gone, back), (_, shown, _) = written(a_report(active, details={"n": BIG}), facts)
    assert health["data"]["action"] == "rollback"
    assert gone["data"]["deployment"] == reply
    assert gone["data"]["reports"] == back["data"]["reports"] == [health["data"]["report"]]
    assert shown.data.reports[0]["details"] == {"n": BIG}
    assert back["data"]["deployment"]["deployment_id"] == former.deployment_id
    assert back["data"]["deployment"]["config_snapshot"] == former.config_snapshot.value
    assert not {"report", "action"} & (gone["data"].keys() | back["data"].keys())
    assert [each["sequence"] for each in (health, gone, back)] == ["2", "3", "4"]


def test_the_event_of_an_outcome_holds_what_the_agent_told_beside_it():
    for outcome, name in (("active", "completed"), ("failed", "failed")):
        entity = an_entity()
        waiting = a_deploying(entity, validation_results=RESULTS)
        command = a_confirmation(waiting, outcome=outcome, details={"n": BIG})
        reply, (found,), (event,) = written(command, facts_of(entity, waiting, confirmed()))
        assert found["type"] == f"library.deployment.{name}.v1"
        assert found["data"]["details"] == event.data.details == {"n": BIG}
        assert found["data"]["deployment"] == reply
        assert found["data"]["actor"] == "agent-7"


def test_an_event_without_details_has_no_member_for_them():
    entity = an_entity()
    waiting = a_deploying(entity, validation_results=RESULTS)
    _, (found,), _ = written(a_confirmation(waiting), facts_of(entity, waiting, confirmed()))
    assert found["data"].keys() == {"actor", "reason", "deployment"}
