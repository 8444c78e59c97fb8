"""What the pages ask of the library: through NATS, as everybody asks."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from contracts import subjects
from contracts.headers import ERROR_CODE, IDEMPOTENCY_KEY
from contracts.problems import Problem, ProblemError
from contracts.status import Status
from worker.domain.snapshot import difference
from worker.entrypoints.gateway import health
from worker.entrypoints.gateway.nats_connection import NatsConnection
from worker.entrypoints.gateway.request_headers import seconds_to_wait

_WITHIN = 5.0


class Library:
    """Asks; a refusal is raised as ``ProblemError``."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def ask(
        self, subject: str, body: Mapping[str, Any], *, key: str | None = None, within: float | None = None
    ) -> bytes:
        """The reply's body, waited for 5 s or so many as ``within`` says.

        ``key``: the same one is done once, however often it is sent.
        """
        headers = {} if key is None else {IDEMPOTENCY_KEY: key}
        seconds = seconds_to_wait(headers, within or _WITHIN)
        answer = await self._connection.ask(subject, to_json(body), headers, within=seconds)
        if ERROR_CODE in (answer.headers or {}):
            problem = Problem.model_validate_json(answer.data)
            errors = (problem.model_extra or {}).get("errors")
            raise ProblemError(problem.code, problem.detail, **({"errors": errors} if errors else {}))
        return answer.data

    async def document(
        self, subject: str, body: Mapping[str, Any], *, key: str | None = None, within: float | None = None
    ) -> Any:
        """The reply as JSON values."""
        return from_json(await self.ask(subject, body, key=key, within=within))

    async def entity_id(self, entity: str) -> str | None:
        """The id of an entity that is named by id or name; None for a name that nobody has."""
        try:
            return str(UUID(entity))
        except ValueError:
            found = await self.document(subjects.ENTITY_LIST, {"name": entity, "page_size": 1})
        return found["entities"][0]["entity_id"] if found["entities"] else None

    async def deployment(self, deployment_id: str | UUID) -> Any:
        """A deployment as JSON values."""
        return await self.document(subjects.DEPLOY_GET, {"deployment_id": str(deployment_id)})

    async def status(self) -> Status:
        """How the parts are."""
        return await health.status(self._connection)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The JSON Patch (RFC 6902) from what one deployment runs to what another runs."""
    return difference(_runs(before), _runs(after))


def _runs(deployment: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": deployment["version"],
        "config": deployment["config_snapshot"],
        "parameters": deployment["parameters_snapshot"],
    }
