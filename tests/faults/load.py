"""Callers that deploy and roll back under keys, ask until they are told, and note what they were told."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

from contracts.client import LibraryClient
from contracts.deployments import ConfirmRequest, Deployment, DeployRequest, HealthReport, RollbackRequest
from contracts.entities import EntityCreate
from contracts.environments import EnvironmentName
from contracts.ids import new_id
from contracts.problems import ProblemError
from tests.faults.observed import Answer, Finding, Told

ENTITIES = 20
CALLERS = 16
_ENVIRONMENTS: Sequence[EnvironmentName] = ("staging", "production")
_OPEN = frozenset(("busy", "unavailable", "no_answer", "deadline_exceeded", "internal_error"))
"""What leaves it open whether the change is made, or promises that asking again may do."""
_TIMEOUT = 5.0
_PATIENCE = 40.0
_ASKED_AGAIN = 200
_RECENT = 8

Request = DeployRequest | RollbackRequest | ConfirmRequest | HealthReport


@dataclass(slots=True)
class Asked:
    """A request under its key, and every definite answer to it."""

    request: Request
    answers: list[Answer] = field(default_factory=list)

    @property
    def told(self) -> Told:
        """As the checker takes it."""
        answers = tuple(self.answers)
        match self.request:
            case DeployRequest():
                return Told("deploy", answers)
            case RollbackRequest():
                return Told("rollback", answers, str(self.request.deployment_id))
            case ConfirmRequest():
                confirms = self.request.outcome == "active"
                return Told("confirm" if confirms else "refuse", answers, str(self.request.deployment_id))
            case HealthReport():
                return Told("report", answers, str(self.request.deployment_id))


class Load:
    """Twenty entities and sixteen callers, each on its next request as soon as the last one is answered."""

    unhealthy_after: Mapping[str, int] = {}
    _breath = 0.0

    def __init__(self, clients: Sequence[LibraryClient]) -> None:
        self._clients = clients
        self._random = random.Random()
        self._stopping = asyncio.Event()
        self._recent: defaultdict[UUID, list[UUID]] = defaultdict(list)
        self.began = time.time()
        self.entities: list[UUID] = []
        self.asked: dict[str, Asked] = {}
        self.shown: set[tuple[str, str]] = set()
        self.findings: list[Finding] = []
        self.codes: defaultdict[str, int] = defaultdict(int)
        self.acknowledged_at: list[float] = []
        self.counted_until = float("inf")

    async def prepare(self) -> None:
        """Create the entities."""
        made = await asyncio.gather(*(self._create(number) for number in range(ENTITIES)))
        self.entities = list(made)

    async def run(self, seconds: float) -> None:
        """Load for so many seconds, then wait until every request is answered or given up."""
        asyncio.get_running_loop().call_later(seconds, self._stopping.set)
        self.acknowledged_at.append(time.monotonic())
        callers = [asyncio.create_task(self._call(number)) for number in range(CALLERS)]
        await self._stopping.wait()
        self.acknowledged_at.append(time.monotonic())
        await asyncio.gather(*callers)

    async def ask_again(self) -> None:
        """Ask some of the answered requests once more: each must be told the same."""
        answered = [key for key, asked in self.asked.items() if asked.answers]
        chosen = self._random.sample(answered, min(_ASKED_AGAIN, len(answered)))
        for start in range(0, len(chosen), CALLERS):
            await asyncio.gather(
                *(
                    self._insist(self._client(number), key, _PATIENCE)
                    for number, key in enumerate(chosen[start : start + CALLERS])
                )
            )

    @property
    def told(self) -> dict[str, Told]:
        """What was asked and told, by key."""
        return {key: asked.told for key, asked in self.asked.items()}

    @property
    def longest_gap(self) -> float:
        """The longest time between two answers, in seconds; begin and end of the load count as one."""
        times = sorted(moment for moment in self.acknowledged_at if moment <= self.counted_until)
        return max(after - before for before, after in pairwise(times))

    def _client(self, number: int) -> LibraryClient:
        return self._clients[number % len(self._clients)]

    async def _create(self, number: int) -> UUID:
        request = EntityCreate(
            name=f"entity-{new_id()}", type="strategy", version="1.0.0", config={"symbols": ["EURUSD"]}
        )
        return (await self._client(number).create_entity(request, timeout=30)).entity_id

    async def _call(self, number: int) -> None:
        client = self._client(number)
        while not self._stopping.is_set():
            key = str(new_id())
            self.asked[key] = Asked(self._next_request(key))
            if not await self._insist(client, key, _PATIENCE):
                self.codes["given up"] += 1
            await asyncio.sleep(self._random.uniform(0.0, self._breath))

    def _next_request(self, key: str) -> Request:
        entity_id = self._random.choice(self.entities)
        recent = self._recent[entity_id]
        if recent and self._random.random() < 0.25:
            chosen = recent.pop()
            return RollbackRequest(deployment_id=chosen, reason=key, rolled_back_by="faults")
        return DeployRequest(
            entity_id=entity_id,
            environment=self._random.choice(_ENVIRONMENTS),
            deployed_by="faults",
            reason=key,
        )

    async def _insist(self, client: LibraryClient, key: str, patience: float) -> bool:
        """Ask until told, for so many seconds; whether there was a definite answer."""
        asked = self.asked[key]
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                deployment = await self._ask(client, asked.request, key)
            except ProblemError as problem:
                self.codes[problem.code] += 1
                if problem.code in _OPEN:
                    await asyncio.sleep(0.05)
                    continue
                asked.answers.append(Answer(None, problem.code))
            else:
                asked.answers.append(Answer(str(deployment.deployment_id)))
                self.shown.add((str(deployment.deployment_id), deployment.status))
                self._remember(deployment)
            self.acknowledged_at.append(time.monotonic())
            return True
        return False

    async def _ask(self, client: LibraryClient, request: Request, key: str) -> Deployment:
        match request:
            case DeployRequest():
                return await client.deploy(request, idempotency_key=key, timeout=_TIMEOUT)
            case RollbackRequest():
                return await client.rollback(request, idempotency_key=key, timeout=_TIMEOUT)
            case ConfirmRequest():
                return await client.confirm(request, idempotency_key=key, timeout=_TIMEOUT)
            case HealthReport():
                return await client.report_health(request, idempotency_key=key, timeout=_TIMEOUT)

    def _remember(self, deployment: Deployment) -> None:
        recent = self._recent[deployment.entity_id]
        if deployment.status == "active" and deployment.deployment_id not in recent:
            recent.append(deployment.deployment_id)
            del recent[:-_RECENT]
