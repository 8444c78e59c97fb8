"""Agents on the running product: what they prepare, confirm, activate and release, and what they say."""

import asyncio
import contextlib
import json
import os
import signal
from urllib.parse import urlsplit
from uuid import UUID

import nats
import pytest

from contracts import subjects
from contracts.agent import Agent, Fleet
from contracts.client import LibraryClient
from contracts.connection import NoAnswerError
from contracts.hotswap.place import end
from tests.agents import HealthyRecorder, Recorder
from tests.conftest import Caller, Refused
from tests.events import events_of, live, names
from tests.faults.proxy import Proxy
from tests.system import Process
from tests.upkeep import connected, library_beside

PLACE = "development"
FAST = 0.05


@pytest.fixture
async def client(system):
    async with await LibraryClient.connect(system.nats_url) as connected:
        yield connected


@pytest.fixture
async def settings(caller):
    """Sets the environment, which is put back afterwards."""
    listed = (await caller.ask(subjects.ENVIRONMENT_LIST))["environments"]
    before = next(each for each in listed if each["environment"] == PLACE)

    async def change(**changes):
        await caller.ask(subjects.ENVIRONMENT_SET, environment=PLACE, **changes)

    yield change
    await change(**{name: value for name, value in before.items() if name != "environment"})


@pytest.fixture
async def confirmed(settings):
    await settings(activation="confirmed", confirm_timeout_s=60)
    return settings


@pytest.fixture
async def entity(caller):
    return await caller.create()


def deploy(caller, entity, number, **fields):
    return caller.deploy(entity, PLACE, config_override={"n": number}, **fields)


async def became(caller, deployment, status):
    """The deployment once it has this status."""
    async with asyncio.timeout(20):
        while (now := await caller.get(deployment))["status"] != status:
            await asyncio.sleep(0.02)
    return now


async def shown(connection, entity, deployment):
    """What the live state shows once that is this deployment, None for nothing."""
    wanted = deployment and deployment["deployment_id"]
    return await live(connection, PLACE, entity, lambda value: (value and value["deployment_id"]) == wanted)


async def applied(connection, entity, deployment, agent="runner-1", environment=PLACE):
    """What the agent says that it runs, once that is this deployment, None for nothing."""
    wanted = deployment and deployment["deployment_id"]
    bucket = await connection.jetstream().key_value(subjects.APPLIED_BUCKET)
    watcher = await bucket.watch(subjects.applied_key(environment, entity["entity_id"], agent))
    try:
        async with asyncio.timeout(20):
            async for entry in watcher:
                if entry is not None and (value := json.loads(entry.value))["deployment_id"] == wanted:
                    return value
    finally:
        await watcher.stop()
    raise AssertionError("the watch ended")


def agent_of(client, entity, program, name="runner-1", **options):
    return Agent(client, PLACE, UUID(entity["entity_id"]), name, program, **options)


# Instant environments: what is active is run, and nothing is confirmed.


async def test_what_is_active_is_run_replaced_rolled_back_and_released(
    system, client, caller, connection, entity
):
    program = Recorder()
    first = await deploy(caller, entity, 1)
    async with agent_of(client, entity, program) as agent:
        await program.did("prepare 1", "activate 1")
        second = await deploy(caller, entity, 2)
        await program.did("prepare 1", "activate 1", "prepare 2", "activate 2", "release 1")
        assert agent.running.deployment_id == UUID(second["deployment_id"])
        await caller.rollback(second)
        calls = [*program.ended, "prepare 1", "activate 1", "release 2"]
        await program.did(*calls)
        said = await applied(connection, entity, first)
        assert said["sequence"] == (await shown(connection, entity, first))["sequence"]
        await caller.retire(first)
        await program.did(*calls, "release 1")
        assert (await applied(connection, entity, None))["sequence"] is None
        assert agent.running is None

    told = names(await events_of(system, connection, entity))
    assert "started" not in told


async def test_an_agent_that_starts_runs_what_is_active(client, caller, connection, entity):
    await deploy(caller, entity, 1)
    second = await deploy(caller, entity, 2)
    await shown(connection, entity, second)
    program = Recorder()

    async with agent_of(client, entity, program):
        await program.did("prepare 2", "activate 2")
        await applied(connection, entity, second)


async def test_an_agent_that_starts_where_nothing_is_active_says_so(client, caller, connection, entity):
    first = await deploy(caller, entity, 1)
    async with agent_of(client, entity, Recorder()):
        await applied(connection, entity, first)
    await caller.retire(first)
    await shown(connection, entity, None)
    program = Recorder()

    async with agent_of(client, entity, program):
        await applied(connection, entity, None)
    assert program.calls == []


async def test_an_older_value_that_is_put_again_is_not_applied(client, caller, connection, entity):
    program = Recorder()
    bucket = await connection.jetstream().key_value(subjects.ACTIVE_BUCKET)
    key = subjects.active_key(PLACE, entity["entity_id"])
    async with agent_of(client, entity, program):
        await deploy(caller, entity, 1)
        await program.did("prepare 1", "activate 1")
        older = (await bucket.get(key)).value
        await deploy(caller, entity, 2)
        calls = ["prepare 1", "activate 1", "prepare 2", "activate 2", "release 1"]
        await program.did(*calls)

        newest = (await bucket.get(key)).value
        await bucket.put(key, older)
        await bucket.put(key, newest)
        await deploy(caller, entity, 3)

        await program.did(*calls, "prepare 3", "activate 3", "release 2")


async def test_a_value_that_cannot_be_read_changes_nothing(client, caller, connection, entity):
    program = Recorder()
    bucket = await connection.jetstream().key_value(subjects.ACTIVE_BUCKET)
    async with agent_of(client, entity, program):
        await deploy(caller, entity, 1)
        await program.did("prepare 1", "activate 1")
        await bucket.put(subjects.active_key(PLACE, entity["entity_id"]), b"no")
        await deploy(caller, entity, 2)

        await program.did("prepare 1", "activate 1", "prepare 2", "activate 2", "release 1")


async def test_what_cannot_be_prepared_or_activated_is_reported_and_tried_again(
    client, caller, connection, entity
):
    program = Recorder(failing=["prepare 2", "activate 2"])
    async with agent_of(client, entity, program) as agent:
        first = await deploy(caller, entity, 1)
        await applied(connection, entity, first)
        second = await deploy(caller, entity, 2)
        await program.began("prepare 1", "activate 1", "prepare 2", "release 2")
        assert agent.error == "prepare 2 does not work"
        assert agent.running.deployment_id == UUID(first["deployment_id"])
        (consumer,) = [
            each
            for each in (await client.convergence(environment=PLACE)).consumers
            if str(each.entity_id) == entity["entity_id"]
        ]
        assert str(consumer.deployment_id) == first["deployment_id"]
        assert consumer.behind_since is not None

        program.failing.discard("prepare 2")
        await program.began(*program.calls[:4], "prepare 2", "activate 2")
        program.failing.clear()
        await applied(connection, entity, second)
        assert agent.error is None
    assert program.ended == [
        "prepare 1",
        "activate 1",
        "release 2",
        "prepare 2",
        "activate 2",
        "release 1",
    ]
    reports = (await caller.get(second))["health_checks"]
    assert {each["status"] for each in reports} == {"unhealthy"}
    assert {each["reported_by"] for each in reports} == {"runner-1"}
    assert [each["details"]["error"] for each in reports] == [
        "prepare 2 does not work",
        "activate 2 does not work",
    ]
    (consumer,) = [
        each
        for each in (await client.convergence(environment=PLACE)).consumers
        if str(each.entity_id) == entity["entity_id"]
    ]
    assert consumer.behind_since is None


async def test_a_deployment_that_cannot_be_activated_is_rolled_back_for_its_health(
    client, caller, connection, entity, settings
):
    await settings(auto_rollback=True, unhealthy_after=2)
    program = Recorder(failing=["activate 2"])
    async with agent_of(client, entity, program) as agent:
        first = await deploy(caller, entity, 1)
        await applied(connection, entity, first)
        second = await deploy(caller, entity, 2)

        rolled_back = await became(caller, second, "rolled_back")
        assert rolled_back["rolled_back_by"] == "system"
        await program.did("prepare 1", "activate 1", "prepare 2", "release 2")
        back = await shown(connection, entity, first)
        async with asyncio.timeout(20):
            while (await applied(connection, entity, first))["sequence"] != back["sequence"]:
                await asyncio.sleep(0.02)
        assert agent.running.deployment_id == UUID(first["deployment_id"])


async def test_health_is_reported_on_an_interval(client, caller, entity):
    program = HealthyRecorder()
    deployment = await deploy(caller, entity, 1)

    async def reports(status):
        async with asyncio.timeout(20):
            while True:
                checks = (await caller.get(deployment))["health_checks"]
                found = [each for each in checks if each["status"] == status]
                if len(found) >= 3:
                    return found
                await asyncio.sleep(FAST)

    async with agent_of(client, entity, program, health_interval=FAST):
        healthy = await reports("healthy")
        program.error = "out of prices"
        unhealthy = await reports("unhealthy")

    assert {each["reported_by"] for each in healthy} == {"runner-1"}
    assert healthy[-1]["details"] == {"calls": 2}
    assert unhealthy[-1]["details"] == {"error": "out of prices"}


# Confirmed environments.


@pytest.mark.usefixtures("confirmed")
async def test_a_deployment_is_prepared_confirmed_and_then_activated(
    system, client, caller, connection, entity
):
    program = Recorder(held=["prepare 2"])
    async with agent_of(client, entity, program) as agent:
        first = await deploy(caller, entity, 1)
        assert first["status"] == "deploying"
        await applied(connection, entity, first)
        second = await deploy(caller, entity, 2)
        await program.began("prepare 1", "activate 1", "prepare 2")
        assert (await caller.get(second))["status"] == "deploying"
        assert agent.running.deployment_id == UUID(first["deployment_id"])

        program.held["prepare 2"].set()
        await program.did("prepare 1", "activate 1", "prepare 2", "activate 2", "release 1")
        assert (await caller.get(second))["status"] == "active"

    events = [
        event for event in await events_of(system, connection, entity) if event["type"].count("deployment")
    ]
    assert names(events) == ["started", "completed", "started", "superseded", "completed"]
    assert events[-1]["data"]["actor"] == "runner-1"
    key = f"confirm.{second['deployment_id']}.runner-1"
    assert system.sql("SELECT count(*) FROM idempotency WHERE key = %s", (key,)) == [(1,)]


@pytest.mark.usefixtures("confirmed")
async def test_who_waits_for_the_outcome_is_answered_when_the_agent_has_confirmed(client, caller, entity):
    program = Recorder()
    async with agent_of(client, entity, program):
        assert (await deploy(caller, entity, 1, wait=True))["status"] == "active"


@pytest.mark.usefixtures("confirmed")
async def test_a_deployment_that_cannot_be_prepared_is_refused_and_the_old_one_stays(
    client, caller, connection, entity
):
    program = Recorder(failing=["prepare 2"])
    async with agent_of(client, entity, program) as agent:
        first = await deploy(caller, entity, 1, wait=True)
        second = await deploy(caller, entity, 2, wait=True)

        assert second["status"] == "failed"
        assert second["error_logs"] == "prepare 2 does not work"
        await program.did("prepare 1", "activate 1", "release 2")
        assert agent.running.deployment_id == UUID(first["deployment_id"])
        assert (await caller.get(first))["status"] == "active"
        assert (await applied(connection, entity, first))["deployment_id"] == first["deployment_id"]
        assert agent.error is None


async def test_a_preparation_that_takes_too_long_is_cancelled_and_released(client, caller, entity, confirmed):
    await confirmed(confirm_timeout_s=1)
    program = Recorder(held=["prepare 1"])
    async with agent_of(client, entity, program):
        first = await deploy(caller, entity, 1)
        await became(caller, first, "failed")
        await program.did("release 1")

    assert program.cancelled == ["prepare 1"]


async def test_a_deployment_that_is_superseded_while_it_is_prepared_gives_way_to_the_newer_one(
    client, caller, entity, confirmed
):
    await confirmed(concurrency="supersede")
    program = Recorder(held=["prepare 1"])
    async with agent_of(client, entity, program):
        first = await deploy(caller, entity, 1)
        await program.began("prepare 1")
        second = await deploy(caller, entity, 2)

        await program.did("release 1", "prepare 2", "activate 2")
    assert (await caller.get(first))["status"] == "failed"
    assert (await caller.get(second))["status"] == "active"


async def test_a_queue_becomes_active_one_after_the_other(client, caller, connection, entity, confirmed):
    await confirmed(concurrency="queue")
    program = Recorder(held=["prepare 1"], failing=["prepare 2"])
    async with agent_of(client, entity, program):
        waiting = [await deploy(caller, entity, number) for number in (1, 2, 3, 4)]
        await program.began("prepare 1")
        program.held["prepare 1"].set()
        await applied(connection, entity, waiting[-1])

        await program.did(
            "prepare 1",
            "activate 1",
            "release 2",
            "prepare 3",
            "activate 3",
            "release 1",
            "prepare 4",
            "activate 4",
            "release 3",
        )
    statuses = [(await caller.get(each))["status"] for each in waiting]
    assert statuses == ["inactive", "failed", "inactive", "active"]


@pytest.mark.usefixtures("confirmed")
async def test_a_rollback_does_not_wait_for_a_preparation(client, caller, connection, entity):
    program = Recorder(held=["prepare 3"])
    async with agent_of(client, entity, program):
        first = await deploy(caller, entity, 1, wait=True)
        second = await deploy(caller, entity, 2, wait=True)
        third = await deploy(caller, entity, 3)
        before = ("prepare 1", "activate 1", "prepare 2", "activate 2", "release 1")
        await program.began(*before, "prepare 3")

        await caller.rollback(second)

        await program.did(*before, "release 3", "prepare 1", "activate 1", "release 2")
        await applied(connection, entity, first)
    assert (await caller.get(third))["status"] == "failed"
    assert program.cancelled == ["prepare 3"]


@pytest.mark.usefixtures("confirmed")
async def test_all_agents_of_a_place_run_what_one_of_them_confirmed(
    system, client, caller, connection, entity
):
    quick, slow = Recorder(), Recorder(held=["prepare 1"])
    async with (
        agent_of(client, entity, quick, "quick"),
        agent_of(client, entity, slow, "slow"),
    ):
        first = await deploy(caller, entity, 1)
        await quick.did("prepare 1", "activate 1")
        await slow.began("prepare 1")
        slow.held["prepare 1"].set()
        await slow.did("prepare 1", "activate 1")
        for name in ("quick", "slow"):
            await applied(connection, entity, first, name)

    events = await events_of(system, connection, entity)
    assert names(events)[-2:] == ["started", "completed"]
    assert events[-1]["data"]["actor"] == "quick"


@pytest.mark.usefixtures("confirmed")
async def test_who_prepared_in_vain_while_another_agent_refused_releases_it(client, caller, entity):
    doubtful, willing = Recorder(failing=["prepare 1"]), Recorder(held=["prepare 1"])
    async with (
        agent_of(client, entity, doubtful, "doubtful"),
        agent_of(client, entity, willing, "willing"),
    ):
        first = await deploy(caller, entity, 1, wait=True)

        assert first["status"] == "failed"
        await doubtful.did("release 1")
        await willing.did("release 1")


@pytest.mark.usefixtures("confirmed")
async def test_an_agent_that_is_stopped_while_it_prepares_releases_and_says_nothing(client, caller, entity):
    program = Recorder(held=["prepare 1"])
    async with agent_of(client, entity, program):
        first = await deploy(caller, entity, 1)
        await program.began("prepare 1")

    assert program.calls == ["prepare 1", "release 1"]
    assert program.cancelled == ["prepare 1"]
    assert (await caller.get(first))["status"] == "deploying"
    later = Recorder()
    async with agent_of(client, entity, later):
        await became(caller, first, "active")
        await later.did("prepare 1", "activate 1")


async def test_an_agent_that_is_stopped_while_it_swaps_finishes_the_swap(client, caller, connection, entity):
    program = Recorder(held=["activate 2"])
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(agent_of(client, entity, program).run())
        await deploy(caller, entity, 1)
        await program.did("prepare 1", "activate 1")
        second = await deploy(caller, entity, 2)
        await program.began("prepare 1", "activate 1", "prepare 2", "activate 2")
        running.cancel()
        await asyncio.sleep(0)
        program.held["activate 2"].set()
        await asyncio.wait((running,))

    assert program.ended == ["prepare 1", "activate 1", "prepare 2", "activate 2", "release 1"]
    assert program.cancelled == []
    await applied(connection, entity, second)


# Faults.


@pytest.mark.parametrize("moment", ["prepare 2", "activate 2"])
@pytest.mark.usefixtures("confirmed")
async def test_an_agent_that_is_killed_agrees_with_the_database_when_it_is_back(
    system, caller, connection, entity, moment
):
    def start(hold):
        program = ("-m", "tests.agents", entity["entity_id"], PLACE, "runner-1")
        return Process(hold, {**os.environ, "LIBRARY_NATS_URL": system.nats_url}, program)

    agent = start(hold=moment)
    try:
        first = await deploy(caller, entity, 1, wait=True)
        await applied(connection, entity, first)
        second = await deploy(caller, entity, 2)
        await asyncio.to_thread(agent.wait_for_line, moment)
    finally:
        agent.stop(signal.SIGKILL)
    assert (await applied(connection, entity, first))["deployment_id"] == first["deployment_id"]
    expected = "deploying" if moment == "prepare 2" else "active"
    assert (await caller.get(second))["status"] == expected

    agent = start(hold="nothing")
    try:
        await applied(connection, entity, second)
        assert (await became(caller, second, "active"))["error_logs"] is None
        active = await shown(connection, entity, second)
        assert (await applied(connection, entity, second))["sequence"] == active["sequence"]
    finally:
        agent.stop(signal.SIGKILL)


async def test_an_agent_confirms_and_goes_on_though_nats_and_the_worker_were_away(own_system):
    own_system.start()
    connection = await nats.connect(own_system.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    caller = Caller(connection)
    await caller.ask(subjects.ENVIRONMENT_SET, environment=PLACE, activation="confirmed")
    entity = await caller.create()
    program = Recorder(held=["prepare 1", "prepare 2", "activate 3"])
    async with await LibraryClient.connect(own_system.nats_url) as client, agent_of(client, entity, program):
        first = await deploy(caller, entity, 1)
        await program.began("prepare 1")
        own_system.nats.stop()
        program.held["prepare 1"].set()
        await program.did("prepare 1")
        own_system.nats.start()
        await program.did("prepare 1", "activate 1")
        await until_answered(caller)
        assert (await caller.get(first))["status"] == "active"

        second = await deploy(caller, entity, 2)
        calls = ["prepare 1", "activate 1", "prepare 2"]
        await program.began(*calls)
        own_system.workers[0].stop()
        program.held["prepare 2"].set()
        await program.did(*calls)
        own_system.start_worker().wait_for_line("worker_ready")
        calls += ["activate 2", "release 1"]
        await program.did(*calls)
        assert (await caller.get(second))["status"] == "active"

        third = await deploy(caller, entity, 3)
        calls += ["prepare 3", "activate 3"]
        await program.began(*calls)
        own_system.nats.stop()
        program.held["activate 3"].set()
        await program.did(*calls, "release 2")
        own_system.nats.start()
        await until_answered(caller)
        said = await applied(connection, entity, third)
        assert said["sequence"] == (await shown(connection, entity, third))["sequence"]
        fourth = await deploy(caller, entity, 4)
        await applied(connection, entity, fourth)
    await connection.close()


async def test_an_agent_goes_on_though_a_bucket_was_lost_and_says_again_what_it_runs(own_system, caplog):
    own_system.start_servers()
    own_system.start_worker().wait_for_line("live_state_compared")
    program = Recorder()
    calls = ["prepare 1", "activate 1"]
    async with (
        connected(own_system) as caller,
        await LibraryClient.connect(own_system.nats_url) as client,
    ):
        entity = await caller.create()
        async with agent_of(client, entity, program) as agent:
            first = await deploy(caller, entity, 1)
            await applied(caller.connection, entity, first)
            jetstream = caller.connection.jetstream()
            for bucket in (subjects.ACTIVE_BUCKET, subjects.APPLIED_BUCKET):
                await jetstream.delete_stream(subjects.bucket_stream(bucket))
            await logged(caplog, "bucket_not_followed")
            assert (await library_beside(own_system, "migrate")).returncode == 0
            await logged(caplog, "keys_missing")
            await applied(caller.connection, entity, first)
            assert (await library_beside(own_system, "live", "rebuild")).returncode == 0
            await shown(caller.connection, entity, first)
            assert agent.running.deployment_id == UUID(first["deployment_id"])

            second = await deploy(caller, entity, 2)
            await program.did(*calls, "prepare 2", "activate 2", "release 1")
            await applied(caller.connection, entity, second)


async def test_what_is_missing_in_the_bucket_is_released_only_if_the_library_says_that_nothing_is_active(
    system, caller, connection, caplog
):
    kept, gone = [await caller.create() for _ in range(2)]
    programs = {UUID(entity["entity_id"]): Recorder() for entity in (kept, gone)}
    kept_program, gone_program = programs.values()
    async with Proxy(urlsplit(system.nats_url).port) as proxy:
        options = {"reconnect_time_wait": 0.1}
        client = await LibraryClient.connect(f"nats://127.0.0.1:{proxy.port}", **options)
        async with client, Fleet(client, PLACE, "host-1", programs.get) as fleet:
            running = [await deploy(caller, entity, 1) for entity in (kept, gone)]
            for program in programs.values():
                await program.did("prepare 1", "activate 1")
            proxy.silence()
            proxy.cut()
            await caller.retire(running[1])
            await shown(connection, gone, None)
            await forget(connection, kept, gone)
            proxy.heal()

            await gone_program.did("prepare 1", "activate 1", "release 1")
            assert "places=2" in next(text for text in caplog.messages if "keys_missing" in text)
            assert set(fleet.running) == {UUID(kept["entity_id"])}
            second = await deploy(caller, kept, 2)
            await applied(connection, kept, second, "host-1")
    assert kept_program.ended == ["prepare 1", "activate 1", "prepare 2", "activate 2", "release 1"]


async def forget(connection, *entities):
    """Remove keys from the bucket without a word, and what watches them, as after a long absence."""
    jetstream, stream = connection.jetstream(), subjects.bucket_stream(subjects.ACTIVE_BUCKET)

    def subject(entity_id):
        return subjects.bucket_subject(subjects.ACTIVE_BUCKET, subjects.active_key(PLACE, entity_id))

    for entity in entities:
        await jetstream.purge_stream(stream, subject=subject(entity["entity_id"]))
    for consumer in await jetstream.consumers_info(stream):
        if consumer.config.filter_subject == subject("*"):
            await jetstream.delete_consumer(stream, consumer.name)


async def logged(caplog, text):
    """Wait for a line of an agent's log."""
    async with asyncio.timeout(20):
        while text not in caplog.text:
            await asyncio.sleep(0.01)


async def until_answered(caller):
    """Wait until the library answers again."""
    async with asyncio.timeout(30):
        while True:
            try:
                await caller.ask(subjects.ENVIRONMENT_LIST)
            except (nats.errors.Error, Refused):
                await asyncio.sleep(0.05)
            else:
                return


async def test_an_agent_ends_when_its_connection_is_closed_for_good(system, entity):
    client = await LibraryClient.connect(system.nats_url)
    async with agent_of(client, entity, Recorder()) as agent:
        waiting = asyncio.create_task(agent.wait())
        await client.close()
        await asyncio.wait((waiting,), timeout=20)
        with pytest.raises(NoAnswerError, match="closed"):
            waiting.result()


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x" * 65, "*"])
def test_a_name_that_is_none_is_refused(client, entity, name):
    with pytest.raises(ValueError, match="is no agent's name"):
        Agent(client, PLACE, UUID(int=1), name, Recorder())


async def test_what_swallows_a_cancellation_is_ended_all_the_same():
    async def stubborn():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    await asyncio.wait_for(end((task,)), 20)

    assert task.cancelled()


# Fleets.


@pytest.mark.usefixtures("confirmed")
async def test_a_fleet_runs_many_entities_on_two_consumers(client, caller, connection):
    entities = [await caller.create() for _ in range(30)]
    programs = {UUID(entity["entity_id"]): Recorder() for entity in entities}
    foreign = await caller.create()
    await client.environments()  # its answers come on a subscription, too
    before = len(client.connection._subs)
    async with Fleet(client, PLACE, "host-1", programs.get) as fleet:
        first, *others = entities
        done = await asyncio.gather(*(deploy(caller, each, 1, wait=True) for each in entities[:20]))
        assert {each["status"] for each in done} == {"active"}
        await deploy(caller, foreign, 1)
        late = await asyncio.gather(*(deploy(caller, each, 2, wait=True) for each in entities[20:]))
        for entity, deployment in zip(entities, done + late, strict=True):
            await applied(connection, entity, deployment, "host-1")
        assert len(client.connection._subs) == before + 2

        second = await deploy(caller, first, 2, wait=True)
        calls = ("prepare 1", "activate 1", "prepare 2", "activate 2", "release 1")
        await programs[UUID(first["entity_id"])].did(*calls)
        await caller.rollback(second)
        await programs[UUID(first["entity_id"])].did(*calls, "prepare 1", "activate 1", "release 2")
        assert set(fleet.running) == set(programs)

    for entity in others[:19]:
        assert programs[UUID(entity["entity_id"])].calls == ["prepare 1", "activate 1"]


async def test_a_fleet_that_starts_runs_what_is_active_and_releases_what_was_retired(
    client, caller, connection
):
    entities = [await caller.create() for _ in range(3)]
    programs = {UUID(entity["entity_id"]): Recorder() for entity in entities}
    first, second, _ = [await deploy(caller, each, number) for number, each in enumerate(entities)]
    async with Fleet(client, PLACE, "host-1", programs.get):
        for entity in entities:
            await programs[UUID(entity["entity_id"])].did(
                *(f"{do} {entities.index(entity)}" for do in ("prepare", "activate"))
            )
        await applied(connection, entities[1], second, "host-1")
    await caller.retire(first)
    await shown(connection, entities[0], None)
    again = {entity_id: Recorder() for entity_id in programs}

    async with Fleet(client, PLACE, "host-1", again.get):
        await applied(connection, entities[0], None, "host-1")
        await again[UUID(entities[1]["entity_id"])].did("prepare 1", "activate 1")
    assert again[UUID(entities[0]["entity_id"])].calls == []


async def test_a_fleet_that_takes_an_entity_on_while_a_change_waits_runs_what_is_active_there_first(
    client, caller, connection, entity, settings
):
    first = await deploy(caller, entity, 1)
    await settings(activation="confirmed", confirm_timeout_s=60)
    entity_id = UUID(entity["entity_id"])
    programs: dict[UUID, Recorder] = {}
    asked = asyncio.Event()

    def program_for(each):
        if each == entity_id:
            asked.set()
        return programs.get(each)

    async with Fleet(client, PLACE, "host-1", program_for) as fleet:
        await asyncio.wait_for(asked.wait(), 20)
        programs[entity_id] = program = Recorder(held=["prepare 2"])
        second = await deploy(caller, entity, 2)
        await applied(connection, entity, first, "host-1")
        await program.began("prepare 1", "activate 1", "prepare 2")
        assert fleet.running[entity_id].deployment_id == UUID(first["deployment_id"])
        program.held["prepare 2"].set()
        await program.did("prepare 1", "activate 1", "prepare 2", "activate 2", "release 1")
        await applied(connection, entity, second, "host-1")
