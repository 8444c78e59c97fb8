"""Durable commands: taken from their stream in order, carried out once, acknowledged when that is committed.

The command's id is its idempotency key, so a redelivery finds the outcome. A refusal is an event, written
with the outcome. While the answer is ``busy`` or ``unavailable`` the command waits here, which is no try.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig

from contracts import headers, subjects
from contracts.metrics import SECONDS
from contracts.problems import ProblemError
from worker import tracing
from worker.dispatch.answer import Answer
from worker.dispatch.dispatcher import Ticket
from worker.domain.command import Command
from worker.domain.figures import Outcomes
from worker.entrypoints.nats import intake
from worker.entrypoints.nats.deliveries import Deliveries
from worker.entrypoints.nats.ingress import undecoded
from worker.tracing import Span

log = structlog.get_logger()

_TRIES = 5
_SPACING_SECONDS = (1.0, 2.0, 4.0, 8.0)
_ACK_WAIT_SECONDS = 10
_HOLD_SECONDS = 1.0
_UNACKNOWLEDGED = 256
_AT_ONCE = 64
_REASON_CHARACTERS = 500
_WAITS = ("busy", "unavailable")


class _Taken(NamedTuple):
    """A message of the stream and its span."""

    message: Msg
    span: Span

    @property
    def subject(self) -> str:
        return self.message.subject

    @property
    def headers(self) -> dict[str, str]:
        return self.message.headers or {}

    @property
    def deliveries(self) -> int:
        return self.message.metadata.num_delivered

    async def give_back(self, delay: float | None = None, code: str | None = None) -> None:
        """Have it delivered again."""
        self.span.end(code)
        await self.message.nak(delay=delay)

    async def let_go(self, problem: ProblemError, answer: Answer) -> None:
        """It is dead, and said to be; where that could not be said, it is delivered again."""
        self.span.end(problem.code)
        if answer.code is None:
            await self.message.term()


class DurableCommands:
    """Subscribes to the stream when it is made; ``attach`` it before the broker starts."""

    def __init__(self, broker: NatsBroker) -> None:
        self._broker = broker
        self._submit: Callable[[Ticket], None]
        self._deliveries: Deliveries
        self._stopping = asyncio.Event()
        self.outcomes = {subject: Outcomes(SECONDS) for subject in subjects.COMMANDS}

        @broker.subscriber(
            subjects.COMMANDS_WILDCARD,
            stream=JStream(subjects.COMMANDS_STREAM, declare=False),
            durable=subjects.COMMANDS_CONSUMER,
            pull_sub=PullSub(batch_size=_AT_ONCE, timeout=1.0),
            ack_policy=AckPolicy.MANUAL,
            config=ConsumerConfig(
                ack_wait=_ACK_WAIT_SECONDS, max_ack_pending=_UNACKNOWLEDGED, max_deliver=-1
            ),
            no_reply=True,
            decoder=undecoded,
            title="durable-commands",
            description="Commands that are carried out once, whenever a worker runs.",
        )
        async def take(message: NatsMessage) -> None:
            self._take(message.raw_message)

    def attach(self, submit: Callable[[Ticket], None], deliveries: Deliveries) -> None:
        """Hand commands on to this dispatcher."""
        self._submit, self._deliveries = submit, deliveries

    def stop(self) -> None:
        """Let what waits go back to the stream."""
        self._stopping.set()

    def _take(self, message: Msg) -> None:
        if self._stopping.is_set():
            self._deliveries.keep(message.nak())
            return
        taken = _taken(message)
        if taken.deliveries > _TRIES:
            problem = ProblemError("internal_error", f"It was tried {_TRIES} times and never carried out.")
            self._deliveries.keep(self._give_up(taken, problem))
            return
        try:
            command = intake.durable(
                taken.subject, message.data, taken.headers, taken.deliveries, taken.span.trace
            )
        except ProblemError as problem:
            self._deliveries.keep(self._give_up(taken, problem))
        else:
            self._submit(Ticket(command, partial(self._answered, taken)))

    def _answered(self, taken: _Taken, command: Command[Any], answer: Answer) -> None:
        self._deliveries.keep(self._settle(taken, command, answer))

    async def _settle(self, taken: _Taken, command: Command[Any], answer: Answer) -> None:
        if answer.code in _WAITS:
            self._deliveries.keep(self._hold(taken, command))
            return
        self._count(command.taken_at, taken.subject, answer.code)
        if answer.code == "internal_error":
            if taken.deliveries >= _TRIES:
                problem = ProblemError("internal_error", f"It failed {taken.deliveries} times.")
                await self._give_up(taken, problem)
            else:
                await taken.give_back(_SPACING_SECONDS[taken.deliveries - 1], answer.code)
        else:
            taken.span.end(answer.code)
            await taken.message.ack()

    def _count(self, taken: float, subject: str, code: str | None) -> None:
        if outcomes := self.outcomes.get(subject):
            outcomes.count(time.monotonic() - taken, code)

    async def _hold(self, taken: _Taken, command: Command[Any]) -> None:
        """Keep it a while and submit it again; where the worker stops, another may have it."""
        with contextlib.suppress(NatsError):  # unheard, it is delivered again, and its key finds the outcome
            await taken.message.in_progress()
        try:
            async with asyncio.timeout(_HOLD_SECONDS):
                await self._stopping.wait()
            await taken.give_back()
        except TimeoutError:
            self._submit(Ticket(command, partial(self._answered, taken)))

    async def _give_up(self, taken: _Taken, problem: ProblemError) -> None:
        """Put it aside, whole and with the reason, say so in an event, and only then let go of it."""
        message = taken.message
        metadata = message.metadata
        carried = {headers.MESSAGE_ID: f"{metadata.stream}-{metadata.sequence.stream}", **taken.headers}
        carried[headers.DEAD_REASON] = _reason(problem)
        try:
            await self._broker.connection.jetstream().publish(
                subjects.dead_letter(message.subject), message.data, headers=carried
            )
        except (NatsError, TimeoutError) as error:
            log.warning("dead_letter_failed", because=type(error).__name__)
            taken.span.end("unavailable")
            return  # it is delivered again
        rejection = intake.rejection(taken.subject, message.data, taken.headers, problem, taken.span.trace)
        log.warning("command_dead", subject=taken.subject, code=problem.code)
        if rejection is None:
            taken.span.end(problem.code)
            await message.term()
            return
        self._submit(
            Ticket(rejection, lambda _, answer: self._deliveries.keep(taken.let_go(problem, answer)))
        )


def _taken(message: Msg) -> _Taken:
    """The message, and its span as a part of its sender's trace; an unknown subject is not named."""
    carried = message.headers or {}
    named = message.subject if message.subject in subjects.COMMANDS else subjects.COMMANDS_WILDCARD
    identity = carried.get(headers.MESSAGE_ID, "")
    return _Taken(message, tracing.taken("consumer", named, identity, intake.trace(carried)))


def _reason(problem: ProblemError) -> str:
    """The problem in a header's terms: one line of ASCII."""
    said = f"{problem.code}: {problem.detail}".encode("ascii", "replace").decode()
    return " ".join(said.split())[:_REASON_CHARACTERS]
