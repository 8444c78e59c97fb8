"""The pages: what runs where, the list of deployments, and a deployment with its history.

They need no script; with it they are live. What they show comes from the same requests that any caller sends.
"""

from typing import Any, get_args

from fastapi import Request
from pydantic_core import from_json

from contracts import subjects
from contracts.deployments import Deployment, DeploymentList, DeploymentStatus
from contracts.environments import ENVIRONMENTS
from contracts.matrix import Matrix
from contracts.problems import ProblemError
from worker.entrypoints.gateway.dashboard.library import Library, changes
from worker.entrypoints.gateway.dashboard.shown import Shown


class Pages:
    """Each method answers a GET of its path."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def matrix(self, request: Request) -> Shown:
        """Entities against environments, by name."""
        asked = _asked(request, "from_name", "cursor")
        body = await self._library.ask(subjects.DEPLOY_MATRIX, asked)
        return Shown(
            "matrix.html",
            {
                "matrix": Matrix.model_validate_json(body),
                "environments": ENVIRONMENTS,
                "status": await self._library.status(),
                "asked": asked,
            },
        )

    async def deployments(self, request: Request) -> Shown:
        """The list of deployments, newest first."""
        asked = _asked(request, "entity", "entity_id", "environment", "status", "cursor")
        values = {
            "found": None,
            "environments": ENVIRONMENTS,
            "statuses": get_args(DeploymentStatus),
            "asked": asked,
        }
        wanted = {name: value for name, value in asked.items() if name != "entity"}
        if "entity" in asked:
            entity_id = await self._library.entity_id(asked["entity"])
            if entity_id is None:
                return Shown("deployments.html", values)  # not 404: the page stays live until there is one
            wanted["entity_id"] = entity_id
        body = await self._library.ask(subjects.DEPLOY_LIST, {**wanted, "page_size": 50})
        return Shown("deployments.html", values | {"found": DeploymentList.model_validate_json(body)})

    async def deployment(self, request: Request) -> Shown:
        """A deployment, what it changed, and its events."""
        which = {"deployment_id": request.path_params["deployment_id"]}
        body = await self._library.ask(subjects.DEPLOY_GET, which)
        events = await self._library.document(subjects.DEPLOY_HISTORY, {**which, "page_size": 100})
        documents = from_json(body)
        return Shown(
            "deployment.html",
            {
                "deployment": Deployment.model_validate_json(body),
                "documents": documents,
                "changes": await self._changes(documents),
                "events": events["events"],
                "more_events": events["next_cursor"] is not None,
            },
        )

    async def _changes(self, deployment: dict[str, Any]) -> list[dict[str, Any]] | None:
        """What it changed against the one before it; None where there was none."""
        before = deployment["previous_deployment_id"]
        if before is None:
            return None
        try:
            return changes(await self._library.deployment(before), deployment)
        except ProblemError:
            return None  # it is history that is not kept any more


def _asked(request: Request, *names: str) -> dict[str, str]:
    """What the page was asked for, of these names; empty fields of a form say nothing."""
    given = ((name, request.query_params.get(name, "").strip()) for name in names)
    return {name: value for name, value in given if value}
