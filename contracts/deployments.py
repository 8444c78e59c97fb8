"""Deployments: what runs where, what replaced it, and why."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from contracts.entities import Page
from contracts.environments import EnvironmentName
from contracts.limits import MAX_PAGE
from contracts.values import (
    Cursor,
    Details,
    Document,
    Method,
    Moment,
    Name,
    NonEmpty,
    Reply,
    Request,
    Text,
    null_means,
)

DeploymentStatus = Literal["pending", "deploying", "active", "inactive", "rolled_back", "failed"]
OverrideStrategy = Literal["replace", "merge"]
ReportedHealth = Literal["healthy", "degraded", "unhealthy"]
AGENT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
AgentName = Annotated[str, StringConstraints(pattern=rf"^{AGENT_NAME.pattern}$")]
KEPT_REPORTS = 50
"""So many health reports stand in a deployment's record; all of them are in its history."""
MAX_WAITING = 100
"""So many deployments of an entity may be ``pending`` in an environment."""


class DeployRequest(Request):
    """Put an entity, as it is now, into an environment.

    ``replace``: a non-empty override stands in for the entity's document; ``merge``: it is a JSON Merge
    Patch on it (RFC 7396). The last three fields matter in confirmed environments.
    """

    entity_id: UUID
    environment: EnvironmentName
    deployed_by: Name
    deployment_method: Method | None = None
    config_override: Document | None = None
    parameters_override: Document | None = None
    override_strategy: Annotated[OverrideStrategy, null_means("replace")] = "replace"
    expected_version: Text | None = None
    reason: Text | None = None
    wait: Annotated[bool, null_means(default=False)] = False
    supersede_pending: Annotated[bool, null_means(default=False)] = False
    override_quarantine: Annotated[bool, null_means(default=False)] = False

    @field_validator("override_quarantine")
    @classmethod
    def _takes_a_reason(cls, override: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's form
        if override and "reason" in info.data and not info.data["reason"]:
            raise PydanticCustomError("reason", "takes a reason")
        return override


class RollbackRequest(Request):
    """Take an active deployment back; without a target, to what was active most recently before it."""

    deployment_id: UUID
    reason: NonEmpty
    rolled_back_by: Name
    target_deployment_id: UUID | None = None


class ConfirmRequest(Request):
    """An agent's word on what is deploying: it runs, or it does not, and why."""

    deployment_id: UUID
    agent: AgentName
    outcome: Literal["active", "failed"]
    error: Text | None = None
    details: Details | None = None


class HealthReport(Request):
    """How a deployment is doing."""

    deployment_id: UUID
    reported_by: Name
    status: ReportedHealth
    details: Details | None = None


class RetireRequest(Request):
    """End an active deployment with nothing in its place."""

    deployment_id: UUID
    retired_by: Name
    reason: NonEmpty
    force: Annotated[bool, null_means(default=False)] = False


class DeploymentGet(Request):
    """Ask for a deployment."""

    deployment_id: UUID


class HistoryRequest(Request):
    """A deployment's events, oldest first."""

    deployment_id: UUID
    page_size: Annotated[int, Field(ge=1, le=100)] = 100
    cursor: Cursor | None = None


class DeploymentListRequest(Page):
    """Deployments by entity, environment and status; newest first."""

    entity_id: UUID | None = None
    environment: EnvironmentName | None = None
    status: DeploymentStatus | None = None


class AsOfRequest(Request):
    """What was active at a time that is past."""

    at: Moment
    environment: EnvironmentName | None = None
    entity_id: UUID | None = None
    page: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1
    page_size: Annotated[int, Field(ge=1, le=100)] = 100
    cursor: Cursor | None = None


class EntityDeploymentsRequest(Request):
    """An entity's deployments; newest first."""

    entity_id: UUID
    page: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1
    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Cursor | None = None
    environment: EnvironmentName | None = None
    status: DeploymentStatus | None = None


class DeploymentValidation(Reply):
    """What a validation found; ``checks`` holds one verdict a check."""

    passed: bool
    checks: dict[str, Any]
    errors: list[str]
    warnings: list[str]


class ValidationResults(Reply):
    """Both validations; ``post`` is null until it is active, ``passed`` is what is known so far."""

    passed: bool
    pre: DeploymentValidation
    post: DeploymentValidation | None


class Deployment(Reply):
    """A deployment. ``deployed_at`` is when it was accepted and never changes."""

    deployment_id: UUID
    entity_id: UUID
    entity_name: str
    version: str
    environment: EnvironmentName
    config_snapshot: dict[str, Any]
    parameters_snapshot: dict[str, Any]
    status: DeploymentStatus
    deployed_at: datetime
    deployed_by: str
    deployment_method: str
    reason: str | None
    rolled_back_at: datetime | None
    rolled_back_by: str | None
    rollback_reason: str | None
    previous_deployment_id: UUID | None
    health_checks: list[dict[str, Any]]
    last_health_check: datetime | None
    error_logs: str | None
    deployment_duration_seconds: int | None
    deployment_duration_ms: int | None
    validation_results: ValidationResults
    warnings: list[str]
    confirm_by: datetime | None
    created_at: datetime
    updated_at: datetime


class DeploymentPlan(Reply):
    """What a deploy would do.

    ``changes`` (RFC 6902) lead from ``{version, config, parameters}`` of what is active there now, ``{}`` if
    nothing is, to that of the plan.
    """

    validation: DeploymentValidation
    replaces: UUID | None
    version: str
    config_snapshot: dict[str, Any]
    parameters_snapshot: dict[str, Any]
    changes: list[dict[str, Any]]


class DeploymentList(Reply):
    """A page of deployments, newest ``deployed_at`` first, ties by id descending."""

    deployments: list[Deployment]
    total: int
    total_exact: bool
    page: int
    page_size: int
    next_cursor: str | None
