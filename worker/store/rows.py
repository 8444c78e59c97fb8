"""Rows to records: the columns each record is read by, documents as text so that they need no parsing."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from worker.domain.facts import Dependency, Deployment, Document, Entity, Environment

Row = Sequence[Any]

uuid_of = lru_cache(16_384)(UUID)
"""The id that a text holds; within a batch, the same ones come again and again."""

ENTITY_COLUMNS = (
    "entity_id, name, type, version, created_by, description, config::text, parameters::text, status, "
    "declared_status, health_status, tags::text, dependencies::text, revision, event_sequence, deployed_at, "
    "deployed_by, deployment_config::text, created_at, updated_at, deleted_at"
)

DEPLOYMENT_COLUMNS = (
    "d.deployment_id, d.entity_id, d.entity_name, d.version, d.environment, d.config_snapshot::text, "
    "d.parameters_snapshot::text, d.status, d.deployed_at, d.deployed_by, d.deployment_method, d.reason, "
    "d.rolled_back_at, d.rolled_back_by, d.rollback_reason, d.previous_deployment_id, d.health_checks::text, "
    "d.last_health_check, d.error_logs, d.deployment_duration_ms, d.validation_results::text, "
    "d.warnings::text, d.confirm_by, d.created_at, d.updated_at, d.activated_at, d.deactivated_at"
)


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
        revision=row[13],
        event_sequence=row[14],
        deployed_at=row[15],
        deployed_by=row[16],
        deployment_config=None if row[17] is None else Document(row[17]),
        created_at=row[18],
        updated_at=row[19],
        deleted_at=row[20],
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
        deployed_at=row[8],
        deployed_by=row[9],
        deployment_method=row[10],
        reason=row[11],
        rolled_back_at=row[12],
        rolled_back_by=row[13],
        rollback_reason=row[14],
        previous_deployment_id=row[15],
        health_checks=Document(row[16]),
        last_health_check=row[17],
        error_logs=row[18],
        deployment_duration_ms=row[19],
        validation_results=Document(row[20]),
        warnings=Document(row[21]),
        confirm_by=row[22],
        created_at=row[23],
        updated_at=row[24],
        activated_at=row[25],
        deactivated_at=row[26],
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


def uuids(ids: Sequence[UUID] | set[UUID]) -> str:
    """An array of ids as the text that PostgreSQL casts to ``uuid[]``."""
    return "{" + ",".join(map(str, ids)) + "}"
