"""Callers that ask, wait for the answer, check it, and ask again: closed loops over one connection."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats
from nats.aio.client import Client

from benchmarks.measures import Figures, Run
from contracts import subjects

ENTITIES = 2000
CALLERS = (1, 16, 64, 256)
ENVIRONMENT = "staging"
CONFIG: dict[str, Any] = {"symbols": ["EURUSD", "GBPUSD"], "window": 20, "threshold": 0.5}
PARAMETERS: dict[str, Any] = {"risk": 0.01, "size": 1000}


async def ask(client: Client, subject: str, body: dict[str, object]) -> dict[str, object]:
    """The reply, which must not be a problem."""
    reply = await client.request(subject, json.dumps(body).encode(), timeout=30)
    answer: dict[str, object] = json.loads(reply.data)
    assert "code" not in answer, answer
    return answer


async def make_entities(client: Client, count: int = ENTITIES) -> list[str]:
    """The ids of so many new entities."""
    limit = asyncio.Semaphore(64)

    async def make(number: int) -> str:
        async with limit:
            body: dict[str, object] = {
                "name": f"bench-{number}",
                "type": "strategy",
                "version": "1.0.0",
                "config": CONFIG,
                "parameters": PARAMETERS,
            }
            return str((await ask(client, subjects.ENTITY_CREATE, body))["entity_id"])

    return list(await asyncio.gather(*map(make, range(count))))


async def loop(call: Callable[[], Awaitable[None]], *, callers: int, seconds: float) -> Run:
    """So many callers, each calling again as soon as its call is over, for so long."""
    latencies: list[float] = []
    started = time.perf_counter()
    until = started + seconds

    async def caller() -> None:
        while (asked := time.perf_counter()) < until:
            await call()
            latencies.append(time.perf_counter() - asked)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    return Run(latencies, time.perf_counter() - started)


async def closed_loop(
    client: Client,
    subject: str,
    body: Callable[[], dict[str, object]],
    check: Callable[[dict[str, object]], bool],
    *,
    callers: int,
    seconds: float,
) -> Figures:
    """Requests over NATS from so many callers, for so long; each answer is checked."""

    async def call() -> None:
        answer = await ask(client, subject, body())
        assert check(answer), answer

    return (await loop(call, callers=callers, seconds=seconds)).figures


async def connect(url: str) -> Client:
    """A connection of the load generator's."""
    return await nats.connect(url, pending_size=32 * 1024 * 1024)


def deploy_body(entities: list[str]) -> Callable[[], dict[str, object]]:
    """Deploy requests for random entities to staging."""
    return lambda: deploy_request(random.choice(entities))


def deploy_request(entity: str) -> dict[str, Any]:
    """A request to deploy the entity to staging."""
    return {"entity_id": entity, "environment": ENVIRONMENT, "deployed_by": "bench"}
