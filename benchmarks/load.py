"""Callers that ask, wait for the answer, check it, and ask again: closed loops over one connection."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import nats
from nats.aio.client import Client

from contracts import subjects

ENTITIES = 2000


@dataclass(frozen=True, slots=True)
class Figures:
    """Rate a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.rate:8.0f}/s   p50 {self.p50:7.2f} ms   p99 {self.p99:7.2f} ms"


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
            body = {
                "name": f"bench-{number}",
                "type": "strategy",
                "version": "1.0.0",
                "config": {"symbols": ["EURUSD", "GBPUSD"], "window": 20, "threshold": 0.5},
                "parameters": {"risk": 0.01, "size": 1000},
            }
            return str((await ask(client, subjects.ENTITY_CREATE, body))["entity_id"])

    return list(await asyncio.gather(*map(make, range(count))))


async def closed_loop(
    client: Client,
    subject: str,
    body: Callable[[], dict[str, object]],
    check: Callable[[dict[str, object]], bool],
    *,
    callers: int,
    seconds: float,
) -> Figures:
    """So many callers for so long."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def call() -> None:
        while (asked := time.perf_counter()) < until:
            answer = await ask(client, subject, body())
            latencies.append(time.perf_counter() - asked)
            assert check(answer), answer

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    elapsed = time.perf_counter() - started
    latencies.sort()
    return Figures(
        len(latencies) / elapsed,
        latencies[len(latencies) // 2] * 1000,
        latencies[int(len(latencies) * 0.99)] * 1000,
    )


async def connect(url: str) -> Client:
    """A connection of the load generator's."""
    return await nats.connect(url, pending_size=32 * 1024 * 1024)


def deploy_body(entities: list[str]) -> Callable[[], dict[str, object]]:
    """Deploy requests for random entities to staging."""
    return lambda: {
        "entity_id": random.choice(entities),
        "environment": "staging",
        "deployed_by": "bench",
    }
