"""Messages written past nats-py's publish: what arrives, and what is refused without a connection."""

import asyncio
from uuid import uuid4

import nats
import pytest
from nats.errors import ConnectionClosedError, OutboundBufferLimitError

from worker.messaging import wire


def encoded(subject, body=b"x", **headers):
    parts = []
    wire.encode(parts, subject, body, headers)
    return parts


async def test_what_is_written_at_once_arrives_message_by_message(connection):
    subject = f"wire.{uuid4().hex}"
    heard = await connection.subscribe(subject)
    await connection.flush()

    wire.write(
        connection,
        [part for body in (b"", b"one", b"\r\nHPUB\r\n") for part in encoded(subject, body, N="v")],
    )

    arrived = [await heard.next_msg(timeout=10) for _ in range(3)]
    assert [(message.data, message.headers) for message in arrived] == [
        (b"", {"N": "v"}),
        (b"one", {"N": "v"}),
        (b"\r\nHPUB\r\n", {"N": "v"}),
    ]


@pytest.mark.parametrize("value", ["a\r\nMore: b", "a\nMore: b", "a\r\n\r\nbody", "a\rb"])
async def test_a_headers_value_cannot_begin_a_line_of_its_own(connection, value):
    subject = f"wire.{uuid4().hex}"
    heard = await connection.subscribe(subject)
    await connection.flush()

    wire.write(connection, encoded(subject, b"the body", Given=value, Other="kept"))

    message = await heard.next_msg(timeout=10)
    assert message.data == b"the body"
    assert message.headers.keys() == {"Given", "Other"}
    assert message.headers["Other"] == "kept"


async def test_without_a_connection_as_much_is_kept_as_nats_py_keeps_and_no_more(own_system):
    own_system.nats.start()
    gone, back = asyncio.Event(), asyncio.Event()

    async def note_gone():
        gone.set()

    async def note_back():
        back.set()

    client = await nats.connect(
        own_system.nats.url,
        pending_size=2000,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,
        disconnected_cb=note_gone,
        reconnected_cb=note_back,
    )
    heard = await client.subscribe("kept")
    await client.flush()
    await asyncio.to_thread(own_system.nats.stop)
    await asyncio.wait_for(gone.wait(), 10)

    wire.write(client, encoded("kept", b"x" * 1000))
    with pytest.raises(OutboundBufferLimitError):
        wire.write(client, encoded("kept", b"y" * 2000))

    await asyncio.to_thread(own_system.nats.start)
    await asyncio.wait_for(back.wait(), 10)
    assert (await heard.next_msg(timeout=10)).data == b"x" * 1000
    await client.close()
    with pytest.raises(ConnectionClosedError):
        wire.write(client, encoded("late"))
