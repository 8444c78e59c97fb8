"""The database's side of an audit: all of one snapshot, in chunks, in the order that the rules ask for."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from worker.domain.audit import STATUS_AFTER, Announced, LastTransition, Numbered, Place, Waiting
from worker.store.stream_copy import EVENT_DIGEST, TABLE, StoredMessage, StreamCopy
from worker.store.transaction import Transaction

_CHUNK = 2000

_PLACES = """
SELECT d.entity_id::text, environment, status, deployment_id::text FROM deployments d
WHERE status IN ('active', 'deploying')
ORDER BY d.entity_id, environment, status, activated_at
"""
# A refusal's subject is its command's id and may be any text: it tells of no deployment.
_TRANSITIONS = """
SELECT d.deployment_id::text, d.status, last.type
FROM deployments d LEFT JOIN LATERAL (
    SELECT type FROM events
    WHERE subject = d.deployment_id::text AND type = ANY(%(transitions)s::text[])
    ORDER BY sequence DESC
    LIMIT 1
) last ON true
UNION ALL
SELECT e.subject, NULL, max(e.type) FROM events e
WHERE type = ANY(%(transitions)s::text[])
    AND NOT EXISTS (SELECT 1 FROM deployments WHERE deployment_id::text = e.subject)
GROUP BY e.subject
"""
_SEQUENCES = """
SELECT coalesce(e.entity_id, v.entity_id)::text, e.event_sequence, v.sequence
FROM entities e FULL JOIN (SELECT entity_id, sequence FROM events WHERE sequence IS NOT NULL) v
    ON v.entity_id = e.entity_id
ORDER BY coalesce(e.entity_id, v.entity_id), v.sequence
"""
# The digests are made before the join (OFFSET 0), which then need not carry the bodies.
_ANNOUNCED = f"""
SELECT e.entity_id::text, e.sequence, coalesce(e.event_id, m.event_id)::text, m.position,
    coalesce(m.digest = e.digest, false), e.event_id IS NOT NULL, w.event_id IS NOT NULL,
    coalesce(e.created_at < %(kept_since)s, false)
FROM (
    SELECT event_id, entity_id, sequence, created_at, {EVENT_DIGEST} AS digest FROM events OFFSET 0
) e
FULL JOIN {TABLE} m ON m.event_id = e.event_id
LEFT JOIN (SELECT DISTINCT unnest(event_ids) AS event_id FROM outbox) w ON w.event_id = e.event_id
ORDER BY e.event_id IS NULL, e.entity_id, e.sequence, e.event_id, m.position
"""  # noqa: S608 - made of constants
_UNKNOWN_IN_OUTBOX = """
SELECT outbox_id, named.event_id::text FROM outbox
CROSS JOIN LATERAL unnest(event_ids) AS named (event_id)
WHERE NOT EXISTS (SELECT 1 FROM events WHERE event_id = named.event_id)
ORDER BY outbox_id
"""
_WAITING = """
SELECT min(outbox_id), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8, count(*)
FROM outbox
"""
_COUNTS = """
SELECT (SELECT count(*) FROM entities), (SELECT count(*) FROM deployments), (SELECT count(*) FROM events)
"""


class Audit:
    """A connection of its own for an audit; methods block.

    First the stream's messages are kept, as many as there are. ``begin`` then takes the snapshot that all
    further answers are of, so it is not held while the stream is read; ``close`` lets it go.
    """

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._transaction = Transaction(self._connection)
        self._copy = StreamCopy(self._transaction)

    def keep(self, messages: Sequence[StoredMessage]) -> None:
        """Take in messages of the stream."""
        self._copy.keep(messages)

    def begin(self) -> datetime:
        """Take the snapshot; the database's time just before."""
        self._transaction.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        # A cursor is planned for its first rows unless told otherwise; these are read to the end.
        self._transaction.execute("SET LOCAL cursor_tuple_fraction = 1")
        self._transaction.execute("SET LOCAL work_mem = '64MB'")
        ((now,),) = self._transaction.execute("SELECT clock_timestamp()")
        assert isinstance(now, datetime)
        return now

    def close(self) -> None:
        """Let the snapshot go, and the copy of the stream."""
        self._connection.invalidate()
        self._connection.close()

    def counts(self) -> tuple[int, int, int]:
        """How many entities, deployments and events there are."""
        ((entities, deployments, events),) = self._transaction.execute(_COUNTS)
        return entities, deployments, events

    def places(self) -> Iterator[Place]:
        """What is active or deploying, by place."""
        return (Place(*row) for row in self._rows(_PLACES))

    def last_transitions(self) -> Iterator[LastTransition]:
        """Every deployment with the last event that changed it, and such events without a deployment."""
        return (LastTransition(*row) for row in self._rows(_TRANSITIONS, {"transitions": list(STATUS_AFTER)}))

    def numbered(self) -> Iterator[Numbered]:
        """Every entity's counter with the numbers of its events."""
        return (Numbered(*row) for row in self._rows(_SEQUENCES))

    def announced(self, kept_since: datetime) -> Iterator[Announced]:
        """Events beside their messages; those from before ``kept_since`` count as expired."""
        self._copy.ready()
        return (Announced(*row) for row in self._rows(_ANNOUNCED, {"kept_since": kept_since}))

    def unknown_in_outbox(self) -> Iterator[tuple[int, str]]:
        """Rows of the outbox and the events they name that are not in the table."""
        return ((outbox_id, event_id) for outbox_id, event_id in self._rows(_UNKNOWN_IN_OUTBOX))

    def _rows(self, statement: str, parameters: dict[str, Any] | None = None) -> Iterator[Any]:
        self._transaction.execute(f"DECLARE audited NO SCROLL CURSOR FOR {statement}", parameters)
        while rows := self._transaction.execute(f"FETCH {_CHUNK} FROM audited"):
            yield from rows
        self._transaction.execute("CLOSE audited")


def waiting(transaction: Transaction) -> Waiting:
    """The outbox as it is now."""
    ((oldest_id, age, rows),) = transaction.execute(_WAITING)
    return Waiting(oldest_id, age, rows)
