"""The outbox: which events wait to be published, in the order they must stand in the stream."""

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from worker.domain.changes import WaitingEvent
from worker.store import live, unit_of_work
from worker.store.recent import RecentEvents
from worker.store.transaction import Transaction
from worker.store.unit_of_work import DatabaseUnavailable

_LEADER_LOCK = 7_236_501_945
_IDLE_LIMIT = "SET idle_session_timeout = '10s'"

# Few rows at a time, so that those who are behind do not read the same ids again and again.
_WAITED = "extract(epoch FROM clock_timestamp() - created_at)::float8"
_NAMED = f"SELECT outbox_id, event_ids::text[], {_WAITED} FROM outbox ORDER BY outbox_id LIMIT 100"  # noqa: S608 - made of constants

# Rows are numbered under the entity's lock, so an entity's events stand in the order of their sequence, and
# whatever is visible of them has no gap.
_WAITING = f"""
SELECT outbox_id, left_behind, event_id::text, nats_subject, body, {_WAITED} FROM (
    SELECT o.outbox_id, cardinality(o.event_ids) - position AS left_behind, o.created_at, e.event_id,
        e.nats_subject, e.body, row_number() OVER reading AS number,
        sum(octet_length(e.body)) OVER reading AS size
    FROM (SELECT outbox_id, event_ids, created_at FROM outbox ORDER BY outbox_id LIMIT %(events)s) o
    CROSS JOIN LATERAL unnest(o.event_ids) WITH ORDINALITY AS named (event_id, position)
    JOIN events e ON e.event_id = named.event_id
    WINDOW reading AS (ORDER BY o.outbox_id, position)
) waiting
WHERE number <= %(events)s AND (size <= %(bytes)s OR number = 1)
ORDER BY number
"""  # noqa: S608 - made of constants
_DELETE = "DELETE FROM outbox WHERE outbox_id = ANY(%(ids)s)"
_SHORTEN = """
UPDATE outbox SET event_ids = event_ids[cardinality(event_ids) - %(left)s + 1 :] WHERE outbox_id = %(id)s
"""
_LEAVE = "UPDATE outbox SET event_ids = %(left)s::text[]::uuid[] WHERE outbox_id = %(id)s"

# A batch in doubt, at most 1,000 rows, stood first when it was read. In front of it come no more rows than
# were being written then, one a connection.
_FIRST = "SELECT outbox_id, event_ids::text[] FROM outbox ORDER BY outbox_id LIMIT 2000"
_DEPTH = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
FROM (SELECT created_at FROM outbox ORDER BY outbox_id LIMIT 10000) o
"""


class Outbox:
    """The relay's own connection. It leads while this connection holds the advisory lock.

    A leader that is stopped for longer than 10 s loses its connection, and with it the lead. What ``recent``
    holds is not read from the log. ``active`` and ``deploying`` say what the buckets should hold. Methods
    block, and raise ``DatabaseUnavailable``.
    """

    def __init__(self, engine: Engine, recent: RecentEvents | None = None) -> None:
        self._recent = recent or RecentEvents()
        try:
            self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        except DBAPIError as error:
            raise DatabaseUnavailable("PostgreSQL cannot be reached") from error
        self._statements = Transaction(self._connection)
        self.active, self.deploying = live.active(self._execute), live.deploying(self._execute)

    def try_to_lead(self) -> bool:
        """Whether the lead is this one's."""
        self._statements.execute(_IDLE_LIMIT)
        ((leads,),) = self._execute("SELECT pg_try_advisory_lock(%(lock)s)", lock=_LEADER_LOCK)
        return bool(leads)

    def waiting(self, *, events: int, size: int) -> list[WaitingEvent]:
        """The next events, at most so many and so many bytes, but one at least if one waits."""
        named = self._execute(_NAMED)
        if not named:
            return []
        return self._known(named, events, size) or [
            WaitingEvent(outbox_id, left_behind, event_id, nats_subject, body.encode(), waited)
            for outbox_id, left_behind, event_id, nats_subject, body, waited in self._execute(
                _WAITING, events=events, bytes=size
            )
        ]

    def _known(
        self, named: Sequence[tuple[int, list[str], float]], events: int, size: int
    ) -> list[WaitingEvent]:
        """The next events up to the first that is not known here."""
        known: list[WaitingEvent] = []
        for outbox_id, event_ids, waited in named:
            for left_behind, event_id in zip(reversed(range(len(event_ids))), event_ids, strict=True):
                event = self._recent.get(event_id)
                if event is None or len(known) == events:
                    return known
                size -= len(event.body)
                if size < 0 and known:
                    return known
                known.append(
                    WaitingEvent(outbox_id, left_behind, event_id, event.nats_subject, event.body, waited)
                )
        return known

    def settle(self, published: Sequence[WaitingEvent]) -> None:
        """Forget events, the first ones of those waiting: they are in the stream."""
        whole: list[int] = []
        for outbox_id, events in groupby(published, key=lambda event: event.outbox_id):
            *_, last = events
            if last.left_behind:
                self._execute(_SHORTEN, id=outbox_id, left=last.left_behind)
            else:
                whole.append(outbox_id)
        if whole:
            self._execute(_DELETE, ids=whole)
        self._recent.forget(event.event_id for event in published)

    def settle_stored(self, event_ids: Collection[str]) -> None:
        """Forget these, wherever they wait among the rows that come next: they are in the stream.

        What waits is read from the database alone: this process may know a part of it only.
        """
        whole: list[int] = []
        for outbox_id, waiting in self._execute(_FIRST):
            left = [event_id for event_id in waiting if event_id not in event_ids]
            if not left:
                whole.append(outbox_id)
            elif len(left) < len(waiting):
                self._execute(_LEAVE, id=outbox_id, left=left)
        if whole:
            self._execute(_DELETE, ids=whole)
        self._recent.forget(event_ids)

    def close(self) -> None:
        """Give the lead back."""
        self._connection.invalidate()
        self._connection.close()

    def _execute(self, statement: str, **parameters: Any) -> list[Any]:
        try:
            with unit_of_work.watched(self._connection):
                return self._statements.prepared(statement, parameters)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable("the relay's connection is gone") from error
            raise


def try_to_lead_within(connection: Connection) -> bool:
    """Whether the lead is this transaction's until it ends: no relay leads meanwhile."""
    statement = "SELECT pg_try_advisory_xact_lock(%(lock)s)"
    return bool(connection.exec_driver_sql(statement, {"lock": _LEADER_LOCK}).scalar_one())


def rows(transaction: Transaction) -> int:
    """How many transactions wait to be announced, all of them counted."""
    ((waiting,),) = transaction.execute("SELECT count(*) FROM outbox")
    return int(waiting)


def depth(transaction: Transaction) -> tuple[int, float]:
    """How many transactions wait to be announced (counted up to 10,000), and the oldest's age in seconds."""
    ((waiting, age),) = transaction.execute(_DEPTH)
    return waiting, age
