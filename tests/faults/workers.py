"""Faults of workers: killed, stopped for a while, with wrong clocks, beside a migration."""

import asyncio
import random
import signal
from contextlib import closing

import psycopg2
from psycopg2.errors import DeadlockDetected, LockNotAvailable

from tests.faults.fault import Fault, Wrong
from tests.faults.observed import Finding
from tests.faults.plant import Plant
from tests.system import Process

_LONGEST_STOP = 10.0
_HOUR = 3600


async def one_worker(plant: Plant) -> None:
    """A single worker."""
    await plant.start_worker()


async def two_workers(plant: Plant) -> None:
    """Two; the relay of one of them leads."""
    await asyncio.gather(plant.start_worker(), plant.start_worker())


async def _kill(plant: Plant, seconds: float) -> None:
    """Kill the first worker, and who comes after it, at random moments, ready or not."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds - 0.5
    while (left := until - loop.time()) > 0:
        await asyncio.sleep(random.uniform(0.2, min(left, 3.0) + 0.2))
        plant.workers[0].send(signal.SIGKILL)


async def _stop_and_continue(plant: Plant, seconds: float) -> None:
    """Stop one of the workers, and let it go on where it was."""
    await asyncio.sleep(random.uniform(0.3, 0.8))
    stopped = random.choice(plant.workers)
    stopped.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(min(_LONGEST_STOP, seconds - 1.5))
    finally:
        stopped.send(signal.SIGCONT)


async def _wrong_clocks(plant: Plant) -> None:
    """Two workers, an hour ahead and an hour behind."""
    program = ("-m", "tests.faults.shifted_clock")
    await asyncio.gather(
        plant.start_worker((*program, str(_HOUR))), plant.start_worker((*program, str(-_HOUR)))
    )


async def _nothing(plant: Plant, seconds: float) -> None:
    """Let the load run."""
    await asyncio.sleep(seconds)


async def _migrate(plant: Plant, seconds: float) -> None:
    """Migrate what is up to date, again and again, and change a table beneath the load."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds - 0.5
    while loop.time() < until:
        migration = Process("migrate", plant.system.environment)
        for change in ("ADD COLUMN IF NOT EXISTS note text", "DROP COLUMN IF EXISTS note"):
            await asyncio.to_thread(_alter, plant.database_url, change)
        status = await asyncio.to_thread(migration.popen.wait, 60)
        if status != 0:
            raise Wrong(Finding("lost", f"library migrate failed under load: {list(migration.lines)[-1:]}"))


def _alter(database_url: str, change: str) -> None:
    """A change as a migration makes it: it gives up a lock that it does not get, and tries again."""
    while True:
        with closing(psycopg2.connect(database_url)) as connection:
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = '5s'")
                    cursor.execute(f"ALTER TABLE deployments {change}")
                    cursor.execute(f"ALTER TABLE entities {change}")
            except (LockNotAvailable, DeadlockDetected):
                continue
            return


FAULTS = (
    Fault("worker", "kill -9 of the worker, at random moments", _kill, one_worker),
    Fault("worker-of-two", "kill -9 of one of two workers, at random moments", _kill, two_workers),
    Fault("worker-stopped", "a worker stopped for 10 s, another goes on", _stop_and_continue, two_workers),
    Fault("clock", "two workers, an hour ahead and an hour behind", _nothing, _wrong_clocks),
    Fault("migration", "migrations and new columns beneath the load", _migrate, one_worker),
)
