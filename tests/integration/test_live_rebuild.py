"""The live state follows the database: `library live rebuild`, and what a new leader does by itself."""

import asyncio
import json
from uuid import uuid4

import pytest

from contracts import subjects
from tests.events import assert_the_live_state_is_the_database, live
from tests.system import System, eventually
from tests.upkeep import checked, connected, key_subject, library_beside, load, settings_of
from worker.entrypoints.upkeep.live import rebuild
from worker.entrypoints.upkeep.servers import Progress, live_state
from worker.messaging.live_state import Difference, Kept, repair
from worker.messaging.stream_writer import MAX_MESSAGES

STREAM = subjects.bucket_stream(subjects.ACTIVE_BUCKET)


@pytest.fixture(scope="module")
def product():
    """Servers for this module, with one worker."""
    made = System()
    try:
        made.start_servers()
        made.start_worker().wait_for_line("worker_ready")
        yield made
    finally:
        made.stop()


@pytest.fixture
async def calls(product):
    async with connected(product) as caller:
        yield caller


@pytest.fixture
async def state(product, calls):
    """The two sides of the live state, as the command has them."""
    async with live_state(settings_of(product), calls.connection) as (active, _):
        yield active


async def shown(calls, deployment):
    """Wait until the bucket shows a deployment; what it shows."""
    return await live(
        calls.connection,
        deployment["environment"],
        deployment,
        lambda value: value is not None and value.get("deployment_id") == deployment["deployment_id"],
    )


async def test_a_bucket_that_was_lost_is_rebuilt_and_keys_of_nothing_active_go(product, calls):
    idle = [await calls.deploy(await calls.create()) for _ in range(30)]
    for deployment in idle:
        await shown(calls, deployment)
    jetstream = calls.connection.jetstream()
    await jetstream.purge_stream(STREAM)
    await jetstream.publish(key_subject("testing", idle[0]), b"{}")
    await jetstream.publish(key_subject("nowhere", idle[0]), b"{}")

    rebuilt = await library_beside(product, "live", "rebuild", "--json")

    assert (rebuilt.returncode, rebuilt.stderr) == (0, "")
    did = json.loads(rebuilt.stdout)
    assert did["put"] >= len(idle)
    assert did["deleted"] == 2
    await assert_the_live_state_is_the_database(product, calls.connection)


async def test_a_rebuild_beside_a_load_leaves_nothing_stale(product, calls):
    async with load(calls) as done:
        for turn in range(1, 4):
            await asyncio.to_thread(eventually, lambda so_many=turn * 50: len(done) > so_many)
            await calls.connection.jetstream().purge_stream(STREAM)
            await rebuild(settings_of(product), calls.connection, Progress("live rebuild"))
        before = len(done)
        await asyncio.to_thread(eventually, lambda: len(done) > before + 50)

    await assert_the_live_state_is_the_database(product, calls.connection)
    assert (await checked(product)).findings == []


async def test_what_agrees_is_left_alone(product, calls):
    await shown(calls, await calls.deploy(await calls.create()))
    assert (await library_beside(product, "live", "rebuild")).returncode == 0
    before = (await calls.connection.jetstream().stream_info(STREAM)).state.last_seq

    again = await library_beside(product, "live", "rebuild")

    assert again.stdout.endswith("keys looked at; 0 keys put, 0 deleted\n")
    assert (await calls.connection.jetstream().stream_info(STREAM)).state.last_seq == before


async def test_a_repair_that_comes_late_overwrites_nothing_newer(calls, state):
    entity = await calls.create()
    old = await shown(calls, await calls.deploy(entity))
    key = subjects.active_key("staging", entity["entity_id"])
    seen = (await state.bucket.kept([key]))[key]
    late = Difference(key, Kept(seen.revision, b"{}"), json.dumps(old).encode())
    new = await shown(calls, await calls.deploy(entity))

    written = await repair(state.bucket, state.source, state.blocking, [late])

    assert written == []
    kept = (await state.bucket.kept([key]))[key]
    assert json.loads(kept.value) == new


async def test_the_relay_goes_on_after_another_writer(product, calls, state):
    entity = await calls.create()
    deployment = await calls.deploy(entity)
    await shown(calls, deployment)
    key = subjects.active_key("staging", entity["entity_id"])
    seen = (await state.bucket.kept([key]))[key]
    assert await state.bucket.put(key, b"{}", instead_of=seen)
    wrong = Difference(key, Kept(seen.revision + 1, b"{}"), json.dumps({}).encode())

    (written,) = await repair(
        state.bucket,
        state.source,
        state.blocking,
        [wrong._replace(kept=(await state.bucket.kept([key]))[key])],
    )
    later = await calls.deploy(entity)

    assert written.key == key
    assert (await shown(calls, later))["deployment_id"] == later["deployment_id"]


async def test_a_new_leader_puts_right_what_differs(product, calls):
    missing, stale, gone = [await calls.create() for _ in range(3)]
    deployed = {entity["entity_id"]: await calls.deploy(entity) for entity in (missing, stale, gone)}
    for deployment in deployed.values():
        await shown(calls, deployment)
    # A new leader brings up to date what the last thousand events are about before it compares anything.
    busy = await calls.create()
    await asyncio.gather(*(calls.deploy(busy) for _ in range(MAX_MESSAGES // 2 + 1)))
    product.workers[-1].stop()
    jetstream = calls.connection.jetstream()
    bucket = await jetstream.key_value(subjects.ACTIVE_BUCKET)
    await bucket.delete(f"staging.{missing['entity_id']}")
    await bucket.put(f"staging.{stale['entity_id']}", b'{"deployment_id": "x"}')
    await bucket.put(f"testing.{gone['entity_id']}", b"{}")
    await bucket.put(f"testing.{uuid4()}", b"{}")

    line = product.start_worker().wait_for_line("live_state_compared")

    assert json.loads(line)["differing"] == 4
    await assert_the_live_state_is_the_database(product, calls.connection)
