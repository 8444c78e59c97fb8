"""Confirm or refuse what is deploying: the first word counts, and it must come in time."""

from contracts.deployments import ConfirmRequest
from contracts.ids import id_of
from worker.domain.changes import Decision, Moment
from worker.domain.command import Command
from worker.domain.errors import DeploymentNotDeploying, DeploymentNotFound
from worker.domain.facts import Document, Facts
from worker.operations.operation import Needs
from worker.operations.place import PlaceUnderChange


def needs(command: Command[ConfirmRequest]) -> Needs:
    """The deployment, and what is active and waiting where it is."""
    return Needs(deployment_id=id_of(command.request.deployment_id), neighbours=True)


def decide(command: Command[ConfirmRequest], facts: Facts, moment: Moment) -> Decision:
    """Refuse, or switch, or let it fail; then the next in line has its turn."""
    request = command.request
    deployment = facts.deployments.get(id_of(request.deployment_id))
    if deployment is None:
        raise DeploymentNotFound(id_of(request.deployment_id))
    if deployment.status != "deploying":
        raise DeploymentNotDeploying(deployment.deployment_id, deployment.status)
    if deployment.confirm_by is not None and moment.now > deployment.confirm_by:
        raise DeploymentNotDeploying(deployment.deployment_id, deployment.status, late=True)

    place = PlaceUnderChange.of(deployment, facts, moment)
    details = None if request.details is None else Document.of(request.details)
    if request.outcome == "active":
        decided = place.activate(deployment, actor=request.agent, details=details)
    else:
        because = request.error or f"Refused by {request.agent}."
        decided = place.fail(deployment, actor=request.agent, because=because, details=details)
    place.next_turn()
    return place.decision(decided)
