"""Durable commands: taken from their stream in order, carried out once, acknowledged when that is committed.

The command's id is its idempotency key, so a redelivery finds the outcome. A refusal is an event, written
with the outcome. While the answer is ``busy`` or ``unavailable`` the command waits here, which is no try.

What was taken is under way here until it has come to an end, and the stream is told so every few seconds.
Where it is delivered again all the same, as after a pause of the connection, the newer message takes the
place of the older one, and nothing is done twice. A try is a failure, and counted here: the command waits
here for its next one. One that ends its worker is counted by the stream alone, in deliveries; these grow by
harmless restarts, too, so it takes many until a command is given up for them.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

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
from worker.entrypoints.nats.letters import letter
from worker.tracing import Span

log = structlog.get_logger()

_TRIES = 5
_SPACING_SECONDS = (1.0, 2.0, 4.0, 8.0)
_DELIVERIES = 25
_ACK_WAIT_SECONDS = 10
_PROGRESS_SECONDS = 3.0
_HOLD_SECONDS = 1.0
_BACK_SECONDS = 1.0
"""So long what is given back stays away: a fetch that is still under way is over by then."""
_UNACKNOWLEDGED = 256
_AT_ONCE = 64
_WAITS = ("busy", "unavailable")
_UNREADABLE = ProblemError("internal_error", "The command could not be read.")


@dataclass(slots=True)
class _Taken:
    """A command of the stream that is under way: its newest message, its span, how often it failed."""

    message: Msg
    span: Span
    failures: int = 0

    @property
    def subject(self) -> str:
        return self.message.subject

    @property
    def headers(self) -> dict[str, str]:
        return self.message.headers or {}

    @property
    def sequence(self) -> int:
        return self.message.metadata.sequence.stream

    @property
    def deliveries(self) -> int:
        return self.message.metadata.num_delivered

    def command(self) -> Command[Any]:
        """The command that it is. Raises ``ProblemError`` where it is none, or was delivered too often."""
        if self.deliveries > _DELIVERIES:
            raise ProblemError(
                "internal_error", f"It was delivered {_DELIVERIES} times and never carried out."
            )
        return intake.durable(self.subject, self.message.data, self.headers, self.deliveries, self.span.trace)

    def rejection(self, problem: ProblemError) -> Command[Any] | None:
        """The command that says it is refused."""
        return intake.rejection(self.subject, self.message.data, self.headers, problem, self.span.trace)


class DurableCommands:
    """Subscribes to the stream when it is made; ``attach`` it before the broker starts."""

    def __init__(self, broker: NatsBroker) -> None:
        self._broker = broker
        self._submit: Callable[[Ticket], None]
        self._deliveries: Deliveries
        self._under_way: dict[int, _Taken] = {}
        self._stopping = asyncio.Event()
        self.outcomes = {subject: Outcomes(SECONDS) for subject in subjects.COMMANDS}

        self._subscriber = broker.subscriber(
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

        @self._subscriber
        async def handle(message: NatsMessage) -> None:
            self._take(message.raw_message)

        async def take(message: Msg) -> None:
            self._take(message)

        # FastStream's own drops what was fetched when the subscriber is told to stop.
        self._subscriber.consume = take  # type: ignore[assignment, method-assign]

    def attach(self, submit: Callable[[Ticket], None], deliveries: Deliveries) -> None:
        """Hand commands on to this dispatcher."""
        self._submit, self._deliveries = submit, deliveries

    async def keep_away(self) -> None:
        """Tell the stream, until cancelled, what is under way, so that it is not delivered again."""
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            for sequence in list(self._under_way):
                if taken := self._under_way.get(sequence):
                    with contextlib.suppress(NatsError):
                        await taken.message.in_progress()

    def stop(self) -> None:
        """Fetch nothing more, and let what waits go back to the stream."""
        self._stopping.set()
        self._subscriber.running = False

    async def stopped(self) -> None:
        """Wait for the last fetch, about a second: one that is cancelled would lose what it has."""
        await asyncio.gather(*self._subscriber.tasks, return_exceptions=True)

    def _take(self, message: Msg) -> None:
        sequence = message.metadata.sequence.stream
        if sequence in self._under_way:
            self._under_way[sequence].message = message
            return
        if self._stopping.is_set():
            self._deliveries.keep(message.nak(delay=_BACK_SECONDS))
            return
        taken = self._under_way[sequence] = _taken(message)
        try:
            self._hand_on(taken, taken.command())
        except ProblemError as problem:
            self._keep(taken, self._give_up(taken, problem))
        except Exception:
            log.exception("request_failed", operation=taken.subject)
            self._keep(taken, self._give_up(taken, _UNREADABLE))

    def _hand_on(self, taken: _Taken, command: Command[Any]) -> None:
        def answered(command: Command[Any], answer: Answer) -> None:
            self._keep(taken, self._settle(taken, command, answer))

        self._submit(Ticket(command, answered))

    def _keep(self, taken: _Taken, doing: Coroutine[Any, Any, None]) -> None:
        self._deliveries.keep(self._unfailing(taken, doing))

    async def _unfailing(self, taken: _Taken, doing: Coroutine[Any, Any, None]) -> None:
        """Do it; if that fails the command is under way no more, and so delivered again in a while."""
        try:
            await doing
        except NatsError:  # unheard; its key finds the outcome
            self._end(taken, "unavailable")
        except Exception:
            log.exception("request_failed", operation=taken.subject)
            self._end(taken, "internal_error")

    async def _settle(self, taken: _Taken, command: Command[Any], answer: Answer) -> None:
        dead = command.durable.refused if command.durable else None
        if answer.code in _WAITS:
            await self._again(taken, command, _HOLD_SECONDS)
            return
        if dead is None:
            self._count(command.taken_at, taken.subject, answer.code)
        if answer.code == "internal_error":
            await self._failed(taken, command, dead)
        elif dead:
            self._end(taken, dead.code)
            await taken.message.term()
        else:
            self._end(taken, answer.code)
            await taken.message.ack()

    async def _failed(self, taken: _Taken, command: Command[Any], dead: ProblemError | None) -> None:
        taken.failures += 1
        if taken.failures >= _TRIES and dead is None:
            problem = ProblemError("internal_error", f"It failed {taken.failures} times.")
            await self._give_up(taken, problem)
        else:
            spacing = _SPACING_SECONDS[min(taken.failures, len(_SPACING_SECONDS)) - 1]
            await self._again(taken, command, spacing)

    def _count(self, taken: float, subject: str, code: str | None) -> None:
        if outcomes := self.outcomes.get(subject):
            outcomes.count(time.monotonic() - taken, code)

    async def _again(self, taken: _Taken, command: Command[Any], seconds: float) -> None:
        """Submit it again after a while; where the worker stops, another may have it."""
        if await self._stops_within(seconds):
            await self._give_back(taken)
        elif command.durable:  # its refusal may be committed although the commit was not heard of
            self._hand_on(taken, command._replace(durable=replace(command.durable, redelivered=True)))

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    async def _give_back(self, taken: _Taken) -> None:
        """Have it delivered again, to another worker or the next one."""
        self._end(taken, "unavailable")
        await taken.message.nak(delay=_BACK_SECONDS)

    def _end(self, taken: _Taken, code: str | None) -> None:
        """It is under way no more."""
        if self._under_way.get(taken.sequence) is taken:
            del self._under_way[taken.sequence]
            taken.span.end(code)

    async def _give_up(self, taken: _Taken, problem: ProblemError) -> None:
        """Put it aside, whole and with the reason, say so in an event, and only then let go of it."""
        while not await self._put_aside(taken, problem):
            if await self._stops_within(_SPACING_SECONDS[-1]):
                await self._give_back(taken)
                return
        log.warning("command_dead", subject=taken.subject, code=problem.code)
        rejection = taken.rejection(problem)
        if rejection is None:
            self._end(taken, problem.code)
            await taken.message.term()
        else:
            self._hand_on(taken, rejection)

    async def _put_aside(self, taken: _Taken, problem: ProblemError) -> bool:
        """Whether the stream of dead commands has it."""
        connection = self._broker.connection
        dead = letter(taken.message, problem, connection.max_payload)
        try:
            await connection.jetstream().publish(dead.subject, dead.body, headers=dead.headers)
        except (NatsError, TimeoutError) as error:
            log.warning("dead_letter_failed", because=type(error).__name__)
            return False
        return True


def _taken(message: Msg) -> _Taken:
    """The message, and its span as a part of its sender's trace; an unknown subject is not named."""
    carried = message.headers or {}
    named = message.subject if message.subject in subjects.COMMANDS else subjects.COMMANDS_WILDCARD
    identity = carried.get(headers.MESSAGE_ID, "")
    return _Taken(message, tracing.taken("consumer", named, identity, intake.trace(carried)))
