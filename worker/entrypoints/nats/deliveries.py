"""Answers on their way out: from the dispatcher's threads to the event loop, counted until they are sent."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from worker.dispatch.answer import Answer
from worker.dispatch.dispatcher import Ticket

log = structlog.get_logger()


class Deliveries:
    """The dispatcher's sink."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()

    def sink(self, answered: Sequence[tuple[Ticket, Answer]]) -> None:
        """Send answers, from any thread."""
        self._loop.call_soon_threadsafe(self._begin, answered)

    def _begin(self, answered: Sequence[tuple[Ticket, Answer]]) -> None:
        self.keep(self._send(answered))

    def keep(self, sending: Coroutine[Any, Any, None]) -> None:
        """Run this, in the event loop, and count it until it is done."""
        task = asyncio.ensure_future(sending)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, answered: Sequence[tuple[Ticket, Answer]]) -> None:
        for ticket, answer in answered:
            try:
                await ticket.reply(ticket.command, answer)
            except Exception as error:  # noqa: BLE001 - one caller's trouble is not another's
                log.warning("reply_failed", because=type(error).__name__, **ticket.command.names)

    async def settled(self) -> None:
        """Wait until every answer is on its way."""
        await asyncio.sleep(0)
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)
