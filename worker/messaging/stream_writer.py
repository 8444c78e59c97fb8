"""The one writer of a stream, fenced by the sequence the stream must stand at.

Whatever is written names the stream's last sequence as this writer knows it. A former leader that wakes up
names an old one and is refused, so nothing it holds gets in behind its successor's messages.

Many messages go as an atomic batch (NATS ADR-50), for which the server opens a file store: 3 ms of its time,
which few messages, each naming the sequence of the one before it, do not cost. Both ways measure alike at 16.
Messages go like that, too, after a batch that failed: nats-server 2.15 was seen to answer no batch any more
once its disk had been full.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from contracts import headers
from worker.messaging import wire

MAX_MESSAGES = 1000
"""The most a batch holds (ADR-50)."""
_FEW = 12
_AT_ONCE = 64
_EXPECTED = "Nats-Expected-Last-Sequence"
_EXPECTED_ID = "Nats-Expected-Last-Msg-Id"
_WRONG_LAST = (10071, 10070, 10164)
_ACK_SECONDS = 5.0
_HEADER_BYTES = 4096


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
        self._trusts_batches = True

    async def synchronize(self) -> None:
        """Ask the stream where it stands."""
        state = (await self._jetstream.stream_info(self._stream)).state
        self._last, self._is_empty = state.last_seq, state.messages == 0

    async def tail(self, messages: int) -> dict[str, str]:
        """The stream's last so many messages: id (``Nats-Msg-Id``) to subject."""
        first, end = max(1, self._last - messages + 1), self._last
        seen = first - 1
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
            while seen < end:
                try:
                    batch = await subscription.fetch(256, timeout=_ACK_SECONDS)
                except TimeoutError:
                    before, end = end, await self._newest(end)
                    if end == before:
                        raise
                    continue
                for message in batch:
                    found[(message.headers or {}).get(headers.MESSAGE_ID, "")] = message.subject
                    seen = message.metadata.sequence.stream
            return found
        finally:
            await subscription.unsubscribe()

    async def _newest(self, upto: int) -> int:
        """The newest message that is left up to a sequence, 0 for none.

        The stream's leader knows. That a consumer has no more to give says nothing, for its replica may be
        behind; and asked for the last message on ">", the leader finds none where that was deleted.
        """
        reply = await self._connection.request(
            f"$JS.API.STREAM.INFO.{self._stream}", b'{"deleted_details":true}', timeout=_ACK_SECONDS
        )
        state = json.loads(reply.data)["state"]
        deleted = set(state.get("deleted") or ())
        while upto in deleted:
            upto -= 1
        return upto if upto >= state["first_seq"] else 0

    async def publish(self, messages: Sequence[Message]) -> None:
        """Store them all, at most 1,000, in this order.

        Raises ``InDoubt``, ``Fenced`` or ``Refused``; then the first of them may be stored, or none, but none
        without those before it.
        """
        self._require_size(messages)
        in_batch = self._trusts_batches and len(messages) > _FEW
        self._trusts_batches = not in_batch
        try:
            if in_batch:
                await self._together(messages)
            else:
                for first in range(0, len(messages), _AT_ONCE):
                    await self._singly(messages[first : first + _AT_ONCE])
        except NatsError as error:
            raise InDoubt(self._stream) from error
        self._trusts_batches = True

    def _require_size(self, messages: Sequence[Message]) -> None:
        largest, most = max(len(each.body) for each in messages), self._connection.max_payload
        if self._connection.is_connected and largest + _HEADER_BYTES > most:
            raise Refused(
                f"a message of {largest} bytes is more than nats-server takes: raise its max_payload, {most}"
            )

    async def _singly(self, messages: Sequence[Message]) -> None:
        """At once, each behind the one before it, or refused.

        Each names the id of the one before it, too, so the last one's answer is that of all: a sequence alone
        would as well be that of somebody else's message in the place of one of ours.
        """
        *first, last = messages
        parts: list[bytes] = []
        carried = {_EXPECTED: str(self._last)}
        for number, message in enumerate(first, self._last + 1):
            identity = message.headers.get(headers.MESSAGE_ID) or uuid.uuid4().hex
            wire.encode(
                parts,
                message.subject,
                message.body,
                {**message.headers, headers.MESSAGE_ID: identity, **carried},
            )
            carried = {_EXPECTED: str(number), _EXPECTED_ID: identity}
        if parts:
            wire.write(self._connection, parts)
        self._last = self._sequence(await self._ask(last, carried))

    async def _together(self, messages: Sequence[Message]) -> None:
        """As one atomic batch: all or none."""
        batch = uuid.uuid4().hex
        *first, last = (
            (message, {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)})
            for number, message in enumerate(messages, 1)
        )
        first[0][1][_EXPECTED] = str(self._last)
        parts: list[bytes] = []
        for message, carried in first:
            wire.encode(parts, message.subject, message.body, message.headers | carried)
        wire.write(self._connection, parts)
        await wire.relieve(self._connection)
        message, carried = last
        self._last = self._sequence(await self._ask(message, {**carried, "Nats-Batch-Commit": "1"}))

    async def _ask(self, message: Message, carried: dict[str, str]) -> Msg:
        return await self._connection.request(
            message.subject, message.body, timeout=_ACK_SECONDS, headers={**message.headers, **carried}
        )

    def _sequence(self, reply: Msg) -> int:
        """The sequence that an acknowledgement names."""
        acknowledgement: dict[str, Any] = json.loads(reply.data)
        if refusal := acknowledgement.get("error"):
            kind = Fenced if refusal.get("err_code") in _WRONG_LAST else Refused
            raise kind(f"{self._stream}: {refusal.get('description')} ({refusal.get('err_code')})")
        if acknowledgement.get("duplicate"):
            raise Refused(f"{self._stream}: holds a message of this id")
        return int(acknowledgement["seq"])
