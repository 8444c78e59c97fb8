"""Commands through the stream: carried out once, whatever happens to the workers meanwhile."""

import asyncio
import json
import re
import signal
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import nats
import psycopg2
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerInfo

from contracts import subjects
from tests.commander import Commander, dead, deploy_of
from tests.conftest import Caller
from tests.faults.proxy import Moment, Proxy, Way
from tests.system import Process, System, eventually


@pytest.fixture
async def commander(connection: Client) -> Commander:
    return await Commander(connection).start()


async def test_a_command_is_carried_out_and_its_event_carries_its_id(caller: Caller, commander: Commander):
    entity = await caller.create()

    command_id = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity))

    event = await commander.outcome(command_id)
    assert event["type"] == "library.deployment.completed.v1"
    assert event["data"]["deployment"]["status"] == "active"


async def test_a_command_and_a_request_share_their_keys(caller: Caller, commander: Commander):
    entity = await caller.create()
    command_id = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity))
    event = await commander.outcome(command_id)

    again, headers = await caller.raw(
        subjects.DEPLOY_REQUEST, json.dumps(deploy_of(entity)).encode(), Idempotency_Key=command_id
    )

    assert headers["Idempotency-Replayed"] == "true"
    assert again["deployment_id"] == event["subject"]


async def test_a_refusal_is_one_event_that_names_the_command(caller: Caller, commander: Commander):
    entity = await caller.create(health_status="unhealthy")

    command_id = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity))

    event = await commander.outcome(command_id)
    assert event["type"] == "library.deployment.rejected.v1"
    assert event["subject"] == command_id
    assert "sequence" not in event
    assert event["on"] == f"library.events.deployment.rejected.staging.{entity['entity_id']}"
    assert event["data"]["command"] == "deploy"
    assert event["data"]["body"] == deploy_of(entity)
    assert event["data"]["problem"]["code"] == "validation_failed"


async def test_a_late_command_is_rejected_and_not_carried_out(caller: Caller, commander: Commander):
    entity = await caller.create()
    past = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")

    command_id = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity), Library_Deadline=past)

    event = await commander.outcome(command_id)
    assert event["data"]["problem"]["code"] == "deadline_exceeded"
    assert (await caller.entity(entity))["status"] == "registered"


async def test_rollbacks_are_commands_too_and_unknown_places_are_underscores(
    caller: Caller, commander: Commander
):
    entity = await caller.create()
    first, second = await caller.deploy(entity), await caller.deploy(entity)
    body = {"deployment_id": second["deployment_id"], "reason": "bad", "rolled_back_by": "commander"}

    done = await commander.send(subjects.COMMAND_ROLLBACK, body)
    refused = await commander.send(subjects.COMMAND_ROLLBACK, {**body, "deployment_id": str(uuid4())})

    await commander.outcome(done)
    assert (await caller.get(first))["status"] == "active"
    event = await commander.outcome(refused)
    assert event["on"] == "library.events.deployment.rejected._._"
    assert event["data"]["problem"]["code"] == "deployment_not_found"


@pytest.mark.parametrize("body", [b"not json", b"", b'{"entity_id": 3}', b"\xff\x00"])
async def test_what_cannot_be_read_is_put_aside_whole_and_rejected(
    connection: Client, commander: Commander, body: bytes
):
    before = await dead(connection)

    command_id = await commander.send(subjects.COMMAND_DEPLOY, body, Custom="kept")

    event = await commander.outcome(command_id)
    assert event["data"]["problem"]["code"] == "invalid_request"
    assert await dead(connection) == before + 1
    letter = await connection.jetstream().get_last_msg(
        subjects.DEAD_STREAM, subjects.dead_letter(subjects.COMMAND_DEPLOY)
    )
    assert (letter.data or b"") == body
    assert letter.headers["Custom"] == "kept"
    assert letter.headers["Nats-Msg-Id"] == command_id
    assert letter.headers["Library-Dead-Reason"].startswith("invalid_request")


async def test_a_command_without_an_id_is_put_aside(connection: Client, caller: Caller):
    entity = await caller.create()
    before = await dead(connection)

    await connection.jetstream().publish(subjects.COMMAND_DEPLOY, json.dumps(deploy_of(entity)).encode())

    async with asyncio.timeout(10):
        while await dead(connection) == before:
            await asyncio.sleep(0.02)
    assert (await caller.entity(entity))["status"] == "registered"


async def started(system: System) -> tuple[Process, Client, Caller, Commander]:
    """Servers and a worker that is ready, and who asks it and commands it, on a connection."""
    system.start_servers()
    worker = system.start_worker()
    worker.wait_for_line("worker_ready")
    client = await nats.connect(system.nats_url)
    return worker, client, Caller(client), await Commander(client).start()


async def test_two_hundred_commands_are_done_once_though_a_worker_is_killed_among_them(own_system: System):
    victim, client, caller, commander = await started(own_system)
    entities = [await caller.create() for _ in range(10)]

    commands = []
    for number in range(200):
        commands.append(await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entities[number % 10])))
        if number == 100:
            victim.popen.send_signal(signal.SIGKILL)
            own_system.start_worker()
    outcomes = [await commander.outcome(command, patience=40) for command in commands]

    await client.close()
    assert {event["type"] for event in outcomes} == {"library.deployment.completed.v1"}
    assert len({event["subject"] for event in outcomes}) == 200
    assert own_system.sql("SELECT count(*) FROM deployments") == [(200,)]
    assert own_system.sql("SELECT count(*) FROM deployments WHERE status = 'active'") == [(10,)]


async def test_commands_wait_while_no_worker_runs_and_keep_their_order(own_system: System):
    _, client, caller, commander = await started(own_system)
    entity = await caller.create()
    own_system.workers.pop().stop()

    commands = [
        await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity, reason=str(n))) for n in range(20)
    ]
    own_system.start_worker()
    for command in commands:
        await commander.outcome(command)

    await client.close()
    rows = own_system.sql("SELECT reason FROM deployments ORDER BY deployed_at")
    assert [row[0] for row in rows] == [str(n) for n in range(20)]


async def test_a_command_outlasts_an_outage_of_the_database(own_system: System):
    worker, client, caller, commander = await started(own_system)
    entity = await caller.create()
    own_system.postgres.stop()

    command_id = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity))
    worker.wait_for_line("unavailable")
    own_system.postgres.start()

    event = await commander.outcome(command_id)
    await client.close()
    assert event["type"] == "library.deployment.completed.v1"
    eventually(lambda: own_system.sql("SELECT count(*) FROM outbox") == [(0,)])


async def consumer(client: Client) -> ConsumerInfo:
    return await client.jetstream().consumer_info(subjects.COMMANDS_STREAM, subjects.COMMANDS_CONSUMER)


async def deliver_again_after(client: Client, seconds: float) -> None:
    """Have the stream wait only so long for an acknowledgement."""
    config = (await consumer(client)).config
    await client.jetstream().add_consumer(subjects.COMMANDS_STREAM, config.evolve(ack_wait=seconds))


async def deliveries(client: Client) -> int:
    return (await consumer(client)).delivered.consumer_seq


async def all_are_settled(client: Client) -> None:
    """Wait until the stream of commands is empty."""
    async with asyncio.timeout(30):
        while await dead(client, subjects.COMMANDS_STREAM):
            await asyncio.sleep(0.02)


def rejected(system: System) -> int:
    ((count,),) = system.sql("SELECT count(*) FROM events WHERE type = 'library.deployment.rejected.v1'")
    return count


async def test_commands_that_wait_when_their_worker_is_stopped_are_carried_out_by_the_next(
    own_system: System,
):
    worker, client, caller, commander = await started(own_system)
    entities = [await caller.create() for _ in range(10)]

    async def send(so_many: int) -> list[str]:
        return [
            await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entities[number % 10]))
            for number in range(so_many)
        ]

    with closing(psycopg2.connect(own_system.database_url)) as somebody:
        somebody.cursor().execute("LOCK TABLE entities IN EXCLUSIVE MODE")
        commands = await send(20)
        await asyncio.to_thread(worker.wait_for_line, "unavailable")  # some are held by now
        worker.popen.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.wait_for_line, "worker_stopping")
        commands += await send(300)
        somebody.rollback()
    assert await asyncio.to_thread(worker.stop) == 0
    own_system.start_worker()

    outcomes = [await commander.outcome(command) for command in commands]
    assert {event["type"] for event in outcomes} == {"library.deployment.completed.v1"}
    assert await dead(client) == 0
    assert own_system.sql("SELECT count(*) FROM deployments") == [(len(commands),)]
    await client.close()


async def test_to_wait_in_a_worker_is_no_try_however_often_the_stream_delivers_it_meanwhile(
    own_system: System,
):
    _, client, caller, commander = await started(own_system)
    entity = await caller.create()
    await deliver_again_after(client, 0.4)
    with closing(psycopg2.connect(own_system.database_url)) as somebody:
        somebody.cursor().execute("LOCK TABLE entities IN EXCLUSIVE MODE")
        command = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity))
        async with asyncio.timeout(30):
            while await deliveries(client) < 8:
                await asyncio.sleep(0.02)
        somebody.rollback()

    event = await commander.outcome(command)
    await all_are_settled(client)
    assert event["type"] == "library.deployment.completed.v1"
    assert await dead(client) == 0
    assert rejected(own_system) == 0
    await client.close()


async def test_what_waits_in_a_worker_is_not_delivered_again(own_system: System):
    worker, client, caller, commander = await started(own_system)
    entity = await caller.create()
    await deliver_again_after(client, 4)
    with closing(psycopg2.connect(own_system.database_url)) as somebody:
        somebody.cursor().execute("LOCK TABLE entities IN EXCLUSIVE MODE")
        command = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity))
        await asyncio.to_thread(worker.wait_for_line, "unavailable")  # after 5 s
        assert await deliveries(client) == 1
        somebody.rollback()

    await commander.outcome(command)
    await client.close()


@pytest.mark.parametrize(("times", "event"), [(24, "completed"), (25, "rejected")])
async def test_what_no_worker_comes_to_an_end_with_is_given_up_after_many_deliveries(
    own_system: System, times: int, event: str
):
    worker, client, caller, commander = await started(own_system)
    entity = await caller.create()
    worker.stop()
    command = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity))
    crashing = await client.jetstream().pull_subscribe_bind(
        subjects.COMMANDS_CONSUMER, subjects.COMMANDS_STREAM
    )
    for _ in range(times):
        (message,) = await crashing.fetch(1)
        await message.nak()

    own_system.start_worker()

    assert (await commander.outcome(command))["type"] == f"library.deployment.{event}.v1"
    await all_are_settled(client)
    assert await dead(client) == (event == "rejected")
    await client.close()


async def test_a_refusal_is_one_event_though_nobody_heard_that_it_was_committed(own_system: System):
    own_system.start_servers()
    client = await nats.connect(own_system.nats_url)
    port = re.search(r":(\d+)/", own_system.database_url)
    assert port is not None
    async with Proxy(int(port[1])) as proxy:
        worker = own_system.start_worker(
            LIBRARY_DATABASE_URL=own_system.database_url.replace(port[0], f":{proxy.port}/")
        )
        await asyncio.to_thread(worker.wait_for_line, "relay_leads")
        caller, commander = Caller(client), await Commander(client).start()
        entity = await caller.create(health_status="unhealthy")
        for _ in range(4):  # what a session has prepared goes with the commit, in one piece
            await commander.outcome(await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity)))
        event = f"library.events.deployment.rejected.staging.{entity['entity_id']}"
        proxy.arm(event.encode(), Moment.AFTER, Way.SILENCE)
        command = await commander.send(subjects.COMMAND_DEPLOY, deploy_of(entity))
        await asyncio.to_thread(worker.wait_for_line, '"unavailable"')
        assert rejected(own_system) == 5
        proxy.heal()

        await commander.outcome(command)
        await all_are_settled(client)
        assert rejected(own_system) == 5
        await asyncio.to_thread(worker.stop)
    await client.close()
