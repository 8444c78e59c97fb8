"""Waits until what was deployed is decided: active, failed, or taken back."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from contracts.client import LibraryClient
from contracts.deployments import Deployment
from worker.entrypoints.manifests.plan import Action

_PAUSE = 0.5
_UNDECIDED = ("pending", "deploying")
_WENT_WRONG = ("failed", "rolled_back")


@dataclass(slots=True)
class Decisions:
    """What is waited for, and what became of it.

    A deployment is ``overdue`` when it was not decided within ``longest`` seconds. ``decided`` is called for
    each that is, ``waits`` with what is left before each look.
    """

    client: LibraryClient
    longest: float
    decided: Callable[[Deployment], None]
    waits: Callable[[list[Deployment]], None]
    overdue: list[Deployment] = field(default_factory=list)
    outcomes: list[Deployment] = field(default_factory=list)
    _left: dict[UUID, Deployment] = field(default_factory=dict)
    _until: dict[UUID, float] = field(default_factory=dict)

    @property
    def failed(self) -> list[Deployment]:
        """What did not become active, or went back."""
        return [each for each in self.outcomes if each.status in _WENT_WRONG]

    def add(self, deployment: Deployment) -> None:
        """Wait for it, too, unless it is decided already."""
        if deployment.status in _UNDECIDED:
            self._left[deployment.deployment_id] = deployment
            self._until[deployment.deployment_id] = asyncio.get_running_loop().time() + self.longest

    async def allow(self, action: Action) -> bool:
        """Whether a step may follow, once what it builds upon is decided.

        A deploy builds upon its dependencies in its environment and upon everything in the ones before, a
        retirement upon everything. After a failure nothing follows.
        """
        if action.environment is None:
            return True
        await self._settle(
            each
            for each in self._left.values()
            if action.action == "retire"
            or each.environment != action.environment
            or each.entity_name in action.dependencies
        )
        return not self.failed and not self.overdue

    async def all(self) -> None:
        """Wait for everything."""
        await self._settle(self._left.values())

    async def _settle(self, awaited: Iterable[Deployment]) -> None:
        """Look until all are decided or overdue: an event may be missed, and a look costs a millisecond."""
        ids = [each.deployment_id for each in awaited]
        while ids := [each for each in ids if each in self._left]:
            self.waits([self._left[each] for each in ids])
            for each in ids:
                await self._look(each)
            if any(each in self._left for each in ids):
                await asyncio.sleep(_PAUSE)

    async def _look(self, deployment_id: UUID) -> None:
        found = await self.client.get(deployment_id=deployment_id)
        if found.status not in _UNDECIDED:
            self.outcomes.append(found)
            self.decided(found)
        elif asyncio.get_running_loop().time() > self._until[deployment_id]:
            self.overdue.append(found)
        else:
            self._left[deployment_id] = found
            return
        del self._left[deployment_id]
