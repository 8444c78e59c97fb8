"""Ways to ask for a deploy: over NATS, over HTTP, by a task queue. They give the answer's bytes."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
from nats.aio.msg import Msg

from benchmarks import load
from benchmarks.measures import Run
from benchmarks.peers.task_queue import DEPLOY, app_on

Ask = Callable[[str], Awaitable[bytes]]
"""Deploys the entity of this id."""

PATIENCE_S = 30.0
_CREATED = 201


class WrongAnswerError(Exception):
    """The answer is not the active deployment that was asked for."""


@asynccontextmanager
async def over_nats(url: str, subject: str) -> AsyncIterator[Ask]:
    """Requests with a reply, on one connection."""
    client = await load.connect(url)

    async def ask(entity: str) -> bytes:
        body = json.dumps(load.deploy_request(entity)).encode()
        return (await client.request(subject, body, timeout=PATIENCE_S)).data

    try:
        yield ask
    finally:
        await client.close()


@asynccontextmanager
async def over_http(url: str) -> AsyncIterator[Ask]:
    """``POST /api/v1/deployments``, on as many kept connections as there are callers."""
    address, kind = f"{url}/api/v1/deployments", {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(PATIENCE_S)
    ) as session:

        async def ask(entity: str) -> bytes:
            body = json.dumps(load.deploy_request(entity)).encode()
            async with session.post(address, data=body, headers=kind) as response:
                answer = await response.read()
            if response.status != _CREATED:
                raise WrongAnswerError(f"{response.status}: {answer[:500]!r}")
            return answer

        yield ask


@asynccontextmanager
async def by_queue(database: str, nats: str) -> AsyncIterator[Ask]:
    """Tasks deferred to procrastinate; each names the subject that its answer is waited for on."""
    client, app, numbers = await load.connect(nats), app_on(database), count()
    inbox, waiting = client.new_inbox(), dict[str, asyncio.Future[bytes]]()

    async def answered(message: Msg) -> None:
        waiting.pop(message.subject).set_result(message.data)

    async def ask(entity: str) -> bytes:
        reply, request = f"{inbox}.{next(numbers)}", load.deploy_request(entity)
        waiting[reply] = answer = asyncio.get_running_loop().create_future()
        await app.configure_task(DEPLOY).defer_async(request=request, reply=reply)
        return await asyncio.wait_for(answer, PATIENCE_S)

    await client.subscribe(f"{inbox}.*", cb=answered)
    try:
        async with app.open_async():
            yield ask
    finally:
        await client.close()


async def drive(
    ask: Ask, entities: Sequence[str], *, callers: int, seconds: float, reads_again: bool = False
) -> Run:
    """Deploys of random entities; every answer is looked at.

    Who ``reads_again`` after the commit may find that a later deploy has already superseded this one.
    """
    statuses = ("active", "inactive") if reads_again else ("active",)

    async def call() -> None:
        entity = random.choice(entities)
        require_deployed(entity, await ask(entity), statuses)

    return await load.loop(call, callers=callers, seconds=seconds)


def require_deployed(entity: str, answer: bytes, statuses: Collection[str] = ("active",)) -> None:
    """Raises ``WrongAnswerError`` unless it is a deployment of the entity, in one of the statuses."""
    record = json.loads(answer)
    found = tuple(record.get(name) for name in ("entity_id", "environment", "config_snapshot"))
    if found != (entity, load.ENVIRONMENT, load.CONFIG) or record.get("status") not in statuses:
        raise WrongAnswerError(f"asked to deploy {entity}, answered {answer[:500]!r}")
