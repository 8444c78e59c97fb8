"""Rows to records, and back.

Records are read by columns, all of them as text: documents need no parsing then, Python reads a time in a
third of the time that the driver takes, and rows of different kinds can stand in one result. They are written
as JSON objects whose members are columns.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from contracts.ids import Id
from contracts.values import timestamp
from worker.domain.facts import Dependency, Deployment, Document, Entity, Environment, Quarantine

Row = Sequence[Any]

ENTITY_COLUMNS = ", ".join(f"{name}::text" for name in Entity._fields)
DEPLOYMENT_COLUMNS = ", ".join(f"d.{name}::text" for name in Deployment._fields)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _document(text: str | None) -> Document | None:
    return None if text is None else Document(text)


def dependencies(values: list[dict[str, Any]]) -> tuple[Dependency, ...]:
    """Dependencies from their stored JSON."""
    return tuple(Dependency(name=each["name"], specifier=each["version"]) for each in values)


def entity(row: Row) -> Entity:
    """An entity from ``ENTITY_COLUMNS``."""
    return Entity(
        entity_id=row[0],
        name=row[1],
        type=row[2],
        version=row[3],
        created_by=row[4],
        description=row[5],
        config=Document(row[6]),
        parameters=Document(row[7]),
        status=row[8],
        declared_status=row[9],
        health_status=row[10],
        tags=tuple(orjson.loads(row[11])),
        dependencies=dependencies(orjson.loads(row[12])),
        revision=int(row[13]),
        event_sequence=int(row[14]),
        deployed_at=_time(row[15]),
        deployed_by=row[16],
        deployment_config=_document(row[17]),
        created_at=datetime.fromisoformat(row[18]),
        updated_at=datetime.fromisoformat(row[19]),
        deleted_at=_time(row[20]),
    )


def deployment(row: Row) -> Deployment:
    """A deployment from ``DEPLOYMENT_COLUMNS``."""
    return Deployment(
        deployment_id=row[0],
        entity_id=row[1],
        entity_name=row[2],
        version=row[3],
        environment=row[4],
        config_snapshot=Document(row[5]),
        parameters_snapshot=Document(row[6]),
        status=row[7],
        deployed_at=datetime.fromisoformat(row[8]),
        deployed_by=row[9],
        deployment_method=row[10],
        reason=row[11],
        rolled_back_at=_time(row[12]),
        rolled_back_by=row[13],
        rollback_reason=row[14],
        previous_deployment_id=row[15],
        health_checks=Document(row[16]),
        last_health_check=_time(row[17]),
        error_logs=row[18],
        deployment_duration_ms=None if row[19] is None else int(row[19]),
        validation_results=Document(row[20]),
        warnings=Document(row[21]),
        confirm_by=_time(row[22]),
        created_at=datetime.fromisoformat(row[23]),
        updated_at=datetime.fromisoformat(row[24]),
        activated_at=_time(row[25]),
        deactivated_at=_time(row[26]),
        unhealthy_reports=int(row[27]),
        came_back_for_health=row[28] == "true",
    )


def environment(values: dict[str, Any]) -> Environment:
    """An environment from its row as a JSON object."""
    return Environment(
        environment=values["environment"],
        activation=values["activation"],
        confirm_timeout_s=values["confirm_timeout_s"],
        auto_rollback=values["auto_rollback"],
        unhealthy_after=values["unhealthy_after"],
        concurrency=values["concurrency"],
        require_status=tuple(values["require_status"]),
    )


def uuids(ids: Iterable[Id]) -> str:
    """An array of ids as the text that PostgreSQL casts to ``uuid[]``."""
    return "{" + ",".join(ids) + "}"


def of_supersession(before: Deployment, after: Deployment) -> dict[str, Any]:
    """What changes of a deployment that a newer one takes the place of: the hot one."""
    return {
        "deployment_id": after.deployment_id,
        "status": after.status,
        "updated_at": timestamp(after.updated_at),
        "deactivated_at": timestamp(after.deactivated_at),
        "expected_status": before.status,
    }


def of_move(before: Deployment, after: Deployment) -> dict[str, Any]:
    """What may change of a deployment, and the status that it was decided on."""
    return {
        "deployment_id": after.deployment_id,
        "status": after.status,
        "health_checks": _fragment(after.health_checks),
        "last_health_check": timestamp(after.last_health_check),
        "error_logs": after.error_logs,
        "deployment_duration_ms": after.deployment_duration_ms,
        "validation_results": _fragment(after.validation_results),
        "confirm_by": timestamp(after.confirm_by),
        "unhealthy_reports": after.unhealthy_reports,
        "came_back_for_health": after.came_back_for_health,
        "rolled_back_at": timestamp(after.rolled_back_at),
        "rolled_back_by": after.rolled_back_by,
        "rollback_reason": after.rollback_reason,
        "previous_deployment_id": after.previous_deployment_id,
        "warnings": _fragment(after.warnings),
        "updated_at": timestamp(after.updated_at),
        "activated_at": timestamp(after.activated_at),
        "deactivated_at": timestamp(after.deactivated_at),
        "expected_status": before.status,
    }


def _fragment(document: Document | None) -> orjson.Fragment | None:
    return None if document is None else orjson.Fragment(document.text)


def of_activation(entity: Entity) -> dict[str, Any]:
    """What a deploy changes of an entity."""
    return {
        "entity_id": entity.entity_id,
        "status": entity.status,
        "event_sequence": entity.event_sequence,
        "deployed_at": timestamp(entity.deployed_at),
        "deployed_by": entity.deployed_by,
        "deployment_config": _fragment(entity.deployment_config),
        "updated_at": timestamp(entity.updated_at),
    }


def of_entity(entity: Entity) -> dict[str, Any]:
    """An entity, whole."""
    return {
        **of_activation(entity),
        "name": entity.name,
        "type": entity.type,
        "version": entity.version,
        "created_by": entity.created_by,
        "description": entity.description,
        "config": _fragment(entity.config),
        "parameters": _fragment(entity.parameters),
        "declared_status": entity.declared_status,
        "health_status": entity.health_status,
        "tags": entity.tags,
        "dependencies": [{"name": each.name, "version": each.specifier} for each in entity.dependencies],
        "dependency_names": [each.name for each in entity.dependencies],
        "revision": entity.revision,
        "created_at": timestamp(entity.created_at),
        "deleted_at": timestamp(entity.deleted_at),
    }


def of_fresh(of: Deployment) -> dict[str, Any]:
    """A deployment that is active at once and has not been through anything: the hot one."""
    return {
        "deployment_id": of.deployment_id,
        "entity_id": of.entity_id,
        "entity_name": of.entity_name,
        "version": of.version,
        "environment": of.environment,
        "config_snapshot": _fragment(of.config_snapshot),
        "parameters_snapshot": _fragment(of.parameters_snapshot),
        "deployed_at": timestamp(of.deployed_at),
        "deployed_by": of.deployed_by,
        "deployment_method": of.deployment_method,
        "reason": of.reason,
        "previous_deployment_id": of.previous_deployment_id,
        "deployment_duration_ms": of.deployment_duration_ms,
        "validation_results": _fragment(of.validation_results),
        "warnings": _fragment(of.warnings),
    }


def of_deployment(of: Deployment) -> dict[str, Any]:
    """A deployment, whole."""
    return {
        **of_fresh(of),
        "status": of.status,
        "rolled_back_at": timestamp(of.rolled_back_at),
        "rolled_back_by": of.rolled_back_by,
        "rollback_reason": of.rollback_reason,
        "health_checks": _fragment(of.health_checks),
        "last_health_check": timestamp(of.last_health_check),
        "error_logs": of.error_logs,
        "confirm_by": timestamp(of.confirm_by),
        "created_at": timestamp(of.created_at),
        "updated_at": timestamp(of.updated_at),
        "activated_at": timestamp(of.activated_at),
        "deactivated_at": timestamp(of.deactivated_at),
        "unhealthy_reports": of.unhealthy_reports,
        "came_back_for_health": of.came_back_for_health,
    }


QUARANTINE_COLUMNS = (
    "q.quarantine_id, q.entity_id, q.environment, q.version, q.snapshot_digest, q.deployment_id, q.since, "
    "q.reason, q.lifted_at, q.lifted_by, q.lift_reason"
)


def quarantine(row: Row) -> Quarantine:
    """A quarantine from ``QUARANTINE_COLUMNS``."""
    return Quarantine(*row)


def quarantine_of_json(row: list[Any]) -> Quarantine:
    """A quarantine from its columns as a JSON array."""
    found = Quarantine(*row)
    lifted_at = found.lifted_at and datetime.fromisoformat(str(found.lifted_at))
    return found._replace(since=datetime.fromisoformat(str(found.since)), lifted_at=lifted_at)


def of_quarantine(of: Quarantine) -> dict[str, Any]:
    """A quarantine, whole."""
    return {**of._asdict(), "since": timestamp(of.since), "lifted_at": timestamp(of.lifted_at)}


def of_environment(environment: Environment) -> dict[str, Any]:
    """An environment, whole."""
    return {
        "environment": environment.environment,
        "activation": environment.activation,
        "confirm_timeout_s": environment.confirm_timeout_s,
        "auto_rollback": environment.auto_rollback,
        "unhealthy_after": environment.unhealthy_after,
        "concurrency": environment.concurrency,
        "require_status": environment.require_status,
    }
