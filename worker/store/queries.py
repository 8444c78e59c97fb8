"""Reads: single records, and pages by cursor whose cost does not grow with the table."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from contracts import subjects
from contracts.ids import Id
from contracts.problems import ProblemError
from contracts.values import timestamp
from worker.domain.facts import Deployment, Entity, Environment, Quarantine
from worker.store import lists, rows
from worker.store.transaction import Transaction

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


def deployment(transaction: Transaction, deployment_id: Id) -> Deployment | None:
    """A deployment by its id."""
    found = transaction.execute(
        f"SELECT {rows.DEPLOYMENT_COLUMNS} FROM deployments d WHERE deployment_id = %(id)s::uuid",  # noqa: S608
        {"id": str(deployment_id)},
    )
    return rows.deployment(found[0]) if found else None


def entity(transaction: Transaction, entity_id: Id) -> Entity | None:
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
    walk = lists.deployments(which.conditions)
    found, total = _asked(
        transaction, which, lists.statement(walk, rows.DEPLOYMENT_COLUMNS, after=which.cursor is not None)
    )
    return page_of(
        [rows.deployment(row) for row in found],
        which,
        total,
        at_least=walk.counted + 1,
        position=lambda item: (item.deployed_at, item.deployment_id),
    )


def entities(transaction: Transaction, which: Which) -> Page[Entity]:
    """Entities that are not deleted, newest first; ``active_in`` is an environment."""
    walk = lists.entities(which.conditions)
    make = lists.statement_of_active if which.conditions.get("active_in") else lists.statement
    found, total = _asked(transaction, which, make(walk, rows.ENTITY_COLUMNS, after=which.cursor is not None))
    return page_of(
        [rows.entity(row) for row in found],
        which,
        total,
        at_least=walk.counted + 1,
        position=lambda item: (item.created_at, item.entity_id),
    )


_HISTORY = f"""
WITH total AS MATERIALIZED (
    SELECT count(*) AS total FROM (
        SELECT 1 FROM events WHERE subject = %(subject)s ORDER BY sequence LIMIT {lists.COUNTED_OF_ONE + 1}
    ) counted
), page AS (
    SELECT sequence, body FROM events WHERE subject = %(subject)s AND sequence > %(after)s
    ORDER BY sequence LIMIT %(limit)s
)
SELECT total, sequence, body FROM total LEFT JOIN page ON true ORDER BY sequence
"""  # noqa: S608 - made of constants


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
        _HISTORY, {"subject": subject, "after": min(after, 2**62), "limit": page_size + 1}
    )
    total = found[0][0]
    events = [(sequence, body) for _, sequence, body in found if sequence is not None]
    return Page(
        items=events[:page_size],
        more=len(events) > page_size,
        total=total,
        total_exact=total <= lists.COUNTED_OF_ONE,
        cursor_after=lambda item: _encoded(str(item[0])),
    )


def rejected(transaction: Transaction, command_ids: list[str]) -> set[str]:
    """Those of the durable commands whose refusal is in the event log."""
    found = transaction.execute(
        "SELECT subject FROM events WHERE subject = ANY(%(ids)s::text[]) AND type = %(type)s",
        {"ids": command_ids, "type": subjects.event_type("deployment", "rejected")},
    )
    return {row[0] for row in found}


_QUARANTINED = f"""
WITH found AS MATERIALIZED (
    SELECT * FROM quarantine q WHERE (q.lifted_at IS NULL) = %(in_force)s
        AND (%(entity_id)s::uuid IS NULL OR q.entity_id = %(entity_id)s::uuid)
        AND (%(environment)s::text IS NULL OR q.environment = %(environment)s::text)
), page AS (
    SELECT * FROM found WHERE (since, quarantine_id) < (%(at)s::timestamptz, %(id)s::uuid)
    ORDER BY since DESC, quarantine_id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT total, {rows.QUARANTINE_COLUMNS} FROM (SELECT count(*) AS total FROM found) counted
LEFT JOIN page q ON true ORDER BY q.since DESC, q.quarantine_id DESC
"""  # noqa: S608 - made of constants


def quarantined(transaction: Transaction, which: Which) -> Page[Quarantine]:
    """What is in quarantine, or was, newest first; by ``in_force``, ``entity_id`` and ``environment``."""
    found = transaction.execute(_QUARANTINED, {**which.conditions, **bounds(which)})
    return page_of(
        [rows.quarantine(row) for _, *row in found if row[0] is not None],
        which,
        (found[0][0], None),
        at_least=0,
        position=lambda item: (item.since, item.quarantine_id),
    )


def bounds(which: Which) -> dict[str, Any]:
    """The parameters of a page: behind which position, how many passed over, and one more than it holds."""
    at, identifier = ("infinity", _LAST_ID) if which.cursor is None else position_of(which.cursor)
    offset = 0 if which.cursor is not None else (which.page - 1) * which.page_size
    return {"at": at, "id": identifier, "limit": which.page_size + 1, "offset": offset}


_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def _asked(
    transaction: Transaction, which: Which, statement: str
) -> tuple[list[Sequence[Any]], tuple[int | None, int | None]]:
    """The rows of a list, one more than the page has if there are more, and its total: exact or estimated."""
    parameters = {column: str(value) for column, value in which.conditions.items() if value is not None}
    bounds: dict[str, Any] = {"limit": which.page_size + 1, "offset": 0}
    if which.cursor is not None:
        bounds["at"], bounds["id"] = position_of(which.cursor)
    else:
        bounds["offset"] = (which.page - 1) * which.page_size
    found = transaction.execute(statement, {**parameters, **bounds})
    exact, estimate, *_ = found[0]
    return [row[2:] for row in found if row[2] is not None], (exact, estimate)


def page_of(
    items: list[T],
    which: Which,
    total: tuple[int | None, int | None],
    *,
    at_least: int,
    position: Callable[[T], tuple[datetime, Id]],
) -> Page[T]:
    """A page of the items, one more of which there is if there are more; ``total`` is exact or estimated."""
    exact, estimate = total
    return Page(
        items=items[: which.page_size],
        more=len(items) > which.page_size,
        total=max(at_least, int(estimate or 0)) if exact is None else int(exact),
        total_exact=exact is not None,
        cursor_after=lambda item: _encoded(f"{timestamp(position(item)[0])} {position(item)[1]}"),
    )


def _encoded(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _no_cursor() from None


def position_of(cursor: str) -> tuple[str, str]:
    """The time and the id that a cursor goes on behind. Raises ``ProblemError`` where it is none."""
    at, _, identifier = _decoded(cursor).partition(" ")
    try:
        return datetime.fromisoformat(at).isoformat(), str(UUID(identifier))
    except ValueError:
        raise _no_cursor() from None


def _no_cursor() -> ProblemError:
    return ProblemError.invalid(("cursor", "is no cursor that a page of this list gave"))
