"""What an agent makes of a program whose hooks do not end as they should, without NATS."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from contracts.deployments import HealthReport
from contracts.hotswap import place
from contracts.hotswap.health_reports import HealthReports
from contracts.hotswap.place import HotSwap
from contracts.hotswap.program import Configuration, Health
from tests.agents import Recorder

ENTITY_ID = UUID(int=1)


def configuration(number: int) -> Configuration:
    return Configuration(
        deployment_id=UUID(int=number),
        entity_id=ENTITY_ID,
        entity_name="prices",
        environment="staging",
        version="1.0.0",
        config={"n": number},
        parameters={},
        sequence=number,
    )


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


async def ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait((task,), timeout=10)
    assert task.cancelled()


class AwaitsItsOwnTask(Recorder):
    """Its health is that of a task of its own, which a swap has cancelled the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def health(self) -> Health:
        self.asked += 1
        work = asyncio.create_task(asyncio.sleep(0))
        if self.asked == 1:
            work.cancel()
        await work
        return Health("healthy")


async def test_health_that_awaits_a_cancelled_task_is_unhealthy_once_and_asked_again():
    sent: list[HealthReport] = []

    async def report_health(report: HealthReport, **_: Any) -> None:
        sent.append(report)

    client: Any = SimpleNamespace(report_health=report_health)
    program = AwaitsItsOwnTask()
    reports = HealthReports(client, "runner-1", program, interval=0.2, followed=lambda: configuration(1))
    running = asyncio.create_task(reports.run())
    try:
        await until(lambda: len(sent) >= 2 or running.done())
    finally:
        await ended(running)

    assert [each.status for each in sent[:2]] == ["unhealthy", "healthy"]
    assert sent[0].details == {"error": "CancelledError"}


async def test_reports_end_while_health_is_awaited():
    class Endless(Recorder):
        async def health(self) -> Health:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

    begun = asyncio.Event()
    client: Any = SimpleNamespace()
    reports = HealthReports(client, "runner-1", Endless(), interval=60, followed=lambda: configuration(1))
    examining = asyncio.create_task(reports._examined())
    await asyncio.wait_for(begun.wait(), 10)

    await ended(examining)


@asynccontextmanager
async def place_of(program: Recorder) -> AsyncIterator[HotSwap]:
    """A place whose library is told nothing, because nothing waits to be confirmed; stopped at the end."""
    broken = asyncio.get_running_loop().create_future()
    client: Any = SimpleNamespace()
    applied: Any = SimpleNamespace(put=lambda *_: None)
    swap = HotSwap(
        client,
        "runner-1",
        ENTITY_ID,
        program,
        applied=applied,
        health_interval=60,
        broken=broken.set_exception,
    )
    try:
        yield swap
    finally:
        await asyncio.wait_for(swap.stop(), 10)
    assert not broken.done()


async def test_a_release_that_hangs_is_cancelled_and_the_next_swap_goes_on(monkeypatch, caplog):
    monkeypatch.setattr(place, "RELEASE_SECONDS", 0.1)
    program = Recorder(held=["release 1"])
    async with place_of(program) as swap:
        swap.see_active(configuration(1))
        await program.did("prepare 1", "activate 1")
        swap.see_active(configuration(2))
        await program.did("prepare 1", "activate 1", "prepare 2", "activate 2")
        swap.see_active(configuration(3))

        await program.did(
            "prepare 1", "activate 1", "prepare 2", "activate 2", "prepare 3", "activate 3", "release 2"
        )

    assert program.cancelled == ["release 1"]
    assert (
        f"release_failed deployment_id={UUID(int=1)} error=release() did not end within 0.1 s" in caplog.text
    )


@pytest.mark.parametrize("is_under_way", [True, False])
async def test_a_release_that_hangs_does_not_keep_an_agent_from_its_end(monkeypatch, is_under_way):
    monkeypatch.setattr(place, "RELEASE_SECONDS", 0.1)
    program = Recorder(held=["release 1", "activate 2"])
    async with place_of(program) as swap:
        swap.see_active(configuration(1))
        await program.did("prepare 1", "activate 1")
        swap.see_active(configuration(2))
        await program.began("prepare 1", "activate 1", "prepare 2", "activate 2")
        program.held["activate 2"].set()
        if is_under_way:
            await program.began("prepare 1", "activate 1", "prepare 2", "activate 2", "release 1")

    assert program.cancelled == ["release 1"]
