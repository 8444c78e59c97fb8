"""Answers on their way out: from the dispatcher's threads to the event loop, and from there in one write."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from worker.dispatch.answer import Answer
from worker.dispatch.dispatcher import Ticket
from worker.messaging import wire

log = structlog.get_logger()


class Deliveries:
    """The dispatcher's sink; what is answered in one go is written in one go."""

    def __init__(self, connection: Client) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._under_way: set[asyncio.Task[None]] = set()
        self._replies: list[bytes] = []

    def sink(self, answered: Sequence[tuple[Ticket, Answer]]) -> None:
        """Send answers, from any thread."""
        self._loop.call_soon_threadsafe(self._deliver, answered)

    def _deliver(self, answered: Sequence[tuple[Ticket, Answer]]) -> None:
        for ticket, answer in answered:
            try:
                ticket.reply(ticket.command, answer)
            except Exception as error:  # noqa: BLE001 - one caller's trouble is not another's
                log.warning("reply_failed", because=type(error).__name__, **ticket.command.names)
        self._write()

    def reply(self, inbox: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a reply, from the event loop, with all those that are given before it comes round."""
        if not self._replies:
            self._loop.call_soon(self._write)
        wire.encode(self._replies, inbox, body, headers)

    def _write(self) -> None:
        if not self._replies:
            return
        replies, self._replies = self._replies, []
        try:
            wire.write(self._connection, replies)
        except NatsError as error:
            log.warning("replies_failed", because=type(error).__name__)
        else:
            if wire.is_behind(self._connection):
                self.keep(wire.relieve(self._connection))

    def keep(self, sending: Coroutine[Any, Any, None]) -> None:
        """Run this, in the event loop, and count it until it is done."""
        task = asyncio.ensure_future(sending)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def settled(self) -> None:
        """Wait until every answer is on its way."""
        await asyncio.sleep(0)
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)
        self._write()
