"""A request on its way: what is asked, by whom, and until when an answer is worth something."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from contracts.problems import ProblemError
from contracts.values import Request
from worker.domain.trace import Trace

RequestT_co = TypeVar("RequestT_co", bound=Request, covariant=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Until there is authentication everybody is anonymous, and shares one scope of keys."""

    name: str = "anonymous"


ANONYMOUS = Caller()


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """What a command from the stream of durable ones carries besides: its refusal is an event.

    ``command_id`` is its message's id, ``subject`` where it came on, ``body`` its bytes. ``refused`` says it
    could not be read or was tried too often: it is not decided any more, only rejected.
    """

    command_id: str
    subject: str
    body: bytes
    redelivered: bool
    refused: ProblemError | None = None


class Command(NamedTuple, Generic[RequestT_co]):
    """A parsed request.

    ``operation`` is its subject; ``key`` the idempotency key, if any; ``taken_at`` the monotonic clock, in
    seconds, when it was taken; ``default_method`` how a deployment came about when the request does not say;
    ``trace`` what its events carry on.
    """

    operation: str
    request: RequestT_co
    request_id: str
    taken_at: float
    caller: Caller = ANONYMOUS
    key: str | None = None
    deadline: datetime | None = None
    trace: Trace | None = None
    default_method: str = "nats"
    durable: Durable | None = None

    @property
    def names(self) -> dict[str, str]:
        """The ids by which the log tells requests apart: the request's and, if it has one, its trace's."""
        if self.trace is None:
            return {"request_id": self.request_id}
        return {"request_id": self.request_id, "trace_id": self.trace.trace_id}
