"""Retire: end an active deployment with nothing in its place."""

from contracts.deployments import RetireRequest
from contracts.environments import ENVIRONMENTS
from contracts.ids import id_of
from worker.domain.changes import Decision, Event, Moment
from worker.domain.command import Command
from worker.domain.errors import DependencyInUse
from worker.domain.facts import Deployment, Entity, Facts
from worker.domain.states import moved
from worker.operations.operation import Needs
from worker.operations.rollback import active_deployment


def needs(command: Command[RetireRequest]) -> Needs:
    """The deployment, and who depends on the entity."""
    return Needs(deployment_id=id_of(command.request.deployment_id), dependents=True)


def decide(command: Command[RetireRequest], facts: Facts, moment: Moment) -> Decision:
    """Refuse, above all while others there depend on it, or end it."""
    request = command.request
    current = active_deployment(id_of(request.deployment_id), facts)
    entity = facts.entities[current.entity_id]
    dependents = [dependent.name for dependent in facts.active_dependents(entity, current.environment)]
    if dependents and not request.force:
        raise DependencyInUse(current.environment, dependents)

    retired = moved(current, "inactive", moment.now)
    return Decision(
        reply=retired,
        records=(retired, _without(current, entity, facts, moment)),
        events=(Event(name="retired", about=retired, actor=request.retired_by, reason=request.reason),),
    )


def _without(current: Deployment, entity: Entity, facts: Facts, moment: Moment) -> Entity:
    """The entity once this deployment is gone: back to what was declared if nothing else of it is active."""
    elsewhere = any(
        (entity.entity_id, environment) in facts.running
        for environment in ENVIRONMENTS
        if environment != current.environment
    )
    if elsewhere:
        return entity._replace(updated_at=moment.now)
    return entity._replace(status=entity.declared_status, deployment_config=None, updated_at=moment.now)
