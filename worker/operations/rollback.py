"""Roll back: what misbehaves goes, what ran before is active again, at once, whatever stands against it."""

from itertools import chain

from contracts.deployments import RollbackRequest
from contracts.ids import Id, id_of
from worker.domain.changes import Decision, Moment
from worker.domain.command import Command
from worker.domain.errors import (
    DeploymentNotActive,
    DeploymentNotFound,
    InvalidRollbackTarget,
    NoRollbackTarget,
)
from worker.domain.facts import Deployment, Document, Facts
from worker.domain.states import ROLLBACK_TARGETS
from worker.domain.validation import listed, unmet_dependencies, unmet_dependents
from worker.operations.operation import Needs
from worker.operations.place import PlaceUnderChange


def needs(command: Command[RollbackRequest]) -> Needs:
    """The deployment, its target, what waits there, and who depends on the entity."""
    target_id = _named_target(command.request)
    return Needs(
        deployment_id=id_of(command.request.deployment_id),
        target_id=target_id,
        neighbours=True,
        fallback=target_id is None,
        dependents=True,
    )


def decide(command: Command[RollbackRequest], facts: Facts, moment: Moment) -> Decision:
    """Refuse, or exchange the active deployment for its target; warnings say what no longer fits."""
    request = command.request
    current = active_deployment(id_of(request.deployment_id), facts)
    target = _target(current, _named_target(request), facts)

    place = PlaceUnderChange.of(current, facts, moment)
    rolled_back = place.go_back(
        target,
        actor=request.rolled_back_by,
        reason=request.reason,
        warnings=what_no_longer_fits(target, facts),
    )
    return place.decision(rolled_back)


def what_no_longer_fits(target: Deployment, facts: Facts) -> Document:
    """Warnings about a target that is active again: what it misses, and who misses it."""
    entity = facts.entities[target.entity_id]
    missed = unmet_dependencies(entity, target.environment, facts)
    missing = unmet_dependents(entity, target.version, target.environment, facts)
    return Document.of(listed(chain(missed, missing)))


def active_deployment(deployment_id: Id, facts: Facts) -> Deployment:
    """The deployment, if it is active; raises ``DeploymentNotFound`` or ``DeploymentNotActive``."""
    deployment = facts.deployments.get(deployment_id)
    if deployment is None:
        raise DeploymentNotFound(deployment_id)
    if deployment.status != "active":
        raise DeploymentNotActive(deployment_id, deployment.status)
    return deployment


def _named_target(request: RollbackRequest) -> Id | None:
    return id_of(request.target_deployment_id) if request.target_deployment_id else None


def _target(current: Deployment, named: Id | None, facts: Facts) -> Deployment:
    if named is None:
        fallback = facts.fallbacks.get(current.deployment_id)
        if fallback is None:
            raise NoRollbackTarget(current.deployment_id)
        return facts.deployments[fallback]
    target = facts.deployments.get(named)
    if target is None:
        raise DeploymentNotFound(named)
    if target.deployment_id == current.deployment_id:
        raise InvalidRollbackTarget(named, "it is the deployment itself")
    if target.entity_id != current.entity_id:
        raise InvalidRollbackTarget(named, "it is of another entity")
    if target.environment != current.environment:
        raise InvalidRollbackTarget(named, f"it is of {target.environment}, not of {current.environment}")
    if target.activated_at is None or target.status not in ROLLBACK_TARGETS:
        raise InvalidRollbackTarget(named, "it never was active")
    return target
