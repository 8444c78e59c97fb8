"""One place's swaps carried out: the program's coroutines, and what is said to the library."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any, Literal, assert_never
from uuid import UUID

from contracts.client import LibraryClient
from contracts.connection import NoAnswerError
from contracts.convergence import Applied
from contracts.deployments import (
    AgentName,
    ConfirmRequest,
    DeploymentGet,
    DeploymentListRequest,
    DeploymentStatus,
)
from contracts.hotswap.applied import AppliedReports
from contracts.hotswap.health_reports import HealthReports, said
from contracts.hotswap.order import SwapOrder
from contracts.hotswap.program import Configuration, Program
from contracts.hotswap.steps import Step, Word
from contracts.problems import ProblemError

_log = logging.getLogger(__name__)

RELEASE_SECONDS = 30.0
"""Seconds that a ``release`` has: the next swap, and the agent's end, wait for it."""

_ANSWER_SECONDS = 5.0
_CANCELLED_AGAIN_SECONDS = 0.5
_ASK_AGAIN = frozenset(("busy", "unavailable", "internal_error", "deadline_exceeded"))


class HotSwap:
    """What an agent does at one place.

    It has tasks only while there is something to do, so that a process can hold thousands. ``broken`` is told
    of an error that is nobody's but ours.
    """

    def __init__(
        self,
        client: LibraryClient,
        agent: AgentName,
        entity_id: UUID,
        program: Program,
        *,
        applied: AppliedReports,
        health_interval: float,
        broken: Callable[[BaseException], None],
    ) -> None:
        self.order = SwapOrder()
        self.health = HealthReports(
            client, agent, program, interval=health_interval, followed=lambda: self.order.followed
        )
        self._client = client
        self._agent = agent
        self._entity_id = entity_id
        self._program = program
        self._applied = applied
        self._told: tuple[UUID, int] | str | None = "nothing yet"
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._step: Step | None = None
        self._step_task: asyncio.Task[None] | None = None
        self._word_task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stops = False

    def see_active(self, seen: Configuration | None) -> None:
        """Take note of what is active now; None for nothing."""
        self.order.see_active(seen)
        self._go_on()

    def miss_active(self) -> None:
        """Take note that what is active is not shown any more, without a word on its end."""
        self.order.miss_active()
        self._go_on()

    def see_pending(self, seen: Configuration | None) -> None:
        """Take note of what waits to be confirmed; None for nothing."""
        self.order.see_pending(seen)
        self._go_on()

    async def stop(self) -> None:
        """End: a ``prepare`` is cancelled, a swap is finished, what does not run is released."""
        self._stops = True
        if self._timer is not None:
            self._timer.cancel()
        if self._word_task is not None:
            await end((self._word_task,))
        if self._step_task is not None and self._step is not None:
            if self._step.can_be_interrupted:
                _interrupt(self._step_task)
            await asyncio.wait((self._step_task,))
        self._tell_applied()
        for what in self.order.prepared():
            await asyncio.wait((asyncio.create_task(self._carry_out(Step("release", what))),))

    def _go_on(self) -> None:
        """Start whatever is to be done now; called whenever something was seen, has ended, or is due."""
        if self._stops:
            return
        now = self._loop.time()
        if self._step_task is None:
            self._tell_applied()
            self._step = self.order.next_step(now)
            if self._step is not None:
                self.order.begin(self._step)
                self._step_task = self._started(self._carry_out(self._step), self._step_ended)
        elif self._step is not None and self.order.is_moot(self._step):
            _interrupt(self._step_task)
        word = self.order.next_word(now) if self._word_task is None else None
        if word is not None:
            self._word_task = self._started(self._speak(word), self._word_ended)
        self._set_timer(now)

    def _started(
        self, work: Coroutine[Any, Any, None], ended: Callable[[asyncio.Task[None]], None]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        return task

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self.order.due(now)
        self._timer = None if due is None else self._loop.call_at(due, self._go_on)

    def _step_ended(self, task: asyncio.Task[None]) -> None:
        self._step_task = None
        self._ended(task)

    def _word_ended(self, task: asyncio.Task[None]) -> None:
        self._word_task = None
        self._ended(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._broken(error)
        else:
            self._go_on()

    async def _carry_out(self, step: Step) -> None:
        calls = {
            "prepare": self._program.prepare,
            "activate": self._program.activate,
            "release": self._program.release,
        }
        task = asyncio.current_task()
        assert task is not None
        limit = asyncio.timeout(RELEASE_SECONDS if step.do == "release" else None)
        try:
            async with limit:
                await calls[step.do](step.what)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever the program lets out
            if not task.cancelling():
                silence = f"release() did not end within {RELEASE_SECONDS:g} s"
                self._failed(step, silence if limit.expired() else said(error))
        else:
            if not (task.cancelling() and step.can_be_interrupted):
                self.order.done(step)

    def _failed(self, step: Step, error: str) -> None:
        deployment_id = step.what.deployment_id
        _log.warning("%s_failed deployment_id=%s error=%s", step.do, deployment_id, error)
        if self.order.failed(step, error, self._loop.time()):
            self.health.fail(deployment_id, error)

    async def _speak(self, word: Word) -> None:
        try:
            answer = await self._say(word)
        except ProblemError as problem:
            if isinstance(problem, NoAnswerError) or problem.code in _ASK_AGAIN:
                self.order.unanswered(word, self._loop.time())
                return
            about = word.about.deployment_id
            _log.info("word_refused deployment_id=%s said=%s code=%s", about, word.say, problem.code)
            self.order.answered(word, None, self._loop.time())
        else:
            self.order.answered(word, answer, self._loop.time())

    async def _say(self, word: Word) -> DeploymentStatus:
        """What the deployment is, as the library has it; "inactive" where nothing is active in its place."""
        match word.say:
            case "what became of it?":
                asked = DeploymentGet(deployment_id=word.about.deployment_id)
                return (await self._client.get(asked, timeout=_ANSWER_SECONDS)).status
            case "is anything active?":
                return await self._active_there(word.about)
            case "active" | "failed":
                return await self._confirm(word.about.deployment_id, word.say, word.error)
        assert_never(word.say)

    async def _active_there(self, about: Configuration) -> DeploymentStatus:
        active = DeploymentListRequest(
            entity_id=about.entity_id, environment=about.environment, status="active", page_size=1
        )
        found = await self._client.list(active, timeout=_ANSWER_SECONDS)
        return "active" if found.deployments else "inactive"

    async def _confirm(
        self, deployment_id: UUID, outcome: Literal["active", "failed"], error: str | None
    ) -> DeploymentStatus:
        """Say it under the same key however often it is said."""
        confirmed = await self._client.confirm(
            ConfirmRequest(deployment_id=deployment_id, agent=self._agent, outcome=outcome, error=error),
            timeout=_ANSWER_SECONDS,
            idempotency_key=f"confirm.{deployment_id}.{self._agent}",
        )
        return confirmed.status

    def _tell_applied(self) -> None:
        running = self.order.running
        now_running = None if running is None else (running.deployment_id, running.sequence)
        if not self.order.is_settled or now_running == self._told:
            return
        self._told = now_running
        applied = Applied(
            deployment_id=running.deployment_id if running else None,
            sequence=str(running.sequence) if running else None,
            applied_at=datetime.now(UTC),
        )
        self._applied.put(self._entity_id, applied)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: ``asyncio.wait_for`` of Python 3.11 may swallow a cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCELLED_AGAIN_SECONDS)


def _interrupt(task: asyncio.Task[None]) -> None:
    """Cancel it, once: what it still does to end in order is left in peace."""
    if not task.cancelling():
        task.cancel()
