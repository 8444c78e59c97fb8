"""Watching all places of an environment with one consumer, and agents on a nats-server of their own."""

import asyncio
import json
import logging
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import nats
import pytest
from nats.aio.client import Client

from contracts import subjects
from contracts.agent import Fleet
from contracts.client import LibraryClient
from contracts.convergence import Applied
from contracts.hotswap.places import PlacesWatch, Shown
from tests.agents import Recorder
from worker.embedded.nats_server import NatsServer

PLACE = "staging"
ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))


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


async def made(publisher: Client, *buckets: str):
    """The first of the buckets, all of them made."""
    jetstream = publisher.jetstream()
    first, *_ = [await jetstream.create_key_value(bucket=bucket) for bucket in buckets]
    return first


def key(entity_id: UUID, environment: str = PLACE) -> str:
    return subjects.active_key(environment, entity_id)


def watch(client: LibraryClient, entity_id: UUID | None = None) -> PlacesWatch:
    return PlacesWatch(client.connection, subjects.ACTIVE_BUCKET, PLACE, entity_id)


async def taken(places: PlacesWatch, number: int) -> list[Shown | None]:
    async with asyncio.timeout(20):
        return [await anext(places) for _ in range(number)]


async def test_what_is_there_comes_first_then_the_end_of_it_then_each_change(client, publisher):
    bucket = await made(publisher, subjects.ACTIVE_BUCKET)
    await bucket.put(key(ONE), b"old")
    await bucket.put(key(ONE), b"one")
    await bucket.put(key(TWO), b"two")
    await bucket.delete(key(TWO))
    await bucket.put(key(THREE, "production"), b"elsewhere")
    async with watch(client) as places:
        assert await taken(places, 3) == [Shown(ONE, b"one"), Shown(TWO, None), None]
        await bucket.put(key(THREE, "production"), b"elsewhere, too")
        await bucket.put(key(THREE), b"three")
        await bucket.purge(key(ONE))
        assert await taken(places, 2) == [Shown(THREE, b"three"), Shown(ONE, None)]


async def test_an_empty_bucket_says_so_at_once(client, publisher):
    bucket = await made(publisher, subjects.ACTIVE_BUCKET)
    async with watch(client) as places:
        assert await taken(places, 1) == [None]
        await bucket.put(key(ONE), b"one")
        assert await taken(places, 1) == [Shown(ONE, b"one")]


async def test_the_watch_of_one_entity_sees_no_other(client, publisher):
    bucket = await made(publisher, subjects.ACTIVE_BUCKET)
    await bucket.put(key(TWO), b"two")
    async with watch(client, ONE) as places:
        assert await taken(places, 1) == [None]
        await bucket.put(key(TWO), b"two again")
        await bucket.put(key(ONE), b"one")
        assert await taken(places, 1) == [Shown(ONE, b"one")]


async def test_a_key_that_is_no_place_is_passed_over(client, publisher):
    bucket = await made(publisher, subjects.ACTIVE_BUCKET)
    await bucket.put(f"{PLACE}.nobody", b"?")
    await bucket.put(key(ONE), b"one")
    async with watch(client) as places:
        assert await taken(places, 2) == [Shown(ONE, b"one"), None]


async def test_what_went_without_a_word_is_given_as_that_when_the_watch_begins_again(client, publisher):
    bucket = await made(publisher, subjects.ACTIVE_BUCKET)
    await bucket.put(key(ONE), b"one")
    await bucket.put(key(TWO), b"two")
    stream, jetstream = subjects.bucket_stream(subjects.ACTIVE_BUCKET), publisher.jetstream()
    async with watch(client) as places:
        assert await taken(places, 3) == [Shown(ONE, b"one"), Shown(TWO, b"two"), None]
        purged = subjects.bucket_subject(subjects.ACTIVE_BUCKET, key(ONE))
        await jetstream.purge_stream(stream, subject=purged)
        for consumer in await jetstream.consumers_info(stream):
            await jetstream.delete_consumer(stream, consumer.name)

        assert await taken(places, 3) == [Shown(TWO, b"two"), Shown(ONE, None, is_said=False), None]


async def test_a_bucket_that_is_made_anew_says_nothing_of_what_was_there(client, publisher):
    bucket = await made(publisher, subjects.ACTIVE_BUCKET)
    await bucket.put(key(ONE), b"one")
    await bucket.put(key(TWO), b"two")
    async with watch(client) as places:
        assert await taken(places, 3) == [Shown(ONE, b"one"), Shown(TWO, b"two"), None]
        await publisher.jetstream().delete_key_value(subjects.ACTIVE_BUCKET)
        again = await made(publisher, subjects.ACTIVE_BUCKET)
        await again.put(key(TWO), b"two again")
        await again.delete(key(ONE))

        assert sorted(filter(None, await taken(places, 3))) == [
            Shown(ONE, None),
            Shown(TWO, b"two again"),
        ]


def live_value(entity_id: UUID, number: int) -> bytes:
    return json.dumps(
        {
            "deployment_id": str(uuid4()),
            "entity_id": str(entity_id),
            "entity_name": "prices",
            "environment": PLACE,
            "version": "1.0.0",
            "config": {"n": number},
            "parameters": {},
            "sequence": str(number),
            "activated_at": "2026-01-02T03:04:05.000006Z",
        }
    ).encode()


async def test_agents_that_start_before_the_buckets_are_made_wait_for_them(client, publisher):
    programs = {ONE: Recorder(), TWO: Recorder()}
    async with Fleet(client, PLACE, "host-1", programs.get):
        async with asyncio.timeout(20):
            while client.connection.stats["in_msgs"] < 2:
                await asyncio.sleep(0.01)
        bucket = await made(
            publisher, subjects.ACTIVE_BUCKET, subjects.PENDING_BUCKET, subjects.APPLIED_BUCKET
        )
        await bucket.put(key(ONE), live_value(ONE, 1))
        await programs[ONE].did("prepare 1", "activate 1")

    assert programs[TWO].calls == []


async def test_what_an_agent_runs_is_put_again_until_it_is_stored(client, publisher, caplog):
    caplog.set_level(logging.INFO)
    bucket = await made(publisher, subjects.ACTIVE_BUCKET, subjects.PENDING_BUCKET)
    await bucket.put(key(ONE), live_value(ONE, 1))
    async with Fleet(client, PLACE, "host-1", {ONE: Recorder()}.get) as fleet:
        async with asyncio.timeout(20):
            while "applied_put_failed" not in caplog.text:
                await asyncio.sleep(0.01)
        applied = await made(publisher, subjects.APPLIED_BUCKET)
        watcher = await applied.watch(subjects.applied_key(PLACE, ONE, "host-1"))
        async with asyncio.timeout(20):
            async for entry in watcher:
                if entry is not None:
                    break
        said = Applied.model_validate_json(entry.value)
        assert (said.deployment_id, said.sequence) == (fleet.running[ONE].deployment_id, "1")


async def test_agents_release_what_was_retired_while_the_server_was_away(server, client, publisher):
    bucket = await made(publisher, subjects.ACTIVE_BUCKET, subjects.PENDING_BUCKET, subjects.APPLIED_BUCKET)
    program = Recorder()
    await bucket.put(key(ONE), live_value(ONE, 1))
    async with Fleet(client, PLACE, "host-1", {ONE: program}.get) as fleet:
        await program.did("prepare 1", "activate 1")
        server.stop()
        server.start()
        async with await nats.connect(server.url) as connection:
            again = await connection.jetstream().key_value(subjects.ACTIVE_BUCKET)
            await again.delete(key(ONE))
        await program.did("prepare 1", "activate 1", "release 1")
        assert fleet.running == {}
