"""The spans of HTTP requests: what concerns the library, not probes, metrics, pages and what they load."""

from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from worker import tracing
from worker.entrypoints.gateway.request_headers import trace

_API = "/api/"


class TracedRequests:
    """The layer around all others of a gateway that traces."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one exchange (ASGI)."""
        if scope["type"] != "http" or not _concerns_the_library(scope):
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"]
        attributes = {"http.request.method": method, "url.scheme": scope["scheme"], "url.path": scope["path"]}
        span = tracing.tracer().begin("server", method, attributes, trace(scope["headers"]))
        begun = span.trace
        named = {"trace_id": begun.trace_id} if begun else {}
        with tracing.tracer().within(begun), bound_contextvars(**named):
            try:
                await self._app(scope, receive, answer)
            finally:
                route = _route(scope)
                known = {"http.response.status_code": status, "http.route": route}
                span.end(
                    str(status) if status and status >= HTTPStatus.INTERNAL_SERVER_ERROR else None,
                    name=f"{method} {route}" if route else method,
                    attributes={name: value for name, value in known.items() if value},
                )


def _concerns_the_library(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith(_API) or scope["method"] == "POST"


def _route(scope: Scope) -> str:
    """The path with the names of its parameters in place of their values; nothing where there is no such."""
    if "endpoint" not in scope:
        return ""
    names = {value: f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    return "/".join(names.get(part, part) for part in scope["path"].split("/"))
