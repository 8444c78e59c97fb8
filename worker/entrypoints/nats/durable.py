"""Durable commands: taken from their stream in order, carried out once, acknowledged when that is committed.

The command's id is its idempotency key, so a redelivery finds the outcome. A refusal is an event, written
with the outcome. While the answer is ``busy`` or ``unavailable`` the command waits here, which is no try.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig
from nats.js.errors import APIError

from contracts import headers, subjects
from contracts.metrics import SECONDS
from contracts.problems import ProblemError
from worker.dispatch.answer import Answer
from worker.dispatch.dispatcher import Ticket
from worker.domain.command import Command
from worker.domain.figures import Outcomes
from worker.entrypoints.nats import intake
from worker.entrypoints.nats.deliveries import Deliveries
from worker.entrypoints.nats.ingress import undecoded

log = structlog.get_logger()

_TRIES = 5
_SPACING_SECONDS = (1.0, 2.0, 4.0, 8.0)
_ACK_WAIT_SECONDS = 10
_HOLD_SECONDS = 1.0
_UNACKNOWLEDGED = 256
_AT_ONCE = 64
_REASON_CHARACTERS = 500
_WAITS = ("busy", "unavailable")


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
        deliveries = message.metadata.num_delivered
        if deliveries > _TRIES:
            problem = ProblemError("internal_error", f"It was tried {_TRIES} times and never carried out.")
            self._deliveries.keep(self._give_up(message, problem))
            return
        try:
            command = intake.durable(message.subject, message.data, message.headers or {}, deliveries)
        except ProblemError as problem:
            self._deliveries.keep(self._give_up(message, problem))
        else:
            self._submit(Ticket(command, lambda command, answer: self._settle(message, command, answer)))

    async def _settle(self, message: Msg, command: Command[Any], answer: Answer) -> None:
        if answer.code in _WAITS:
            self._deliveries.keep(self._hold(message, command))
            return
        self._count(command.taken_at, message, answer.code)
        if answer.code == "internal_error":
            deliveries = message.metadata.num_delivered
            if deliveries >= _TRIES:
                problem = ProblemError("internal_error", f"It failed {deliveries} times.")
                await self._give_up(message, problem)
            else:
                await message.nak(delay=_SPACING_SECONDS[deliveries - 1])
        else:
            await message.ack()

    def _count(self, taken: float, message: Msg, code: str | None) -> None:
        if outcomes := self.outcomes.get(message.subject):
            outcomes.count(time.monotonic() - taken, code)

    async def _hold(self, message: Msg, command: Command[Any]) -> None:
        """Keep it a while and submit it again; where the worker stops, another may have it."""
        await message.in_progress()
        try:
            async with asyncio.timeout(_HOLD_SECONDS):
                await self._stopping.wait()
            await message.nak()
        except TimeoutError:
            self._submit(Ticket(command, lambda command, answer: self._settle(message, command, answer)))

    async def _give_up(self, message: Msg, problem: ProblemError) -> None:
        """Put it aside, whole and with the reason, say so in an event, and only then let go of it."""
        metadata = message.metadata
        carried = {
            headers.MESSAGE_ID: f"{metadata.stream}-{metadata.sequence.stream}",
            **(message.headers or {}),
        }
        carried[headers.DEAD_REASON] = _reason(problem)
        try:
            await self._broker.connection.jetstream().publish(
                subjects.dead_letter(message.subject), message.data, headers=carried
            )
        except (APIError, TimeoutError) as error:
            log.warning("dead_letter_failed", because=type(error).__name__)
            return  # it is delivered again
        rejection = intake.rejection(message.subject, message.data, message.headers or {}, problem)
        log.warning("command_dead", subject=message.subject, code=problem.code)
        if rejection is None:
            await message.term()
            return
        self._submit(Ticket(rejection, lambda _, answer: self._let_go(message, answer)))

    async def _let_go(self, message: Msg, answer: Answer) -> None:
        if answer.code is None:  # else it is delivered again
            await message.term()


def _reason(problem: ProblemError) -> str:
    """The problem in a header's terms: one line of ASCII."""
    said = f"{problem.code}: {problem.detail}".encode("ascii", "replace").decode()
    return " ".join(said.split())[:_REASON_CHARACTERS]
