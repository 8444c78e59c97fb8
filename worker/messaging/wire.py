"""Many messages to nats-server in one go, past nats-py's ``publish``.

That has checks, a coroutine and a call of the flusher for each message, and writes each header by itself:
8 µs against 2, for three messages a deploy. Here they are encoded together (NATS client protocol, HPUB) and
written to nats-py's own buffer, so that limits, flushing, back pressure and reconnecting stay its own.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, ConnectionDrainingError, OutboundBufferLimitError

_BREAK = re.compile(r"[\r\n]+")
_AT_ONCE = 256 * 1024
"""So many bytes are written before others have the connection."""


def encoded(subject: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The command that publishes a message; subjects and names of headers must be our own or a server's."""
    lines = "\r\n".join([f"{name}: {value}" for name, value in headers.items()])
    if lines.count("\n") != len(headers) - 1 or lines.count("\r") != len(headers) - 1:
        lines = "\r\n".join([f"{name}: {_BREAK.sub(' ', value)}" for name, value in headers.items()])
    block = f"NATS/1.0\r\n{lines}\r\n\r\n".encode()
    head = f"HPUB {subject} {len(block)} {len(block) + len(body)}\r\n".encode()
    return b"".join((head, block, body, b"\r\n"))


def write(client: Client, commands: Sequence[bytes]) -> None:
    """Put commands into the buffer and have it flushed; to be called in the event loop.

    Raises what ``publish`` raises while there is no connection: ``ConnectionClosedError``,
    ``ConnectionDrainingError``, ``OutboundBufferLimitError``.
    """
    if client.is_closed:
        raise ConnectionClosedError
    if client.is_draining_pubs:
        raise ConnectionDrainingError
    data = b"".join(commands)
    if not client.is_connected and is_behind(client, by=len(data)):
        raise OutboundBufferLimitError
    client.stats["out_msgs"] += len(commands)
    client.stats["out_bytes"] += len(data)
    client._pending.append(data)  # noqa: SLF001 - see above, here and below
    client._pending_data_size += len(data)  # noqa: SLF001
    queue = client._flush_queue  # noqa: SLF001
    if client.is_connected and queue is not None and queue.empty():
        queue.put_nowait(asyncio.get_running_loop().create_future())


async def publish(client: Client, commands: Iterable[bytes]) -> None:
    """The same, waiting now and then until the server has taken what is written."""
    waiting: list[bytes] = []
    size = 0
    for command in commands:
        waiting.append(command)
        size += len(command)
        if size >= _AT_ONCE:
            write(client, waiting)
            await relieve(client)
            waiting, size = [], 0
    if waiting:
        write(client, waiting)


async def relieve(client: Client) -> None:
    """Wait, where more is buffered than nats-py allows, until that is written; its own time-out holds."""
    if is_behind(client):
        await client._flush_pending(force_flush=True)  # noqa: SLF001


def is_behind(client: Client, *, by: int = 0) -> bool:
    """Whether more is buffered, with so many bytes, than nats-py allows."""
    return client._pending_data_size + by > client._max_pending_size  # noqa: SLF001
