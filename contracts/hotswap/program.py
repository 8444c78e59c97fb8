"""The program that an agent swaps configurations in, as its author writes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable
from uuid import UUID

from contracts.deployments import ReportedHealth
from contracts.environments import EnvironmentName
from contracts.events import LiveConfiguration, PendingConfiguration


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a program is given to run: a deployment's version and documents.

    ``deployment_id`` is its identity. ``sequence`` is that of the event which brought it: ``started`` while
    it is prepared to be confirmed, then that of its activation, which is always higher.
    """

    deployment_id: UUID
    entity_id: UUID
    entity_name: str
    environment: EnvironmentName
    version: str
    config: dict[str, Any]
    parameters: dict[str, Any]
    sequence: int

    @classmethod
    def of(cls, value: LiveConfiguration | PendingConfiguration) -> Self:
        """What a bucket's value says."""
        return cls(
            deployment_id=value.deployment_id,
            entity_id=value.entity_id,
            entity_name=value.entity_name,
            environment=value.environment,
            version=value.version,
            config=value.config,
            parameters=value.parameters,
            sequence=int(value.sequence),
        )


@dataclass(frozen=True, slots=True)
class Health:
    """How what runs is doing; ``details`` go into the report."""

    status: ReportedHealth
    details: Mapping[str, Any] | None = None


class Program(Protocol):
    """What an agent calls, one coroutine at a time, each with the configuration that it is about.

    An author keeps what belongs to a configuration under its ``deployment_id``; no two of a program have the
    same one.
    """

    async def prepare(self, new: Configuration) -> None:
        """Get everything ready to run ``new``, beside what runs, and touch nothing of that.

        Whoever returns promises that ``activate(new)`` cannot fail for a reason outside this process: what is
        to be loaded, opened, connected, checked or warmed up is. To raise is to refuse; the message goes into
        the deployment's record, so it should be a clear line and hold no secret. It is cancelled when ``new``
        has lost its turn. Nothing else bounds its time where ``new`` is active already.
        """

    async def activate(self, new: Configuration) -> None:
        """Put ``new`` in the place of what runs: a swap of a reference, quick and whole."""

    async def release(self, old: Configuration) -> None:
        """Give back what ``prepare(old)`` took.

        ``old`` was replaced, or will not run any more, or was prepared in vain; that ``prepare`` may have
        failed or been cancelled half-way, so some of it may be missing. It is cancelled after 30 s, for the
        next swap waits for it, and ``old`` then counts as released.
        """


@runtime_checkable
class ReportsHealth(Protocol):
    """A program that says how what it runs is doing."""

    async def health(self) -> Health:
        """How it is; called on an interval, also beside the other coroutines. To raise is to be unhealthy."""
