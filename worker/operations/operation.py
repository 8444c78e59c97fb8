"""What an operation is to the dispatcher: the rows it needs, and the rule that decides on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from contracts.environments import EnvironmentName
from contracts.ids import Id
from worker.domain.changes import Decision, Moment
from worker.domain.command import Command
from worker.domain.facts import Facts


class Needs(NamedTuple):
    """The rows a command is decided on.

    The command's entity, itself or through a deployment, is locked with the entities it depends on. Of
    ``environment`` (``everywhere``: of all) what is active and what waits is loaded whole, and quarantines;
    ``neighbours`` asks for the same where the deployment is. ``fallback`` asks for the target when none is
    named, ``dependents`` for the entities that depend on this one, ``name`` for who has that name.
    """

    entity_id: Id | None = None
    environment: EnvironmentName | None = None
    everywhere: bool = False
    deployment_id: Id | None = None
    neighbours: bool = False
    target_id: Id | None = None
    quarantine_id: Id | None = None
    fallback: bool = False
    dependents: bool = False
    name: str | None = None

    @property
    def reads_history(self) -> bool:
        """Whether more is read than a former command of the same batch leaves up to date in the facts."""
        return self.fallback or self.dependents or self.target_id is not None

    def entity_in(self, facts: Facts) -> Id | None:
        """The entity that the command is about, if there is one."""
        if self.deployment_id is None:
            return self.entity_id
        deployment = facts.deployments.get(self.deployment_id)
        return deployment.entity_id if deployment else None


@dataclass(frozen=True, slots=True)
class Operation:
    """A rule and what it needs. ``decide`` raises ``Refusal``; neither does any input or output."""

    needs: Callable[[Command[Any]], Needs]
    decide: Callable[[Command[Any], Facts, Moment], Decision]
