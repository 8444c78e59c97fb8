"""A PostgreSQL that takes no writes, as a standby does: away, until it or another one takes them again."""

import signal

import nats
import pytest

from contracts import subjects
from tests.conftest import Caller, Refused
from tests.system import eventually


def make_read_only(system, setting):
    """Have the server take no writes, of the sessions that are open either."""
    configuration = system.postgres.data / "postgresql.conf"
    with configuration.open("a") as file:
        file.write(f"default_transaction_read_only = {setting}\n")
    system.postgres.process.send_signal(signal.SIGHUP)
    wanted = [("on" if setting == "on" else "off",)]
    eventually(lambda: system.sql("SHOW default_transaction_read_only") == wanted)


async def code_of(asking):
    with pytest.raises(Refused) as refused:
        await asking
    return refused.value.problem["code"]


async def test_a_database_that_takes_no_writes_is_away_and_is_found_again(own_system):
    own_system.start_servers()
    own_system.start_worker().wait_for_line("worker_ready")
    connection = await nats.connect(own_system.nats_url)
    caller = Caller(connection)
    entity = await caller.create()
    await caller.deploy(entity)

    make_read_only(own_system, "on")
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    assert [await code_of(caller.ask(subjects.DEPLOY_REQUEST, **body)) for _ in range(3)] == [
        "unavailable"
    ] * 3

    make_read_only(own_system, "off")
    assert (await caller.deploy(entity))["status"] == "active"
    await connection.close()
