"""The stream's side of an audit: every message once, in order, in chunks."""

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts import headers
from contracts.ordered import OrderedMessages

_CHUNK_MESSAGES = 1000
_CHUNK_BYTES = 8 * 1024 * 1024


class Extent(NamedTuple):
    """What a stream holds: the positions of its first and last message, and what makes it drop old ones.

    ``max_age`` is None where age is no limit; ``size_limited`` says whether the number or the size of its
    messages is one.
    """

    first: int
    last: int
    max_age: timedelta | None
    size_limited: bool


async def extent(connection: Client, stream: str) -> Extent:
    """The stream's extent now. Raises ``nats.js.errors.NotFoundError`` where there is no such stream."""
    info = await connection.jetstream().stream_info(stream)
    limits = (info.config.max_msgs, info.config.max_bytes, info.config.max_msgs_per_subject)
    return Extent(
        first=info.state.first_seq,
        last=info.state.last_seq,
        max_age=timedelta(seconds=info.config.max_age) if info.config.max_age else None,
        size_limited=any(limit is not None and limit > 0 for limit in limits),
    )


class StoredMessages(OrderedMessages):
    """The messages of a stream from one position to another, both included."""

    def __init__(self, connection: Client, stream: str, *, first: int, last: int) -> None:
        super().__init__(connection, stream, ">")
        self._at = max(1, first)
        self._last = last

    async def _begin(self) -> ConsumerConfig:
        return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._at)

    async def chunks(self) -> AsyncIterator[list[Msg]]:
        """All of them, some at a time. Raises ``NoAnswerError`` when NATS goes away for good."""
        chunk: list[Msg] = []
        size = 0
        async with self:
            while self._at <= self._last:
                message = await self._next()
                if message is None:
                    break
                of = message.metadata
                if of.sequence.stream > self._last:
                    break
                self._at = of.sequence.stream + 1
                chunk.append(message)
                size += len(message.data)
                if len(chunk) == _CHUNK_MESSAGES or size > _CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
                if of.num_pending == 0:
                    break
        if chunk:
            yield chunk


def identity(message: Msg) -> tuple[int, str | None, str]:
    """A message's position, the id of the event it holds if one can be read, and its digest in hex.

    The digest is SHA-256 over the header ``Nats-Msg-Id``, the subject and the body, a line break between.
    """
    named = (message.headers or {}).get(headers.MESSAGE_ID, "")
    digest = hashlib.sha256(f"{named}\n{message.subject}\n".encode())
    digest.update(message.data)
    return message.metadata.sequence.stream, _event_id(message.data), digest.hexdigest()


def _event_id(body: bytes) -> str | None:
    try:
        return str(UUID(_read(body)["id"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _read(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:  # documents may hold larger numbers than it takes
        return json.loads(body, parse_int=str, parse_float=str)
