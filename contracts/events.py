"""Events: CloudEvents 1.0 in structured JSON, and the live configuration that follows them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from contracts.deployments import Deployment, DeploymentStatus
from contracts.entities import Entity
from contracts.environments import Environment, EnvironmentName
from contracts.values import Reply

DeploymentEventName = Literal[
    "queued",
    "started",
    "completed",
    "superseded",
    "rolled_back",
    "reactivated",
    "failed",
    "retired",
    "rejected",
    "health",
]
EntityEventName = Literal["created", "updated", "deleted"]


class EventDeployment(Reply):
    """A deployment without what is large: the other fields of ``Deployment`` are there, too."""

    deployment_id: UUID
    entity_id: UUID
    entity_name: str
    version: str
    environment: EnvironmentName
    status: DeploymentStatus


class EventData(Reply):
    """What an event is about: one of the three records, who did it, and why.

    ``rejected`` holds ``command``, its ``body`` and the ``problem`` instead. ``health`` adds the ``report``
    and the ``action`` it led to, a rollback for health the ``reports`` it came from, the outcome of a
    confirmation its ``details``. The deployment of ``health`` is without snapshots and ``health_checks``.
    """

    actor: str | None = None
    reason: str | None = None
    deployment: Deployment | EventDeployment | None = None
    entity: Entity | None = None
    environment: Environment | None = None
    target_deployment_id: UUID | None = None
    report: dict[str, Any] | None = None
    reports: list[dict[str, Any]] | None = None
    action: Literal["none", "rollback"] | None = None
    details: dict[str, Any] | None = None
    command: Literal["deploy", "rollback"] | None = None
    body: Any = None
    problem: dict[str, Any] | None = None


class CloudEvent(Reply):
    """An event (CloudEvents 1.0). ``sequence`` is a decimal string, contiguous from 1 for each entity."""

    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    correlationid: str
    sequence: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    data: EventData


class EventList(Reply):
    """A page of a deployment's history, oldest first."""

    events: list[CloudEvent]
    total: int
    next_cursor: str | None


class LiveConfiguration(Reply):
    """What is active for an entity in an environment now: the value of its key in the bucket."""

    deployment_id: UUID
    entity_id: UUID
    entity_name: str
    environment: EnvironmentName
    version: str
    config: dict[str, Any]
    parameters: dict[str, Any]
    sequence: str = Field(pattern=r"^\d+$")
    activated_at: datetime


class PendingConfiguration(Reply):
    """What is deploying for an entity in an environment: the value of its key until it is decided.

    ``sequence`` is that of its event ``started``.
    """

    deployment_id: UUID
    entity_id: UUID
    entity_name: str
    environment: EnvironmentName
    version: str
    config: dict[str, Any]
    parameters: dict[str, Any]
    sequence: str = Field(pattern=r"^\d+$")
    started_at: datetime
    confirm_by: datetime
