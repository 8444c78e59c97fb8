"""What the stream and the bucket hold, read the way any program would."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from contracts import headers, subjects
from tests.system import System, eventually


async def in_stream(connection: Client, *filters: str, stream: str = subjects.EVENTS_STREAM) -> list[Msg]:
    """All messages that a stream holds now on these subjects (on all if none is named), in its order."""
    subscription = await connection.jetstream().pull_subscribe(
        "",
        stream=stream,
        config=ConsumerConfig(
            filter_subjects=[*filters] or None,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            inactive_threshold=30,
        ),
    )
    try:
        wanted = (await subscription.consumer_info()).num_pending or 0
        messages: list[Msg] = []
        while len(messages) < wanted:
            messages += await subscription.fetch(min(256, wanted - len(messages)), timeout=5)
        return messages
    finally:
        await subscription.unsubscribe()


def subjects_of(entity: dict[str, Any]) -> tuple[str, str]:
    """The filters for all events of an entity."""
    return (
        subjects.watched_events(entity["entity_id"]),
        subjects.entity_event("*", entity["entity_id"]),
    )


async def events_of(system: System, connection: Client, entity: dict[str, Any]) -> list[dict[str, Any]]:
    """The CloudEvents of an entity that the stream holds once everything committed is announced."""
    announced(system)
    return [json.loads(message.data) for message in await in_stream(connection, *subjects_of(entity))]


def announced(system: System, timeout: float = 10) -> None:
    """Wait until no committed event waits to be published."""
    eventually(lambda: system.sql("SELECT count(*) FROM outbox") == [(0,)], timeout)


def names(events: list[dict[str, Any]]) -> list[str]:
    """The short names of events, such as ``completed``."""
    return [event["type"].split(".")[2] for event in events]


async def assert_the_stream_is_the_log(system: System, connection: Client) -> None:
    """Every event of the log is in the stream once, as it was written, each entity's in its order."""
    announced(system)
    stored = await in_stream(connection)
    logged = {
        str(event_id): (nats_subject, body, str(entity_id))
        for event_id, nats_subject, body, entity_id in system.sql(
            "SELECT event_id, nats_subject, body, entity_id FROM events"
        )
    }
    ids = [(message.headers or {})[headers.MESSAGE_ID] for message in stored]
    assert len(ids) == len(set(ids)), "an event was published twice"
    stray = {event_id: message.subject for message, event_id in zip(stored, ids, strict=True)}
    assert [subject for event_id, subject in stray.items() if event_id not in logged] == []
    assert [logged[event_id] for event_id in logged if event_id not in stray] == []
    sequences: dict[str, list[int]] = {}
    for message, event_id in zip(stored, ids, strict=True):
        subject, body, entity_id = logged[event_id]
        assert (message.subject, message.data.decode()) == (subject, body)
        assert (message.headers or {})[headers.CONTENT_TYPE] == headers.CLOUDEVENT_JSON
        event = json.loads(message.data)
        assert event["id"] == event_id
        if "sequence" in event:
            sequences.setdefault(entity_id, []).append(int(event["sequence"]))
    for of_entity in sequences.values():
        assert of_entity == list(range(1, len(of_entity) + 1))


async def assert_the_live_state_is_the_database(
    system: System, connection: Client, within: float = 5
) -> None:
    """Every key holds what is active there, and there is none besides; waited for, so many seconds."""
    wanted = {
        subjects.active_key(str(environment), str(entity_id)): str(deployment_id)
        for environment, entity_id, deployment_id in system.sql(
            "SELECT environment, entity_id, deployment_id FROM deployments WHERE status = 'active'"
        )
    }
    bucket = await connection.jetstream().key_value(subjects.ACTIVE_BUCKET)
    watcher = await bucket.watchall()
    held: dict[str, str] = {}
    complete = False
    try:
        async with asyncio.timeout(within):
            async for entry in watcher:
                if entry is None:
                    complete = True
                elif entry.operation:
                    held.pop(entry.key, None)
                else:
                    held[entry.key] = json.loads(entry.value)["deployment_id"]
                if complete and held == wanted:
                    return
    except TimeoutError:
        assert held == wanted
    finally:
        await watcher.stop()


async def live(
    connection: Client,
    environment: str,
    entity: dict[str, Any],
    wanted: Callable[[dict[str, Any] | None], bool],
    within: float = 5,
) -> dict[str, Any] | None:
    """The live configuration of a key once it is as wanted; None for a key that is not there."""
    bucket = await connection.jetstream().key_value(subjects.ACTIVE_BUCKET)
    watcher = await bucket.watch(subjects.active_key(environment, entity["entity_id"]))
    value: dict[str, Any] | None = None
    try:
        async with asyncio.timeout(within):
            async for entry in watcher:  # None marks the end of what was there before
                if entry is not None:
                    value = None if entry.operation else json.loads(entry.value)
                if wanted(value):
                    return value
        raise AssertionError("the watch ended")
    finally:
        await watcher.stop()
