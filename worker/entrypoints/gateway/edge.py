"""What every HTTP exchange has, whichever route it takes: a request id, and refusals as problems."""

import asyncio

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.headers import REQUEST_ID
from contracts.problems import ProblemError
from worker.entrypoints.gateway import responses
from worker.entrypoints.gateway.request_headers import request_id, trace

_REQUEST_ID = REQUEST_ID.lower().encode()
_METHOD_NOT_ALLOWED = 405
_log = structlog.get_logger(__name__)


def install(app: FastAPI) -> None:
    """Give ``app`` the edge."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(Edge)


class Edge:
    """Our outermost layer: no response passes it without a request id, and no exception at all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one exchange (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _identify(message, scope)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except (Exception, asyncio.CancelledError) as error:
            if started:
                raise
            await _refusal(error, scope)(scope, receive, send)


def _identify(start: Message, scope: Scope) -> None:
    headers = start["headers"]
    if not any(name == _REQUEST_ID for name, _ in headers):
        headers.append((_REQUEST_ID, request_id(scope["headers"]).encode("ascii")))


def _refusal(error: BaseException, scope: Scope) -> Response:
    known_as = request_id(scope["headers"])
    if isinstance(error, asyncio.CancelledError):  # the server's time to stop is over
        stopping = ProblemError(
            "unavailable", "The gateway is stopping; nothing was done. Ask again shortly."
        )
        return responses.problem(stopping, known_as)
    given = trace(scope["headers"])
    _log.error(
        "request_failed",
        request_id=known_as,
        method=scope["method"],
        path=scope["path"],
        exc_info=error,
        **({"trace_id": given.trace_id} if given else {}),
    )
    return responses.problem(
        ProblemError(
            "internal_error", "Something went wrong in the gateway; the log has it by this request id."
        ),
        known_as,
    )


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return responses.problem(error, request_id(request.scope["headers"]))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """HTTP's own refusals: no such path, or no such method there."""
    assert isinstance(error, HTTPException)
    if error.status_code == _METHOD_NOT_ALLOWED:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        refusal = ProblemError(
            "method_not_allowed", f"{request.method} is not taken here; what is: {allowed}."
        )
        further = {"Allow": allowed}
    else:
        refusal = ProblemError("not_found", "There is nothing at this path; /docs shows what there is.")
        further = {}
    return responses.problem(refusal, request_id(request.scope["headers"]), further)
