"""The only place that wires things together: settings to engines, dispatcher and relay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from nats.aio.client import Client
from sqlalchemy import Engine

from contracts.connection import connect
from contracts.limits import MIN_SERVER_PAYLOAD
from worker.dispatch.dispatcher import Dispatcher, Sink
from worker.dispatch.status import Figures, status
from worker.messaging import streams
from worker.messaging.relay import Relay
from worker.settings import Settings
from worker.store import unit_of_work
from worker.store.changes import EventRow
from worker.store.outbox import Outbox
from worker.store.recent import RecentEvents

_WRITERS = 5
"""A connection each for two lanes, two to ask how their commits ended, one for the worker's own work."""
VERSION = version("library-worker")


class UnsuitableServer(Exception):
    """The nats-server cannot carry what the product needs."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The pools: writes do not wait for reads, nor the relay for either."""

    writes: Engine
    reads: Engine
    relay: Engine

    def dispose(self) -> None:
        """Close every connection."""
        for engine in (self.writes, self.reads, self.relay):
            engine.dispose()


def make_engines(settings: Settings) -> Engines:
    """The pools of a worker. They connect at first use."""
    url = settings.database_url
    return Engines(
        writes=unit_of_work.connect(url, name="library-worker", size=_WRITERS, autocommit=True, by_key=True),
        reads=unit_of_work.connect(url, name="library-reads", size=settings.readers, autocommit=True),
        relay=unit_of_work.connect(url, name="library-relay", size=1, autocommit=True, by_key=True),
    )


def make_dispatcher(
    settings: Settings,
    engines: Engines,
    *,
    sink: Sink,
    recent: RecentEvents,
    committed: Callable[[], None],
    figures: tuple[Figures, Figures, Figures],
) -> Dispatcher:
    """The dispatcher; ``figures`` give the state of NATS, worker and relay.

    What it writes is handed to the relay through ``recent``, and ``committed`` is called.
    """

    def announce(events: Sequence[EventRow]) -> None:
        recent.keep(events)
        committed()

    of_nats, of_worker, of_relay = figures
    return Dispatcher(
        writes=engines.writes,
        reads=engines.reads,
        sink=sink,
        committed=announce,
        status=partial(status, nats=of_nats, worker=of_worker, relay=of_relay),
        batch_size=settings.batch_size,
        queue_size=settings.queue_size,
        readers=settings.readers,
    )


def make_relay(engines: Engines, connection: Client, recent: RecentEvents) -> Relay:
    """The relay, on a connection to NATS of its own."""
    return Relay(connection, lambda: Outbox(engines.relay, recent))


async def require_nats(settings: Settings) -> None:
    """Raise ``NoAnswerError`` where no nats-server is, ``UnsuitableServer`` where it is not fit for use.

    Asked before a worker starts: later on, it waits for NATS as long as need be.
    """
    client = await connect(settings.nats_url, name="library-start")
    largest = client.max_payload
    await client.close()
    if largest < MIN_SERVER_PAYLOAD:
        raise UnsuitableServer(
            f"nats-server takes messages of {largest} bytes, the product needs {MIN_SERVER_PAYLOAD}: "
            "set max_payload to 8MB in its configuration"
        )


async def migrate(settings: Settings) -> list[str]:
    """Bring database, streams and buckets up to date; what was done, a line each."""
    from worker.store.migrate import migrate as run_migrations  # noqa: PLC0415 - only this process pays for it

    engine = unit_of_work.connect(settings.database_url, name="library-migrate", size=1)
    try:
        revision = run_migrations(engine)
    finally:
        engine.dispose()
    connection = await connect(settings.nats_url, name="library-migrate")
    try:
        made = await streams.ensure(
            connection.jetstream(),
            max_age_days=settings.events_max_age_days,
            replicas=settings.replicas,
        )
    finally:
        await connection.close()
    return [f"database at revision {revision}", *made]
