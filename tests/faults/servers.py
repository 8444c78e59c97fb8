"""Faults of servers: PostgreSQL's sessions and the whole of it, nats-server, and the leader of a stream."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable

from tests.faults.cluster import ClusterPlant
from tests.faults.fault import Fault, Strike
from tests.faults.plant import Plant
from tests.faults.workers import one_worker, two_workers
from tests.system import eventually
from worker.embedded.server import EmbeddedServer

_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, 'library-')"
_SHORT_PATIENCE = "2"


def repeatedly(blow: Callable[[Plant], Awaitable[None]], pause: float) -> Strike:
    """The blow at random moments, ``pause`` seconds apart on average; the last one leaves time to recover."""

    async def strike(plant: Plant, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds - 1.0
        await asyncio.sleep(random.uniform(0.3, 0.8))
        while True:
            await blow(plant)
            await asyncio.sleep(random.uniform(pause / 2, pause * 3 / 2))
            if loop.time() > until:
                return

    return strike


async def restart(server: EmbeddedServer, *, after: float = 0.0) -> None:
    """kill -9, and a new process at the same address so many seconds later."""
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    await asyncio.sleep(after)
    server.spawn()
    await asyncio.to_thread(eventually, server.is_ready, 30)


async def _session(plant: Plant) -> None:
    """End a session in peace, or kill its process, at which PostgreSQL ends all and recovers."""
    rows = await asyncio.to_thread(plant.system.sql, _SESSIONS)
    if not rows:
        return
    ((pid,),) = random.sample(rows, 1)
    if random.random() < 0.5:
        await asyncio.to_thread(plant.system.sql, "SELECT pg_terminate_backend(%s)", (pid,))
        return
    os.kill(int(str(pid)), signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: _answers(plant), 30)


def _answers(plant: Plant) -> bool:
    try:
        return bool(plant.system.sql("SELECT 1"))
    except Exception:  # noqa: BLE001 - it recovers
        return False


async def _postgres(plant: Plant) -> None:
    await restart(plant.system.postgres)


async def _nats(plant: Plant) -> None:
    await restart(plant.system.nats)


async def _nats_for_long(plant: Plant) -> None:
    await restart(plant.system.nats, after=float(_SHORT_PATIENCE) + 1.5)


async def _leader(plant: Plant) -> None:
    assert isinstance(plant, ClusterPlant)
    await restart(await plant.leader(), after=random.uniform(0.0, 2.0))


async def _impatient_worker(plant: Plant) -> None:
    """A worker that ends itself when NATS is away for two seconds."""
    await plant.start_worker(LIBRARY_DISCONNECTED_EXIT=_SHORT_PATIENCE)


FAULTS = (
    Fault("postgres-session", "PostgreSQL's sessions ended or killed", repeatedly(_session, 1.5), one_worker),
    Fault("postgres", "kill -9 of PostgreSQL", repeatedly(_postgres, 4.0), one_worker),
    Fault("nats", "kill -9 of nats-server", repeatedly(_nats, 3.0), one_worker),
    Fault(
        "nats-away",
        "nats-server away until the worker ends itself",
        repeatedly(_nats_for_long, 6.0),
        _impatient_worker,
    ),
    Fault(
        "stream-leader",
        "kill -9 of the stream's leader, one of three nats-servers",
        repeatedly(_leader, 4.0),
        two_workers,
        ClusterPlant,
    ),
)
