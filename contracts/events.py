"""Events: CloudEvents 1.0 in structured JSON, and the live configuration that follows them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from contracts.deployments import Deployment
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


class EventData(Reply):
    """What an event is about: one of the three records, who did it, and why.

    ``rejected`` holds ``command``, its ``body`` and the ``problem`` instead.
    """

    actor: str | None = None
    reason: str | None = None
    deployment: Deployment | None = None
    entity: Entity | None = None
    environment: Environment | None = None
    target_deployment_id: UUID | None = None
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
