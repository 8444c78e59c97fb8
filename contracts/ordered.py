"""Messages of a stream in its order, none missed and none given twice, whatever becomes of the connection.

An ordered consumer (NATS ADR-17) that this module keeps itself: that of nats-py begins again with the first
message of the stream when it is set up anew before it has seen one.
"""

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, Header
from nats.js.errors import NotFoundError

from contracts.connection import NoAnswerError
from contracts.problems import ProblemError

_HEARTBEAT = 1.0
_SILENCE = 2.5
_PAUSE = 0.25
_API_TIMEOUT = 2.0
_FIRST_TRIES = 5
_CONTROL = "100"


class OrderedMessages(ABC):
    """The messages of ``stream`` on ``subject``, from where ``_begin`` says.

    It opens with the first message asked for, or with ``async with``: what is stored from then on is seen.
    """

    def __init__(self, connection: Client, stream: str, subject: str) -> None:
        self._connection = connection
        self._jetstream = connection.jetstream(timeout=_API_TIMEOUT)
        self._stream = stream
        self._subject = subject
        self._subscription: Subscription | None = None
        self._received = 0
        self._nothing_waits = False

    @abstractmethod
    async def _begin(self) -> ConsumerConfig:
        """The part of the consumer's configuration that says where it begins, now."""

    async def open(self) -> None:
        """Begin. Raises ``NoAnswerError`` where JetStream is away, ``ProblemError`` where the stream is."""
        for _ in range(_FIRST_TRIES):
            if self._subscription is not None or await self._subscribe():
                return
            await asyncio.sleep(_PAUSE)
        raise NoAnswerError("unavailable", f"JetStream does not answer for the stream {self._stream}.")

    async def close(self) -> None:
        """End; the server drops the consumer by itself."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None and not self._connection.is_closed:
            await subscription.unsubscribe()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _next(self) -> Msg | None:
        """The next message; None where a consumer, made first or again, finds nothing stored.

        Raises ``NoAnswerError`` when the connection is closed for good.
        """
        if self._subscription is None:
            await self.open()
        while True:
            if self._nothing_waits:
                self._nothing_waits = False
                return None
            message = await self._receive()
            if message is not None:
                return message

    async def _receive(self) -> Msg | None:
        """A message of the stream, if what comes in time and in order is one."""
        if self._subscription is None and not await self._subscribe():
            await asyncio.sleep(_PAUSE)
        if self._subscription is None:
            return None
        try:
            message = await self._subscription.next_msg(timeout=_SILENCE)
        except ConnectionClosedError:
            raise _closed() from None
        except TimeoutError:  # not even a heartbeat: the consumer is gone, or the connection
            await self.close()
            return None
        if Header.STATUS in (message.headers or {}):
            await self._heed(message)
            return None
        if message.metadata.sequence.consumer != self._received + 1:
            await self.close()
            return None
        self._received += 1
        return message

    async def _heed(self, control: Msg) -> None:
        """Answer flow control; a heartbeat that knows of more messages than came means that one was lost."""
        headers = control.headers or {}
        last = headers.get(Header.LAST_CONSUMER)
        if headers[Header.STATUS] != _CONTROL or (last is not None and int(last) != self._received):
            await self.close()
            return
        stalled = control.reply or headers.get(Header.CONSUMER_STALLED)
        if stalled:
            await self._connection.publish(stalled)

    async def _subscribe(self) -> bool:
        """Make a consumer, with an inbox of its own: one asked for in vain may come to life later."""
        if self._connection.is_closed:
            raise _closed()
        if not self._connection.is_connected:
            return False
        subscription = None
        try:
            config = await self._begin()
            inbox = self._connection.new_inbox()
            subscription = await self._connection.subscribe(inbox)
            made = await self._jetstream.add_consumer(
                self._stream,
                config,
                deliver_subject=inbox,
                filter_subject=self._subject,
                ack_policy=AckPolicy.NONE,
                max_deliver=1,
                flow_control=True,
                idle_heartbeat=_HEARTBEAT,
                mem_storage=True,
                num_replicas=1,
            )
        except NotFoundError:
            raise ProblemError(
                "unavailable", f"There is no stream {self._stream} yet; a worker's migration makes it."
            ) from None
        except (NatsError, TimeoutError):
            if subscription is not None and not self._connection.is_closed:
                await subscription.unsubscribe()
            return False
        self._received = 0
        self._subscription = subscription
        self._nothing_waits = made.num_pending == 0
        return True


def _closed() -> NoAnswerError:
    return NoAnswerError("unavailable", "The connection to NATS is closed.")
