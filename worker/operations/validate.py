"""Plan a deploy without doing it."""

from contracts.deployments import DeployRequest
from contracts.ids import id_of
from worker.domain.command import Command
from worker.domain.facts import Facts
from worker.operations.deploy import in_progress
from worker.operations.operation import Needs
from worker.operations.plan import Plan, entity_of, plan


def needs(command: Command[DeployRequest]) -> Needs:
    """What a deploy needs."""
    return Needs(entity_id=id_of(command.request.entity_id), environment=command.request.environment)


def preview(command: Command[DeployRequest], facts: Facts) -> Plan:
    """The plan; what a deploy would refuse is an error of its validation. Raises ``EntityNotFound``."""
    request = command.request
    entity = entity_of(id_of(request.entity_id), facts)
    found = plan(request, entity, facts)
    waiting = facts.waiting_in(entity.entity_id, request.environment)
    if obstacle := in_progress(request, facts.environments[request.environment], waiting):
        found = found._replace(validation=found.validation.with_error("in_progress", obstacle.detail))
    if request.expected_version not in (None, entity.version):
        error = f"The entity's version is {entity.version}, not {request.expected_version}."
        return found._replace(validation=found.validation.with_error("expected_version", error))
    return found
