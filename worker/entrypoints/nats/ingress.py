"""The way in: one FastStream handler a subject, which parses, hands on and returns; answers come later.

A handler never waits for its answer, so it runs serially and without FastStream's decoding and injection. It
is the one place that answers what cannot be parsed: FastStream sends no reply to what it cannot read.

FastStream subscribes, reconnects and describes; each message goes straight to the handler, past ``consume``
with its scopes and middlewares, of which there are none here. That is 11 µs a request in place of 62 to 73,
and lets a flood be refused as fast as it comes in. Draining, which ``consume`` counts for, is the worker's.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import structlog
from faststream.nats import NatsBroker
from faststream.nats.message import NatsMessage
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import subjects
from contracts.endpoints import ENDPOINTS, Endpoint
from contracts.metrics import SECONDS
from contracts.problems import ProblemError
from worker import tracing
from worker.dispatch.answer import Answer
from worker.dispatch.convergence import AppliedThere
from worker.dispatch.dispatcher import BUSY, Dispatcher, Ticket
from worker.domain.command import Command
from worker.domain.figures import Outcomes
from worker.entrypoints.nats import intake
from worker.entrypoints.nats.deliveries import Deliveries
from worker.entrypoints.nats.waiting import HeldReplies
from worker.messaging.applied import applied
from worker.tracing import Span

log = structlog.get_logger()
_HEADER_BYTES = 4096
_ASKED_AT_ONCE, _MOST_ASKING = 4, 256
_UNREADABLE = ProblemError("internal_error", "What the agents run could not be read.")
_TOO_LARGE_TO_SAY = ProblemError("internal_error", "The answer is larger than NATS carries.")


async def undecoded(message: NatsMessage) -> NatsMessage:
    """FastStream's decoder that leaves the bytes to the contract."""
    return message


class _Asked(NamedTuple):
    """A request that is to be answered; ``taken`` on the monotonic clock, in seconds."""

    subject: str
    inbox: str
    identity: str
    taken: float
    span: Span


class Ingress:
    """Subscribes to every endpoint when it is made; ``attach`` it before the broker starts."""

    def __init__(self, broker: NatsBroker, reply_prefixes: tuple[str, ...]) -> None:
        self._broker = broker
        self._reply_prefixes = reply_prefixes
        self._submit: Callable[[Ticket], None]
        self._is_full: Callable[[str], bool]
        self._deliveries: Deliveries
        self._connection: Client
        self.held: HeldReplies
        self._asking, self._asks_agents = 0, asyncio.Semaphore(_ASKED_AT_ONCE)
        self.outcomes = {endpoint.subject: Outcomes(SECONDS) for endpoint in ENDPOINTS}
        for endpoint in ENDPOINTS:
            self._subscribe(endpoint)

    def attach(self, dispatcher: Dispatcher, deliveries: Deliveries) -> None:
        """Hand commands on to this dispatcher."""
        self._submit, self._is_full = dispatcher.submit, dispatcher.is_full
        self._deliveries, self._connection = deliveries, self._broker.connection
        self.held = HeldReplies(self._connection, dispatcher.submit)

    def _subscribe(self, endpoint: Endpoint) -> None:
        subscriber = self._broker.subscriber(
            endpoint.subject,
            queue=subjects.QUEUE_GROUP,
            no_reply=True,
            decoder=undecoded,
            title=endpoint.name,
            description=endpoint.summary,
        )

        @subscriber
        async def handle(message: NatsMessage) -> None:
            self._take(endpoint, message.raw_message)

        async def take(message: Msg) -> None:
            self._take(endpoint, message)

        subscriber.consume = take  # type: ignore[assignment, method-assign]

    def _take(self, endpoint: Endpoint, message: Msg) -> None:
        if not message.reply.startswith(self._reply_prefixes):
            log.warning("request_without_inbox", subject=endpoint.subject)
            return
        carried = message.headers or {}
        identity, now = intake.request_id(carried), time.monotonic()
        if self._is_full(endpoint.subject):  # said before anything is read: a flood must not cost more
            self._refuse(_Asked(endpoint.subject, message.reply, identity, now, tracing.NO_SPAN), BUSY)
            return
        span = tracing.taken("server", endpoint.subject, identity, intake.trace(carried))
        asked = _Asked(endpoint.subject, message.reply, identity, now, span)
        try:
            command = intake.command(endpoint, message.data, carried, identity, span.trace)
        except ProblemError as problem:
            self._refuse(asked, problem)
        except Exception:
            log.exception("request_failed", operation=endpoint.subject, request_id=identity)
            self._refuse(asked, ProblemError("internal_error", "The request could not be read."))
        else:
            ticket = Ticket(command, partial(self._reply, asked))
            if endpoint.subject != subjects.DEPLOY_CONVERGENCE:
                self._submit(ticket)
            elif self._asking >= _MOST_ASKING:
                self._refuse(asked, BUSY)
            else:
                self._deliveries.keep(self._with_applied(ticket))

    def _refuse(self, asked: _Asked, problem: ProblemError) -> None:
        self._send(asked, Answer.of_problem(problem, asked.identity))

    async def _with_applied(self, ticket: Ticket) -> None:
        """Hand on what the agents say, with the question who is behind; few at once, each is a consumer."""
        command = ticket.command
        self._asking += 1
        try:
            async with self._asks_agents:
                there = await applied(self._connection, command.request.environment)
        except Exception as error:
            problem = error if isinstance(error, ProblemError) else _UNREADABLE
            if problem is _UNREADABLE:
                log.exception("request_failed", operation=command.operation, **command.names)
            ticket.reply(command, Answer.of_problem(problem, command.request_id))
            return
        finally:
            self._asking -= 1
        question = AppliedThere(**dict(command.request), applied=there)
        self._submit(Ticket(command._replace(request=question), ticket.reply))

    def _reply(self, asked: _Asked, command: Command[Any], answer: Answer) -> None:
        if self.held.wants(command, answer):
            self._deliveries.keep(self._reply_later(asked, command, answer))
        else:
            self._send(asked, answer)

    async def _reply_later(self, asked: _Asked, command: Command[Any], answer: Answer) -> None:
        """Answer once it is decided; whatever happens meanwhile, with what was decided so far."""
        try:
            answer = await self.held.outcome(command, answer)
        except Exception:
            log.exception("reply_not_held", **command.names)
        self._send(asked, answer)

    def _send(self, asked: _Asked, answer: Answer) -> None:
        subject, inbox, identity, taken, span = asked
        if len(answer.body) > self._connection.max_payload - _HEADER_BYTES:
            log.error("reply_too_large", subject=subject, request_id=identity, bytes=len(answer.body))
            answer = Answer.of_problem(_TOO_LARGE_TO_SAY, identity)
        self.outcomes[subject].count(time.monotonic() - taken, answer.code)
        span.end(answer.code)
        self._deliveries.reply(inbox, answer.body, answer.headers(identity))
