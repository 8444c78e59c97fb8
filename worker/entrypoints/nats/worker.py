"""The worker process: connects, takes requests until it is told to stop, and answers all that it took."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import nats
import structlog
from faststream import FastStream
from faststream.nats.subscriber.usecases.core_subscriber import CoreSubscriber
from nats.aio.client import Client

from contracts.connection import sturdy
from contracts.endpoints import ENDPOINTS
from contracts.ids import new_id
from contracts.metrics import WorkerFigures
from worker import bootstrap
from worker.dispatch.dispatcher import Dispatcher
from worker.entrypoints.nats import figures
from worker.entrypoints.nats.connection import Connectivity
from worker.entrypoints.nats.deliveries import Deliveries
from worker.entrypoints.nats.durable import DurableCommands
from worker.entrypoints.nats.expiry import expire_unconfirmed
from worker.entrypoints.nats.housekeeping import keep_house
from worker.entrypoints.nats.ingress import Ingress
from worker.messaging.discovery import Discovery
from worker.messaging.relay import Relay
from worker.settings import Settings
from worker.store import schema
from worker.store.recent import RecentEvents

log = structlog.get_logger()
_DRAIN_SECONDS, _SETTLED_SECONDS, _FLUSHED_SECONDS = 7.5, 8.0, 8.25
"""By when, from the signal on, all is answered, the answers are written, and the server has them."""
_LAST_EVENTS_SECONDS = 1.0
_STOP_SECONDS = 9.5


def _in_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(callback)


async def _flush(client: Client) -> None:
    """Have the server see all that was written: nats-py's ping overtakes what it still buffers, once."""
    await client.flush()
    await client.flush()


async def _done_by(when: float, doing: Coroutine[Any, Any, None]) -> bool:
    """Whether it is done by then, on the loop's clock; it is not done any further after that."""
    try:
        async with asyncio.timeout_at(when):
            await doing
    except TimeoutError:
        return False
    return True


class Worker:
    """All parts of a worker, from start to drained stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.identifier = new_id().hex
        self.started = time.monotonic()
        self.engines = bootstrap.make_engines(settings)
        self.connectivity = Connectivity("library-worker")
        self.relay_connectivity = Connectivity("library-relay")
        self.broker = self.connectivity.broker(settings.nats_url)
        self.ingress = Ingress(self.broker, settings.reply_prefixes)
        self.durable = DurableCommands(self.broker)
        self.dispatcher: Dispatcher
        self.deliveries: Deliveries
        self.relay: Relay
        self._relay_connection: Client
        self._serves = self._answered = False
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM. Raises what keeps it from starting."""
        schema.require(self.engines.writes)
        await bootstrap.require_nats(self.settings)
        app = FastStream(
            self.broker,
            logger=None,
            on_startup=[self._before_subscribing],
            after_startup=[self._ready],
            on_shutdown=[self._drain],
        )
        try:
            await app.run(sleep_time=0.05)
        finally:
            self.engines.dispose()

    async def _before_subscribing(self) -> None:
        sturdy(await self.broker.connect())
        self._relay_connection = sturdy(
            await nats.connect(self.settings.nats_url.split(","), **self.relay_connectivity.options())
        )
        recent = RecentEvents()
        self.relay = bootstrap.make_relay(self.engines, self._relay_connection, recent)
        loop = asyncio.get_running_loop()
        self.deliveries = Deliveries(self.broker.connection)
        self.dispatcher = bootstrap.make_dispatcher(
            self.settings,
            self.engines,
            sink=self.deliveries.sink,
            recent=recent,
            committed=partial(_in_loop, loop, self.relay.wake),
            figures=(self._nats_figures, self._worker_figures, self._relay_figures),
        )
        self.ingress.attach(self.dispatcher, self.deliveries)
        self.durable.attach(self.dispatcher.submit, self.deliveries)
        self.dispatcher.start()
        self._serves = True

    async def _ready(self) -> None:
        client = self.broker.connection
        discovery = Discovery(
            identifier=self.identifier,
            version=bootstrap.VERSION,
            endpoints=ENDPOINTS,
            outcomes=self.ingress.outcomes,
            reply_prefixes=self.settings.reply_prefixes,
        )
        await discovery.start(client)
        await figures.tell(client, self.settings.reply_prefixes, self._figures)
        await _flush(client)
        self._tasks = [
            asyncio.create_task(self.relay.run()),
            asyncio.create_task(self.durable.keep_away()),
            asyncio.create_task(self.connectivity.watch(self.settings.disconnected_exit)),
            asyncio.create_task(self.relay_connectivity.watch(self.settings.disconnected_exit)),
            asyncio.create_task(keep_house(self.engines.writes, lambda: self.relay.leads)),
            asyncio.create_task(expire_unconfirmed(self.engines.writes, self.dispatcher.submit)),
        ]
        log.info("worker_ready", id=self.identifier, version=bootstrap.VERSION)

    async def _drain(self) -> None:
        """Take nothing new, answer all that was taken, announce what can be announced at once."""
        self.connectivity.stopping = self.relay_connectivity.stopping = True
        if not self._serves:
            return
        log.info("worker_stopping", id=self.identifier)
        last_resort = threading.Timer(_STOP_SECONDS, self._end)
        last_resort.daemon = True
        last_resort.start()
        now = asyncio.get_running_loop().time()
        self.durable.stop()
        self.ingress.held.stop()
        drained = await _done_by(now + _DRAIN_SECONDS, self._drain_requests())
        settled = await _done_by(now + _SETTLED_SECONDS, self.deliveries.settled())
        if self.broker.connection.is_connected:
            settled &= await _done_by(now + _FLUSHED_SECONDS, _flush(self.broker.connection))
        self._answered = drained and settled
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_EVENTS_SECONDS):
                await self.relay.caught_up()
        await self._cancel_tasks()
        await asyncio.to_thread(self.dispatcher.close)
        await self._relay_connection.close()

    async def _drain_requests(self) -> None:
        await asyncio.gather(self.durable.stopped(), *map(self._drain_subscriber, self.broker.subscribers))
        await asyncio.to_thread(self.dispatcher.drain, _DRAIN_SECONDS)

    async def _cancel_tasks(self) -> None:
        """Cancel until all have ended: ``asyncio.wait_for``, in nats-py, may swallow a cancellation."""
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=0.2)

    def _end(self) -> None:
        """End a process that a server's absence keeps from stopping: what was answered is committed."""
        log.warning("worker_ended", id=self.identifier, answered=self._answered)
        os._exit(0 if self._answered else 1)

    async def _drain_subscriber(self, subscriber: Any) -> None:
        """Let nats-py hand over what it has received; FastStream's own stopping drops it."""
        if isinstance(subscriber, CoreSubscriber) and subscriber.subscription is not None:
            subscription, subscriber.subscription = subscriber.subscription, None
            if self.broker.connection.is_connected:
                await subscription.drain()  # type: ignore[no-untyped-call]

    def _figures(self) -> WorkerFigures:
        return WorkerFigures(
            worker=self.identifier,
            version=bootstrap.VERSION,
            uptime_seconds=time.monotonic() - self.started,
            leads=self.relay.leads,
            queues=figures.queues(self.dispatcher),
            counts=figures.counts(
                {**self.ingress.outcomes, **self.durable.outcomes}, self.dispatcher, self.relay
            ),
        )

    def _nats_figures(self) -> dict[str, Any]:
        client = self.broker.connection
        server = client.connected_url
        return {
            "status": "up" if client.is_connected else "down",
            "server": server.netloc.rpartition("@")[2] if server else None,
            "reconnects": self.connectivity.reconnects,
        }

    def _worker_figures(self) -> dict[str, Any]:
        outcomes = self.ingress.outcomes.values()
        return {
            "status": "up",
            "id": self.identifier,
            "version": bootstrap.VERSION,
            "uptime_seconds": round(time.monotonic() - self.started, 1),
            "queued_commands": len(self.dispatcher.write_queue),
            "queued_reads": len(self.dispatcher.read_queue),
            "requests": sum(each.requests for each in outcomes),
            "refusals": sum(each.errors for each in outcomes),
        }

    def _relay_figures(self) -> dict[str, Any]:
        return {"relay_leads": self.relay.leads, "published": self.relay.published}
