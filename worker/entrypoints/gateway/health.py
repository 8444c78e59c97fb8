"""Whether the gateway is up, whether requests would be served, and what it knows of the parts."""

from contextlib import suppress

from fastapi import FastAPI, Request, Response
from nats.aio.msg import Msg
from pydantic import ValidationError
from pydantic_core import to_json

from contracts.headers import ERROR_CODE, JSON, TRANSPORT
from contracts.problems import ProblemError
from contracts.status import ComponentStatus, Status
from contracts.subjects import STATUS_GET
from worker.entrypoints.gateway.nats_connection import NatsConnection
from worker.entrypoints.gateway.request_headers import seconds_to_wait
from worker.entrypoints.gateway.twins import Handler

HEALTH = "/health"
READY = "/health/ready"
STATUS_TIMEOUT = 2.0
"""Seconds that a probe waits for a worker."""

_OK = 200
_UNAVAILABLE = 503
_SERVER_ERRORS = 500


def install(app: FastAPI, connection: NatsConnection) -> None:
    """Register the two probes."""

    async def health(_: Request) -> Response:
        return _json(_OK, {"status": "up"})

    async def ready(_: Request) -> Response:
        parts = await _parts(connection)
        is_ready = not {"down", "unknown"} & set(parts.values())
        return _json(_OK if is_ready else _UNAVAILABLE, {"status": "up" if is_ready else "down", **parts})

    app.add_route(HEALTH, health)
    app.add_route(READY, ready)


def or_what_is_known(detailed: Handler, connection: NatsConnection) -> Handler:
    """``detailed``, and where nobody can say the state, a 503 with as much of it as the gateway knows."""

    async def handle(request: Request) -> Response:
        try:
            response = await detailed(request)
        except ProblemError as error:
            if error.status < _SERVER_ERRORS:
                raise
            return _json(_UNAVAILABLE, _known(_worker_behind(error, connection), connection).model_dump())
        if response.status_code < _SERVER_ERRORS:
            return response
        return _json(_UNAVAILABLE, _known("degraded", connection).model_dump())

    return handle


async def _parts(connection: NatsConnection) -> dict[str, str]:
    """The state of what a request needs."""
    found = await status(connection)
    return {name: getattr(found, name).status for name in ("nats", "database", "worker")}


async def status(connection: NatsConnection) -> Status:
    """The state of the parts, as far as somebody can tell it."""
    headers = {TRANSPORT: "http"}
    within = seconds_to_wait(headers, STATUS_TIMEOUT)
    try:
        answer: Msg = await connection.ask(STATUS_GET, b"{}", headers, within=within)
    except ProblemError as error:
        return _known(_worker_behind(error, connection), connection)
    with suppress(ValidationError):
        if ERROR_CODE not in (answer.headers or {}):
            return Status.model_validate_json(answer.data)
    return _known("degraded", connection)


def _worker_behind(error: ProblemError, connection: NatsConnection) -> str:
    return "down" if error.code == "unavailable" and connection.up else "unknown"


def _known(worker: str, connection: NatsConnection) -> Status:
    unknown = ComponentStatus(status="unknown")
    return Status(
        nats=ComponentStatus(status="up" if connection.up else "down"),
        database=unknown,
        worker=ComponentStatus(status=worker),
        outbox=unknown,
    )


def _json(status: int, body: object) -> Response:
    return Response(to_json(body), status_code=status, media_type=JSON)
