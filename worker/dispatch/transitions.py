"""One structured log line for each transition: what happened to what, never a document."""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple, assert_never

import structlog

from worker import logs
from worker.domain.changes import Event
from worker.domain.facts import Deployment, Entity, Environment

log = structlog.get_logger()
_KINDS = {Deployment: "deployment", Entity: "entity", Environment: "environment"}


class Announced(NamedTuple):
    """An event and the ids of the request that it came from."""

    event: Event
    names: dict[str, str]


def log_transitions(announced: Iterable[Announced]) -> None:
    """Log what a transaction committed."""
    if not log.is_enabled_for(logging.INFO):
        return
    logs.info(_line(event, names) for event, names in announced)


def _line(event: Event, names: dict[str, str]) -> dict[str, Any]:
    about = event.about
    line = {"event": f"{_KINDS[type(about)]}_{event.name}", "actor": event.actor, **names}
    match about:
        case Deployment():
            return {
                **line,
                "deployment_id": about.deployment_id,
                "entity_id": about.entity_id,
                "entity": about.entity_name,
                "version": about.version,
                "environment": about.environment,
                "duration_ms": about.deployment_duration_ms,
            }
        case Entity():
            return {
                **line,
                "entity_id": about.entity_id,
                "entity": about.name,
                "version": about.version,
                "revision": about.revision,
            }
        case Environment():
            return {**line, "environment": about.environment}
        case _:
            assert_never(about)
