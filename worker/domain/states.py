"""The states of a deployment and the one table of allowed transitions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.deployments import DeploymentStatus
from worker.domain.facts import Deployment

TRANSITIONS: Mapping[DeploymentStatus, frozenset[DeploymentStatus]] = {
    "pending": frozenset(("deploying", "active", "failed")),
    "deploying": frozenset(("active", "failed")),
    "active": frozenset(("inactive", "rolled_back")),
    "inactive": frozenset(("active",)),
    "rolled_back": frozenset(("active",)),
    "failed": frozenset(),
}
"""From each state, where a deployment may go. A new one starts ``pending``, ``deploying`` or ``active``."""

ROLLBACK_TARGETS: frozenset[DeploymentStatus] = frozenset(("inactive", "rolled_back"))


class IllegalTransition(Exception):
    """A rule asked for a transition that the table does not have: a fault of ours, never of a caller."""


def moved(deployment: Deployment, to: DeploymentStatus, now: datetime, **changes: Any) -> Deployment:
    """The deployment in its next state, with the times that go with it."""
    if to not in TRANSITIONS[deployment.status]:
        raise IllegalTransition(f"{deployment.deployment_id}: {deployment.status} to {to}")
    if to == "active":
        changes = {"unhealthy_reports": 0, "came_back_for_health": False, "activated_at": now, **changes}
    elif deployment.status == "active":
        changes["deactivated_at"] = now
    return deployment._replace(status=to, updated_at=now, **changes)
