"""Silence: what no agent confirms in time has failed, by the database's clock, once."""

import asyncio
import signal
from datetime import datetime, timedelta

import nats
import pytest

from contracts import subjects
from tests.conftest import Caller
from tests.events import events_of, in_stream, names
from tests.lane import lane_held
from tests.places import place
from tests.refusals import refusal
from tests.system import eventually

SECOND = timedelta(seconds=1)


@pytest.fixture
async def testing(caller):
    async with place(caller, "testing", activation="confirmed", confirm_timeout_s=1) as found:
        yield found


async def failed(system, deployment):
    """When it failed."""

    def look():
        return system.sql(
            "SELECT updated_at FROM deployments WHERE deployment_id = %s AND status = 'failed'",
            (deployment["deployment_id"],),
        )

    ((at,),) = await asyncio.to_thread(eventually, look)
    return at


async def test_it_fails_within_a_second_of_its_time_and_the_next_has_its_turn(
    testing, system, caller, connection
):
    await testing.set(concurrency="queue")
    entity = await caller.create()
    former = await testing.activated(entity)
    silent, following = await testing.deploy(entity), await testing.deploy(entity)

    at = await failed(system, silent)

    assert timedelta() <= at - datetime.fromisoformat(silent["confirm_by"]) < SECOND
    found = await caller.get(silent)
    assert silent["confirm_by"] in found["error_logs"]
    assert await caller.get(former) == former
    assert (await caller.get(following))["status"] == "deploying"
    history = (await caller.ask(subjects.DEPLOY_HISTORY, deployment_id=silent["deployment_id"]))["events"]
    assert names(history) == ["started", "failed"]
    assert history[1]["data"]["actor"] == "system"
    assert (await refusal(testing.confirm(silent)))["code"] == "deployment_not_active"
    assert (await testing.confirm(following))["status"] == "active"


async def test_a_line_behind_one_that_never_answers_comes_to_its_end(testing, system, caller):
    await testing.set(concurrency="queue")
    entity = await caller.create()
    line = [await testing.deploy(entity) for _ in range(3)]

    ends = [await failed(system, each) for each in line]

    assert ends == sorted(ends)
    assert ends[2] - ends[0] < 4 * SECOND


async def test_a_word_that_comes_to_be_decided_too_late_is_refused_though_no_timer_fired(
    testing, system, caller
):
    waiting = await testing.deploy(await caller.create())

    async with lane_held(system, caller) as queued:
        word = asyncio.ensure_future(refusal(testing.confirm(waiting)))
        await queued(1)
        past = "SELECT clock_timestamp() > %s::timestamptz"
        await asyncio.to_thread(eventually, lambda: system.sql(past, (waiting["confirm_by"],)) == [(True,)])

    assert (await word)["code"] == "deployment_not_active"
    await failed(system, waiting)


async def test_of_two_workers_one_decides_and_timers_survive_the_end_of_both(own_system):
    own_system.start()
    workers = [own_system.workers[0], own_system.start_worker()]
    workers[1].wait_for_line("worker_ready")
    connection = await nats.connect(own_system.nats_url)
    caller = Caller(connection)
    async with place(caller, "testing", activation="confirmed", confirm_timeout_s=2) as testing:
        entities = [await caller.create() for _ in range(100)]
        waiting = [await testing.deploy(entity) for entity in entities]
        for worker in workers:
            worker.stop(signal.SIGKILL)
        own_system.postgres.stop()
        own_system.postgres.start()
        workers = [own_system.start_worker(), own_system.start_worker()]
        for worker in workers:
            worker.wait_for_line("worker_ready")

        for each in waiting:
            await failed(own_system, each)

        for entity in entities:
            assert names(await events_of(own_system, connection, entity)) == ["created", "started", "failed"]
        stream = subjects.bucket_stream(subjects.PENDING_BUCKET)
        eventually(lambda: own_system.sql("SELECT count(*) FROM outbox") == [(0,)])
        async with asyncio.timeout(5):
            while not all(map(is_deleted, await in_stream(connection, stream=stream))):
                await asyncio.sleep(0.05)
    await connection.close()


def is_deleted(message):
    return (message.headers or {}).get("KV-Operation") == "DEL"
