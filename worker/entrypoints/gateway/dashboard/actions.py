"""Deploy, roll back, retire: each shows what it would do, and does it when that is sent back.

The steps of a form are ``edit``, ``plan`` and ``do``. A plan carries an idempotency key, so that sending it
twice does it once; in production it asks for the entity's name.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from contracts import subjects
from contracts.environments import ENVIRONMENTS
from contracts.ids import new_id
from contracts.problems import ProblemError
from worker.entrypoints.gateway.dashboard import forms
from worker.entrypoints.gateway.dashboard.library import Library, changes
from worker.entrypoints.gateway.dashboard.shown import Shown

METHOD = "dashboard"
_PRODUCTION = "production"


class Actions:
    """The forms; each method takes what a browser sends to its path, with GET or POST."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def deploy(self, request: Request) -> Shown:
        """``/entities/{entity_id}/deploy``."""
        entity = await self._library.document(
            subjects.ENTITY_GET, {"entity_id": request.path_params["entity_id"]}
        )
        values: dict[str, Any] = {"entity": entity, "environments": ENVIRONMENTS, "plan": None}
        if request.method != "POST":
            return Shown("deploy.html", values | _edited(dict(request.query_params)))
        given = await forms.fields(request)
        if given.get("step") == "edit":
            return Shown("deploy.html", values | _edited(given))
        try:
            asked = _deploy_request(entity, given)
            if given.get("step") == "do" and _is_meant(given, given.get("environment"), entity["name"]):
                made = await self._library.document(subjects.DEPLOY_REQUEST, asked, key=given.get("key"))
                return Shown.elsewhere(f"/deployments/{made['deployment_id']}")
            plan = await self._library.document(subjects.DEPLOY_VALIDATE, asked)
        except ProblemError as problem:
            return Shown("deploy.html", values | _edited(given, problem), problem.status)
        return Shown("deploy.html", values | _planned(given, given.get("environment")) | {"plan": plan})

    async def rollback(self, request: Request) -> Shown:
        """``/deployments/{deployment_id}/rollback``."""
        active = await self._library.deployment(request.path_params["deployment_id"])
        targets = await self._targets(active)
        values: dict[str, Any] = {"deployment": active, "targets": targets, "plan": None}
        default = {"target_deployment_id": targets[0]["deployment_id"]} if targets else {}
        if request.method != "POST":
            return Shown("rollback.html", values | _edited(default))
        given = await forms.fields(request)
        if given.get("step") == "edit":
            return Shown("rollback.html", values | _edited(default | given))
        try:
            asked = _only(given, "rolled_back_by", "reason", "target_deployment_id")
            _require(asked, "rolled_back_by", "reason", "target_deployment_id")
            target = await self._library.deployment(asked["target_deployment_id"])
            if given.get("step") == "do" and _is_meant(given, active["environment"], active["entity_name"]):
                asked["deployment_id"] = active["deployment_id"]
                await self._library.document(subjects.DEPLOY_ROLLBACK, asked, key=given.get("key"))
                return Shown.elsewhere(f"/deployments/{active['deployment_id']}")
        except ProblemError as problem:
            return Shown("rollback.html", values | _edited(default | given, problem), problem.status)
        plan = {"target": target, "changes": changes(active, target)}
        return Shown("rollback.html", values | _planned(given, active["environment"]) | {"plan": plan})

    async def retire(self, request: Request) -> Shown:
        """``/deployments/{deployment_id}/retire``."""
        active = await self._library.deployment(request.path_params["deployment_id"])
        values: dict[str, Any] = {"deployment": active, "plan": None}
        if request.method != "POST":
            return Shown("retire.html", values | _edited({}))
        given = await forms.fields(request)
        if given.get("step") == "edit":
            return Shown("retire.html", values | _edited(given))
        asked: dict[str, Any] = _only(given, "retired_by", "reason")
        try:
            _require(asked, "retired_by", "reason")
            if given.get("step") == "do" and _is_meant(given, active["environment"], active["entity_name"]):
                asked |= {"deployment_id": active["deployment_id"], "force": "force" in given}
                await self._library.document(subjects.DEPLOY_RETIRE, asked, key=given.get("key"))
                return Shown.elsewhere(f"/deployments/{active['deployment_id']}")
        except ProblemError as problem:
            return Shown("retire.html", values | _edited(given, problem), problem.status)
        return Shown("retire.html", values | _planned(given, active["environment"]) | {"plan": active})

    async def _targets(self, active: Mapping[str, Any]) -> list[Any]:
        """What it can go back to without further thought, what ran just before it at the head."""
        where = {"entity_id": active["entity_id"], "environment": active["environment"], "page_size": 20}
        found = await self._library.document(subjects.DEPLOY_LIST, {**where, "status": "inactive"})
        targets: list[Any] = found["deployments"]
        before = active["previous_deployment_id"]
        if before is not None and before not in (each["deployment_id"] for each in targets):
            former = await self._library.deployment(before)
            targets += [former] if former["status"] == "inactive" else []
        return sorted(targets, key=lambda each: each["deployment_id"] != before)


def _deploy_request(entity: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    names = ("environment", "deployed_by", "override_strategy", "reason")
    asked: dict[str, Any] = {"entity_id": entity["entity_id"], "deployment_method": METHOD}
    asked |= _only(given, *names)
    asked |= forms.documents(given, "config_override", "parameters_override")
    asked["expected_version"] = given.get("expected_version", entity["version"])
    return asked


def _only(given: Mapping[str, str], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _require(asked: Mapping[str, Any], *names: str) -> None:
    missing = [(name, "is required") for name in names if name not in asked]
    if missing:
        raise ProblemError.invalid(*missing)


def _is_meant(given: Mapping[str, str], environment: str | None, name: str) -> bool:
    """Whether it may be done: in production only once the entity's name was typed."""
    return environment != _PRODUCTION or given.get("really") == name.strip()


def _edited(given: Mapping[str, str], problem: ProblemError | None = None) -> dict[str, Any]:
    return {"given": given, "problem": problem, "kept": {}, "asks_again": False, "was_wrong": False}


def _planned(given: Mapping[str, str], environment: str | None) -> dict[str, Any]:
    kept = {name: value for name, value in given.items() if name not in ("step", "really")}
    return {
        "given": given,
        "problem": None,
        "kept": {"key": str(new_id()), **kept},
        "asks_again": environment == _PRODUCTION,
        "was_wrong": given.get("step") == "do",
    }
