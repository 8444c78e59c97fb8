"""The problem codes, the status of each, and the one body that carries them (RFC 9457)."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

Code = Literal[
    "invalid_request",
    "payload_too_large",
    "unauthenticated",
    "forbidden",
    "entity_not_found",
    "deployment_not_found",
    "validation_failed",
    "no_rollback_target",
    "invalid_rollback_target",
    "deployment_not_active",
    "deployment_in_progress",
    "version_mismatch",
    "revision_conflict",
    "entity_name_taken",
    "entity_in_use",
    "dependency_in_use",
    "quarantined",
    "idempotency_key_reused",
    "deadline_exceeded",
    "no_answer",
    "busy",
    "unavailable",
    "internal_error",
    "not_found",
    "method_not_allowed",
]


class Meaning(NamedTuple):
    """What a code stands for."""

    status: int
    title: str


PROBLEMS: Mapping[Code, Meaning] = {
    "invalid_request": Meaning(422, "The request is not valid"),
    "payload_too_large": Meaning(413, "The request is too large"),
    "unauthenticated": Meaning(401, "The caller is not known"),
    "forbidden": Meaning(403, "The caller may not do this"),
    "entity_not_found": Meaning(404, "No such entity"),
    "deployment_not_found": Meaning(404, "No such deployment"),
    "validation_failed": Meaning(400, "Pre-deployment validation failed"),
    "no_rollback_target": Meaning(400, "Nothing to roll back to"),
    "invalid_rollback_target": Meaning(400, "The rollback target does not fit"),
    "deployment_not_active": Meaning(409, "The deployment is not in the state this needs"),
    "deployment_in_progress": Meaning(409, "Another deployment is in progress"),
    "version_mismatch": Meaning(409, "The entity has another version"),
    "revision_conflict": Meaning(409, "The entity has another revision"),
    "entity_name_taken": Meaning(409, "The name is taken"),
    "entity_in_use": Meaning(409, "The entity is in use"),
    "dependency_in_use": Meaning(409, "Others depend on it"),
    "quarantined": Meaning(409, "Quarantined for its health"),
    "idempotency_key_reused": Meaning(422, "The idempotency key was used for another request"),
    "deadline_exceeded": Meaning(504, "The deadline has passed"),
    "no_answer": Meaning(504, "No answer in time"),
    "busy": Meaning(503, "Too much to do"),
    "unavailable": Meaning(503, "Not available"),
    "internal_error": Meaning(500, "Something went wrong here"),
    "not_found": Meaning(404, "No such resource"),
    "method_not_allowed": Meaning(405, "The resource has no such method"),
}

NO_OUTCOMES: frozenset[Code] = frozenset(
    (
        "invalid_request",
        "payload_too_large",
        "idempotency_key_reused",
        "busy",
        "unavailable",
        "deadline_exceeded",
        "no_answer",
        "internal_error",
    )
)
"""Refusals that say nothing about the command, and so are not kept under its idempotency key."""

_IN_A_LINE = 5

RETRY_AFTER_SECONDS: Mapping[Code, int] = {"busy": 1, "unavailable": 1}


class FieldError(BaseModel):
    """One fault of a request; ``field`` is its dotted path, ``body`` for the whole."""

    field: str
    message: str


class Problem(BaseModel):
    """The one body of every refusal; extensions of a code stand beside these members."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    code: Code
    request_id: str
    errors: list[FieldError] | None = None


class ProblemError(Exception):
    """A refusal on its way to the caller; the client raises it there again.

    ``extensions`` are the further members of the problem body, ready for JSON.
    """

    def __init__(self, code: Code, detail: str, *, request_id: str | None = None, **extensions: Any) -> None:
        super().__init__(code, detail)
        self.code: Code = code
        self.detail = detail
        self.request_id = request_id
        self.extensions = extensions

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return PROBLEMS[self.code].status

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem body, as JSON values."""
        status, title = PROBLEMS[self.code]
        return {
            "type": f"urn:library:problem:{self.code}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.extensions,
        }

    @classmethod
    def invalid(cls, *faults: tuple[str, str], unlisted: int = 0) -> "ProblemError":
        """An ``invalid_request`` that names every faulty field as ``(field, message)``.

        ``unlisted`` counts those that are left out, since no reply holds them.
        """
        detail = "; ".join(f"{field}: {message}" for field, message in faults[:_IN_A_LINE])
        if more := len(faults[_IN_A_LINE:]) + unlisted:
            detail += f"; and {more} more"
        return cls(
            "invalid_request",
            detail,
            errors=[{"field": field, "message": message} for field, message in faults],
        )

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "ProblemError":
        """What a problem body says.

        Raises ``pydantic.ValidationError`` for a body that is none.
        """
        problem = Problem.model_validate(body)
        known = {"type", "title", "status", "detail", "code", "request_id"}
        extensions = {name: value for name, value in body.items() if name not in known}
        return cls(problem.code, problem.detail, request_id=problem.request_id, **extensions)
