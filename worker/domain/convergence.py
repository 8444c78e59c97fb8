"""Convergence: whether an agent runs what is active, and since when it does not."""

from datetime import datetime
from typing import NamedTuple

from contracts.ids import Id


class Applied(NamedTuple):
    """What an agent says that it runs; None for nothing."""

    entity_id: Id
    agent: str
    deployment_id: Id | None
    sequence: str | None


class Beside(NamedTuple):
    """What is active for the agent's entity, None for nothing, and when what the agent runs ceased to be."""

    deployment_id: Id | None
    sequence: int | None
    activated_at: datetime | None
    applied_ended_at: datetime | None


def behind_since(applied: Applied, beside: Beside, now: datetime) -> datetime | None:
    """Since when the agent runs something else than what is active; None while it does not."""
    if applied.deployment_id == beside.deployment_id:
        return None
    if applied.deployment_id is None:
        return beside.activated_at
    return beside.applied_ended_at or beside.activated_at or now
