"""Faults of connections: cut or silent, between a statement and its commit, or before the answer to that."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, product

from tests.faults.fault import Fault, Strike
from tests.faults.plant import Plant
from tests.faults.proxy import ANSWER, BATCH, COMMIT, Moment, Proxy, Way

_PORT = re.compile(r":(\d+)(?=/|$)")
_LONGEST_SILENCE = 12.0
_PAUSE = 0.7


def through(variable: str, url: Callable[[Plant], str]) -> Callable[[Plant], Awaitable[None]]:
    """A worker that reaches one of its servers through the plant's proxy."""

    async def arrange(plant: Plant) -> None:
        address = url(plant)
        (port,) = _PORT.findall(address)
        plant.proxy = await plant.resources.enter_async_context(Proxy(int(port)))
        await plant.start_worker(**{variable: _PORT.sub(f":{plant.proxy.port}", address)})

    return arrange


def striking(marks: Sequence[bytes], way: Way) -> Strike:
    """Strike at each mark, before it and after it, in turn; once at the least."""

    async def strike(plant: Plant, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds - 1.5
        struck = 0
        moments = list(product(marks, Moment))
        random.shuffle(moments)
        for mark, moment in cycle(moments):
            await asyncio.sleep(random.uniform(_PAUSE / 2, _PAUSE * 3 / 2))
            if loop.time() > until:
                break
            plant.proxy.arm(mark, moment, way)
            try:
                await asyncio.wait_for(plant.proxy.struck.wait(), max(0.0, until + 1.0 - loop.time()))
            except TimeoutError:
                plant.proxy.heal()
                break
            struck += 1
            if way is Way.SILENCE:
                await asyncio.sleep(random.uniform(2.0, max(3.0, min(_LONGEST_SILENCE, seconds / 4))))
                plant.proxy.heal()
                await asyncio.sleep(1.0)
        assert struck, "no mark came by: the fault was none"

    return strike


_TO_POSTGRES = through("LIBRARY_DATABASE_URL", lambda plant: plant.database_url)
_TO_NATS = through("LIBRARY_NATS_URL", lambda plant: plant.nats_url)

FAULTS = (
    Fault(
        "postgres-cut",
        "the connection to PostgreSQL cut before a commit, or before its answer",
        striking([COMMIT], Way.CUT),
        _TO_POSTGRES,
    ),
    Fault(
        "postgres-silent",
        "PostgreSQL silent before a commit, or before its answer",
        striking([COMMIT], Way.SILENCE),
        _TO_POSTGRES,
    ),
    Fault(
        "nats-cut",
        "the connection to NATS cut around answers and batches of events",
        striking([ANSWER, BATCH], Way.CUT),
        _TO_NATS,
    ),
    Fault(
        "nats-silent",
        "NATS silent around answers and batches of events",
        striking([ANSWER, BATCH], Way.SILENCE),
        _TO_NATS,
    ),
)
