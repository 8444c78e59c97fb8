"""The form that deploys.

Where a plan meets what can be overridden, the form asks whether it is to be, and shows that plan first.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request

from contracts import subjects
from contracts.environments import ENVIRONMENTS
from contracts.problems import ProblemError
from worker.entrypoints.gateway.dashboard import forms, steps
from worker.entrypoints.gateway.dashboard.library import Library
from worker.entrypoints.gateway.dashboard.shown import Shown

METHOD = "dashboard"
OUTCOME_SECONDS = 20
"""So long a form that waits for the outcome waits."""

_OVERRIDES: Final = {"in_progress": "supersede_pending", "quarantine": "override_quarantine"}
"""By a plan's check that fails, the field that has it pass."""
_OVERRIDABLE = ("deployment_in_progress", "quarantined")


class Deploying:
    """Takes what a browser sends to ``/entities/{entity_id}/deploy``, with GET or POST."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def deploy(self, request: Request) -> Shown:
        """The form, its plan, or the deployment that was made."""
        which = {"entity_id": request.path_params["entity_id"]}
        entity = await self._library.document(subjects.ENTITY_GET, which)
        values: dict[str, Any] = {"entity": entity, "environments": ENVIRONMENTS, "plan": None}
        if request.method != "POST":
            return Shown("deploy.html", values | steps.edited(dict(request.query_params)))
        given = await forms.fields(request)
        if given.get("step") == "edit":
            return Shown("deploy.html", values | steps.edited(given))
        refused: ProblemError | None = None
        try:
            asked = _request(entity, given)
            if steps.is_meant(given, given.get("environment"), entity["name"]):
                try:
                    return await self._do(asked, given)
                except ProblemError as problem:
                    if problem.code not in _OVERRIDABLE:
                        raise
                    refused = problem  # something came in between: the plan is another one now
            return Shown(
                "deploy.html",
                values | await self._plan(asked, given, refused),
                refused.status if refused else 200,
            )
        except ProblemError as problem:
            return Shown("deploy.html", values | steps.edited(given, problem), problem.status)

    async def _do(self, asked: dict[str, Any], given: Mapping[str, str]) -> Shown:
        waits = "wait" in given
        made = await self._library.document(
            subjects.DEPLOY_REQUEST,
            asked | {"wait": waits},
            key=given.get("key"),
            within=OUTCOME_SECONDS if waits else None,
        )
        return Shown.elsewhere(f"/deployments/{made['deployment_id']}")

    async def _plan(
        self, asked: dict[str, Any], given: Mapping[str, str], refused: ProblemError | None
    ) -> dict[str, Any]:
        """What the plan shows; ``obstacles`` are the fields that would override what is in its way."""
        environment = given.get("environment")
        plan = await self._library.document(subjects.DEPLOY_VALIDATE, asked)
        checks = plan["validation"]["checks"]
        obstacles = [name for check, name in _OVERRIDES.items() if checks.get(check) is False]
        values = steps.planned(given, environment, refused)
        return values | {
            "plan": plan,
            "obstacles": obstacles,
            "asks_why": "override_quarantine" in obstacles and "reason" not in given,
            "may_wait": await self._is_confirmed(environment),
            "outcome_seconds": OUTCOME_SECONDS,
        }

    async def _is_confirmed(self, environment: str | None) -> bool:
        """Whether agents confirm there what is deployed; False where that is not known."""
        try:
            listed = await self._library.document(subjects.ENVIRONMENT_LIST, {})
        except ProblemError:
            return False
        return any(
            each["environment"] == environment and each["activation"] == "confirmed"
            for each in listed["environments"]
        )


def _request(entity: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    names = ("environment", "deployed_by", "override_strategy", "reason")
    asked: dict[str, Any] = {"entity_id": entity["entity_id"], "deployment_method": METHOD}
    asked |= steps.only(given, *names)
    asked |= forms.documents(given, "config_override", "parameters_override")
    asked |= {name: name in given for name in _OVERRIDES.values()}
    asked["expected_version"] = given.get("expected_version", entity["version"])
    return asked
