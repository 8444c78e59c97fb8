"""Callers of confirmed environments: they deploy, roll back and report health; agents answer, or do not."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

from contracts.client import LibraryClient
from contracts.deployments import (
    ConfirmRequest,
    Deployment,
    DeploymentListRequest,
    DeploymentStatus,
    DeployRequest,
    HealthReport,
    ReportedHealth,
    RollbackRequest,
)
from contracts.environments import EnvironmentName, EnvironmentSet
from contracts.ids import new_id
from contracts.problems import ProblemError
from tests.faults import agents
from tests.faults.agents import MANNER, Manner
from tests.faults.load import ENTITIES, Asked, Load, Request
from tests.faults.observed import Answer, Finding

QUEUES: EnvironmentName = "staging"
SUPERSEDES: EnvironmentName = "production"
REFUSES: EnvironmentName = "testing"
LINES: EnvironmentName = "development"
LINE = 20
"""So many wait behind one that never answers."""
_UNHEALTHY_AFTER = 2
_SETTINGS = (
    EnvironmentSet(environment=QUEUES, concurrency="queue", confirm_timeout_s=2),
    EnvironmentSet(environment=SUPERSEDES, concurrency="supersede", confirm_timeout_s=2),
    EnvironmentSet(environment=REFUSES, concurrency="reject", confirm_timeout_s=3),
    EnvironmentSet(environment=LINES, concurrency="queue", confirm_timeout_s=1),
)
_MANNERS: Mapping[Manner, int] = {
    "seen": 8, "heard": 6, "refused": 2, "contested": 2, "late": 1, "silent": 1,
}  # fmt: skip
_PATIENCE = 40.0
_LEFT_WAITING = 3
_LONG = 3600


class ConfirmedLoad(Load):
    """Sixteen callers that take a breath between their requests, and two agents that answer everywhere.

    Besides, ``crowd`` entities whose agents are silent are deployed whenever the last try has failed, and
    with ``lines``, queues form behind one that never answers.
    """

    unhealthy_after = dict.fromkeys((QUEUES, SUPERSEDES, REFUSES, LINES), _UNHEALTHY_AFTER)
    _breath = 0.3

    def __init__(
        self,
        clients: Sequence[LibraryClient],
        *,
        manners: Mapping[Manner, int] = _MANNERS,
        crowd: int = 0,
        lines: bool = False,
    ) -> None:
        super().__init__(clients)
        self._manners, self._weights = list(manners), list(manners.values())
        self._crowd, self._lines = crowd, lines
        self._suspects: list[UUID] = []

    async def prepare(self) -> None:
        """Create the entities, and have the environments ask for confirmation."""
        await super().prepare()
        for settings in _SETTINGS:
            await self._clients[0].set_environment(
                settings.model_copy(
                    update={
                        "activation": "confirmed",
                        "auto_rollback": True,
                        "unhealthy_after": _UNHEALTHY_AFTER,
                    }
                ),
                timeout=30,
            )

    async def run(self, seconds: float) -> None:
        """Load for so many seconds; then the agents go on until nothing waits any more. A few are left."""
        async with self._agents():
            async with asyncio.TaskGroup() as others:
                for number in range(self._crowd):
                    others.create_task(self._stand_in_crowd(number))
                if self._lines:
                    others.create_task(self._stand_in_line())
                await super().run(seconds)
            self.counted_until = time.monotonic()
            await self._decided(self.entities)
        await self._leave_waiting()

    @contextlib.asynccontextmanager
    async def _agents(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(agents.see(self._client(0), self._say)),
            asyncio.create_task(agents.hear(self._client(1), self._say)),
        ]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _say(self, word: ConfirmRequest) -> None:
        """An agent's word, under a key of its own however often it sees the same deployment."""
        key = f"{word.agent}-{word.deployment_id}"
        self.asked.setdefault(key, Asked(word))
        await self._insist(self._random.choice(self._clients), key, _PATIENCE)

    def _next_request(self, key: str) -> Request:
        if self._suspects:
            return HealthReport(deployment_id=self._suspects.pop(), reported_by="faults", status="unhealthy")
        entity_id = self._random.choice(self.entities[:ENTITIES])
        recent = self._recent[entity_id]
        chance = self._random.random()
        if recent and chance < 0.1:
            chosen = recent.pop()
            return RollbackRequest(deployment_id=chosen, reason=key, rolled_back_by="faults")
        if recent and chance < 0.35:
            status: ReportedHealth = self._random.choice(("healthy", "unhealthy", "unhealthy"))
            return HealthReport(deployment_id=recent[-1], reported_by="faults", status=status)
        (manner,) = self._random.choices(self._manners, self._weights)
        environment = self._random.choice((QUEUES, SUPERSEDES))
        return _deploy(entity_id, environment, manner, key, wait=chance > 0.9)

    def _remember(self, deployment: Deployment) -> None:
        """As any; what came back for the health of another one is called unhealthy at once, too."""
        super()._remember(deployment)
        target = deployment.previous_deployment_id
        if target is not None and deployment.rolled_back_by == "system":
            self._suspects += [target] * (_UNHEALTHY_AFTER + 1)

    async def _ask_for(self, entity_id: UUID, environment: EnvironmentName, manner: Manner) -> Answer | None:
        """Deploy; what was told, None where nobody answered."""
        key = str(new_id())
        asked = self.asked[key] = Asked(_deploy(entity_id, environment, manner, key))
        await self._insist(self._random.choice(self._clients), key, _PATIENCE)
        return asked.answers[-1] if asked.answers else None

    async def _stand_in_crowd(self, number: int) -> None:
        """Deploy where nobody answers; again when that has failed."""
        entity_id = await self._create(number)
        self.entities.append(entity_id)
        while not self._stopping.is_set():
            await self._ask_for(entity_id, REFUSES, "silent")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(3.1, 3.6)):
                    await self._stopping.wait()

    async def _stand_in_line(self) -> None:
        """One that never answers and twenty behind it; the next line when they are through."""
        while not self._stopping.is_set():
            entity_id = await self._create(0)
            self.entities.append(entity_id)
            await self._ask_for(entity_id, LINES, "silent")
            for manner in self._random.choices(("seen", "heard", "refused"), (5, 4, 1), k=LINE):
                answer = await self._ask_for(entity_id, LINES, manner)
                if answer is None or (answer.deployment_id or "", "pending") not in self.shown:
                    self.findings.append(Finding("lost", f"{answer} did not wait in the line of {entity_id}"))
            await self._decided([entity_id])

    async def _decided(self, entities: Sequence[UUID]) -> None:
        """Wait until nothing of these waits to be decided."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(ProblemError):
                if not (await self._undecided("pending") | await self._undecided("deploying")) & {*entities}:
                    return
            await asyncio.sleep(0.1)
        self.findings.append(Finding("lost", f"something still waits after {_PATIENCE} s"))

    async def _undecided(self, status: DeploymentStatus) -> set[UUID]:
        request = DeploymentListRequest(status=status, page_size=100)
        found = (await self._clients[0].list(request, timeout=5)).deployments
        return {deployment.entity_id for deployment in found}

    async def _leave_waiting(self) -> None:
        """A few before agents that have all the time, and as many behind them."""
        await self._clients[0].set_environment(
            EnvironmentSet(environment=QUEUES, confirm_timeout_s=_LONG), timeout=30
        )
        for entity_id in [each for each in self.entities[:_LEFT_WAITING] for _ in range(2)]:
            await self._ask_for(entity_id, QUEUES, "silent")


def _deploy(
    entity_id: UUID, environment: EnvironmentName, manner: Manner, key: str, *, wait: bool = False
) -> DeployRequest:
    """No two have the same snapshot: what goes back for its health is not deployed there again."""
    return DeployRequest(
        entity_id=entity_id,
        environment=environment,
        deployed_by="faults",
        reason=key,
        wait=wait,
        parameters_override={MANNER: manner, "turn": key},
    )
