"""The state of the parts, as far as this worker can see: answered even while the database is away."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from worker.store import outbox, schema, unit_of_work
from worker.store.transaction import Transaction
from worker.store.unit_of_work import DatabaseUnavailable, Session

_BEHIND_SECONDS = 10.0

Figures = Callable[[], Mapping[str, Any]]


def status(session: Session, *, nats: Figures, worker: Figures, relay: Figures) -> bytes:
    """A ``Status`` of the contract."""
    database, waiting = _database(session)
    return orjson.dumps(
        {"nats": nats(), "database": database, "worker": worker(), "outbox": {**waiting, **relay()}}
    )


def _database(session: Session) -> tuple[dict[str, Any], dict[str, Any]]:
    asked = time.monotonic()

    def look(transaction: Transaction) -> tuple[dict[str, Any], dict[str, Any]]:
        ((server,),) = transaction.execute("SHOW server_version")
        answered = time.monotonic()
        count, age = outbox.depth(transaction)
        database = {
            "status": "up",
            "server_version": server.split()[0],
            "schema_revision": schema.current(transaction.connection),
            "answered_in_ms": round((answered - asked) * 1000, 3),
        }
        state = "degraded" if age > _BEHIND_SECONDS else "up"
        return database, {"status": state, "waiting": count, "oldest_seconds": round(age, 3)}

    try:
        return unit_of_work.read(session, look)
    except DatabaseUnavailable:
        return {"status": "down"}, {"status": "unknown"}
