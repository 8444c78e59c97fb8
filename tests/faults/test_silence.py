"""A stopped PostgreSQL takes connections and says nothing: callers hear so, and do not wait for it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import nats
import psutil
import pytest

from tests.conftest import Caller, Refused
from tests.system import System

SAID_WITHIN = 5.0
BACK_WITHIN = 5.0


@contextmanager
def stopped(system: System) -> Iterator[None]:
    """PostgreSQL, all its processes, does nothing meanwhile."""
    assert system.postgres.process is not None
    server = psutil.Process(system.postgres.process.pid)
    family = [server.pid, *(each.pid for each in server.children(recursive=True))]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)


async def test_a_silent_database_is_unavailable_within_seconds_and_is_back_at_once(own_system: System):
    own_system.start_servers()
    own_system.start_worker().wait_for_line("worker_ready")
    connection = await nats.connect(own_system.nats_url)
    caller = Caller(connection)
    entity = await caller.create()

    with stopped(own_system):
        for ask in (caller.deploy, caller.entity):
            asked = time.monotonic()
            with pytest.raises(Refused, match="unavailable"):
                await ask(entity)
            assert time.monotonic() - asked < SAID_WITHIN
    continued = time.monotonic()
    deployed = await caller.deploy(entity)

    assert time.monotonic() - continued < BACK_WITHIN
    assert deployed["status"] == "active"
    await connection.close()
