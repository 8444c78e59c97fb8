"""Who is behind: what agents say that they run, beside what is active."""

from contracts.convergence import ConvergenceRequest
from worker import rendering
from worker.domain.command import Command
from worker.domain.convergence import Applied, behind_since
from worker.store import convergence
from worker.store.transaction import Transaction


class AppliedThere(ConvergenceRequest):
    """The request with what the agents of the environment say."""

    applied: tuple[Applied, ...]


def answer(command: Command[AppliedThere], transaction: Transaction) -> bytes:
    """The body of a ``Convergence``."""
    applied = sorted(command.request.applied)
    now, found = convergence.beside(transaction, command.request.environment, applied)
    consumers = (
        rendering.consumer(each, beside, behind_since(each, beside, now))
        for each, beside in zip(applied, found, strict=True)
        if now is not None
    )
    return rendering.listing("consumers", consumers)
