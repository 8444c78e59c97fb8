"""The forms that roll back and retire: each shows what it would do, and does it when that is sent back."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from contracts import subjects
from contracts.problems import ProblemError
from worker.entrypoints.gateway.dashboard import forms, steps
from worker.entrypoints.gateway.dashboard.library import Library, changes
from worker.entrypoints.gateway.dashboard.shown import Shown

_TARGETS = ("inactive", "rolled_back")
"""What can be gone back to: the first without further thought, the second if it is meant."""


class Actions:
    """Each method takes what a browser sends to its path, with GET or POST."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def rollback(self, request: Request) -> Shown:
        """``/deployments/{deployment_id}/rollback``."""
        active = await self._library.deployment(request.path_params["deployment_id"])
        targets = await self._targets(active)
        values: dict[str, Any] = {"deployment": active, "targets": targets, "plan": None}
        sound = [each["deployment_id"] for each in targets if each["status"] == _TARGETS[0]]
        default = {"target_deployment_id": sound[0]} if sound else {}
        if request.method != "POST":
            return Shown("rollback.html", values | steps.edited(default))
        given = await forms.fields(request)
        if given.get("step") == "edit":
            return Shown("rollback.html", values | steps.edited(default | given))
        try:
            asked = steps.only(given, "rolled_back_by", "reason", "target_deployment_id")
            steps.require(asked, "rolled_back_by", "reason", "target_deployment_id")
            target = await self._library.deployment(asked["target_deployment_id"])
            if steps.is_meant(given, active["environment"], active["entity_name"]):
                asked["deployment_id"] = active["deployment_id"]
                await self._library.document(subjects.DEPLOY_ROLLBACK, asked, key=given.get("key"))
                return Shown.elsewhere(f"/deployments/{active['deployment_id']}")
        except ProblemError as problem:
            return Shown("rollback.html", values | steps.edited(default | given, problem), problem.status)
        plan = {"target": target, "changes": changes(active, target)}
        return Shown("rollback.html", values | steps.planned(given, active["environment"]) | {"plan": plan})

    async def retire(self, request: Request) -> Shown:
        """``/deployments/{deployment_id}/retire``."""
        active = await self._library.deployment(request.path_params["deployment_id"])
        values: dict[str, Any] = {"deployment": active, "plan": None}
        if request.method != "POST":
            return Shown("retire.html", values | steps.edited({}))
        given = await forms.fields(request)
        if given.get("step") == "edit":
            return Shown("retire.html", values | steps.edited(given))
        asked: dict[str, Any] = steps.only(given, "retired_by", "reason")
        try:
            steps.require(asked, "retired_by", "reason")
            if steps.is_meant(given, active["environment"], active["entity_name"]):
                asked |= {"deployment_id": active["deployment_id"], "force": "force" in given}
                await self._library.document(subjects.DEPLOY_RETIRE, asked, key=given.get("key"))
                return Shown.elsewhere(f"/deployments/{active['deployment_id']}")
        except ProblemError as problem:
            return Shown("retire.html", values | steps.edited(given, problem), problem.status)
        return Shown("retire.html", values | steps.planned(given, active["environment"]) | {"plan": active})

    async def _targets(self, active: Mapping[str, Any]) -> list[Any]:
        """What it can go back to: what ran just before it at the head, what was rolled back at the end."""
        where = {"entity_id": active["entity_id"], "environment": active["environment"], "page_size": 20}
        before = active["previous_deployment_id"]
        targets: list[Any] = []
        for status in _TARGETS:
            found = await self._library.document(subjects.DEPLOY_LIST, {**where, "status": status})
            targets += found["deployments"]
        if before is not None and before not in (each["deployment_id"] for each in targets):
            former = await self._library.deployment(before)
            targets += [former] if former["status"] in _TARGETS else []
        return sorted(
            targets, key=lambda each: (_TARGETS.index(each["status"]), each["deployment_id"] != before)
        )
