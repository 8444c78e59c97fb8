"""Health, reported on an interval and whenever what is active cannot be run."""

import asyncio
import logging
import random
from collections.abc import Callable
from uuid import UUID

from pydantic import ValidationError

from contracts.client import LibraryClient
from contracts.deployments import AgentName, HealthReport
from contracts.hotswap.program import Configuration, Health, Program, ReportsHealth
from contracts.problems import ProblemError

_log = logging.getLogger(__name__)

_ANSWER_SECONDS = 5.0
_LONGEST_ERROR = 1000


def said(error: BaseException) -> str:
    """An error's own words, on one line that can be stored; its kind where it has none."""
    words = " ".join(str(error).replace("\x00", " ").split()) or type(error).__name__
    return words[:_LONGEST_ERROR].encode(errors="replace").decode()


class HealthReports:
    """The reports on a place's program, every ``interval`` seconds, of what ``followed`` gives."""

    def __init__(
        self,
        client: LibraryClient,
        agent: AgentName,
        program: Program,
        *,
        interval: float,
        followed: Callable[[], Configuration | None],
    ) -> None:
        self._client = client
        self._agent = agent
        self._program = program if isinstance(program, ReportsHealth) else None
        self._interval = interval
        self._followed = followed
        self._failure: HealthReport | None = None
        self._has_failed = asyncio.Event()

    def fail(self, deployment_id: UUID, error: str) -> None:
        """Report at once that what is active could not be run; the latest such report is enough."""
        self._failure = self._report(deployment_id, Health("unhealthy", {"error": error}))
        self._has_failed.set()

    async def run(self) -> None:
        """Report until cancelled."""
        pause = random.uniform(0, self._interval)  # noqa: S311 - spreads a thousand agents' reports
        while True:
            try:
                async with asyncio.timeout(pause if self._program else None):
                    await self._has_failed.wait()
            except TimeoutError:
                pause = self._interval
                report = await self._examined()
            else:
                self._has_failed.clear()
                report, self._failure = self._failure, None
            if report is not None:
                await self._send(report)

    async def _examined(self) -> HealthReport | None:
        """What the program says of what it runs; None where that is not, or no longer, what is active."""
        running = self._followed()
        if running is None or self._program is None:
            return None
        limit = asyncio.timeout(self._interval)
        task = asyncio.current_task()
        assert task is not None
        try:
            async with limit:
                report = self._report(running.deployment_id, await self._program.health())
        except (Exception, asyncio.CancelledError) as error:  # whatever the program's author let out
            if isinstance(error, asyncio.CancelledError) and task.cancelling():
                raise
            silence = f"health() gave nothing within {self._interval:g} s"
            why = silence if limit.expired() else said(error)
            report = self._report(running.deployment_id, Health("unhealthy", {"error": why}))
        still = self._followed()
        return report if still is not None and still.deployment_id == running.deployment_id else None

    def _report(self, deployment_id: UUID, health: Health) -> HealthReport:
        try:
            return HealthReport(
                deployment_id=deployment_id,
                reported_by=self._agent,
                status=health.status,
                details=None if health.details is None else dict(health.details),
            )
        except ValidationError as error:
            raise ValueError(
                f"health() gave what is no report: {error.errors(include_url=False)[0]['msg']}"
            ) from None

    async def _send(self, report: HealthReport) -> None:
        """Send it; one that nobody takes is followed by the next, not kept."""
        try:
            await self._client.report_health(report, timeout=_ANSWER_SECONDS)
        except ProblemError as problem:
            _log.info("health_not_reported deployment_id=%s code=%s", report.deployment_id, problem.code)
