"""What the buckets of live configurations should hold: of each place what is active, or what is deploying."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import orjson

from contracts import subjects
from contracts.values import timestamp

Execute = Callable[..., list[Any]]
Place = tuple[str, str]
"""An environment and an entity's id."""

_VALUES = """
SELECT key.environment, key.entity_id, d.deployment_id, d.entity_name, d.version, d.config_snapshot::text,
    d.parameters_snapshot::text, told.sequence, told.created_at, d.activated_at, d.confirm_by
FROM unnest(%(environments)s::text[], %(entities)s::uuid[]) AS key (environment, entity_id)
LEFT JOIN LATERAL (
    SELECT * FROM deployments
    WHERE entity_id = key.entity_id AND environment = key.environment AND status = '{status}'
    LIMIT 1
) d ON true
LEFT JOIN LATERAL (
    SELECT sequence, created_at FROM events
    WHERE subject = d.deployment_id::text AND type IN ({types})
    ORDER BY sequence DESC
    LIMIT 1
) told ON true
"""
_PLACES = """
SELECT environment, d.entity_id::text FROM deployments d
WHERE status = '{status}' AND (d.entity_id, environment) > (%(entity)s::uuid, %(environment)s::text)
GROUP BY d.entity_id, environment
ORDER BY d.entity_id, environment
LIMIT %(limit)s
"""
_BEFORE_ALL = ("", "00000000-0000-0000-0000-000000000000")


class Expected:
    """What one bucket should hold, by the database. Methods block, and raise what ``execute`` raises."""

    def __init__(
        self, execute: Execute, status: str, events: Sequence[str], value: Callable[[Sequence[Any]], bytes]
    ) -> None:
        self._execute = execute
        types = ", ".join(f"'{subjects.event_type('deployment', event)}'" for event in events)
        self._values_statement = _VALUES.format(status=status, types=types)
        self._places_statement = _PLACES.format(status=status)
        self._value = value

    def values(self, places: Collection[Place]) -> list[tuple[str, bytes | None]]:
        """For each place its key and the value, None for no such key."""
        found = self._execute(
            self._values_statement,
            environments=[environment for environment, _ in places],
            entities="{" + ",".join(entity_id for _, entity_id in places) + "}",
        )
        return [(subjects.active_key(row[0], row[1]), self._value(row) if row[2] else None) for row in found]

    def places(self, after: Place | None, limit: int) -> list[Place]:
        """Where there is a value: the next places behind one, in an order of their own."""
        environment, entity_id = after or _BEFORE_ALL
        found = self._execute(self._places_statement, entity=entity_id, environment=environment, limit=limit)
        return [(row[0], row[1]) for row in found]


def active(execute: Execute) -> Expected:
    """What the bucket of live configurations should hold."""
    return Expected(execute, "active", ("completed", "reactivated"), _active)


def deploying(execute: Execute) -> Expected:
    """What the bucket of what waits to be confirmed should hold."""
    return Expected(execute, "deploying", ("started",), _deploying)


def _active(row: Sequence[Any]) -> bytes:
    """A ``LiveConfiguration`` of the contract."""
    return orjson.dumps({**_members(row), "activated_at": timestamp(row[9])})


def _deploying(row: Sequence[Any]) -> bytes:
    """A ``PendingConfiguration`` of the contract."""
    return orjson.dumps({**_members(row), "started_at": timestamp(row[8]), "confirm_by": timestamp(row[10])})


def _members(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "deployment_id": row[2],
        "entity_id": row[1],
        "entity_name": row[3],
        "environment": row[0],
        "version": row[4],
        "config": orjson.Fragment(row[5]),
        "parameters": orjson.Fragment(row[6]),
        "sequence": str(row[7]),
    }
