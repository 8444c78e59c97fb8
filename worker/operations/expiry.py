"""Expiry: what is not confirmed in time has failed, and the next in line has its turn."""

from uuid import UUID

from contracts.ids import id_of
from contracts.values import Request, timestamp
from worker.domain.changes import Decision, Moment
from worker.domain.command import Command
from worker.domain.errors import DeploymentNotFound
from worker.domain.facts import Facts
from worker.operations.operation import Needs
from worker.operations.place import SYSTEM, PlaceUnderChange


class Expiry(Request):
    """The time of a deployment to be confirmed seems to be over. Nobody outside can ask this."""

    deployment_id: UUID


def needs(command: Command[Expiry]) -> Needs:
    """The deployment, and what is active and waiting where it is."""
    return Needs(deployment_id=id_of(command.request.deployment_id), neighbours=True)


def decide(command: Command[Expiry], facts: Facts, moment: Moment) -> Decision:
    """Let it fail, unless it was decided meanwhile or has time left."""
    deployment = facts.deployments.get(id_of(command.request.deployment_id))
    if deployment is None:
        raise DeploymentNotFound(id_of(command.request.deployment_id))
    due = deployment.status == "deploying" and deployment.confirm_by is not None
    if not due or moment.now <= deployment.confirm_by:  # type: ignore[operator]
        return Decision(reply=deployment)
    place = PlaceUnderChange.of(deployment, facts, moment)
    because = f"No agent confirmed it by {timestamp(deployment.confirm_by)}."
    failed = place.fail(deployment, actor=SYSTEM, because=because)
    place.next_turn()
    return place.decision(failed)
