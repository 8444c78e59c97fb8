"""What agents run, put where ``library.deploy.convergence`` reads it: the bucket ``library-applied``."""

import asyncio
import logging
from uuid import UUID

from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts import subjects
from contracts.convergence import Applied
from contracts.deployments import AgentName
from contracts.environments import EnvironmentName
from contracts.values import compact, timestamp

_log = logging.getLogger(__name__)

_ANSWER_SECONDS = 2.0
_PAUSE = 0.5
_AT_ONCE = 256


class AppliedReports:
    """Puts what an agent runs in each place of an environment, the latest of each, until it is stored."""

    def __init__(self, connection: Client, environment: EnvironmentName, agent: AgentName) -> None:
        self._jetstream = connection.jetstream(timeout=_ANSWER_SECONDS)
        self._environment = environment
        self._agent = agent
        self._waiting: dict[UUID, Applied] = {}
        self._something_waits = asyncio.Event()

    def put(self, entity_id: UUID, applied: Applied) -> None:
        """Have it put, in the place of what was to be put for this entity before."""
        self._waiting[entity_id] = applied
        self._something_waits.set()

    async def run(self) -> None:
        """Put what is to be put, until cancelled."""
        while True:
            await self._something_waits.wait()
            if not await self._put_some():
                await asyncio.sleep(_PAUSE)

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
        key = subjects.applied_key(self._environment, entity_id, self._agent)
        subject = subjects.bucket_subject(subjects.APPLIED_BUCKET, key)
        value = {**applied.model_dump(mode="json"), "applied_at": timestamp(applied.applied_at)}
        try:
            await self._jetstream.publish(subject, compact(value).encode())
        except (NatsError, TimeoutError) as error:
            _log.info("applied_put_failed key=%s error=%s", key, type(error).__name__)
            return False
        return True
