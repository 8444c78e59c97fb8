"""What agents run, put where ``library.deploy.convergence`` reads it: the bucket ``library-applied``."""

import asyncio
import logging
import random
from uuid import UUID

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from contracts import subjects
from contracts.convergence import Applied
from contracts.deployments import AgentName
from contracts.environments import EnvironmentName
from contracts.values import compact, timestamp

_log = logging.getLogger(__name__)

_ANSWER_SECONDS = 2.0
_PAUSE = 0.5
_AT_ONCE = 256
_LOOK_SECONDS = 5.0


class AppliedReports:
    """Puts what an agent runs in each place of an environment, the latest of each, until it is stored.

    What a bucket that was emptied or made anew has lost is put again.
    """

    def __init__(self, connection: Client, environment: EnvironmentName, agent: AgentName) -> None:
        self._jetstream = connection.jetstream(timeout=_ANSWER_SECONDS)
        self._environment = environment
        self._agent = agent
        self._latest: dict[UUID, Applied] = {}
        self._waiting: dict[UUID, Applied] = {}
        self._something_waits = asyncio.Event()
        self._stored: set[UUID] = set()

    def put(self, entity_id: UUID, applied: Applied) -> None:
        """Have it put, in the place of what was to be put for this entity before."""
        self._latest[entity_id] = self._waiting[entity_id] = applied
        self._something_waits.set()

    async def run(self) -> None:
        """Put what is to be put, until cancelled."""
        while True:
            await self._something_waits.wait()
            if not await self._put_some():
                await asyncio.sleep(_PAUSE)

    async def watch_over(self) -> None:
        """Look now and then whether the bucket still has what was stored, until cancelled.

        One key stands for all: a bucket is lost as a whole.
        """
        await asyncio.sleep(random.uniform(0, _LOOK_SECONDS))  # noqa: S311 - spreads a thousand agents
        while True:
            if self._stored and await self._is_lost(next(iter(self._stored))):
                _log.warning("applied_lost agent=%s places=%d", self._agent, len(self._stored))
                self._waiting = self._latest.copy()  # what is in flight, too: put twice, and never older
                self._something_waits.set()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _is_lost(self, entity_id: UUID) -> bool:
        stream, subject = subjects.bucket_stream(subjects.APPLIED_BUCKET), self._subject(entity_id)
        try:
            await self._jetstream.get_last_msg(stream, subject, direct=True)
        except NotFoundError:
            return True
        except (NatsError, TimeoutError):
            return False  # nobody says so
        return False

    async def flush(self, within: float) -> None:
        """Put what is left, for so many seconds at most; what is not stored then is lost."""
        try:
            async with asyncio.timeout(within):
                while self._waiting and await self._put_some():
                    pass
        except TimeoutError:
            pass
        if self._waiting:
            _log.warning("applied_not_stored agent=%s places=%d", self._agent, len(self._waiting))

    async def _put_some(self) -> bool:
        """Put a batch; whether all of it is stored. What is not waits again, unless something newer does."""
        batch = dict(list(self._waiting.items())[:_AT_ONCE])
        for entity_id in batch:
            del self._waiting[entity_id]
        try:
            stored = await asyncio.gather(*(self._put(*each) for each in batch.items()))
        except asyncio.CancelledError:
            self._waiting = batch | self._waiting
            raise
        failed = {
            entity_id: applied
            for (entity_id, applied), is_stored in zip(batch.items(), stored, strict=True)
            if not is_stored
        }
        self._waiting = failed | self._waiting
        if not self._waiting:
            self._something_waits.clear()
        return not failed

    async def _put(self, entity_id: UUID, applied: Applied) -> bool:
        value = {**applied.model_dump(mode="json"), "applied_at": timestamp(applied.applied_at)}
        try:
            await self._jetstream.publish(self._subject(entity_id), compact(value).encode())
        except (NatsError, TimeoutError) as error:
            _log.info("applied_put_failed entity_id=%s error=%s", entity_id, type(error).__name__)
            return False
        self._stored.add(entity_id)
        return True

    def _subject(self, entity_id: UUID) -> str:
        key = subjects.applied_key(self._environment, entity_id, self._agent)
        return subjects.bucket_subject(subjects.APPLIED_BUCKET, key)
