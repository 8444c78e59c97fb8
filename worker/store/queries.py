"""Reads: single records, and pages by cursor whose cost does not grow with the table."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from contracts import subjects
from contracts.problems import ProblemError
from contracts.values import timestamp
from worker.domain.facts import Deployment, Entity, Environment
from worker.store import rows
from worker.store.unit_of_work import Transaction

COUNTED = 10_000
"""Up to here a total is counted; beyond, it is the planner's estimate."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A page of a list; ``next_cursor`` makes the cursor that goes on behind an item of it."""

    items: list[T]
    more: bool
    total: int
    total_exact: bool
    cursor_after: Callable[[T], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which part of a list: its conditions by column, and a cursor or the number of a page."""

    conditions: Mapping[str, Any]
    page: int = 1
    page_size: int
    cursor: str | None = None


def deployment(transaction: Transaction, deployment_id: UUID) -> Deployment | None:
    """A deployment by its id."""
    found = transaction.execute(
        f"SELECT {rows.DEPLOYMENT_COLUMNS} FROM deployments d WHERE deployment_id = %(id)s::uuid",  # noqa: S608
        {"id": str(deployment_id)},
    )
    return rows.deployment(found[0]) if found else None


def entity(transaction: Transaction, entity_id: UUID) -> Entity | None:
    """An entity by its id, unless it is deleted."""
    found = transaction.execute(
        f"SELECT {rows.ENTITY_COLUMNS} FROM entities "  # noqa: S608
        "WHERE entity_id = %(id)s::uuid AND deleted_at IS NULL",
        {"id": str(entity_id)},
    )
    return rows.entity(found[0]) if found else None


def environments(transaction: Transaction) -> list[Environment]:
    """All environments, in their order."""
    found = transaction.execute("SELECT to_json(e) FROM environments e ORDER BY position")
    return [rows.environment(row[0]) for row in found]


def deployments(transaction: Transaction, which: Which) -> Page[Deployment]:
    """Deployments, newest first."""
    return _page(
        transaction,
        which,
        source="deployments d",
        columns=rows.DEPLOYMENT_COLUMNS,
        order=("d.deployed_at", "d.deployment_id"),
        record=rows.deployment,
        position=lambda item: (item.deployed_at, item.deployment_id),
    )


def entities(transaction: Transaction, which: Which) -> Page[Entity]:
    """Entities that are not deleted, newest first."""
    return _page(
        transaction,
        which,
        source="entities",
        columns=rows.ENTITY_COLUMNS,
        order=("created_at", "entity_id"),
        record=rows.entity,
        position=lambda item: (item.created_at, item.entity_id),
        always="deleted_at IS NULL",
    )


def history(
    transaction: Transaction, subject: str, page_size: int, cursor: str | None
) -> Page[tuple[int, str]]:
    """A deployment's events as ``(sequence, CloudEvent)``, oldest first."""
    after = 0
    if cursor is not None:
        try:
            after = int(_decoded(cursor))
        except ValueError:
            raise _no_cursor() from None
    found = transaction.execute(
        "SELECT sequence, body FROM events WHERE subject = %(subject)s AND sequence > %(after)s "
        "ORDER BY sequence LIMIT %(limit)s",
        {"subject": subject, "after": min(after, 2**62), "limit": page_size + 1},
    )
    ((total,),) = transaction.execute(
        "SELECT count(*) FROM (SELECT 1 FROM events WHERE subject = %(subject)s LIMIT %(counted)s) counted",
        {"subject": subject, "counted": COUNTED},
    )
    return Page(
        items=[(sequence, body) for sequence, body in found[:page_size]],
        more=len(found) > page_size,
        total=total,
        total_exact=total < COUNTED,
        cursor_after=lambda item: _encoded(str(item[0])),
    )


def rejected(transaction: Transaction, command_ids: list[str]) -> set[str]:
    """Those of the durable commands whose refusal is in the event log."""
    found = transaction.execute(
        "SELECT subject FROM events WHERE subject = ANY(%(ids)s::text[]) AND type = %(type)s",
        {"ids": command_ids, "type": subjects.event_type("deployment", "rejected")},
    )
    return {row[0] for row in found}


def _page(
    transaction: Transaction,
    which: Which,
    *,
    source: str,
    columns: str,
    order: tuple[str, str],
    record: Callable[[rows.Row], T],
    position: Callable[[T], tuple[datetime, UUID]],
    always: str = "true",
) -> Page[T]:
    conditions = [always]
    parameters: dict[str, Any] = {}
    for column, value in which.conditions.items():
        if value is not None:
            parameters[column] = str(value)
            conditions.append(_CONDITIONS[column])
    total, exact = _total(transaction, source, " AND ".join(conditions), parameters)
    parameters["limit"] = which.page_size + 1
    parameters["offset"] = 0
    if which.cursor is not None:
        parameters["at"], parameters["id"] = _position(which.cursor)
        conditions.append(f"({order[0]}, {order[1]}) < (%(at)s::timestamptz, %(id)s::uuid)")
    else:
        parameters["offset"] = (which.page - 1) * which.page_size
    found: list[Any] = []
    if not exact or parameters["offset"] < total:
        found = transaction.execute(
            f"SELECT {columns} FROM {source} WHERE {' AND '.join(conditions)} "  # noqa: S608 - values are parameters
            f"ORDER BY {order[0]} DESC, {order[1]} DESC LIMIT %(limit)s OFFSET %(offset)s",
            parameters,
        )
    return Page(
        items=[record(row) for row in found[: which.page_size]],
        more=len(found) > which.page_size,
        total=total,
        total_exact=exact,
        cursor_after=lambda item: _encoded(f"{timestamp(position(item)[0])} {position(item)[1]}"),
    )


_CONDITIONS = {
    "entity_id": "entity_id = %(entity_id)s::uuid",
    "environment": "environment = %(environment)s",
    "status": "status = %(status)s",
    "type": "type = %(type)s",
    "name": "name = %(name)s",
    "active_in": "entity_id IN (SELECT a.entity_id FROM deployments a "
    "WHERE a.environment = %(active_in)s AND a.status = 'active')",
}


def _total(
    transaction: Transaction, source: str, condition: str, parameters: dict[str, Any]
) -> tuple[int, bool]:
    """How many there are, and whether that is counted or the planner's estimate."""
    ((counted,),) = transaction.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {condition} LIMIT {COUNTED + 1}) counted",  # noqa: S608
        parameters,
    )
    if counted <= COUNTED:
        return counted, True
    ((plan,),) = transaction.execute(
        f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {source} WHERE {condition}",  # noqa: S608
        parameters,
    )
    return max(counted, int(plan[0]["Plan"]["Plan Rows"])), False


def _encoded(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _no_cursor() from None


def _position(cursor: str) -> tuple[str, str]:
    at, _, identifier = _decoded(cursor).partition(" ")
    try:
        return datetime.fromisoformat(at).isoformat(), str(UUID(identifier))
    except ValueError:
        raise _no_cursor() from None


def _no_cursor() -> ProblemError:
    return ProblemError.invalid(("cursor", "is no cursor that a page of this list gave"))
