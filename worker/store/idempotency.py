"""Stored outcomes: what a command with a key was answered, to be given again."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from worker.store.guards import guarded
from worker.store.transaction import Transaction

KEPT = timedelta(hours=24)
_REMOVED_AT_ONCE = 500


class OutcomeKey(NamedTuple):
    """What a key is scoped to: caller and operation."""

    caller: str
    operation: str
    key: str


class Outcome(NamedTuple):
    """An answer: the fingerprint of the request, the problem's code or None for success, and the body."""

    fingerprint: bytes
    code: str | None
    reply: bytes


_INSERT = """
INSERT INTO idempotency (caller, operation, key, fingerprint, code, reply, expires_at)
SELECT caller, operation, key, decode(fingerprint, 'hex'), code, reply, %(expires_at)s
FROM json_to_recordset(%(rows)s::json) AS r (
    caller text, operation text, key text, fingerprint text, code text, reply text)
ON CONFLICT (caller, operation, key) DO UPDATE
SET fingerprint = EXCLUDED.fingerprint, code = EXCLUDED.code, reply = EXCLUDED.reply,
    expires_at = EXCLUDED.expires_at
WHERE idempotency.expires_at <= %(now)s
RETURNING true AS stands
"""

# The time is looked at again for each row: a key may be taken anew between the finding and the removing.
# now() is stable, so an index serves it, and where nothing has expired nothing is read.
_REMOVE = """
DELETE FROM idempotency WHERE expires_at <= now() AND ctid = ANY(ARRAY(
    SELECT ctid FROM idempotency WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s
)) RETURNING 1
"""


def keep(transaction: Transaction, outcomes: Iterable[tuple[OutcomeKey, Outcome]], now: datetime) -> None:
    """Have first outcomes stored with the changes they speak of.

    Where one is not first, since somebody else stored one under its key meanwhile, the commit fails with
    ``GuardFailed``, and the batch is to be run again.
    """
    stored = [
        {
            "caller": key.caller,
            "operation": key.operation,
            "key": key.key,
            "fingerprint": outcome.fingerprint.hex(),
            "code": outcome.code,
            "reply": outcome.reply.decode(),
        }
        for key, outcome in outcomes
    ]
    if stored:
        guarded(transaction, _INSERT, stored, now=now, expires_at=now + KEPT)


def remove_expired(transaction: Transaction) -> int:
    """Remove some expired outcomes; how many, at most 500."""
    return len(transaction.execute(_REMOVE, {"limit": _REMOVED_AT_ONCE}))
