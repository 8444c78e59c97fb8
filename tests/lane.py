"""The worker's lane brought to a stand, so that what is asked meanwhile waits in the queue together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import psycopg2

from contracts import subjects
from tests.conftest import Caller
from tests.system import System, eventually

BLOCKED = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'library-worker' AND wait_event_type = 'Lock'
"""


@asynccontextmanager
async def lane_held(system: System, caller: Caller) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """The lane waits for a row until the end; gives what awaits that so many commands are queued."""
    holder = await caller.create()

    async def queued(commands: int) -> None:
        async with asyncio.timeout(10):
            while (await caller.ask(subjects.STATUS_GET))["worker"]["queued_commands"] != commands:
                await asyncio.sleep(0.01)

    with closing(psycopg2.connect(system.database_url)) as somebody:
        somebody.cursor().execute(
            "SELECT 1 FROM entities WHERE entity_id = %s FOR UPDATE", (holder["entity_id"],)
        )
        held = asyncio.ensure_future(caller.deploy(holder))
        await asyncio.to_thread(eventually, lambda: system.sql(BLOCKED) == [(1,)], 4)
        yield queued
    assert (await held)["status"] == "active"
