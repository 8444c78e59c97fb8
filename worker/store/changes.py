"""Changes out: all that a batch decided, in statements over sets that go with the commit in one round trip.

Every change of a status is guarded by the one it was decided on. The database counts the rows that stand as
they were decided, and refuses the commit where one does not, so there is nothing to be read back. What is
active is freed before it is taken, since a unique index is checked row by row.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from contracts.ids import Id
from contracts.values import timestamp
from worker.domain.facts import NO_CHECKS, WAITING, Deployment, Entity, Environment, Quarantine
from worker.store import rows
from worker.store.guards import guarded
from worker.store.transaction import Transaction


class EventRow(NamedTuple):
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
RETURNING status IS NOT NULL AS stands
"""  # noqa: S608 - made of constants

_UPDATE_ENTITIES = f"""
UPDATE entities e SET
    name = r.name, type = r.type, version = r.version, description = r.description, config = r.config,
    parameters = r.parameters, status = r.status, declared_status = r.declared_status,
    health_status = r.health_status, tags = r.tags, dependencies = r.dependencies,
    dependency_names = r.dependency_names, revision = r.revision, event_sequence = r.event_sequence,
    deployed_at = r.deployed_at, deployed_by = r.deployed_by, deployment_config = r.deployment_config,
    updated_at = r.updated_at, deleted_at = r.deleted_at
FROM json_to_recordset(%(rows)s::json) AS r ({_ENTITY_TYPES}, expected_sequence bigint)
WHERE e.entity_id = r.entity_id AND e.event_sequence = r.expected_sequence
RETURNING e.event_sequence = r.event_sequence AS stands
"""  # noqa: S608 - made of constants

# The hot one: what a deploy changes of an entity, and no more.
_UPDATE_ACTIVATIONS = """
UPDATE entities e SET
    status = r.status, event_sequence = r.event_sequence, deployed_at = r.deployed_at,
    deployed_by = r.deployed_by, deployment_config = r.deployment_config, updated_at = r.updated_at
FROM json_to_recordset(%(rows)s::json) AS r (
    entity_id uuid, status text, event_sequence bigint, deployed_at timestamptz, deployed_by text,
    deployment_config jsonb, updated_at timestamptz, expected_sequence bigint)
WHERE e.entity_id = r.entity_id AND e.event_sequence = r.expected_sequence
RETURNING e.event_sequence = r.event_sequence AS stands
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

# The hot one: what is active at once, and has not been through anything.
_INSERT_ACTIVE = """
INSERT INTO deployments (
    deployment_id, entity_id, entity_name, version, environment, config_snapshot, parameters_snapshot,
    status, deployed_at, created_at, updated_at, activated_at, deployed_by, deployment_method, reason,
    previous_deployment_id, health_checks, deployment_duration_ms, validation_results, warnings)
SELECT deployment_id, entity_id, entity_name, version, environment, config_snapshot, parameters_snapshot,
    'active', deployed_at, deployed_at, deployed_at, deployed_at, deployed_by, deployment_method, reason,
    previous_deployment_id, jsonb_build_array(), deployment_duration_ms, validation_results, warnings
FROM json_to_recordset(%(rows)s::json) AS r (
    deployment_id uuid, entity_id uuid, entity_name text, version text, environment text,
    config_snapshot jsonb, parameters_snapshot jsonb, deployed_at timestamptz, deployed_by text,
    deployment_method text, reason text, previous_deployment_id uuid, deployment_duration_ms integer,
    validation_results jsonb, warnings jsonb)
RETURNING status = 'active' AS stands
"""

_INSERT_DEPLOYMENTS = f"""
INSERT INTO deployments ({_DEPLOYMENT_NAMES})
SELECT {_DEPLOYMENT_NAMES} FROM json_to_recordset(%(rows)s::json) AS r ({_DEPLOYMENT_TYPES})
RETURNING status IS NOT NULL AS stands
"""  # noqa: S608 - made of constants

# The hot one: what a deploy changes of the one whose place it takes.
_UPDATE_SUPERSEDED = """
UPDATE deployments d SET status = r.status, updated_at = r.updated_at, deactivated_at = r.deactivated_at
FROM json_to_recordset(%(rows)s::json) AS r (
    deployment_id uuid, status text, updated_at timestamptz, deactivated_at timestamptz, expected_status text)
WHERE d.deployment_id = r.deployment_id AND d.status = r.expected_status
RETURNING d.status = r.status AS stands
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
FROM json_to_recordset(%(rows)s::json) AS r (
    deployment_id uuid, status text, rolled_back_at timestamptz, rolled_back_by text, rollback_reason text,
    previous_deployment_id uuid, health_checks jsonb, last_health_check timestamptz, error_logs text,
    deployment_duration_ms integer, validation_results jsonb, warnings jsonb, confirm_by timestamptz,
    updated_at timestamptz, activated_at timestamptz, deactivated_at timestamptz, unhealthy_reports integer,
    came_back_for_health boolean, expected_status text)
WHERE d.deployment_id = r.deployment_id AND d.status = r.expected_status
RETURNING d.status = r.status AS stands
"""

_UPDATE_ENVIRONMENTS = """
UPDATE environments e SET
    activation = r.activation, confirm_timeout_s = r.confirm_timeout_s, auto_rollback = r.auto_rollback,
    unhealthy_after = r.unhealthy_after, concurrency = r.concurrency, require_status = r.require_status
FROM json_to_recordset(%(rows)s::json) AS r (
    environment text, activation text, confirm_timeout_s integer, auto_rollback boolean,
    unhealthy_after integer, concurrency text, require_status jsonb, expected jsonb)
WHERE e.environment = r.environment AND to_jsonb(e) - 'position' = r.expected
RETURNING e.activation = r.activation AS stands
"""

_INSERT_QUARANTINES = """
INSERT INTO quarantine (
    quarantine_id, entity_id, environment, version, snapshot_digest, deployment_id, since, reason)
SELECT quarantine_id, entity_id, environment, version, snapshot_digest, deployment_id, since, reason
FROM json_to_recordset(%(rows)s::json) AS r (
    quarantine_id uuid, entity_id uuid, environment text, version text, snapshot_digest text,
    deployment_id uuid, since timestamptz, reason text)
RETURNING lifted_at IS NULL AS stands
"""
_LIFT_QUARANTINES = """
UPDATE quarantine q SET lifted_at = r.lifted_at, lifted_by = r.lifted_by, lift_reason = r.lift_reason
FROM json_to_recordset(%(rows)s::json) AS r (
    quarantine_id uuid, lifted_at timestamptz, lifted_by text, lift_reason text)
WHERE q.quarantine_id = r.quarantine_id AND q.lifted_at IS NULL
RETURNING q.lifted_at IS NOT NULL AS stands
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


def write(transaction: Transaction, changes: Changes) -> None:
    """Have it all written with the commit, which fails with ``GuardFailed`` where a row is not as decided."""
    for statement, decided in _parts(changes):
        if decided:
            guarded(transaction, statement, decided)
    _announce(transaction, changes.events)


def _parts(changes: Changes) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """Statements with their rows: an entity before its deployments, a place is left before it is taken."""
    moves, edits = changes.changed_deployments, changes.changed_entities
    superseded = [pair for pair in moves if _is_supersession(*pair)]
    moved = [pair for pair in moves if not _is_supersession(*pair)] if len(superseded) < len(moves) else []
    fresh = [deployment for deployment in changes.new_deployments if _is_fresh(deployment)]
    others = [each for each in changes.new_deployments if not _is_fresh(each)]
    return (
        (_INSERT_ENTITIES, [rows.of_entity(entity) for entity in changes.new_entities]),
        (_UPDATE_SUPERSEDED, [rows.of_supersession(*pair) for pair in superseded]),
        (_UPDATE_DEPLOYMENTS, [rows.of_move(*pair) for pair in moved if pair[1].status in _OUT_OF_PLACE]),
        (_UPDATE_DEPLOYMENTS, [rows.of_move(*pair) for pair in moved if pair[1].status == "active"]),
        (_UPDATE_DEPLOYMENTS, [rows.of_move(*pair) for pair in moved if pair[1].status in WAITING]),
        (_INSERT_DEPLOYMENTS, [rows.of_deployment(deployment) for deployment in others]),
        (_INSERT_ACTIVE, [rows.of_fresh(deployment) for deployment in fresh]),
        (
            _UPDATE_ACTIVATIONS,
            [_expecting(rows.of_activation, *pair) for pair in edits if pair[0].revision == pair[1].revision],
        ),
        (
            _UPDATE_ENTITIES,
            [_expecting(rows.of_entity, *pair) for pair in edits if pair[0].revision != pair[1].revision],
        ),
        (
            _UPDATE_ENVIRONMENTS,
            [
                {**rows.of_environment(after), "expected": rows.of_environment(before)}
                for before, after in changes.environments
            ],
        ),
        (_INSERT_QUARANTINES, [rows.of_quarantine(each) for each in changes.new_quarantines]),
        (_LIFT_QUARANTINES, [rows.of_quarantine(each) for each in changes.lifted_quarantines]),
    )


_OUT_OF_PLACE = ("inactive", "rolled_back", "failed")


_SUPERSESSION = ("status", "updated_at", "deactivated_at")
_the_rest = itemgetter(*(place for place, name in enumerate(Deployment._fields) if name not in _SUPERSESSION))


def _is_supersession(before: Deployment, after: Deployment) -> bool:
    """Whether nothing but what the hot statement writes has changed."""
    return after.status == "inactive" and _the_rest(before) == _the_rest(after)


def _is_fresh(deployment: Deployment) -> bool:
    """Whether the hot statement writes all that there is of it."""
    began = deployment.deployed_at
    return (
        deployment.status == "active"
        and deployment.activated_at == deployment.updated_at == deployment.created_at == began
        and deployment.health_checks == NO_CHECKS
    )


def _expecting(shape: Callable[[Entity], dict[str, Any]], before: Entity, after: Entity) -> dict[str, Any]:
    return {**shape(after), "expected_sequence": before.event_sequence}


def _announce(transaction: Transaction, events: list[EventRow]) -> None:
    if not events:
        return
    transaction.event_id = events[0].event_id
    log = [
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
    ]
    ids = "{" + ",".join(event.event_id for event in events) + "}"
    bodies = [event.body.decode() for event in events]  # JSON in JSON would be escaped twice
    transaction.ahead(_INSERT_EVENTS, {"rows": orjson.dumps(log).decode(), "bodies": bodies, "ids": ids})
