"""What runs where: entities against environments."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.environments import EnvironmentName
from contracts.values import Cursor, Name, Reply, Request


class MatrixRequest(Request):
    """A page of entities by name: those from ``from_name`` on, or behind a cursor."""

    from_name: Name | None = None
    page_size: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Cursor | None = None


class Place(Reply):
    """An entity in an environment: what is active, what is deploying, and how many wait behind it.

    ``unhealthy_reports`` counts those in a row, of what is active.
    """

    environment: EnvironmentName
    deployment_id: UUID | None
    version: str | None
    active_since: datetime | None
    unhealthy_reports: int
    deploying_id: UUID | None
    deploying_version: str | None
    pending: int


class MatrixRow(Reply):
    """An entity, with the places where something is active or on its way."""

    entity_id: UUID
    name: str
    type: str
    version: str
    status: str
    health_status: str
    places: list[Place]


class Matrix(Reply):
    """A page of the matrix; ``next_cursor`` is None on the last."""

    rows: list[MatrixRow]
    next_cursor: str | None
