"""The bucket of what waits to be confirmed follows the database, whatever became of the bucket."""

import asyncio
import json
from dataclasses import replace
from uuid import uuid4

import pytest

from contracts import subjects
from tests.places import place
from tests.system import System
from tests.upkeep import connected, library_beside
from worker.messaging.stream_writer import MAX_MESSAGES, Fenced, Message, StreamWriter

PLACE = "testing"
STREAM = subjects.bucket_stream(subjects.PENDING_BUCKET)


@pytest.fixture(scope="module")
def product():
    """Servers for this module, with one worker."""
    made = System()
    try:
        made.start_servers()
        made.start_worker().wait_for_line("live_state_compared")
        yield made
    finally:
        made.stop()


@pytest.fixture
async def testing(product):
    async with (
        connected(product) as caller,
        place(caller, PLACE, activation="confirmed", confirm_timeout_s=3600) as found,
    ):
        yield found


@pytest.fixture
async def entities(testing):
    """Three entities of which a deployment waits."""
    made = [await testing.caller.create() for _ in range(3)]
    for entity in made:
        await testing.deploy(entity)
    await holds(testing, lambda held: {key(entity) for entity in made} <= held.keys())
    return made


def key(entity):
    return subjects.active_key(PLACE, entity["entity_id"])


async def bucket_of(testing):
    return await testing.caller.connection.jetstream().key_value(subjects.PENDING_BUCKET)


async def holds(testing, wanted):
    """What the bucket holds, by key, once it is as wanted."""
    watcher = await (await bucket_of(testing)).watchall()
    held, complete = {}, False
    try:
        async with asyncio.timeout(20):
            async for entry in watcher:
                if entry is None:
                    complete = True
                elif entry.operation:
                    held.pop(entry.key, None)
                else:
                    held[entry.key] = json.loads(entry.value)
                if complete and wanted(held):
                    return held
    finally:
        await watcher.stop()
    raise AssertionError("the watch ended")


async def holds_what_waits(product, testing):
    """What the bucket holds, once that is what waits by the database, all of it and nothing else."""
    waiting = {
        subjects.active_key(str(environment), str(entity_id)): str(deployment_id)
        for environment, entity_id, deployment_id in product.sql(
            "SELECT environment, entity_id, deployment_id FROM deployments WHERE status = 'deploying'"
        )
    }

    def same(held):
        return {name: value.get("deployment_id") for name, value in held.items()} == waiting

    return await holds(testing, same)


async def test_a_rebuild_puts_what_waits_and_deletes_what_does_not(product, testing, entities):
    before = await holds_what_waits(product, testing)
    bucket = await bucket_of(testing)
    await testing.caller.connection.jetstream().purge_stream(STREAM)
    await bucket.put(key(entities[0]), b'{"deployment_id": "x"}')
    await bucket.put(subjects.active_key("staging", entities[1]["entity_id"]), b"{}")

    rebuilt = await library_beside(product, "live", "rebuild", "--json")

    assert (rebuilt.returncode, rebuilt.stderr) == (0, "")
    did = json.loads(rebuilt.stdout)
    assert (did["put"], did["deleted"]) == (len(before), 1)
    assert await holds_what_waits(product, testing) == before


async def test_a_decision_after_a_rebuild_takes_its_key_away(product, testing, entities):
    await testing.caller.connection.jetstream().purge_stream(STREAM)
    assert (await library_beside(product, "live", "rebuild")).returncode == 0
    held = await holds_what_waits(product, testing)

    await testing.confirm(held[key(entities[0])])

    assert held.keys() - (await holds_what_waits(product, testing)).keys() == {key(entities[0])}


async def test_a_new_leader_puts_right_what_differs(product, testing, entities):
    before = await holds_what_waits(product, testing)
    # A new leader brings up to date what the last thousand events are about before it compares anything.
    busy = await testing.caller.create()
    await asyncio.gather(*(testing.caller.deploy(busy) for _ in range(MAX_MESSAGES // 2 + 1)))
    product.workers[-1].stop()
    bucket = await bucket_of(testing)
    await bucket.delete(key(entities[0]))
    await bucket.put(key(entities[1]), b'{"deployment_id": "x"}')
    await bucket.put(f"staging.{entities[2]['entity_id']}", b"{}")
    await bucket.put(f"{PLACE}.{uuid4()}", b"{}")

    line = product.start_worker().wait_for_line("live_state_compared")

    assert json.loads(line)["differing"] == 4
    assert await holds_what_waits(product, testing) == before


async def test_a_bucket_that_was_lost_is_filled_by_a_new_leader_once_it_is_made_again(
    product, testing, entities
):
    before = await holds_what_waits(product, testing)
    product.workers[-1].stop()
    await testing.caller.connection.jetstream().delete_stream(STREAM)
    assert (await library_beside(product, "migrate")).returncode == 0

    product.start_worker().wait_for_line("live_state_compared")

    assert await holds_what_waits(product, testing) == before
    assert (await testing.confirm(before[key(entities[0])]))["status"] == "active"
    await holds_what_waits(product, testing)


async def test_a_comparison_that_failed_is_made_again_under_the_same_lead(product, testing, entities):
    before = await holds_what_waits(product, testing)
    product.workers[-1].stop()
    jetstream = testing.caller.connection.jetstream()
    await (await bucket_of(testing)).put(f"{PLACE}.{uuid4()}", b"{}")
    usual = (await jetstream.stream_info(STREAM)).config
    await jetstream.update_stream(replace(usual, allow_direct=False))
    try:
        worker = product.start_worker()
        worker.wait_for_line("live_state_not_compared")
    finally:
        await jetstream.update_stream(usual)

    assert json.loads(worker.wait_for_line("live_state_compared"))["differing"] == 1
    assert await holds_what_waits(product, testing) == before


async def test_a_former_leaders_put_that_comes_late_is_refused_though_nothing_is_there_any_more(own_system):
    own_system.start_servers()
    own_system.start_worker().wait_for_line("live_state_compared")
    async with (
        connected(own_system) as caller,
        place(caller, PLACE, activation="confirmed", confirm_timeout_s=3600) as testing,
    ):
        entity = await caller.create()
        waiting = await testing.deploy(entity)
        await holds(testing, lambda held: key(entity) in held)
        await testing.confirm(waiting)
        await holds(testing, lambda held: not held)
        former = StreamWriter(caller.connection, STREAM)
        await former.synchronize()
        before = await last_revision(caller)
        own_system.workers[-1].stop()

        own_system.start_worker().wait_for_line("relay_leads")
        async with asyncio.timeout(10):
            while await last_revision(caller) == before:
                await asyncio.sleep(0.02)

        with pytest.raises(Fenced):
            await former.publish(
                [Message(subjects.bucket_subject(subjects.PENDING_BUCKET, key(entity)), b"{}", {})]
            )
        assert await holds(testing, lambda held: True) == {}


async def last_revision(caller):
    return (await caller.connection.jetstream().stream_info(STREAM)).state.last_seq
