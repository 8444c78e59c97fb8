"""An environment that a test sets as it needs it, in the product that all tests share, and puts back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from contracts import subjects
from tests.conftest import Caller


class Place:
    """Requests that concern one environment."""

    def __init__(self, caller: Caller, environment: str) -> None:
        self.caller = caller
        self.environment = environment

    async def set(self, **settings: Any) -> dict[str, Any]:
        return await self.caller.ask(subjects.ENVIRONMENT_SET, environment=self.environment, **settings)

    async def deploy(self, entity: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return await self.caller.deploy(entity, self.environment, **fields)

    async def confirm(
        self, deployment: dict[str, Any], outcome: str = "active", **fields: Any
    ) -> dict[str, Any]:
        return await self.caller.ask(
            subjects.DEPLOY_CONFIRM,
            deployment_id=deployment["deployment_id"],
            **{"agent": "agent-1", "outcome": outcome, **fields},
        )

    async def report(
        self, deployment: dict[str, Any], status: str = "unhealthy", **fields: Any
    ) -> dict[str, Any]:
        return await self.caller.ask(
            subjects.DEPLOY_HEALTH,
            deployment_id=deployment["deployment_id"],
            **{"reported_by": "monitor", "status": status, **fields},
        )

    async def activated(self, entity: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A deployment that is confirmed."""
        return await self.confirm(await self.deploy(entity, **fields))


@asynccontextmanager
async def place(caller: Caller, environment: str, **settings: Any) -> AsyncIterator[Place]:
    """The environment with these settings, put back afterwards."""
    listed = (await caller.ask(subjects.ENVIRONMENT_LIST))["environments"]
    (before,) = (each for each in listed if each["environment"] == environment)
    found = Place(caller, environment)
    await found.set(**settings)
    try:
        yield found
    finally:
        await caller.ask(subjects.ENVIRONMENT_SET, **before)
