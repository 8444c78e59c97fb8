"""Watching events and live configurations on a real nats-server, through restarts and losses."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client

from contracts import headers, subjects
from contracts.client import LibraryClient
from contracts.problems import ProblemError
from worker.embedded.nats_server import NatsServer

ENTITY_ID = UUID("0197f3a1-52b0-7e0f-8c44-6f2d9e5b7a10")
NOW = "2026-01-02T03:04:05.000006Z"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path, output=subprocess.DEVNULL) as running:
        yield running


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[LibraryClient]:
    async with await LibraryClient.connect(server.url, timeout=5) as connected:
        yield connected


@pytest.fixture
async def publisher(server: NatsServer) -> AsyncIterator[Client]:
    async with await nats.connect(server.url, reconnect_time_wait=0.1) as connection:
        yield connection


def event(name: str = "completed", environment: str = "staging", entity_id: UUID = ENTITY_ID) -> dict:
    return {
        "subject": subjects.deployment_event(name, environment, entity_id),
        "payload": json.dumps(
            {
                "specversion": "1.0",
                "id": str(uuid4()),
                "source": subjects.EVENT_SOURCE,
                "type": subjects.event_type("deployment", name),
                "subject": str(uuid4()),
                "time": NOW,
                "datacontenttype": headers.JSON,
                "correlationid": "r-1",
                "sequence": "1",
                "data": {"actor": "alice", "reason": None},
            }
        ).encode(),
    }


@pytest.fixture
async def stream(publisher: Client):
    jetstream = publisher.jetstream()
    await jetstream.add_stream(name=subjects.EVENTS_STREAM, subjects=[subjects.EVENTS_WILDCARD])
    return jetstream


@pytest.fixture
async def bucket(publisher: Client):
    return await publisher.jetstream().create_key_value(bucket=subjects.ACTIVE_BUCKET)


@asynccontextmanager
async def collected(watch, found: list):
    """Gathers what a watch gives, beside what the test does."""

    async def gather() -> None:
        async for each in watch:
            found.append(each)
            more.set()

    async def has(number: int) -> list:
        async with asyncio.timeout(20):
            while len(found) < number:
                more.clear()
                await more.wait()
        return found

    more = asyncio.Event()
    async with watch:
        task = asyncio.create_task(gather())
        try:
            yield has
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def publish_again(stream, **message) -> None:
    """Publish as a relay does: until it is stored, and stored once."""
    identified = {"Nats-Msg-Id": str(uuid4())}
    async with asyncio.timeout(20):
        while True:
            try:
                await stream.publish(**message, headers=identified, timeout=1)
            except nats.errors.Error:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_watch_gives_what_comes_after_it_opened(client, stream):
    await stream.publish(**event("completed"))

    async with client.watch() as watch:
        await stream.publish(**event("rolled_back"))
        sequence, seen = await anext(watch)

    assert (sequence, seen.type) == (2, subjects.event_type("deployment", "rolled_back"))
    assert watch.sequence == 3


async def test_a_watch_goes_on_where_another_one_ended(client, stream):
    for _ in range(5):
        await stream.publish(**event())

    async with client.watch(start=1) as watch:
        assert [(await anext(watch))[0], (await anext(watch))[0]] == [1, 2]
    async with client.watch(start=watch.sequence) as watch:
        assert [(await anext(watch))[0] for _ in range(3)] == [3, 4, 5]


async def test_a_watch_from_a_time_begins_there(client, stream):
    await stream.publish(**event())
    stored = (await stream.get_msg(subjects.EVENTS_STREAM, seq=1)).time
    await stream.publish(**event())

    async with client.watch(start=stored + timedelta(microseconds=1)) as watch:
        assert (await anext(watch))[0] == 2
    async with client.watch(start=stored - timedelta(hours=1)) as watch:
        assert (await anext(watch))[0] == 1


async def test_a_watch_of_one_entity_in_one_environment_sees_no_other(client, stream):
    other = uuid4()
    await stream.publish(**event(entity_id=other))
    await stream.publish(**event(environment="production"))
    await stream.publish(**event(environment="staging"))
    await stream.publish(subjects.entity_event("updated", ENTITY_ID), b"{}")
    await stream.publish(**event(environment="staging", entity_id=other))
    await stream.publish(**event(environment="staging"))

    async with client.watch(ENTITY_ID, "staging", start=1) as watch:
        assert [(await anext(watch))[0] for _ in range(2)] == [3, 6]


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_a_watch_misses_and_repeats_nothing_when_the_server_restarts(server, client, stream, kill):
    found: list = []
    async with collected(client.watch(), found) as has:
        for _ in range(3):
            await publish_again(stream, **event())
        await has(3)
        if kill:
            server.process.kill()
        server.stop()
        server.start()
        for _ in range(3):
            await publish_again(stream, **event())
        await has(6)

    assert [sequence for sequence, _ in found] == [1, 2, 3, 4, 5, 6]


async def test_a_watch_that_has_seen_nothing_stays_where_it_was_over_a_restart(server, client, stream):
    await publish_again(stream, **event())
    found: list = []
    async with collected(client.watch(), found) as has:
        server.stop()
        server.start()
        await publish_again(stream, **event())
        await has(1)

    assert [sequence for sequence, _ in found] == [2]


async def test_a_watch_whose_consumer_is_deleted_makes_another_one(client, stream):
    found: list = []
    async with collected(client.watch(), found) as has:
        await stream.publish(**event())
        await has(1)
        for consumer in await stream.consumers_info(subjects.EVENTS_STREAM):
            await stream.delete_consumer(subjects.EVENTS_STREAM, consumer.name)
        await stream.publish(**event())
        await has(2)

    assert [sequence for sequence, _ in found] == [1, 2]


async def test_a_long_stream_comes_whole_and_in_order(client, stream):
    for _ in range(20):
        await asyncio.gather(*(stream.publish(**event()) for _ in range(250)))

    async with client.watch(start=1) as watch:
        assert [(await anext(watch))[0] for _ in range(5000)] == list(range(1, 5001))


async def test_a_watch_cannot_go_on_behind_the_end_of_the_stream(client, stream):
    await stream.publish(**event())

    with pytest.raises(ProblemError, match="ends at 1") as raised:
        await anext(client.watch(start=9))

    assert raised.value.code == "invalid_request"


async def test_an_event_that_cannot_be_read_is_named_and_can_be_passed_over(client, stream):
    await stream.publish(subjects.deployment_event("completed", "staging", ENTITY_ID), b"no")
    await stream.publish(**event())

    async with client.watch(start=1) as watch:
        with pytest.raises(ProblemError, match="Event 1"):
            await anext(watch)
        assert (await anext(watch))[0] == 2


async def test_without_its_stream_a_watch_is_refused(client):
    with pytest.raises(ProblemError, match=subjects.EVENTS_STREAM) as raised:
        await anext(client.watch())
    assert raised.value.code == "unavailable"
    with pytest.raises(ProblemError, match="KV_"):
        await anext(client.live("staging", ENTITY_ID))


def live_value(version: str) -> bytes:
    return json.dumps(
        {
            "deployment_id": str(uuid4()),
            "entity_id": str(ENTITY_ID),
            "entity_name": "prices",
            "environment": "staging",
            "version": version,
            "config": {"replicas": 2},
            "parameters": {},
            "sequence": "3",
            "activated_at": NOW,
        }
    ).encode()


KEY = subjects.active_key("staging", ENTITY_ID)


async def test_live_gives_nothing_then_what_is_deployed_replaced_and_retired(client, bucket):
    async with client.live("staging", ENTITY_ID) as live:
        assert await anext(live) is None
        await bucket.put(KEY, live_value("1.0.0"))
        assert (await anext(live)).version == "1.0.0"
        await bucket.put(subjects.active_key("production", ENTITY_ID), live_value("9.9.9"))
        await bucket.put(KEY, live_value("1.1.0"))
        assert (await anext(live)).version == "1.1.0"
        await bucket.delete(KEY)
        assert await anext(live) is None
        await bucket.put(KEY, live_value("1.2.0"))
        assert (await anext(live)).version == "1.2.0"
        await bucket.purge(KEY)
        assert await anext(live) is None


async def test_live_begins_with_the_value_there(client, bucket):
    await bucket.put(KEY, live_value("1.0.0"))
    await bucket.put(KEY, live_value("1.1.0"))

    async with client.live("staging", ENTITY_ID) as live:
        assert (await anext(live)).version == "1.1.0"


async def test_live_says_a_value_once_though_the_server_restarts(server, client, bucket):
    await bucket.put(KEY, live_value("1.0.0"))
    found: list = []
    async with collected(client.live("staging", ENTITY_ID), found) as has:
        await has(1)
        server.stop()
        server.start()
        subject = subjects.bucket_subject(subjects.ACTIVE_BUCKET, KEY)
        await publish_again(bucket._js, subject=subject, payload=live_value("2.0.0"))
        await has(2)

    assert [each.version for each in found] == ["1.0.0", "2.0.0"]


async def made_anew(stream):
    await stream.delete_stream(subjects.bucket_stream(subjects.ACTIVE_BUCKET))
    return await stream.create_key_value(bucket=subjects.ACTIVE_BUCKET)


async def test_live_says_nothing_of_a_bucket_made_anew_until_a_value_is_back(client, bucket):
    await bucket.put(KEY, live_value("1.0.0"))
    async with client.live("staging", ENTITY_ID) as live:
        assert (await anext(live)).version == "1.0.0"
        anew = await made_anew(bucket._js)
        following = asyncio.create_task(anext(live))
        async with asyncio.timeout(20):
            while not await bucket._js.consumers_info(subjects.bucket_stream(subjects.ACTIVE_BUCKET)):
                await asyncio.sleep(0.02)
        await anew.put(KEY, live_value("1.1.0"))

        assert (await asyncio.wait_for(following, 20)).version == "1.1.0"


async def test_live_gives_a_value_of_a_bucket_made_anew_that_has_the_number_of_the_last_one(client, bucket):
    await bucket.put(KEY, live_value("1.0.0"))
    async with client.live("staging", ENTITY_ID) as live:
        assert (await anext(live)).version == "1.0.0"
        anew = await made_anew(bucket._js)
        assert await anew.put(KEY, live_value("1.1.0")) == 1

        assert (await asyncio.wait_for(anext(live), 20)).version == "1.1.0"


async def test_watching_leaves_no_subscription_behind(client, stream):
    await stream.publish(**event())
    counts = []
    for _ in range(2):
        async with client.watch(start=1) as watch:
            await anext(watch)
        counts.append(len(client.connection._subs))

    assert counts[0] == counts[1]
