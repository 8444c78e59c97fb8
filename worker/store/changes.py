"""Changes out: all that a batch decided, in two or three statements over sets.

Every change of a status is guarded by the one it was decided on, and the rows are counted; what is active is
freed before it is taken, since a unique index is checked row by row.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from contracts.ids import Id
from contracts.values import timestamp
from worker.domain.facts import WAITING, Deployment, Entity, Environment, Quarantine
from worker.domain.validation import Written
from worker.store import rows
from worker.store.transaction import Transaction


class GuardFailed(Exception):
    """Rows are not as they were when they were locked: a fault of ours, or somebody wrote past us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event as the log keeps it; ``subject`` is that of the CloudEvent."""

    event_id: str
    entity_id: Id | None
    sequence: int | None
    type: str
    subject: str
    nats_subject: str
    body: bytes
    created_at: datetime


@dataclass(slots=True, kw_only=True)
class Changes:
    """What a batch changed, net; changed records come with the one they were decided on."""

    new_entities: list[Entity] = field(default_factory=list)
    changed_entities: list[tuple[Entity, Entity]] = field(default_factory=list)
    new_deployments: list[Deployment] = field(default_factory=list)
    changed_deployments: list[tuple[Deployment, Deployment]] = field(default_factory=list)
    environments: list[tuple[Environment, Environment]] = field(default_factory=list)
    new_quarantines: list[Quarantine] = field(default_factory=list)
    lifted_quarantines: list[Quarantine] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)


_ENTITY_TYPES = """
    entity_id uuid, name text, type text, version text, created_by text, description text, config jsonb,
    parameters jsonb, status text, declared_status text, health_status text, tags jsonb, dependencies jsonb,
    dependency_names text[], revision integer, event_sequence bigint, deployed_at timestamptz,
    deployed_by text, deployment_config jsonb, created_at timestamptz, updated_at timestamptz,
    deleted_at timestamptz
"""
_ENTITY_NAMES = ", ".join(part.split()[0] for part in _ENTITY_TYPES.split(","))

_INSERT_ENTITIES = f"""
INSERT INTO entities ({_ENTITY_NAMES})
SELECT {_ENTITY_NAMES} FROM json_to_recordset(%(rows)s::json) AS r ({_ENTITY_TYPES})
"""  # noqa: S608 - made of constants

_UPDATE_ENTITIES = f"""
UPDATE entities e SET
    name = r.name, type = r.type, version = r.version, description = r.description, config = r.config,
    parameters = r.parameters, status = r.status, declared_status = r.declared_status,
    health_status = r.health_status, tags = r.tags, dependencies = r.dependencies,
    dependency_names = r.dependency_names, revision = r.revision, event_sequence = r.event_sequence,
    deployed_at = r.deployed_at, deployed_by = r.deployed_by, deployment_config = r.deployment_config,
    updated_at = r.updated_at, deleted_at = r.deleted_at
FROM json_to_recordset(%(edited)s::json) AS r ({_ENTITY_TYPES}, expected_sequence bigint)
WHERE e.entity_id = r.entity_id AND e.event_sequence = r.expected_sequence
RETURNING 1
"""  # noqa: S608 - made of constants

# The hot one: what a deploy changes of an entity, and no more.
_UPDATE_ACTIVATIONS = """
UPDATE entities e SET
    status = r.status, event_sequence = r.event_sequence, deployed_at = r.deployed_at,
    deployed_by = r.deployed_by, deployment_config = r.deployment_config, updated_at = r.updated_at
FROM json_to_recordset(%(activated)s::json) AS r (
    entity_id uuid, status text, event_sequence bigint, deployed_at timestamptz, deployed_by text,
    deployment_config jsonb, updated_at timestamptz, expected_sequence bigint)
WHERE e.entity_id = r.entity_id AND e.event_sequence = r.expected_sequence
RETURNING 1
"""

_DEPLOYMENT_TYPES = """
    deployment_id uuid, entity_id uuid, entity_name text, version text, environment text,
    config_snapshot jsonb, parameters_snapshot jsonb, status text, deployed_at timestamptz, deployed_by text,
    deployment_method text, reason text, rolled_back_at timestamptz, rolled_back_by text,
    rollback_reason text, previous_deployment_id uuid, health_checks jsonb, last_health_check timestamptz,
    error_logs text, deployment_duration_ms integer, validation_results jsonb, warnings jsonb,
    confirm_by timestamptz, created_at timestamptz, updated_at timestamptz, activated_at timestamptz,
    deactivated_at timestamptz, unhealthy_reports integer, came_back_for_health boolean
"""
_DEPLOYMENT_NAMES = ", ".join(part.split()[0] for part in _DEPLOYMENT_TYPES.split(","))

_INSERT_DEPLOYMENTS = f"""
INSERT INTO deployments ({_DEPLOYMENT_NAMES})
SELECT {_DEPLOYMENT_NAMES} FROM json_to_recordset(%(created)s::json) AS r ({_DEPLOYMENT_TYPES}){{behind}}
RETURNING deployment_id AS id, status, config_snapshot <> jsonb_build_object() AS has_config
"""  # noqa: S608 - made of constants

# The hot one: what a deploy changes of the one whose place it takes.
_UPDATE_SUPERSEDED = """
UPDATE deployments d SET status = r.status, updated_at = r.updated_at, deactivated_at = r.deactivated_at
FROM json_to_recordset(%(superseded)s::json) AS r (
    deployment_id uuid, status text, updated_at timestamptz, deactivated_at timestamptz, expected_status text)
WHERE d.deployment_id = r.deployment_id AND d.status = r.expected_status
RETURNING 1
"""

# What may change at all; everything else of a deployment is written once. A trigger keeps the activation that
# another one takes the place of.
_UPDATE_DEPLOYMENTS = """
UPDATE deployments d SET
    status = r.status, rolled_back_at = r.rolled_back_at, rolled_back_by = r.rolled_back_by,
    rollback_reason = r.rollback_reason, previous_deployment_id = r.previous_deployment_id,
    health_checks = r.health_checks, last_health_check = r.last_health_check, error_logs = r.error_logs,
    deployment_duration_ms = r.deployment_duration_ms, validation_results = r.validation_results,
    warnings = r.warnings, confirm_by = r.confirm_by, updated_at = r.updated_at,
    activated_at = r.activated_at, deactivated_at = r.deactivated_at,
    unhealthy_reports = r.unhealthy_reports, came_back_for_health = r.came_back_for_health
FROM json_to_recordset(%({rows})s::json) AS r (
    deployment_id uuid, status text, rolled_back_at timestamptz, rolled_back_by text, rollback_reason text,
    previous_deployment_id uuid, health_checks jsonb, last_health_check timestamptz, error_logs text,
    deployment_duration_ms integer, validation_results jsonb, warnings jsonb, confirm_by timestamptz,
    updated_at timestamptz, activated_at timestamptz, deactivated_at timestamptz, unhealthy_reports integer,
    came_back_for_health boolean, expected_status text){behind}
WHERE d.deployment_id = r.deployment_id AND d.status = r.expected_status
RETURNING d.deployment_id AS id, d.status, d.config_snapshot <> jsonb_build_object() AS has_config
"""

_PARTS: Mapping[str, str] = {
    "superseded": _UPDATE_SUPERSEDED,
    "leaving": _UPDATE_DEPLOYMENTS.format(rows="leaving", behind="{behind}"),
    "arriving": _UPDATE_DEPLOYMENTS.format(rows="arriving", behind="{behind}"),
    "starting": _UPDATE_DEPLOYMENTS.format(rows="starting", behind="{behind}"),
    "created": _INSERT_DEPLOYMENTS,
    "activated": _UPDATE_ACTIVATIONS,
    "edited": _UPDATE_ENTITIES,
}
_TOLD = dict.fromkeys(("arriving", "created"), "1::bigint, id, status, has_config")
_COUNTED = "count(*), NULL::uuid, NULL, NULL::boolean"
_PLACES = ("superseded", "leaving", "arriving", "starting", "created")
"""The parts that free a place or take it, in that order: each waits for those before it."""


@cache
def _statement(*parts: str) -> str:
    """One statement of several; its rows are a part and how many it wrote.

    Of those that put deployments in place it is a row each, with id, status and filled config.

    The parts see the tables as they were, and run in no order of their own: what takes a place must ask for
    the counts of those that leave theirs.
    """
    behind, clauses = "", []
    for part in parts:
        clauses.append(f"{part} AS ({_PARTS[part].format(behind=behind)})")
        if part in _PLACES:
            behind += f", (SELECT count(*) FROM {part}) AS {part}_first"  # noqa: S608 - a name of ours
    written = ", ".join(clauses)
    told = " UNION ALL ".join(f"SELECT '{part}', {_TOLD.get(part, _COUNTED)} FROM {part}" for part in parts)  # noqa: S608
    return f"WITH {written} {told}"


_UPDATE_ENVIRONMENTS = """
UPDATE environments e SET
    activation = r.activation, confirm_timeout_s = r.confirm_timeout_s, auto_rollback = r.auto_rollback,
    unhealthy_after = r.unhealthy_after, concurrency = r.concurrency, require_status = r.require_status
FROM json_to_recordset(%(rows)s::json) AS r (
    environment text, activation text, confirm_timeout_s integer, auto_rollback boolean,
    unhealthy_after integer, concurrency text, require_status jsonb, expected jsonb)
WHERE e.environment = r.environment AND to_jsonb(e) - 'position' = r.expected
RETURNING 1
"""

_INSERT_QUARANTINES = """
INSERT INTO quarantine (
    quarantine_id, entity_id, environment, version, snapshot_digest, deployment_id, since, reason)
SELECT quarantine_id, entity_id, environment, version, snapshot_digest, deployment_id, since, reason
FROM json_to_recordset(%(rows)s::json) AS r (
    quarantine_id uuid, entity_id uuid, environment text, version text, snapshot_digest text,
    deployment_id uuid, since timestamptz, reason text)
"""
_LIFT_QUARANTINES = """
UPDATE quarantine q SET lifted_at = r.lifted_at, lifted_by = r.lifted_by, lift_reason = r.lift_reason
FROM json_to_recordset(%(rows)s::json) AS r (
    quarantine_id uuid, lifted_at timestamptz, lifted_by text, lift_reason text)
WHERE q.quarantine_id = r.quarantine_id AND q.lifted_at IS NULL
RETURNING 1
"""

_INSERT_EVENTS = """
WITH written AS (
    INSERT INTO events (event_id, entity_id, sequence, type, subject, nats_subject, body, created_at)
    SELECT event_id, entity_id, sequence, type, subject, nats_subject, body, created_at
    FROM ROWS FROM (
        json_to_recordset(%(rows)s::json) AS (
            event_id uuid, entity_id uuid, sequence bigint, type text, subject text, nats_subject text,
            created_at timestamptz),
        unnest(%(bodies)s::text[])
    ) AS r (event_id, entity_id, sequence, type, subject, nats_subject, created_at, body)
)
INSERT INTO outbox (event_ids, created_at) VALUES (%(ids)s::uuid[], clock_timestamp())
"""


def write(transaction: Transaction, changes: Changes) -> dict[Id, Written]:
    """Write it all, the events with the commit; what stands active, by deployment, as the database wrote it.

    Raises ``GuardFailed`` where a row was not as expected.
    """
    if changes.new_entities:
        transaction.prepared(
            _INSERT_ENTITIES, _rows(rows.of_entity(entity) for entity in changes.new_entities)
        )
    stored = _records(transaction, changes)
    updated = {after.entity_id for _, after in changes.changed_entities}  # or the guard would have failed
    if changes.environments:
        as_decided = _rows(
            {**rows.of_environment(after), "expected": rows.of_environment(before)}
            for before, after in changes.environments
        )
        _guarded(transaction.prepared(_UPDATE_ENVIRONMENTS, as_decided), changes.environments)
    _quarantines(transaction, changes)
    _announce(transaction, changes.events)
    return {
        deployment.deployment_id: Written(
            *stored[deployment.deployment_id], entity_updated=deployment.entity_id in updated
        )
        for deployment in (*(after for _, after in changes.changed_deployments), *changes.new_deployments)
        if deployment.status == "active"
    }


def _records(transaction: Transaction, changes: Changes) -> dict[Id, tuple[Any, bool]]:
    """Write deployments, and entities that there were before; status and config of what is active now."""
    moves, edits = changes.changed_deployments, changes.changed_entities
    superseded = [pair for pair in moves if _is_supersession(*pair)]
    moved = [pair for pair in moves if not _is_supersession(*pair)] if len(superseded) < len(moves) else []
    written_as = {
        "superseded": [rows.of_supersession(*pair) for pair in superseded],
        "leaving": [rows.of_move(*pair) for pair in moved if pair[1].status in _OUT_OF_PLACE],
        "arriving": [rows.of_move(*pair) for pair in moved if pair[1].status == "active"],
        "starting": [rows.of_move(*pair) for pair in moved if pair[1].status in WAITING],
        "created": [rows.of_deployment(deployment) for deployment in changes.new_deployments],
        "activated": [
            _expecting(rows.of_activation, *pair) for pair in edits if pair[0].revision == pair[1].revision
        ],
        "edited": [
            _expecting(rows.of_entity, *pair) for pair in edits if pair[0].revision != pair[1].revision
        ],
    }
    parts = {part: of_part for part, of_part in written_as.items() if of_part}
    if not parts:
        return {}
    written = transaction.prepared(
        _statement(*parts), {part: orjson.dumps(of_part).decode() for part, of_part in parts.items()}
    )
    counted: Counter[str] = Counter()
    for part, count, *_ in written:
        counted[part] += count
    for part, of_part in parts.items():
        if counted[part] != len(of_part):
            raise GuardFailed(f"{counted[part]} of {len(of_part)} rows were as expected ({part})")
    return {
        identifier: (status, has_config) for _, _, identifier, status, has_config in written if identifier
    }


_OUT_OF_PLACE = ("inactive", "rolled_back", "failed")


def _is_supersession(before: Deployment, after: Deployment) -> bool:
    """Whether nothing but what the hot statement writes has changed."""
    return after.status == "inactive" and after == before._replace(
        status=after.status, updated_at=after.updated_at, deactivated_at=after.deactivated_at
    )


def _quarantines(transaction: Transaction, changes: Changes) -> None:
    if changes.new_quarantines:
        transaction.execute(_INSERT_QUARANTINES, _rows(map(rows.of_quarantine, changes.new_quarantines)))
    if changes.lifted_quarantines:
        lifted = _rows(map(rows.of_quarantine, changes.lifted_quarantines))
        _guarded(transaction.execute(_LIFT_QUARANTINES, lifted), changes.lifted_quarantines)


def _expecting(shape: Callable[[Entity], dict[str, Any]], before: Entity, after: Entity) -> dict[str, Any]:
    return {**shape(after), "expected_sequence": before.event_sequence}


def _announce(transaction: Transaction, events: list[EventRow]) -> None:
    if not events:
        return
    transaction.event_id = events[0].event_id
    log = (
        {
            "event_id": event.event_id,
            "entity_id": event.entity_id,
            "sequence": event.sequence,
            "type": event.type,
            "subject": event.subject,
            "nats_subject": event.nats_subject,
            "created_at": timestamp(event.created_at),
        }
        for event in events
    )
    ids = "{" + ",".join(event.event_id for event in events) + "}"
    bodies = [event.body.decode() for event in events]  # JSON in JSON would be escaped twice
    transaction.with_commit(_INSERT_EVENTS, {**_rows(log), "bodies": bodies, "ids": ids})


def _guarded(written: list[Any], expected: Sequence[Any]) -> None:
    if len(written) != len(expected):
        raise GuardFailed(f"{len(written)} of {len(expected)} rows were as expected")


def _rows(values: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": orjson.dumps(list(values)).decode()}
