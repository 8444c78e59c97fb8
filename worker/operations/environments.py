"""Change an environment's settings."""

from typing import Any

from contracts.environments import EnvironmentSet
from worker.domain.changes import Decision, Event, Moment
from worker.domain.command import Command
from worker.domain.facts import Facts
from worker.operations.operation import Needs

_SETTINGS = ("activation", "confirm_timeout_s", "auto_rollback", "unhealthy_after", "concurrency")


def needs(command: Command[EnvironmentSet]) -> Needs:  # noqa: ARG001 - all environments are always there
    """Nothing beyond the environments."""
    return Needs()


def decide(command: Command[EnvironmentSet], facts: Facts, moment: Moment) -> Decision:  # noqa: ARG001
    """Change what the request names."""
    request = command.request
    changes: dict[str, Any] = {
        name: getattr(request, name) for name in _SETTINGS if getattr(request, name) is not None
    }
    if request.require_status is not None:
        changes["require_status"] = tuple(request.require_status)
    environment = facts.environments[request.environment]._replace(**changes)
    updated = Event(name="updated", about=environment, actor=request.updated_by)
    return Decision(reply=environment, records=(environment,), events=(updated,))
