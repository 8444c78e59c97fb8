"""The way back from a backup: the tables, then the stream and the live state, which follow from them."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error as NatsError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from contracts import subjects
from worker.entrypoints.upkeep.live import rebuild
from worker.entrypoints.upkeep.servers import Progress, Refusal, in_thread, keyed_engine, patient_engine
from worker.messaging import audit as stream
from worker.messaging import refill, streams
from worker.messaging.relay import Relay
from worker.settings import Settings
from worker.store import outbox, unit_of_work
from worker.store import restore as tables
from worker.store.backup_file import BackupReader, Manifest
from worker.store.outbox import Outbox
from worker.store.stream_copy import StoredMessage, StreamCopy
from worker.store.transaction import Transaction
from worker.store.unit_of_work import transaction

_STANDSTILL = 30.0
_PURGE = 120.0
_LOOK_AGAIN = 0.1
_FOREVER = timedelta(days=365_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done: the backup, whether the stream was emptied, events published again, keys there now."""

    manifest: Manifest
    stream_emptied: bool
    published: int
    keys: int


async def restore(
    settings: Settings, client: Client, path: Path, *, replace: bool, progress: Progress
) -> Restored:
    """Load a backup; then publish what the stream lacks of it, and make the live state agree.

    Workers must be stopped. What the relay is to publish is written in the same transaction as the tables:
    whatever happens after it, the next worker goes on with it. Raises ``Refusal``, ``BackupUnusable``, what
    the servers raise, and ``OSError``.
    """
    engine = patient_engine(settings)
    try:
        with BackupReader(path) as reader:
            await in_thread(lambda: reader.verify(partial(_say, progress, "bytes read of")))
            await streams.ensure(
                client.jetstream(), max_age_days=settings.events_max_age_days, replicas=settings.replicas
            )
            emptied = False
            try:
                with transaction(engine) as connection:
                    await in_thread(lambda: _load(connection, reader, replace=replace, progress=progress))
                    emptied, waiting = await _enqueue(client, connection, replace=replace, progress=progress)
                    if emptied:  # last, so that a failure before leaves everything as it was
                        await refill.empty(client.jetstream(timeout=_PURGE))
            except (NatsError, TimeoutError, DBAPIError) as fault:
                if not emptied:
                    raise
                raise Refusal(
                    "the database is as it was, but the stream may be empty by now"
                    f" ({type(fault).__name__}): run this restore again before any worker starts"
                ) from fault
        await _publish(settings, client, engine, waiting, progress)
    finally:
        engine.dispose()
    live = await rebuild(settings, client, progress)
    return Restored(manifest=reader.manifest, stream_emptied=emptied, published=waiting, keys=live.looked_at)


def _say(progress: Progress, doing: str, table: str, done: int, of: int | None) -> None:
    progress(f"{doing} {table}", done, of)


def _load(connection: Connection, reader: BackupReader, *, replace: bool, progress: Progress) -> None:
    try:
        tables.load(connection, reader, replace=replace, advance=partial(_say, progress, "bytes loaded of"))
    except tables.WorkersRunning:
        raise Refusal("a worker is running: stop all workers, and do it again") from None
    except tables.NotEmpty:
        raise Refusal(
            "the database holds data: choose an empty one, or replace all of it by --force"
        ) from None


async def _enqueue(
    client: Client, connection: Connection, *, replace: bool, progress: Progress
) -> tuple[bool, int]:
    """Write down what the stream lacks; whether it has to be emptied, and how many events wait."""
    extent = await stream.extent(client, subjects.EVENTS_STREAM)
    copy = await in_thread(lambda: StreamCopy(Transaction(connection)))
    kept = 0
    messages = stream.StoredMessages(client, subjects.EVENTS_STREAM, first=extent.first, last=extent.last)
    async for chunk in messages.chunks():
        some = [StoredMessage(*stream.identity(message)) for message in chunk]
        await in_thread(lambda: copy.keep(some))  # noqa: B023 - awaited at once
        kept += len(some)
        progress("messages of the stream", kept, extent.last - extent.first + 1)
    await in_thread(copy.ready)
    since = await in_thread(lambda: copy.now() - (extent.max_age or _FOREVER))
    against = await in_thread(lambda: copy.contradictions(since))
    if against and not replace:
        raise Refusal(
            f"the stream {subjects.EVENTS_STREAM} holds what this backup does not lead to ({against} messages"
            ", such as newer ones): --force empties the stream and fills it from the backup"
        )
    if against:
        await in_thread(copy.forget)
    return bool(against), await in_thread(lambda: copy.enqueue_missing(since))


async def _publish(
    settings: Settings, client: Client, engine: Engine, waiting: int, progress: Progress
) -> None:
    """Have a relay publish what waits; one of a worker that has started meanwhile would do as well."""
    if not waiting:
        return
    keyed = keyed_engine(settings)
    relay = Relay(client, lambda: Outbox(keyed))
    async with refill.ids_forgotten(client.jetstream()):
        publishing = asyncio.create_task(relay.run())
        try:
            await _drained(engine, waiting, progress)
        finally:
            while not publishing.done():  # asyncio.wait_for of Python 3.11 may swallow a cancellation
                publishing.cancel()
                await asyncio.wait([publishing], timeout=1)
            keyed.dispose()


async def _drained(engine: Engine, waiting: int, progress: Progress) -> None:
    left, moved = waiting, time.monotonic()
    while left:
        await asyncio.sleep(_LOOK_AGAIN)
        before = left
        left = await in_thread(lambda: unit_of_work.read(engine, outbox.rows))
        progress("events published", waiting - left, waiting)
        if left != before:
            moved = time.monotonic()
        elif time.monotonic() > moved + _STANDSTILL:
            raise Refusal(
                f"the database is restored, but NATS takes no events ({left} wait): they are published, and"
                " the live state follows, once a worker runs"
            )
