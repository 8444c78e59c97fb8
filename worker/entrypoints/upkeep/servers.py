"""The servers that an operator's command works on, and what is said when one of them is away."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from typing import TypeVar

from nats.aio.client import Client
from sqlalchemy import Engine

from contracts import connection, subjects
from worker.messaging.live_state import Blocking, LiveBucket, Source
from worker.settings import Settings
from worker.store import unit_of_work
from worker.store.outbox import Outbox

_CONNECT_SECONDS = 3.0
_RECONNECT = {"max_reconnect_attempts": 40, "reconnect_time_wait": 0.25}
_PROGRESS_SECONDS = 1.0

T = TypeVar("T")


class Refusal(Exception):
    """The command does not do it; one line that says why, and what to do next."""


class Misconfigured(Exception):
    """A setting is none that can be used; the line names its variable."""


def patient_engine(settings: Settings, *, size: int = 1) -> Engine:
    """Connections to the database for work on whole tables."""
    return unit_of_work.connect(settings.database_url, name="library-upkeep", size=size, patient=True)


def keyed_engine(settings: Settings) -> Engine:
    """A connection to the database for lookups by key."""
    return unit_of_work.connect(settings.database_url, name="library-upkeep", size=1, by_key=True)


@asynccontextmanager
async def nats_connection(settings: Settings) -> AsyncIterator[Client]:
    """A connection to NATS that gives up after ten seconds of absence.

    Raises ``NoAnswerError`` or ``Misconfigured``.
    """
    try:
        client = await connection.connect(
            settings.nats_url, within=_CONNECT_SECONDS, name="library-upkeep", **_RECONNECT
        )
    except ValueError as error:
        raise Misconfigured(f"LIBRARY_NATS_URL: {error}") from None
    try:
        yield client
    finally:
        await client.close()


class LiveState:
    """A bucket beside the database, with the means to compare the two."""

    def __init__(self, client: Client, bucket: str, source: Source) -> None:
        self.bucket = LiveBucket(client, bucket)
        self.source = source
        self.blocking: Blocking = in_thread


@asynccontextmanager
async def live_state(settings: Settings, client: Client) -> AsyncIterator[Sequence[LiveState]]:
    """Each bucket that follows the database, beside it. Raises ``DatabaseUnavailable``."""
    engine = keyed_engine(settings)
    try:
        with closing(await in_thread(lambda: Outbox(engine))) as outbox:
            yield (
                LiveState(client, subjects.ACTIVE_BUCKET, outbox.active),
                LiveState(client, subjects.PENDING_BUCKET, outbox.deploying),
            )
    finally:
        engine.dispose()


def in_thread(work: Callable[[], T]) -> Awaitable[T]:
    """What blocks, done beside the event loop, so that connections to NATS stay alive."""
    return asyncio.to_thread(work)


class Progress:
    """Says on standard error how far something is, every second that it takes."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._doing = ""
        self._said = 0.0

    def __call__(self, doing: str, done: int, of: int | None = None) -> None:
        """So much is done, of so much where that is known."""
        now = time.monotonic()
        if doing != self._doing:
            self._doing, self._said = doing, now
        if now - self._said >= _PROGRESS_SECONDS:
            self._said = now
            total = "" if of is None else f" of {of:,}"
            sys.stderr.write(f"library {self._command}: {doing}: {done:,}{total}\n")
            sys.stderr.flush()
