"""A request on its way: what is asked, by whom, and until when an answer is worth something."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from contracts.values import Request

RequestT_co = TypeVar("RequestT_co", bound=Request, covariant=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Until there is authentication everybody is anonymous, and shares one scope of keys."""

    name: str = "anonymous"


ANONYMOUS = Caller()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[RequestT_co]):
    """A parsed request.

    ``operation`` is its subject; ``key`` the idempotency key, if any; ``taken_at`` the monotonic clock, in
    seconds, when it was taken; ``default_method`` how a deployment came about when the request does not say.
    """

    operation: str
    request: RequestT_co
    request_id: str
    taken_at: float
    caller: Caller = ANONYMOUS
    key: str | None = None
    deadline: datetime | None = None
    traceparent: str | None = None
    default_method: str = "nats"
