"""The relay: events from the outbox to the stream, once and in order, and the live state behind them.

One relay leads. It publishes a batch, forgets it in the outbox, and only then takes the next; so at most one
batch is ever in doubt, and the stream's own tail, one batch long, says whether it is there. That is asked on
taking the lead and after every failure.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, Protocol, TypeVar

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts import subjects
from contracts.metrics import SECONDS
from worker.domain.changes import WaitingEvent
from worker.domain.figures import Histogram
from worker.messaging import live_state
from worker.messaging.announcement import announcing
from worker.messaging.mirror import ActiveMirror, Mirror, PendingMirror, Views
from worker.messaging.stream_writer import MAX_MESSAGES, Fenced, InDoubt, Refused, StreamWriter

log = structlog.get_logger()

_BATCH_BYTES = 8 * 1024 * 1024
_POLL_SECONDS = 0.5
_FOLLOW_SECONDS = 1.0
_RETRY_SECONDS = 0.5
_GATHER_SECONDS = 0.05
_PAUSE_SECONDS = 0.01
_COMPARE_SECONDS = 0.05
_COMPARE_AGAIN_SECONDS = 5.0
_KEEP_SECONDS = 1.0
_FEW = 16
"""A round of more events is a load: then the next one is gathered for longer, and so is the live state."""

T = TypeVar("T")


class Source(Views, Protocol):
    """The database's side of the relay; every method blocks."""

    def try_to_lead(self) -> bool:
        """Whether the lead is this one's; asked again, it stays so."""

    def waiting(self, *, events: int, size: int) -> Sequence[WaitingEvent]:
        """The next events."""

    def settle(self, published: Sequence[WaitingEvent]) -> None:
        """Forget the first of those waiting."""

    def settle_stored(self, event_ids: Collection[str]) -> None:
        """Forget those of a former batch that the stream has, whatever waits in front of them by now."""

    def close(self) -> None:
        """Give the lead back."""


class Relay:
    """Runs until it is cancelled; ``wake`` says that something was committed."""

    def __init__(self, connection: Client, open_source: Callable[[], Source]) -> None:
        self._connection = connection
        self._open_source = open_source
        self._events = StreamWriter(connection, subjects.EVENTS_STREAM)
        self._mirrors: tuple[Mirror, ...] = (ActiveMirror(connection), PendingMirror(connection))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay")
        self._committed = asyncio.Event()
        self._round_done = asyncio.Event()
        self.leads = False
        self.published = 0
        self.lag = Histogram(SECONDS)
        self.last_published_at: float | None = None

    def wake(self) -> None:
        """Say, in the event loop, that something was committed."""
        self._committed.set()

    async def caught_up(self) -> None:
        """Wait until what was committed before is in the stream; at once if another one leads."""
        if self.leads:
            self._round_done.clear()
            self._committed.set()
            await self._round_done.wait()

    async def run(self) -> None:
        """Lead when the lead is free, follow otherwise, for ever."""
        await self._connection.subscribe(subjects.OUTBOX_WAKE, cb=self._woken)
        in_doubt_at: int | None = None
        try:
            while True:
                try:
                    await self._term()
                except InDoubt as error:
                    log.warning("relay_interrupted", because=f"{error} did not answer")
                    if self.published == in_doubt_at and self._connection.is_connected:
                        log.warning("stream_takes_nothing", stream=str(error), advice="restart nats-server")
                    in_doubt_at = self.published
                except (NatsError, Fenced, Refused) as error:
                    log.warning("relay_interrupted", because=str(error) or type(error).__name__)
                except Exception as error:  # noqa: BLE001 - whatever it was, the relay takes up again
                    log.warning("relay_interrupted", because=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._thread.shutdown(wait=False)

    async def _woken(self, _: object) -> None:
        if self.leads:  # a follower would pass on what another one, or itself, has just told the leader
            self._committed.set()

    async def _term(self) -> None:
        """Follow and then lead, until something breaks."""
        source = await self._blocking(self._open_source)
        try:
            await self._lead(source)
        finally:
            self.leads = False
            await asyncio.shield(self._blocking(source.close))

    async def _lead(self, source: Source) -> None:
        while not await self._blocking(source.try_to_lead):
            await self._pass_on_wakes()
        await self._keeping_the_lead(source, self._take_over(source))
        self.leads = True
        log.info("relay_leads")
        comparison = asyncio.create_task(self._compare(source))
        try:
            await self._publish(source)
        finally:
            comparison.cancel()

    async def _take_over(self, source: Source) -> None:
        await self._events.synchronize()
        for mirror in self._mirrors:
            await mirror.synchronize()
        await self._settle_doubt(source)

    async def _keeping_the_lead(self, source: Source, work: Coroutine[Any, Any, None]) -> None:
        """Do what may take long, as reading a large bucket does: PostgreSQL ends a session that is idle.

        Whoever is cut off from NATS meanwhile is to lose the lead.
        """
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([task], timeout=_KEEP_SECONDS))[0]:
                if self._connection.is_connected:
                    await self._blocking(source.try_to_lead)
            task.result()
        finally:
            task.cancel()

    async def _compare(self, source: Source) -> None:
        """Once a lead: see the whole live state beside the database, and bring up to date what differs."""
        while True:
            if await self._compared(source):
                return
            await asyncio.sleep(_COMPARE_AGAIN_SECONDS)

    async def _compared(self, source: Source) -> bool:
        differing = 0
        try:
            for mirror in self._mirrors:
                async for some in live_state.differences(mirror.bucket, mirror.view(source), self._blocking):
                    places = [place for each in some.differing if (place := live_state.place_of(each.key))]
                    mirror.remember(places)
                    self._committed.set()
                    differing += len(places)
                    await asyncio.sleep(_COMPARE_SECONDS)
        except Exception as error:  # noqa: BLE001 - what the relay itself cannot do without, it meets itself
            log.warning("live_state_not_compared", because=type(error).__name__)
            return False
        log.info("live_state_compared", differing=differing)
        return True

    async def _publish(self, source: Source) -> None:
        while True:
            self._committed.clear()
            published = await self._round(source)
            if published == 0:
                self._round_done.set()
                await self._wait(_POLL_SECONDS)
            elif published < MAX_MESSAGES:  # a lone event went at once; those right behind it go together
                await asyncio.sleep(_GATHER_SECONDS if published > _FEW else _PAUSE_SECONDS)

    async def _pass_on_wakes(self) -> None:
        """A follower tells the leader what was committed here, and tries for the lead now and then."""
        until = time.monotonic() + _FOLLOW_SECONDS
        while (left := until - time.monotonic()) > 0:
            if await self._wait(left):
                self._committed.clear()
                await self._connection.publish(subjects.OUTBOX_WAKE)
                await asyncio.sleep(_GATHER_SECONDS)

    async def _settle_doubt(self, source: Source) -> None:
        """Find out how far a former batch came, the leader's before this one or one without an answer.

        Events that the stream has are forgotten here, and the live state they lead to is brought up to date.
        """
        stored = await self._events.tail(MAX_MESSAGES)
        for mirror in self._mirrors:
            mirror.remember(mirror.concerned(stored.values()))
        await self._blocking(lambda: source.settle_stored(stored))

    async def _round(self, source: Source) -> int:
        waiting = await self._blocking(lambda: source.waiting(events=MAX_MESSAGES, size=_BATCH_BYTES))
        read_at = time.monotonic()
        if waiting:
            with announcing(waiting) as messages:
                await self._events.publish(messages)
            self.published += len(waiting)
            self.last_published_at = time.monotonic()
            for waited, events in groupby(event.waited for event in waiting):
                self.lag.observe_many(waited + self.last_published_at - read_at, sum(1 for _ in events))
            for mirror in self._mirrors:
                mirror.remember_events([event.nats_subject for event in waiting])
        await self._settle_and_refresh(source, waiting)
        return len(waiting)

    async def _settle_and_refresh(self, source: Source, published: Sequence[WaitingEvent]) -> None:
        """Forget what is published; bring the live state of what changed up to what the database holds."""
        due = [(mirror, mirror.due(idle=len(published) <= _FEW)) for mirror in self._mirrors]
        due = [(mirror, places) for mirror, places in due if places]
        if not (published or due):
            return

        def settle_and_look() -> list[Sequence[tuple[str, bytes | None]]]:
            if published:
                source.settle(published)
            return [mirror.view(source).values(places) for mirror, places in due]

        found = await self._blocking(settle_and_look)
        for (mirror, places), values in zip(due, found, strict=True):
            await mirror.write(places, values)

    async def _wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):  # wait_for may swallow a cancellation
                await self._committed.wait()
        except TimeoutError:
            return False
        return True

    async def _blocking(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
