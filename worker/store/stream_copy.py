"""What the stream holds, copied for a while to where the tables are, so that sets are compared and not lists.

A temporary table of one connection: it is on the server's disk, and gone with the connection.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from worker.store.transaction import Transaction

TABLE = "stream_copy"

_CREATE = f"CREATE TEMPORARY TABLE {TABLE} (position bigint, event_id uuid, digest bytea)"
_INSERT = f"""
INSERT INTO {TABLE}
SELECT position, event_id, decode(digest, 'hex')
FROM unnest(%(positions)s::bigint[], %(event_ids)s::text[]::uuid[], %(digests)s::text[])
    AS message (position, event_id, digest)
"""  # noqa: S608 - made of constants
_INDEX = f"CREATE INDEX ON {TABLE} (event_id)"
_ANALYZE = f"ANALYZE {TABLE}"

# What an append could not bring into order: a message of no event here, of one that says something else, of
# one that came before, or after a later one of its entity; and one of an event that follows another of its
# entity which the stream lacks.
_STRANGERS = f"""
SELECT count(*) FROM {TABLE} m WHERE NOT EXISTS (SELECT 1 FROM events WHERE event_id = m.event_id)
"""  # noqa: S608 - made of constants
_DISPLACED = f"""
SELECT count(*) FROM events missing
JOIN (
    SELECT e.entity_id, max(e.sequence) AS sequence
    FROM events e JOIN {TABLE} m ON m.event_id = e.event_id
    WHERE e.sequence IS NOT NULL
    GROUP BY e.entity_id
) last ON last.entity_id = missing.entity_id AND missing.sequence < last.sequence
WHERE missing.created_at >= %(since)s
    AND NOT EXISTS (SELECT 1 FROM {TABLE} m WHERE m.event_id = missing.event_id)
"""  # noqa: S608 - made of constants

_ALTERED = f"""
SELECT count(*) FROM {TABLE} m JOIN events e USING (event_id) WHERE m.digest <> {{digest}}
"""  # noqa: S608 - made of constants
_DOUBLED = f"SELECT count(event_id) - count(DISTINCT event_id) FROM {TABLE}"  # noqa: S608 - made of constants
_DISORDERED = f"""
SELECT count(*) FROM (
    SELECT m.position < lag(m.position) OVER (PARTITION BY e.entity_id ORDER BY e.sequence) AS is_behind
    FROM {TABLE} m JOIN events e USING (event_id)
    WHERE e.sequence IS NOT NULL
) followed
WHERE is_behind
"""  # noqa: S608 - made of constants

# A row for each event, since the relay reads so many rows at once. The order is that of the log as far as
# times tell, and each entity's sequence in any case.
_ENQUEUE = f"""
INSERT INTO outbox (event_ids, created_at)
SELECT ARRAY[event_id], clock_timestamp()
FROM (
    SELECT event_id, entity_id, sequence, created_at, CASE
        WHEN sequence IS NULL THEN created_at
        ELSE max(created_at) OVER (PARTITION BY entity_id ORDER BY sequence)
    END AS at
    FROM events
) e
WHERE created_at >= %(since)s AND NOT EXISTS (SELECT 1 FROM {TABLE} m WHERE m.event_id = e.event_id)
ORDER BY at, entity_id, sequence, event_id
"""  # noqa: S608 - made of constants
_DEPTH = "SELECT count(*) FROM outbox"


class StoredMessage(NamedTuple):
    """A message of the stream: its position, its event's id where it tells one, and its digest in hex.

    The digest is SHA-256 over the header ``Nats-Msg-Id``, the subject and the body, a line break between.
    """

    position: int
    event_id: str | None
    digest: str


EVENT_DIGEST = "sha256(convert_to(concat_ws(E'\\n', event_id::text, nats_subject, body), 'UTF8'))"
"""In SQL, the digest that an event's message has."""


class StreamCopy:
    """The copy. Methods block; ``ready`` comes before the questions."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        transaction.execute(_CREATE)

    def keep(self, messages: Sequence[StoredMessage]) -> None:
        """Take in some messages."""
        positions, event_ids, digests = zip(*messages, strict=True)
        self._transaction.execute(
            _INSERT, {"positions": list(positions), "event_ids": list(event_ids), "digests": list(digests)}
        )

    def ready(self) -> None:
        """Let the planner know what has been taken in."""
        self._transaction.execute(_INDEX)
        self._transaction.execute(_ANALYZE)

    def now(self) -> datetime:
        """The database's time."""
        ((now,),) = self._transaction.execute("SELECT clock_timestamp()")
        assert isinstance(now, datetime)
        return now

    def forget(self) -> None:
        """Let go of all of it, as if the stream were empty."""
        self._transaction.execute(f"TRUNCATE {TABLE}")

    def contradictions(self, since: datetime) -> int:
        """How many messages stand in the way of appending what the stream lacks of the time since."""
        given = {"since": since}
        counted = (_STRANGERS, _ALTERED.format(digest=EVENT_DIGEST), _DOUBLED, _DISORDERED, _DISPLACED)
        return sum(int(count) for each in counted for ((count,),) in [self._transaction.execute(each, given)])

    def enqueue_missing(self, since: datetime) -> int:
        """Have the relay publish what the stream lacks of the time since; how many events that is.

        The outbox must be empty before.
        """
        self._transaction.execute(_ENQUEUE, {"since": since})
        ((enqueued,),) = self._transaction.execute(_DEPTH)
        return int(enqueued)
