"""Who is behind: what agents say that they run, beside what is active."""

from uuid import UUID

from contracts.convergence import ConvergenceRequest
from contracts.deployments import AGENT_NAME
from contracts.ids import Id, id_of
from contracts.limits import MAX_PAGE_BYTES
from contracts.problems import ProblemError
from worker import rendering
from worker.domain.command import Command
from worker.domain.convergence import Applied, behind_since
from worker.store import convergence
from worker.store.transaction import Transaction

_REPLY_OVERHEAD = 4096
_LEAST_BYTES = 140
_MOST = MAX_PAGE_BYTES // _LEAST_BYTES
"""More agents than this fit no reply, so no more are asked about."""

Position = tuple[Id, str]


class AppliedThere(ConvergenceRequest):
    """The request with what the agents of the environment say."""

    applied: tuple[Applied, ...]


def answer(command: Command[AppliedThere], transaction: Transaction) -> bytes:
    """The body of a ``Convergence``, ended early where it would pass 4 MiB. Raises ``ProblemError``."""
    request = command.request
    start = _position(request.cursor)
    left = sorted(each for each in request.applied if (each.entity_id, each.agent) > start)
    asked = left[: request.page_size or _MOST]
    now, found = convergence.beside(transaction, request.environment, asked)
    shown: list[bytes] = []
    size = _REPLY_OVERHEAD
    for each, beside in zip(asked, found, strict=True):
        assert now is not None
        body = rendering.consumer(each, beside, behind_since(each, beside, now))
        size += len(body) + 1
        if shown and size > MAX_PAGE_BYTES:
            break  # never before the first: its successors are reached by its cursor
        shown.append(body)
    more = len(shown) < len(left)
    return rendering.listing("consumers", shown, next_cursor=_cursor(asked[len(shown) - 1]) if more else None)


def _cursor(last: Applied) -> str:
    return f"{last.entity_id}.{last.agent}"


def _position(cursor: str | None) -> Position:
    """The entity and the agent that a cursor goes on behind. Raises ``ProblemError`` where it is none."""
    if cursor is None:
        return Id(""), ""
    entity_id, _, agent = cursor.partition(".")
    try:
        is_place = id_of(UUID(entity_id)) == entity_id and AGENT_NAME.fullmatch(agent)
    except ValueError:
        is_place = None
    if not is_place:
        raise ProblemError.invalid(("cursor", "is no cursor that a page of this list gave"))
    return Id(entity_id), agent
