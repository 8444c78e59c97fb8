"""The client that callers import: one typed method a subject, asynchronous, over NATS."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic_core import to_json

from contracts import connection as connections
from contracts import subjects
from contracts.convergence import Convergence, ConvergenceRequest
from contracts.delivery import Delivery
from contracts.deployments import (
    AsOfRequest,
    ConfirmRequest,
    Deployment,
    DeploymentGet,
    DeploymentList,
    DeploymentListRequest,
    DeploymentPlan,
    DeployRequest,
    EntityDeploymentsRequest,
    HealthReport,
    HistoryRequest,
    RetireRequest,
    RollbackRequest,
)
from contracts.endpoints import BY_SUBJECT, Endpoint
from contracts.entities import (
    Entity,
    EntityCreate,
    EntityDelete,
    EntityGet,
    EntityList,
    EntityListRequest,
    EntityUpdate,
)
from contracts.environments import Environment, EnvironmentList, EnvironmentName, EnvironmentSet
from contracts.events import EventList
from contracts.exchange import Exchange
from contracts.headers import DEADLINE, ERROR_CODE, IDEMPOTENCY_KEY, MESSAGE_ID
from contracts.ids import new_id
from contracts.matrix import Matrix, MatrixRequest
from contracts.parsing import parse
from contracts.problems import ProblemError
from contracts.quarantine import Quarantined, QuarantineLift, QuarantineList, QuarantineListRequest
from contracts.status import Status
from contracts.values import Empty, Reply, Request, timestamp
from contracts.watching import EventWatch, LiveWatch, PendingWatch

P = ParamSpec("P")
RequestT = TypeVar("RequestT", bound=Request)
ReplyT = TypeVar("ReplyT", bound=Reply)
ReplyT_co = TypeVar("ReplyT_co", bound=Reply, covariant=True)
PageT = TypeVar("PageT", bound="Paged")

_OPTIONS = ("timeout", "idempotency_key", "headers")


class Paged(Protocol):
    """A reply that is a page of a list."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins; None at the end."""


class Call(Generic[P, RequestT, ReplyT_co]):
    """A method of the client.

    It takes the fields of its request as keywords, ``client.get(deployment_id=…)``, or the request itself and
    options, ``client.deploy(DeployRequest(…), idempotency_key="release-7")``; ``LibraryClient.request`` says
    what they are and what it raises.
    """

    def __init__(self, client: "LibraryClient", endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint

    @overload
    async def __call__(self, *args: P.args, **fields: P.kwargs) -> ReplyT_co: ...
    @overload
    async def __call__(
        self,
        request: RequestT,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the worker is told, too
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ReplyT_co: ...
    async def __call__(self, *args: Any, **fields: Any) -> Any:
        """The reply to the request."""
        options = {name: fields.pop(name) for name in _OPTIONS if name in fields}
        request = args[0] if args else _parsed(self._endpoint.request, fields)
        return await self._client.request(self._endpoint, request, **options)


class Operation(Generic[P, RequestT, ReplyT]):
    """Declares a method by its subject, its request (whose fields become the keywords) and its reply."""

    def __init__(self, subject: str, request: Callable[P, RequestT], reply: type[ReplyT]) -> None:
        self.endpoint = BY_SUBJECT[subject]
        if (self.endpoint.request, self.endpoint.reply) != (request, reply):
            raise TypeError(f"{subject} takes and gives other bodies")

    def __get__(self, client: "LibraryClient", owner: type | None = None) -> Call[P, RequestT, ReplyT]:
        return Call(client, self.endpoint)


class LibraryClient:
    """A caller's end of the library, on a connection to NATS.

    ``timeout`` is what a request has in seconds, where it does not say itself.
    """

    def __init__(self, connection: Client, *, timeout: float = 10.0) -> None:
        self.connection = connection
        self.timeout = timeout

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - the default of all requests
        connect_timeout: float = 5.0,
        **options: Any,
    ) -> Self:
        """A client with a connection of its own, closed by ``close`` or at the end of ``async with``.

        ``connect_timeout`` is in seconds; for ``url``, ``options`` and what is raised see
        ``contracts.connection.connect``.
        """
        return cls(await connections.connect(url, within=connect_timeout, **options), timeout=timeout)

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    deploy = Operation(subjects.DEPLOY_REQUEST, DeployRequest, Deployment)
    rollback = Operation(subjects.DEPLOY_ROLLBACK, RollbackRequest, Deployment)
    validate = Operation(subjects.DEPLOY_VALIDATE, DeployRequest, DeploymentPlan)
    get = Operation(subjects.DEPLOY_GET, DeploymentGet, Deployment)
    list = Operation(subjects.DEPLOY_LIST, DeploymentListRequest, DeploymentList)
    history = Operation(subjects.DEPLOY_HISTORY, HistoryRequest, EventList)
    confirm = Operation(subjects.DEPLOY_CONFIRM, ConfirmRequest, Deployment)
    report_health = Operation(subjects.DEPLOY_HEALTH, HealthReport, Deployment)
    as_of = Operation(subjects.DEPLOY_AS_OF, AsOfRequest, DeploymentList)
    convergence = Operation(subjects.DEPLOY_CONVERGENCE, ConvergenceRequest, Convergence)
    quarantined = Operation(subjects.QUARANTINE_LIST, QuarantineListRequest, QuarantineList)
    lift_quarantine = Operation(subjects.QUARANTINE_LIFT, QuarantineLift, Quarantined)
    retire = Operation(subjects.DEPLOY_RETIRE, RetireRequest, Deployment)
    environments = Operation(subjects.ENVIRONMENT_LIST, Empty, EnvironmentList)
    set_environment = Operation(subjects.ENVIRONMENT_SET, EnvironmentSet, Environment)
    create_entity = Operation(subjects.ENTITY_CREATE, EntityCreate, Entity)
    get_entity = Operation(subjects.ENTITY_GET, EntityGet, Entity)
    list_entities = Operation(subjects.ENTITY_LIST, EntityListRequest, EntityList)
    update_entity = Operation(subjects.ENTITY_UPDATE, EntityUpdate, Entity)
    delete_entity = Operation(subjects.ENTITY_DELETE, EntityDelete, Entity)
    entity_deployments = Operation(subjects.ENTITY_DEPLOYMENTS, EntityDeploymentsRequest, DeploymentList)
    matrix = Operation(subjects.DEPLOY_MATRIX, MatrixRequest, Matrix)
    delivery = Operation(subjects.DELIVERY_GET, Empty, Delivery)
    status = Operation(subjects.STATUS_GET, Empty, Status)

    async def request(
        self,
        endpoint: Endpoint,
        request: Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the worker is told, too
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The reply to ``request``, asked again within ``timeout`` seconds while nobody answers it.

        ``idempotency_key`` names the change, so that asking again, in another process too, does it once;
        without one, the ``Idempotency-Key`` or else the ``Nats-Msg-Id`` among ``headers`` does, and without
        those a new one holds for this call. ``headers`` are further ones, such as ``traceparent``.
        Raises ``ProblemError`` for a refusal, ``NoAnswerError`` where none came.
        """
        seconds = self.timeout if timeout is None else timeout
        sent = dict(headers or {})
        sent[DEADLINE] = _deadline(seconds)
        if endpoint.writes:
            sent = _keyed(sent, idempotency_key)
        body = request.model_dump_json(exclude_none=True).encode()
        exchange = Exchange(self.connection, endpoint.subject, body, sent, timeout=seconds)
        return read(endpoint.reply, await exchange.answer())

    def watch(
        self,
        entity_id: UUID | None = None,
        environment: EnvironmentName | None = None,
        *,
        start: int | datetime | None = None,
    ) -> EventWatch:
        """Deployment events as ``(stream sequence, event)``, in order and without a gap.

        ``start`` is a stream sequence (the last one seen plus 1 resumes), a time, or None for what comes.
        """
        return EventWatch(self.connection, entity_id, environment, start)

    def live(self, environment: EnvironmentName, entity_id: UUID) -> LiveWatch:
        """What is active there now, then whatever replaces it; None while nothing is."""
        return LiveWatch(self.connection, environment, entity_id)

    def pending(self, environment: EnvironmentName, entity_id: UUID) -> PendingWatch:
        """What waits there to be confirmed now, then whatever does; None while nothing does."""
        return PendingWatch(self.connection, environment, entity_id)


def read(reply: type[ReplyT], answer: Msg) -> ReplyT:
    """The reply that an answer carries; raises the ``ProblemError`` if it carries that."""
    try:
        if ERROR_CODE in (answer.headers or {}):
            raise ProblemError.from_body(json.loads(answer.data))
        return reply.model_validate_json(answer.data)
    except ValueError:
        raise ProblemError(
            "internal_error", "The answer is none that this client can read; is it of another release?"
        ) from None


def _parsed(model: type[Request], fields: Mapping[str, Any]) -> Request:
    """The request with these fields, refused in the worker's words where it is none."""
    return parse(model, to_json(fields, inf_nan_mode="constants"))


def _keyed(sent: Mapping[str, str], key: str | None) -> dict[str, str]:
    """These headers with one key: what is given as such, or stands among them in any case, or a new one."""
    named = {name.lower(): value for name, value in sent.items()}
    key = key or named.get(IDEMPOTENCY_KEY.lower()) or named.get(MESSAGE_ID.lower()) or str(new_id())
    others = {name: value for name, value in sent.items() if name.lower() != IDEMPOTENCY_KEY.lower()}
    return {**others, IDEMPOTENCY_KEY: key}


def _deadline(seconds: float) -> str:
    return timestamp(datetime.now(UTC) + timedelta(seconds=seconds)) or ""


async def pages(ask: Callable[[RequestT], Awaitable[PageT]], request: RequestT) -> AsyncIterator[PageT]:
    """All pages from that of ``request`` on, such as ``pages(client.list, DeploymentListRequest())``."""
    while True:
        page = await ask(request)
        yield page
        if page.next_cursor is None:
            return
        request = request.model_copy(update={"cursor": page.next_cursor})
