"""Operators' commands, run as an operator does, beside a load that goes on."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import nats

from contracts import subjects
from tests.conftest import Caller
from tests.events import announced
from tests.system import System
from worker.entrypoints.upkeep import check as checking
from worker.entrypoints.upkeep.check import Report
from worker.entrypoints.upkeep.servers import Progress
from worker.settings import Settings


def library(system: System, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command's end: exit status, standard output and standard error."""
    return subprocess.run(
        [sys.executable, "-m", "worker", *map(str, arguments)],
        env={**system.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def library_beside(
    system: System, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same, while this event loop goes on."""
    return await asyncio.to_thread(library, system, *arguments, **environment)


def settings_of(system: System) -> Settings:
    """The settings that an operator's command has."""
    return Settings(nats_url=system.nats_url, database_url=system.database_url)


async def checked(system: System, patience: float = 1.0) -> Report:
    """What `library check` finds, without a process of its own, where what differs is not under way."""
    connection = await nats.connect(system.nats_url)
    try:
        return await checking.check(settings_of(system), connection, Progress("check"), patience=patience)
    finally:
        await connection.close()


@asynccontextmanager
async def connected(system: System) -> AsyncIterator[Caller]:
    """A caller of a system that is not the shared one."""
    connection = await nats.connect(system.nats_url)
    try:
        yield Caller(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def load(caller: Caller, lanes: int = 8) -> AsyncIterator[list[dict]]:
    """Deploys, rollbacks and retirements without an end, and what came of them so far."""
    done: list[dict] = []
    ends = asyncio.Event()

    async def lane() -> None:
        entity = await caller.create()
        for turn in count():
            if ends.is_set():
                return
            first = await caller.deploy(entity, config_override={"turn": turn})
            second = await caller.deploy(entity, "production", config_override={"turn": turn})
            done.extend((first, second))
            if turn % 3 == 1:
                done.append(await caller.rollback(second))
            if turn % 5 == 4:
                done.append(await caller.retire(first))

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
        try:
            yield done
        finally:
            ends.set()


async def published(system: System) -> None:
    """Wait until what was committed is in the stream."""
    await asyncio.to_thread(announced, system)


def key_subject(environment: str, entity: dict) -> str:
    """Where the bucket keeps the live configuration."""
    return subjects.bucket_subject(
        subjects.ACTIVE_BUCKET, subjects.active_key(environment, entity["entity_id"])
    )
