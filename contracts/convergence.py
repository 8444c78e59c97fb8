"""Convergence: who runs what is active, and who is behind."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.deployments import AgentName
from contracts.environments import EnvironmentName
from contracts.values import Cursor, Reply, Request


class Applied(Reply):
    """What an agent runs: the value of its key in the bucket; both are None where it runs nothing.

    ``sequence`` is that of the live configuration that it follows, a whole number of 64 bits.
    """

    deployment_id: UUID | None
    sequence: str | None = Field(pattern=r"^[0-9]{1,19}$")
    applied_at: datetime


class ConvergenceRequest(Request):
    """Which agents of an environment run what is active there.

    Without ``page_size``, as many as a reply holds; ``cursor`` (opaque) goes on where a page ended.
    """

    environment: EnvironmentName
    page_size: Annotated[int, Field(ge=1, le=1000)] | None = None
    cursor: Cursor | None = None


class Consumer(Reply):
    """An agent beside what is active.

    Sequences are decimal strings, None for nothing; ``behind_since`` is None while it runs what is active.
    """

    entity_id: UUID
    agent: AgentName
    deployment_id: UUID | None
    applied_sequence: str | None
    active_sequence: str | None
    behind_since: datetime | None


class Convergence(Reply):
    """The agents of an environment, by entity and name.

    ``next_cursor`` is None at the end, as it is in the answer of a worker of a release without pages.
    """

    consumers: list[Consumer]
    next_cursor: str | None = None
