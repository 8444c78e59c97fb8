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
from worker.domain.facts import Deployment, Entity, Environment
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
    return _page(
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
    return _page(
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


def _asked(
    transaction: Transaction, which: Which, statement: str
) -> tuple[list[Sequence[Any]], tuple[int | None, int | None]]:
    """The rows of a list, one more than the page has if there are more, and its total: exact or estimated."""
    parameters = {column: str(value) for column, value in which.conditions.items() if value is not None}
    bounds: dict[str, Any] = {"limit": which.page_size + 1, "offset": 0}
    if which.cursor is not None:
        bounds["at"], bounds["id"] = _position(which.cursor)
    else:
        bounds["offset"] = (which.page - 1) * which.page_size
    found = transaction.execute(statement, {**parameters, **bounds})
    exact, estimate, *_ = found[0]
    return [row[2:] for row in found if row[2] is not None], (exact, estimate)


def _page(
    items: list[T],
    which: Which,
    total: tuple[int | None, int | None],
    *,
    at_least: int,
    position: Callable[[T], tuple[datetime, Id]],
) -> Page[T]:
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


def _position(cursor: str) -> tuple[str, str]:
    at, _, identifier = _decoded(cursor).partition(" ")
    try:
        return datetime.fromisoformat(at).isoformat(), str(UUID(identifier))
    except ValueError:
        raise _no_cursor() from None


def _no_cursor() -> ProblemError:
    return ProblemError.invalid(("cursor", "is no cursor that a page of this list gave"))
