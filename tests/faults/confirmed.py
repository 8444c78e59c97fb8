"""Faults of environments that ask for confirmation: while agents answer, late or never, and lines form."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import nats

from contracts.client import LibraryClient
from contracts.environments import Concurrency, EnvironmentName, EnvironmentSet
from tests.faults.agents import Manner
from tests.faults.confirmed_load import QUEUES, SUPERSEDES, ConfirmedLoad
from tests.faults.evidence import rows
from tests.faults.fault import Fault, Strike, Wrong
from tests.faults.observed import Finding, Span
from tests.faults.plant import KeptWorker, Plant
from tests.faults.servers import repeatedly, restart
from tests.faults.whole import UpPlant
from tests.faults.workers import one_worker, two_workers
from tests.system import eventually
from worker.entrypoints.upkeep.check import check
from worker.entrypoints.upkeep.servers import Progress
from worker.settings import Settings

_WAITING = 100
_CROWD = 130
_LATE: dict[Manner, int] = {"seen": 4, "late": 4, "silent": 1}
_DEPLOYING = "SELECT count(*) FROM deployments WHERE status = 'deploying' AND confirm_by > clock_timestamp()"
_COME_WITHIN = 15.0


class Confirmed(Plant):
    """A plant that notes when nobody could decide, and that `library check` looks at in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.outages: list[Span] = []

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """What decides is away meanwhile."""
        began = time.time()
        try:
            yield
        finally:
            self.outages.append((began, time.time()))

    async def differences(self) -> list[Finding]:
        """What `library check` finds."""
        settings = Settings(nats_url=self.nats_url, database_url=self.database_url)
        client = await nats.connect(self.nats_url)
        try:
            report = await check(settings, client, Progress("check"))
        finally:
            await client.close()
        return [Finding("lost", f"library check: {each}") for each in report.findings]


class ConfirmedServers(Confirmed):
    """Servers, and workers of the row's own."""


class ConfirmedUp(Confirmed, UpPlant):
    """All that ``library up`` runs."""


def while_a_hundred_wait(blow: Callable[[Plant], Awaitable[None]]) -> Strike:
    """The blow whenever a hundred wait to be confirmed; what decides is away until it has come back."""

    async def strike(plant: Plant, seconds: float) -> None:
        assert isinstance(plant, Confirmed)
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds - 1.0
        while True:
            await _a_hundred_wait(plant)
            with plant.away():
                await blow(plant)
            await asyncio.sleep(random.uniform(0.0, 1.0))
            if loop.time() > until:
                return

    return strike


async def _a_hundred_wait(plant: Plant) -> None:
    """Wait until they do. Raises ``Wrong`` where that takes long."""
    try:
        async with asyncio.timeout(_COME_WITHIN):
            while await asyncio.to_thread(_deploying, plant.database_url) < _WAITING:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Wrong(Finding("lost", f"no {_WAITING} came to wait within {_COME_WITHIN} s")) from None


def _deploying(database_url: str) -> int:
    ((number,),) = rows(database_url, _DEPLOYING)
    return int(number)


async def _kill_the_worker(plant: Plant) -> None:
    await _kill(plant.workers[0])


async def _kill_everything(plant: Plant) -> None:
    assert isinstance(plant, UpPlant)
    await plant.kill()
    await plant.start()


async def _kill(worker: KeptWorker) -> None:
    """Kill a worker, and wait until the next one is ready."""
    killed = worker.process
    worker.send(signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: worker.process is not killed)
    await worker.ready()


async def _kill_one_of_two(plant: Plant) -> None:
    """The other one has the timers meanwhile: there is no outage."""
    await _kill(random.choice(plant.workers))


async def _kill_nats(plant: Plant) -> None:
    """Timers do not need it."""
    await restart(plant.system.nats, after=random.uniform(0.0, 1.0))


async def _kill_postgres(plant: Plant) -> None:
    assert isinstance(plant, Confirmed)
    with plant.away():
        await restart(plant.system.postgres, after=random.uniform(0.0, 1.0))


async def _change_settings(plant: Plant) -> None:
    """Instant and back, with another way to go about a second deploy each time."""
    async with await LibraryClient.connect(plant.nats_url) as client:
        for environment in (QUEUES, SUPERSEDES):
            changed = EnvironmentSet(
                environment=environment,
                activation=random.choice(("instant", "confirmed")),
                concurrency=random.choice(("reject", "supersede", "queue")),
                confirm_timeout_s=random.choice((1, 2)),
            )
            await client.set_environment(changed)


async def _change_back(plant: Plant, seconds: float) -> None:
    """Change them to and fro, and leave them as the load made them."""
    await repeatedly(_change_settings, 0.7)(plant, seconds)
    policies: dict[EnvironmentName, Concurrency] = {QUEUES: "queue", SUPERSEDES: "supersede"}
    async with await LibraryClient.connect(plant.nats_url) as client:
        for environment, concurrency in policies.items():
            changed = EnvironmentSet(environment=environment, activation="confirmed", concurrency=concurrency)
            await client.set_environment(changed)


async def _nothing(plant: Plant, seconds: float) -> None:
    """Let the load run."""
    await asyncio.sleep(seconds)


async def _its_own_worker(plant: Plant) -> None:
    """Nothing to arrange."""


_CROWDED = partial(ConfirmedLoad, crowd=_CROWD)

FAULTS = (
    Fault(
        "confirmed-worker",
        "kill -9 of the worker while 100 wait to be confirmed",
        while_a_hundred_wait(_kill_the_worker),
        one_worker,
        ConfirmedServers,
        _CROWDED,
    ),
    Fault(
        "confirmed-worker-of-two",
        "kill -9 of one of two workers while 100 wait to be confirmed",
        repeatedly(_kill_one_of_two, 1.0),
        two_workers,
        ConfirmedServers,
        _CROWDED,
    ),
    Fault(
        "confirmed-everything",
        "kill -9 of library up and all its processes while 100 wait to be confirmed",
        while_a_hundred_wait(_kill_everything),
        _its_own_worker,
        ConfirmedUp,
        _CROWDED,
    ),
    Fault(
        "confirmed-nats",
        "kill -9 of nats-server while agents confirm",
        repeatedly(_kill_nats, 3.0),
        one_worker,
        ConfirmedServers,
        ConfirmedLoad,
    ),
    Fault(
        "confirmed-postgres",
        "kill -9 of PostgreSQL while agents confirm",
        repeatedly(_kill_postgres, 4.0),
        one_worker,
        ConfirmedServers,
        ConfirmedLoad,
    ),
    Fault(
        "confirmed-late",
        "agents that confirm after the time is over",
        _nothing,
        one_worker,
        ConfirmedServers,
        partial(ConfirmedLoad, manners=_LATE),
    ),
    Fault(
        "confirmed-line",
        "20 in line behind one that never answers, line after line",
        _nothing,
        two_workers,
        ConfirmedServers,
        partial(ConfirmedLoad, lines=True),
    ),
    Fault(
        "confirmed-settings",
        "environments changed to and fro while agents confirm",
        _change_back,
        one_worker,
        ConfirmedServers,
        ConfirmedLoad,
    ),
)
