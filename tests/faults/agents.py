"""Agents that answer, in time, too late, in chorus or never: as the deployment's parameters tell them to.

One of them sees what waits in the bucket, the other one hears the events; both ask plainly, under a key.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts import subjects
from contracts.client import LibraryClient
from contracts.deployments import ConfirmRequest, Deployment
from contracts.events import PendingConfiguration
from contracts.ordered import OrderedMessages

Manner = Literal["seen", "heard", "refused", "contested", "late", "silent"]
Word = Literal["active", "failed"]
Say = Callable[[ConfirmRequest], Awaitable[None]]

MANNER = "manner"
"""The parameter that says how a deployment is answered."""
SEES, HEARS = "sees", "hears"
_WORDS: Mapping[Manner, Mapping[str, Word]] = {
    "seen": {SEES: "active"},
    "heard": {HEARS: "active"},
    "refused": {SEES: "failed"},
    "contested": {SEES: "active", HEARS: "failed"},
    "late": {SEES: "active", HEARS: "failed"},
    "silent": {},
}
_PREPARES_WITHIN = 0.05
_LATE_BY = 0.5


class _Waiting(OrderedMessages):
    """What is put into the bucket of what waits, the latest of each key first."""

    def __init__(self, client: LibraryClient) -> None:
        super().__init__(
            client.connection,
            subjects.bucket_stream(subjects.PENDING_BUCKET),
            subjects.bucket_subject(subjects.PENDING_BUCKET, ">"),
        )

    async def _begin(self) -> ConsumerConfig:
        return ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)

    async def value(self) -> PendingConfiguration:
        """The next one."""
        while True:
            message = await self._next()
            if message is not None and message.data:
                return PendingConfiguration.model_validate_json(message.data)


async def see(client: LibraryClient, say: Say) -> None:
    """Answer what stands in the bucket, for ever."""
    async with _Waiting(client) as waiting, asyncio.TaskGroup() as answers:
        while True:
            value = await waiting.value()
            answers.create_task(
                _answer(SEES, value.deployment_id, value.parameters, value.confirm_by, say),
            )


async def hear(client: LibraryClient, say: Say) -> None:
    """Answer what the events call started, for ever."""
    async with client.watch() as events, asyncio.TaskGroup() as answers:
        async for _, event in events:
            started = event.data.deployment
            if event.type == subjects.event_type("deployment", "started") and isinstance(started, Deployment):
                assert started.confirm_by is not None
                answers.create_task(
                    _answer(
                        HEARS, started.deployment_id, started.parameters_snapshot, started.confirm_by, say
                    )
                )


async def _answer(
    agent: str, deployment_id: UUID, parameters: Mapping[str, Any], confirm_by: datetime, say: Say
) -> None:
    manner = cast(Manner, parameters.get(MANNER, "silent"))
    word = _WORDS[manner].get(agent)
    if word is None:
        return
    pause = random.uniform(0, _PREPARES_WITHIN)
    if manner == "late":
        pause = confirm_by.timestamp() - time.time() + random.uniform(0.001, _LATE_BY)
    await asyncio.sleep(pause)
    error = f"{agent} cannot" if word == "failed" else None
    await say(ConfirmRequest(deployment_id=deployment_id, agent=agent, outcome=word, error=error))
