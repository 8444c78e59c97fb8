"""The HTTP twins of the endpoints: each route's data, made once, and the handler that all of them share."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from fastapi import Request, Response
from nats.aio.msg import Msg
from pydantic_core import from_json

from contracts.endpoints import ENDPOINTS, Endpoint, Route
from contracts.entities import Entity
from contracts.headers import TRANSPORT
from contracts.problems import ProblemError
from worker.entrypoints.gateway import message_bodies, request_headers, responses
from worker.entrypoints.gateway.message_bodies import REVISION, Kind
from worker.entrypoints.gateway.nats_connection import NatsConnection
from worker.entrypoints.gateway.origin import require_own_pages

_SAFE = ("GET", "HEAD")

_WAIT = "wait"
_WAIT_IN_JSON = b'"wait"'

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Twin:
    """What a route needs at every request, made once."""

    subject: str
    status: int
    takes_body: bool
    takes_revision: bool
    may_wait: bool
    gives_entity: bool
    kinds: Mapping[str, Kind]

    @classmethod
    def of(cls, endpoint: Endpoint, route: Route) -> "Twin":
        """The twin of ``endpoint`` at ``route``."""
        return cls(
            subject=endpoint.subject,
            status=route.status,
            takes_body=route.takes_body,
            takes_revision=route.takes_body and REVISION in endpoint.request.model_fields,
            may_wait=route.takes_body and endpoint.writes and _WAIT in endpoint.request.model_fields,
            gives_entity=endpoint.reply is Entity,
            kinds=message_bodies.kinds(endpoint.request),
        )

    def patience(self, body: bytes, ordinary: float) -> float:
        """Seconds a request has whose caller names no deadline: more if it waits for its outcome."""
        if self.may_wait and _WAIT_IN_JSON in body and _asks_to_wait(body):
            return max(ordinary, request_headers.OUTCOME_WAIT)
        return ordinary


def routes() -> Iterator[tuple[str, dict[str, Twin]]]:
    """Every path with its twins by method; a path with fewer parameters is the more particular one and first.

    ``HEAD`` is ``GET``; the server leaves the body out.
    """
    by_path: defaultdict[str, dict[str, Twin]] = defaultdict(dict)
    for endpoint in ENDPOINTS:
        for route in endpoint.routes:
            twin = by_path[route.path][route.method] = Twin.of(endpoint, route)
            if route.method == "GET":
                by_path[route.path]["HEAD"] = twin
    yield from sorted(by_path.items(), key=lambda item: item[0].count("{"))


def handler(twins: Mapping[str, Twin], connection: NatsConnection, request_timeout: float) -> Handler:
    """What answers the requests of one path, by their method."""

    async def handle(request: Request) -> Response:
        twin = twins[request.method]
        if request.method not in _SAFE:
            require_own_pages(request.scope["headers"])
        faults: list[request_headers.Fault] = []
        body = await message_bodies.read(request, request_timeout) if twin.takes_body else b""
        read = request_headers.read(request.scope["headers"], faults)
        message = _message(twin, request, body, read.if_match, faults)
        if faults:
            raise ProblemError.invalid(*faults)
        within = request_headers.seconds_to_wait(read.forwarded, twin.patience(body, request_timeout))
        return responses.reply(
            await _ask(connection, twin.subject, message, read.forwarded, within),
            twin.status,
            entity=twin.gives_entity,
        )

    return handle


def _asks_to_wait(body: bytes) -> bool:
    try:
        given = from_json(body)
    except ValueError:
        return False
    return isinstance(given, dict) and given.get(_WAIT) is True


def _message(
    twin: Twin, request: Request, body: bytes, if_match: str | None, faults: list[request_headers.Fault]
) -> bytes:
    query: bytes = request.scope["query_string"]
    path: Mapping[str, str] = request.path_params
    if not twin.takes_body:
        return message_bodies.from_query(query, path, twin.kinds, faults)
    if query:
        message_bodies.refuse_query(query, faults)
    revision = request_headers.expected_revision(if_match, faults) if twin.takes_revision else None
    return message_bodies.with_fields(body, path, revision, faults)


async def _ask(
    connection: NatsConnection, subject: str, body: bytes, headers: dict[str, str], within: float
) -> Msg:
    headers[TRANSPORT] = "http"
    try:
        return await connection.ask(subject, body, headers, within=within)
    except asyncio.CancelledError:  # the server's time to stop is over, and it still takes an answer
        raise ProblemError(
            "no_answer",
            "The gateway is stopping; the outcome is unknown. Ask again with the same Idempotency-Key.",
        ) from None
