"""What one or many agents of a process share: two consumers, the places that they bring along, their end."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from contracts import subjects
from contracts.client import LibraryClient
from contracts.deployments import AgentName
from contracts.environments import EnvironmentName
from contracts.events import LiveConfiguration, PendingConfiguration
from contracts.hotswap.applied import AppliedReports
from contracts.hotswap.place import HotSwap, end
from contracts.hotswap.places import PlacesWatch, Shown
from contracts.hotswap.program import Configuration, Program
from contracts.problems import ProblemError

_log = logging.getLogger(__name__)

ValueT = TypeVar("ValueT", LiveConfiguration, PendingConfiguration)

_PAUSE = 1.0
_LAST_PUT_SECONDS = 2.0
_name: TypeAdapter[str] = TypeAdapter(AgentName)


class Follower(ABC):
    """Follows both buckets of an environment, with one consumer each, and brings its places along."""

    def __init__(
        self,
        client: LibraryClient,
        environment: EnvironmentName,
        name: AgentName,
        *,
        health_interval: float,
        entity_id: UUID | None = None,
    ) -> None:
        try:
            self.name = _name.validate_python(name)
        except ValidationError:
            raise ValueError(
                f"{name!r} is no agent's name: 1 to 64 letters, digits, hyphens and underscores"
            ) from None
        self.environment = environment
        self._client = client
        self._entity_id = entity_id
        self._health_interval = health_interval
        self._applied = AppliedReports(client.connection, environment, name)
        self._places: dict[UUID, HotSwap] = {}
        self._unclaimed: dict[UUID, Shown] = {}  # active, and not ours or not yet
        self._shows_all = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: asyncio.Future[None] | None = None
        self._run: asyncio.Task[None] | None = None
        self._is_told = False

    @abstractmethod
    def _program_for(self, entity_id: UUID) -> Program | None:
        """The program that runs an entity; None for one that is not ours."""

    async def run(self) -> None:
        """Follow until cancelled.

        Raises ``NoAnswerError`` once the connection is closed for good; while NATS is away, it waits.
        """
        self._broken = asyncio.get_running_loop().create_future()
        self._places.clear()
        self._unclaimed.clear()
        self._shows_all = False
        try:
            if self._entity_id is not None:
                self._place(self._entity_id)
            for bucket in (subjects.ACTIVE_BUCKET, subjects.PENDING_BUCKET):
                watch = PlacesWatch(self._client.connection, bucket, self.environment, self._entity_id)
                self._start(self._follow(bucket, watch))
            self._start(self._applied.run())
            self._start(self._applied.watch_over())
            await self._broken
        finally:
            await self._stop()

    async def wait(self) -> None:
        """Until it ends by itself, within ``async with``: raises what ``run`` does."""
        if self._run is not None:
            try:
                await asyncio.shield(self._run)
            finally:
                self._is_told = self._run.done()

    async def __aenter__(self) -> Self:
        self._run = asyncio.create_task(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._run is not None
        self._run.cancel()
        await asyncio.wait((self._run,))
        if not (self._run.cancelled() or self._is_told) and error is None:
            self._run.result()

    async def _follow(self, bucket: str, watch: PlacesWatch) -> None:
        try:
            while True:
                try:
                    async for shown in watch:
                        self._take(bucket, shown)
                except ProblemError as problem:
                    if self._client.connection.is_closed:
                        raise
                    _log.warning("bucket_not_followed bucket=%s reason=%s", bucket, problem.detail)
                    await asyncio.sleep(_PAUSE)
        finally:
            await watch.close()

    def _take(self, bucket: str, shown: Shown | None) -> None:
        if bucket == subjects.PENDING_BUCKET:
            if shown is not None:
                self._take_pending(shown)
        elif shown is not None:
            self._take_active(shown)
        elif not self._shows_all:
            self._shows_all = True
            for place in self._places.values():
                if not place.order.is_known:
                    place.see_active(None)

    def _take_active(self, shown: Shown) -> None:
        place = self._place(shown.entity_id)
        self._unclaimed.pop(shown.entity_id, None)
        if place is None:
            if shown.value is not None:
                self._unclaimed[shown.entity_id] = shown
        elif shown.value is None and not shown.is_said:
            place.miss_active()
        elif shown.value is None:
            place.see_active(None)
        elif (seen := _read(LiveConfiguration, shown)) is not None:
            place.see_active(seen)

    def _take_pending(self, shown: Shown) -> None:
        if shown.value is None:
            place = self._places.get(shown.entity_id)
            if place is not None:
                place.see_pending(None)
            return
        place = self._place(shown.entity_id)
        if place is None:
            return
        if (active := self._unclaimed.get(shown.entity_id)) is not None:
            self._take_active(active)
        if self._shows_all and not place.order.is_known:
            place.see_active(None)
        if (seen := _read(PendingConfiguration, shown)) is not None:
            place.see_pending(seen)

    def _place(self, entity_id: UUID) -> HotSwap | None:
        """What brings an entity along, made when the entity is first seen; None for one that is not ours."""
        if entity_id not in self._places:
            program = self._program_for(entity_id)
            if program is None:
                return None
            self._places[entity_id] = place = HotSwap(
                self._client,
                self.name,
                entity_id,
                program,
                applied=self._applied,
                health_interval=self._health_interval,
                broken=self._break,
            )
            self._start(place.health.run())
        return self._places[entity_id]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)

    async def _stop(self) -> None:
        await end(self._tasks)
        await asyncio.gather(*(place.stop() for place in self._places.values()))
        if not self._client.connection.is_closed:
            await self._applied.flush(_LAST_PUT_SECONDS)


def _read(model: type[ValueT], shown: Shown) -> Configuration | None:
    """What a value says; None, and what runs stays, for one that this release cannot read."""
    try:
        return Configuration.of(model.model_validate_json(shown.value or b""))
    except ValidationError:
        _log.warning("configuration_unreadable kind=%s entity_id=%s", model.__name__, shown.entity_id)
        return None
