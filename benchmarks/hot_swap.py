"""From the request for a deploy to the consumer's ``activate``: one swap at a time, of many that are watched.

The consumers and the caller are one process, so one clock tells both ends. In an instant environment the way
is request, commit, relay, bucket, agent; in a confirmed one the agent also prepares and confirms in between.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from uuid import UUID, uuid4

from benchmarks import load
from benchmarks.measures import Run
from contracts.agent import Configuration, Fleet
from contracts.client import LibraryClient
from contracts.environments import Activation, EnvironmentName

ENTITIES = 1000
SWAPS = 300
ENVIRONMENTS: Mapping[Activation, EnvironmentName] = {"instant": "development", "confirmed": "testing"}
_PATIENCE_S = 30.0
_AT_ONCE = 64


class _Runner:
    """What a fleet drives: it notes when each deployment was activated."""

    def __init__(self, activated: dict[UUID, "asyncio.Future[float]"]) -> None:
        self._activated = activated

    async def prepare(self, new: Configuration) -> None:
        """Nothing takes time here, so that the way alone is measured."""

    async def activate(self, new: Configuration) -> None:
        """Note the time."""
        activated = _when(self._activated, new.deployment_id)
        if not activated.done():
            activated.set_result(time.perf_counter())

    async def release(self, old: Configuration) -> None:
        """Nothing is held."""


def _when(activated: dict[UUID, "asyncio.Future[float]"], deployment_id: UUID) -> "asyncio.Future[float]":
    return activated.setdefault(deployment_id, asyncio.get_running_loop().create_future())


async def measure(nats: str, activation: Activation, *, entities: int = ENTITIES, swaps: int = SWAPS) -> Run:
    """Swaps of random entities, one after the other, while all of them are watched."""
    environment = ENVIRONMENTS[activation]
    activated: dict[UUID, asyncio.Future[float]] = {}
    async with await LibraryClient.connect(nats, timeout=_PATIENCE_S) as client:
        await client.set_environment(environment=environment, activation=activation)
        ours = await _entities(client, entities)
        runner = _Runner(activated)
        async with Fleet(
            client, environment, "benchmark", lambda entity_id: runner if entity_id in ours else None
        ):
            limit = asyncio.Semaphore(_AT_ONCE)

            async def begin(entity_id: UUID) -> None:
                async with limit:
                    await _swap(client, environment, entity_id, activated)

            await asyncio.gather(*map(begin, ours))
            started = time.perf_counter()
            latencies = [
                await _swap(client, environment, random.choice(ours), activated) for _ in range(swaps)
            ]
            return Run(latencies, time.perf_counter() - started)


async def _entities(client: LibraryClient, count: int) -> list[UUID]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def make(number: int) -> UUID:
        async with limit:
            entity = await client.create_entity(
                name=f"swap-{number}-{uuid4()}",
                type="strategy",
                version="1.0.0",
                config=load.CONFIG,
                parameters=load.PARAMETERS,
            )
            return entity.entity_id

    return list(await asyncio.gather(*map(make, range(count))))


async def _swap(
    client: LibraryClient,
    environment: EnvironmentName,
    entity_id: UUID,
    activated: dict[UUID, "asyncio.Future[float]"],
) -> float:
    """Seconds from the request to the consumer's ``activate``."""
    asked = time.perf_counter()
    deployment = await client.deploy(entity_id=entity_id, environment=environment, deployed_by="benchmark")
    async with asyncio.timeout(_PATIENCE_S):
        return await _when(activated, deployment.deployment_id) - asked
