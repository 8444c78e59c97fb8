"""Quarantine: what was rolled back for its health is not deployed there again, unless somebody says so."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.entities import Page
from contracts.environments import EnvironmentName
from contracts.values import Name, NonEmpty, Reply, Request, null_means

QuarantineStatus = Literal["in_force", "lifted"]


class QuarantineListRequest(Page):
    """What is in quarantine, or was; newest first."""

    entity_id: UUID | None = None
    environment: EnvironmentName | None = None
    status: Annotated[QuarantineStatus, null_means("in_force")] = "in_force"


class QuarantineLift(Request):
    """Let it be deployed there again."""

    quarantine_id: UUID
    lifted_by: Name
    reason: NonEmpty


class Quarantined(Reply):
    """A version with a snapshot that went back for its health.

    ``snapshot_digest`` is SHA-256, in hex, of its configuration and parameters; ``deployment_id`` the one
    that was rolled back.
    """

    quarantine_id: UUID
    entity_id: UUID
    environment: EnvironmentName
    version: str
    snapshot_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    deployment_id: UUID
    since: datetime
    reason: str
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str | None


class QuarantineList(Reply):
    """A page of what is in quarantine, newest first."""

    quarantined: list[Quarantined]
    total: int
    total_exact: bool
    page: int
    page_size: int
    next_cursor: str | None
