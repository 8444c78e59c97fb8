"""The dashboard's routes, and what every one of its responses has: a policy, and refusals as pages."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response

from contracts.problems import ProblemError
from worker.entrypoints.gateway.dashboard import forms
from worker.entrypoints.gateway.dashboard.actions import Actions
from worker.entrypoints.gateway.dashboard.deploying import Deploying
from worker.entrypoints.gateway.dashboard.library import Library
from worker.entrypoints.gateway.dashboard.live import Changes, Refreshes
from worker.entrypoints.gateway.dashboard.markup import render
from worker.entrypoints.gateway.dashboard.pages import Pages
from worker.entrypoints.gateway.dashboard.shown import Shown
from worker.entrypoints.gateway.nats_connection import NatsConnection

_STATIC = Path(__file__).parent / "static"
_ASSETS: Final = {
    "library.css": "text/css",
    "library.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript",
    "vendor/sse.min.js": "text/javascript",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Page = Callable[[Request], Awaitable[Shown]]
Respond = Callable[[Request], Awaitable[Response]]


def install(app: FastAPI, connection: NatsConnection, *, exposed: bool) -> Changes:
    """Register the dashboard; what is given ends its live streams.

    ``exposed``: others than this machine reach it, and its pages say so.
    """
    library = Library(connection)
    pages, actions = Pages(library), Actions(library)
    changes = Changes(connection)
    refreshes = Refreshes(changes)
    for path, page in (
        ("/", pages.matrix),
        ("/deployments", pages.deployments),
        ("/deployments/{deployment_id}", pages.deployment),
    ):
        app.add_route(path, _refreshed(_page(page, exposed=exposed), refreshes), include_in_schema=False)
    for path, form in (
        ("/entities/{entity_id}/deploy", Deploying(library).deploy),
        ("/deployments/{deployment_id}/rollback", actions.rollback),
        ("/deployments/{deployment_id}/retire", actions.retire),
    ):
        respond = _page(form, exposed=exposed, is_form=True)
        app.add_route(path, respond, methods=["GET", "POST"], include_in_schema=False)
    app.add_route("/live", changes.serve, include_in_schema=False)
    for name, kind in _ASSETS.items():
        app.add_route(f"/static/{name}", _asset(name, kind), include_in_schema=False)
    return changes


def _page(page: Page, *, exposed: bool, is_form: bool = False) -> Respond:
    async def respond(request: Request) -> Response:
        token = forms.token(request) if is_form else ""
        try:
            shown = await page(request)
        except ProblemError as problem:
            shown = Shown("refused.html", {"problem": problem}, problem.status)
        if shown.location is not None:
            return Response(status_code=shown.status, headers={**_HEADERS, "Location": shown.location})
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        context = {"path": request.url.path, "here": here, "token": token, "exposed": exposed}
        text = render(shown.template, **context, **shown.values)
        response = Response(text, shown.status, headers=_HEADERS, media_type="text/html")
        if is_form:
            response.set_cookie(forms.COOKIE, token, httponly=True, samesite="strict")
        return response

    return respond


def _refreshed(respond: Respond, refreshes: Refreshes) -> Respond:
    """The same, made once for all open pages that fetch themselves anew."""

    async def fetch(request: Request) -> Response:
        if request.headers.get("hx-request") != "true" or request.method != "GET":
            return await respond(request)
        made = await refreshes.get(str(request.url.replace(netloc="")), lambda: respond(request))
        return Response(bytes(made.body), made.status_code, headers=_HEADERS, media_type="text/html")

    return fetch


def _asset(name: str, kind: str) -> Respond:
    content = (_STATIC / name).read_bytes()

    async def serve(_: Request) -> Response:
        kept = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return Response(content, headers=kept, media_type=kind)

    return serve
