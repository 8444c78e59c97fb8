"""One structured log line for each transition: what happened to what, never a document."""

import logging
from collections.abc import Iterable
from typing import NamedTuple, assert_never

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
    with logs.together():
        for event, names in announced:
            _log(event, names)


def _log(event: Event, names: dict[str, str]) -> None:
    about, actor = event.about, event.actor
    happened = f"{_KINDS[type(about)]}_{event.name}"
    match about:
        case Deployment():
            log.info(
                happened,
                deployment_id=str(about.deployment_id),
                entity_id=str(about.entity_id),
                entity=about.entity_name,
                version=about.version,
                environment=about.environment,
                duration_ms=about.deployment_duration_ms,
                actor=actor,
                **names,
            )
        case Entity():
            log.info(
                happened,
                entity_id=str(about.entity_id),
                entity=about.name,
                version=about.version,
                revision=about.revision,
                actor=actor,
                **names,
            )
        case Environment():
            log.info(happened, environment=about.environment, actor=actor, **names)
        case _:
            assert_never(about)
