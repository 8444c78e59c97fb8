"""The one writer of a stream: atomic batches (NATS ADR-50), fenced by the sequence the stream must stand at.

Every batch names the stream's last sequence as this writer knows it. A former leader that wakes up names an
old one and is refused, so nothing it holds gets in behind its successor's messages.
"""

import json
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from contracts import headers

MAX_MESSAGES = 1000
"""The most a batch holds (ADR-50)."""
_WRONG_LAST_SEQUENCE = (10071, 10164)
_ACK_SECONDS = 5.0


class Message(NamedTuple):
    """A message to store."""

    subject: str
    body: bytes
    headers: dict[str, str]


class InDoubt(Exception):
    """Whether the batch was stored is not known: no answer came."""


class Fenced(Exception):
    """Somebody else wrote to the stream since: this writer no longer knows where it stands."""


class Refused(Exception):
    """The stream refused the batch for another reason."""


class StreamWriter:
    """Writes batches to one stream; ``synchronize`` first, and after every exception."""

    def __init__(self, connection: Client, stream: str) -> None:
        self._connection = connection
        self._jetstream: JetStreamContext = connection.jetstream()
        self._stream = stream
        self._last, self._is_empty = 0, True

    async def synchronize(self) -> None:
        """Ask the stream where it stands."""
        state = (await self._jetstream.stream_info(self._stream)).state
        self._last, self._is_empty = state.last_seq, state.messages == 0

    async def tail(self, messages: int) -> dict[str, str]:
        """The stream's last so many messages: id (``Nats-Msg-Id``) to subject."""
        first = max(1, self._last - messages + 1)
        found: dict[str, str] = {}
        if self._is_empty:
            return found
        subscription = await self._jetstream.pull_subscribe(
            "",
            stream=self._stream,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=first,
                ack_policy=AckPolicy.NONE,
                headers_only=True,
                mem_storage=True,
                inactive_threshold=30,
            ),
        )
        try:
            while True:
                batch = await subscription.fetch(256, timeout=_ACK_SECONDS)
                for message in batch:
                    found[(message.headers or {}).get(headers.MESSAGE_ID, "")] = message.subject
                if batch and batch[-1].metadata.sequence.stream >= self._last:
                    return found
        finally:
            await subscription.unsubscribe()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Store them all, at most 1,000, in this order, or none.

        Raises ``InDoubt``, ``Fenced`` or ``Refused``.
        """
        carried = [dict(message.headers) for message in messages]
        carried[0]["Nats-Expected-Last-Sequence"] = str(self._last)
        if len(messages) > 1:
            batch = uuid.uuid4().hex
            for number, each in enumerate(carried, 1):
                each["Nats-Batch-Id"] = batch
                each["Nats-Batch-Sequence"] = str(number)
            carried[-1]["Nats-Batch-Commit"] = "1"
        try:
            for message, each in zip(messages[:-1], carried, strict=False):
                await self._connection.publish(message.subject, message.body, headers=each)
            reply = await self._connection.request(
                messages[-1].subject, messages[-1].body, timeout=_ACK_SECONDS, headers=carried[-1]
            )
        except NatsError as error:
            raise InDoubt(self._stream) from error
        acknowledgement = json.loads(reply.data)
        if refusal := acknowledgement.get("error"):
            kind = Fenced if refusal.get("err_code") in _WRONG_LAST_SEQUENCE else Refused
            raise kind(f"{self._stream}: {refusal.get('description')} ({refusal.get('err_code')})")
        self._last = acknowledgement["seq"]
