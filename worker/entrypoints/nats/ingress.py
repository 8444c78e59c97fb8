"""The way in: one FastStream handler a subject, which parses, hands on and returns; answers come later.

A handler never waits for its answer, so it runs serially and without FastStream's decoding and injection. It
is the one place that answers what cannot be parsed: FastStream sends no reply to what it cannot read.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog
from faststream.nats import NatsBroker
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg

from contracts import subjects
from contracts.endpoints import ENDPOINTS, Endpoint
from contracts.problems import ProblemError
from worker.dispatch.answer import Answer
from worker.dispatch.dispatcher import Dispatcher, Ticket
from worker.entrypoints.nats import intake
from worker.messaging.discovery import Counters

log = structlog.get_logger()


async def _undecoded(message: NatsMessage) -> NatsMessage:
    """FastStream's decoder that leaves the bytes to the contract."""
    return message


class Ingress:
    """Subscribes to every endpoint; ``deliver`` is the dispatcher's sink."""

    def __init__(self, broker: NatsBroker, reply_prefixes: tuple[str, ...]) -> None:
        self._broker = broker
        self._reply_prefixes = reply_prefixes
        self._dispatcher: Dispatcher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self.counters = {endpoint.subject: Counters() for endpoint in ENDPOINTS}
        for endpoint in ENDPOINTS:
            self._subscribe(endpoint)

    def attach(self, dispatcher: Dispatcher) -> None:
        """Hand commands to this dispatcher, from the loop that runs now."""
        self._dispatcher = dispatcher
        self._loop = asyncio.get_running_loop()

    def _subscribe(self, endpoint: Endpoint) -> None:
        @self._broker.subscriber(
            endpoint.subject,
            queue=subjects.QUEUE_GROUP,
            no_reply=True,
            decoder=_undecoded,
            title=endpoint.name,
            description=endpoint.summary,
        )
        async def take(message: NatsMessage) -> None:
            self._take(endpoint, message.raw_message)

    def _take(self, endpoint: Endpoint, message: Msg) -> None:
        if not message.reply.startswith(self._reply_prefixes):
            log.warning("request_without_inbox", subject=endpoint.subject)
            return
        carried = message.headers or {}
        identity = intake.request_id(carried)
        taken = time.monotonic()
        try:
            command = intake.command(endpoint, message.data, carried, identity)
        except ProblemError as problem:
            self._answer_now(endpoint, message.reply, Answer.of_problem(problem, identity), identity, taken)
        except Exception:
            log.exception("request_failed", operation=endpoint.subject, request_id=identity)
            unread = ProblemError("internal_error", "The request could not be read.")
            self._answer_now(endpoint, message.reply, Answer.of_problem(unread, identity), identity, taken)
        else:
            assert self._dispatcher is not None, "attached before the broker starts"
            self._dispatcher.submit(Ticket(command, message.reply))

    def deliver(self, answered: Sequence[tuple[Ticket, Answer]]) -> None:
        """Send answers, from any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._start_delivery, answered)

    def _start_delivery(self, answered: Sequence[tuple[Ticket, Answer]]) -> None:
        self._keep(self._send_all(answered))

    def _keep(self, sending: Coroutine[Any, Any, None]) -> None:
        delivery = asyncio.ensure_future(sending)
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def _send_all(self, answered: Sequence[tuple[Ticket, Answer]]) -> None:
        for ticket, answer in answered:
            command = ticket.command
            await self._send(command.operation, ticket.reply_to, answer, command.request_id, command.taken_at)

    def _answer_now(
        self, endpoint: Endpoint, reply_to: str, answer: Answer, identity: str, taken: float
    ) -> None:
        self._keep(self._send(endpoint.subject, reply_to, answer, identity, taken))

    async def _send(self, subject: str, reply_to: str, answer: Answer, identity: str, taken: float) -> None:
        self.counters[subject].count(int((time.monotonic() - taken) * 1e9), answer.code)
        try:
            await self._broker.connection.publish(reply_to, answer.body, headers=answer.headers(identity))
        except Exception as error:  # noqa: BLE001 - one caller's trouble is not another's
            log.warning("reply_failed", request_id=identity, because=type(error).__name__)

    async def delivered(self) -> None:
        """Wait until every answer is on its way."""
        while self._deliveries:
            await asyncio.gather(*self._deliveries, return_exceptions=True)
