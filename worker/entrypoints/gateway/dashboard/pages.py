"""The pages: what runs where, the list of deployments, and a deployment with its history.

They need no script. What they show comes from the same requests that any caller sends, and a refusal is shown
as a page that says why.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from fastapi import FastAPI, Request, Response
from pydantic_core import from_json, to_json

from contracts import subjects
from contracts.deployments import Deployment, DeploymentList, DeploymentStatus
from contracts.environments import ENVIRONMENTS
from contracts.headers import ERROR_CODE
from contracts.matrix import Matrix
from contracts.problems import Problem, ProblemError
from worker.entrypoints.gateway import health
from worker.entrypoints.gateway.dashboard.markup import render
from worker.entrypoints.gateway.nats_connection import NatsConnection
from worker.entrypoints.gateway.request_headers import seconds_to_wait

_WITHIN = 5.0
_STATIC = Path(__file__).parent / "static"
_ASSETS: Final = {"library.css": "text/css", "icon.svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Page = Callable[[Request], Awaitable[tuple[str, dict[str, Any]]]]


class Pages:
    """Ask through NATS; each method gives a template and what stands in it."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def matrix(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Entities against environments, by name."""
        asked = _asked(request, "from_name", "cursor")
        body = await self._ask(subjects.DEPLOY_MATRIX, asked)
        status = await health.status(self._connection)
        return "matrix.html", {
            "matrix": Matrix.model_validate_json(body),
            "environments": ENVIRONMENTS,
            "status": status,
            "asked": asked,
        }

    async def deployments(self, request: Request) -> tuple[str, dict[str, Any]]:
        """The list of deployments, newest first."""
        asked = _asked(request, "entity_id", "environment", "status", "cursor")
        body = await self._ask(subjects.DEPLOY_LIST, {**asked, "page_size": 50})
        return "deployments.html", {
            "found": DeploymentList.model_validate_json(body),
            "environments": ENVIRONMENTS,
            "statuses": get_args(DeploymentStatus),
            "asked": asked,
        }

    async def deployment(self, request: Request) -> tuple[str, dict[str, Any]]:
        """A deployment and its events."""
        which = {"deployment_id": request.path_params["deployment_id"]}
        body = await self._ask(subjects.DEPLOY_GET, which)
        events = from_json(await self._ask(subjects.DEPLOY_HISTORY, {**which, "page_size": 100}))
        return "deployment.html", {
            "deployment": Deployment.model_validate_json(body),
            "documents": from_json(body),
            "events": events["events"],
            "more_events": events["next_cursor"] is not None,
        }

    async def _ask(self, subject: str, body: Mapping[str, Any]) -> bytes:
        headers: dict[str, str] = {}
        within = seconds_to_wait(headers, _WITHIN)
        answer = await self._connection.ask(subject, to_json(body), headers, within=within)
        if ERROR_CODE in (answer.headers or {}):
            problem = Problem.model_validate_json(answer.data)
            errors = (problem.model_extra or {}).get("errors")
            raise ProblemError(problem.code, problem.detail, **({"errors": errors} if errors else {}))
        return answer.data


def install(app: FastAPI, connection: NatsConnection) -> None:
    """Register the pages and what they are made of."""
    pages = Pages(connection)
    for path, page in (
        ("/", pages.matrix),
        ("/deployments", pages.deployments),
        ("/deployments/{deployment_id}", pages.deployment),
    ):
        app.add_route(path, _shown(page), include_in_schema=False)
    for name, kind in _ASSETS.items():
        app.add_route(f"/static/{name}", _asset(name, kind), include_in_schema=False)


def _shown(page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        try:
            template, values = await page(request)
            status = 200
        except ProblemError as problem:
            template, values = "refused.html", {"problem": problem}
            status = problem.status
        text = render(template, path=request.url.path, **values)
        return Response(text, status_code=status, headers=_HEADERS, media_type="text/html")

    return show


def _asset(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (_STATIC / name).read_bytes()

    async def serve(_: Request) -> Response:
        kept = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return Response(content, headers=kept, media_type=kind)

    return serve


def _asked(request: Request, *names: str) -> dict[str, str]:
    """What the page was asked for, of these names; empty fields of a form say nothing."""
    return {name: value for name in names if (value := request.query_params.get(name))}
