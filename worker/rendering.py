"""Records and events as the JSON of the wire. Stored documents pass through as the text they are."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, assert_never

import orjson
from pydantic_core import from_json

from contracts import subjects
from contracts.limits import MAX_BODY_BYTES, MAX_DEPTH, MAX_MESSAGE_BYTES
from contracts.problems import ProblemError
from contracts.values import timestamp
from worker.domain.changes import Event
from worker.domain.command import Durable
from worker.domain.convergence import Applied, Beside
from worker.domain.facts import Deployment, Document, Entity, Environment, Quarantine, Record
from worker.domain.trace import Trace
from worker.operations.plan import Plan
from worker.store.matrix import Row

_SHOWN_BYTES = 4096


def _fragment(document: Document | None) -> orjson.Fragment | None:
    return None if document is None else orjson.Fragment(document.text)


def record(of: Record) -> bytes:
    """The body that shows a record."""
    match of:
        case Deployment():
            return deployment(of)
        case Entity():
            return entity(of)
        case Environment():
            return environment(of)
        case Quarantine():
            return quarantine(of)
    assert_never(of)


def deployment(of: Deployment) -> bytes:
    """A ``Deployment`` of the contract."""
    return orjson.dumps(_members(of))


def _members(of: Deployment) -> dict[str, Any]:
    duration = of.deployment_duration_ms
    return {
        "deployment_id": of.deployment_id,
        "entity_id": of.entity_id,
        "entity_name": of.entity_name,
        "version": of.version,
        "environment": of.environment,
        "config_snapshot": _fragment(of.config_snapshot),
        "parameters_snapshot": _fragment(of.parameters_snapshot),
        "status": of.status,
        "deployed_at": timestamp(of.deployed_at),
        "deployed_by": of.deployed_by,
        "deployment_method": of.deployment_method,
        "reason": of.reason,
        "rolled_back_at": timestamp(of.rolled_back_at),
        "rolled_back_by": of.rolled_back_by,
        "rollback_reason": of.rollback_reason,
        "previous_deployment_id": of.previous_deployment_id,
        "health_checks": _fragment(of.health_checks),
        "last_health_check": timestamp(of.last_health_check),
        "error_logs": of.error_logs,
        "deployment_duration_seconds": None if duration is None else duration // 1000,
        "deployment_duration_ms": duration,
        "validation_results": _fragment(of.validation_results),
        "warnings": _fragment(of.warnings),
        "confirm_by": timestamp(of.confirm_by),
        "created_at": timestamp(of.created_at),
        "updated_at": timestamp(of.updated_at),
    }


def in_health_event(of: Deployment) -> bytes:
    """A deployment as its health events show it: without its snapshots and its reports."""
    members = _members(of)
    for left_out in ("config_snapshot", "parameters_snapshot", "health_checks"):
        del members[left_out]
    return orjson.dumps(members)


def quarantine(of: Quarantine) -> bytes:
    """A ``Quarantined`` of the contract."""
    return orjson.dumps(
        {
            "quarantine_id": of.quarantine_id,
            "entity_id": of.entity_id,
            "environment": of.environment,
            "version": of.version,
            "snapshot_digest": of.snapshot_digest,
            "deployment_id": of.deployment_id,
            "since": timestamp(of.since),
            "reason": of.reason,
            "lifted_at": timestamp(of.lifted_at),
            "lifted_by": of.lifted_by,
            "lift_reason": of.lift_reason,
        }
    )


def consumer(of: Applied, beside: Beside, behind_since: datetime | None) -> bytes:
    """A ``Consumer`` of the contract."""
    return orjson.dumps(
        {
            "entity_id": of.entity_id,
            "agent": of.agent,
            "deployment_id": of.deployment_id,
            "applied_sequence": of.sequence,
            "active_sequence": None if beside.sequence is None else str(beside.sequence),
            "behind_since": timestamp(behind_since),
        }
    )


def entity(of: Entity) -> bytes:
    """An ``Entity`` of the contract."""
    return orjson.dumps(
        {
            "entity_id": of.entity_id,
            "name": of.name,
            "type": of.type,
            "version": of.version,
            "created_by": of.created_by,
            "description": of.description,
            "config": _fragment(of.config),
            "parameters": _fragment(of.parameters),
            "status": of.status,
            "declared_status": of.declared_status,
            "health_status": of.health_status,
            "tags": of.tags,
            "dependencies": [{"name": each.name, "version": each.specifier} for each in of.dependencies],
            "revision": of.revision,
            "deployed_at": timestamp(of.deployed_at),
            "deployed_by": of.deployed_by,
            "deployment_config": _fragment(of.deployment_config),
            "created_at": timestamp(of.created_at),
            "updated_at": timestamp(of.updated_at),
            "deleted_at": timestamp(of.deleted_at),
        }
    )


def environment(of: Environment) -> bytes:
    """An ``Environment`` of the contract."""
    return orjson.dumps(
        {
            "environment": of.environment,
            "activation": of.activation,
            "confirm_timeout_s": of.confirm_timeout_s,
            "auto_rollback": of.auto_rollback,
            "unhealthy_after": of.unhealthy_after,
            "concurrency": of.concurrency,
            "require_status": of.require_status,
        }
    )


def plan(of: Plan) -> bytes:
    """A ``DeploymentPlan`` of the contract."""
    return orjson.dumps(
        {
            "validation": of.validation.body(),
            "replaces": of.replaces.deployment_id if of.replaces else None,
            "version": of.version,
            "config_snapshot": _fragment(of.config),
            "parameters_snapshot": _fragment(of.parameters),
            "changes": orjson.Fragment(Document.of(of.changes()).text),
        }
    )


def matrix(rows: Iterable[Row], next_cursor: str | None) -> bytes:
    """A ``Matrix`` of the contract."""
    shown = [{**row._asdict(), "places": orjson.Fragment(row.places)} for row in rows]
    return orjson.dumps({"rows": shown, "next_cursor": next_cursor})


def listing(name: str, items: Iterable[bytes], **rest: Any) -> bytes:
    """A list's body: the items, each rendered already, beside the members of its page."""
    return orjson.dumps({name: [orjson.Fragment(item) for item in items], **rest})


def problem(of: ProblemError, request_id: str) -> bytes:
    """The problem body (RFC 9457)."""
    return orjson.dumps(of.body(request_id))


def rejected(
    command: Durable,
    problem: ProblemError,
    *,
    event_id: str,
    now: datetime,
    trace: Trace | None,
) -> bytes:
    """The CloudEvent that says a durable command was refused. It changes no entity and has no sequence."""
    data = {
        "command": subjects.command_name(command.subject),
        "body": _body(command.body),
        "problem": problem.body(command.command_id),
        "actor": None,
        "reason": problem.detail,
    }
    message = _envelope(
        event_id, subjects.event_type("deployment", "rejected"), command.command_id, now, command.command_id
    )
    _carry(message, trace)
    message["data"] = data
    rendered = orjson.dumps(message)
    if len(rendered) > MAX_MESSAGE_BYTES:
        data["body"] = _beginning(command.body)
        rendered = orjson.dumps(message)
    return rendered


def _body(body: bytes) -> orjson.Fragment | str:
    """A command's body as it came, if whoever reads the event can read it, too; else its beginning."""
    return orjson.Fragment(body) if len(body) <= MAX_BODY_BYTES and _is_readable(body) else _beginning(body)


def _is_readable(body: bytes) -> bool:
    """Whether it is JSON for PostgreSQL, for readers of whole numbers up to 4,300 digits, and of floats."""
    try:
        from_json(body, allow_inf_nan=False)
        return b"\\u0000" not in body and _is_flat(orjson.loads(body), MAX_DEPTH)
    except ValueError:
        return False


def _is_flat(value: Any, levels: int) -> bool:
    """Whether it is nested no deeper than so many levels."""
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_flat(item, levels - 1) for item in items)


def _beginning(body: bytes) -> str:
    return body[:_SHOWN_BYTES].decode(errors="replace").replace("\x00", "\ufffd")


def _carry(message: dict[str, Any], trace: Trace | None) -> None:
    """Add the trace, as the CloudEvents extension for it has it."""
    if trace is not None:
        message["traceparent"] = trace.traceparent
        if trace.tracestate is not None:
            message["tracestate"] = trace.tracestate


def _envelope(event_id: str, event_type: str, about: str, now: datetime, request_id: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": subjects.EVENT_SOURCE,
        "type": event_type,
        "subject": about,
        "time": timestamp(now),
        "datacontenttype": "application/json",
        "correlationid": request_id,
    }


Announced = Deployment | Entity | Environment
"""What events tell of."""
_KINDS: dict[type[Announced], str] = {
    Deployment: "deployment",
    Entity: "entity",
    Environment: "environment",
}


def kind(of: Announced) -> str:
    """What kind of thing a record is, in the words of subjects and event types."""
    return _KINDS[type(of)]


def event_subject(of: Event) -> str:
    """The NATS subject that an event is published on."""
    about = of.about
    match about:
        case Deployment():
            return subjects.deployment_event(of.name, about.environment, about.entity_id)
        case Entity():
            return subjects.entity_event(of.name, about.entity_id)
        case Environment():
            return subjects.environment_event(of.name, about.environment)
    assert_never(about)


def event(
    of: Event,
    body: bytes,
    *,
    event_id: str,
    about: str,
    now: datetime,
    sequence: int | None,
    request_id: str,
    trace: Trace | None = None,
) -> bytes:
    """A CloudEvent 1.0 in structured JSON; ``body`` is what its record was rendered to."""
    data: dict[str, Any] = {
        "actor": of.actor,
        "reason": of.reason,
        kind(of.about): orjson.Fragment(body),
    }
    if of.target_deployment_id is not None:
        data["target_deployment_id"] = of.target_deployment_id
    for name, value in of.data.items():
        data[name] = _fragment(value) if isinstance(value, Document) else value
    message = _envelope(event_id, subjects.event_type(kind(of.about), of.name), about, now, request_id)
    if sequence is not None:
        message["sequence"] = str(sequence)
    _carry(message, trace)
    message["data"] = data
    return orjson.dumps(message)
