"""Lift a quarantine: what went back for its health may be deployed there again."""

from contracts.ids import id_of
from contracts.quarantine import QuarantineLift
from worker.domain.changes import Decision, Moment
from worker.domain.command import Command
from worker.domain.errors import QuarantineNotFound
from worker.domain.facts import Facts
from worker.operations.operation import Needs


def needs(command: Command[QuarantineLift]) -> Needs:
    """The quarantine."""
    return Needs(quarantine_id=id_of(command.request.quarantine_id))


def decide(command: Command[QuarantineLift], facts: Facts, moment: Moment) -> Decision:
    """Lift it; one that is lifted already stays as it is, and is shown."""
    request = command.request
    quarantine = facts.quarantines.get(id_of(request.quarantine_id))
    if quarantine is None:
        raise QuarantineNotFound(id_of(request.quarantine_id))
    if quarantine.lifted_at is not None:
        return Decision(reply=quarantine)
    lifted = quarantine._replace(
        lifted_at=moment.now, lifted_by=request.lifted_by, lift_reason=request.reason
    )
    return Decision(reply=lifted, records=(lifted,))
