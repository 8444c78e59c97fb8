"""Entities: what can be deployed."""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from contracts.environments import EntityStatus, EnvironmentName, Int32
from contracts.limits import MAX_PAGE
from contracts.values import Cursor, Document, Name, NonEmpty, Reply, Request, Short, Text, null_means

HealthStatus = Literal["unknown", "healthy", "degraded", "unhealthy"]
EntityType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]


def _specifier(text: str) -> str:
    if not _is_specifier(text):
        raise PydanticCustomError("specifier", 'is no PEP 440 specifier such as ">=1.2,<2"')
    return text


@lru_cache(4096)  # to read one is slow, an entity may have 1,000, and this runs in the event loop
def _is_specifier(text: str) -> bool:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True


class Dependency(Request):
    """Another entity that must be active in the same environment, at a version that ``version`` admits."""

    name: Name
    version: Annotated[Name, AfterValidator(_specifier)] | None = None


Dependencies = Annotated[list[Dependency], Field(max_length=1000)]
"""So many that an entity with all of them fits into a reply, and that all of them are checked soon."""


class EntityCreate(Request):
    """A new entity."""

    name: Name
    type: EntityType
    version: Short
    created_by: Name | None = None
    description: Text | None = None
    config: Annotated[Document, null_means({})] = Field(default_factory=dict)
    parameters: Annotated[Document, null_means({})] = Field(default_factory=dict)
    status: Annotated[EntityStatus, null_means("registered")] = "registered"
    health_status: Annotated[HealthStatus, null_means("unknown")] = "unknown"
    tags: Annotated[list[NonEmpty], null_means([])] = Field(default_factory=list)
    dependencies: Annotated[Dependencies, null_means([])] = Field(default_factory=list)


class EntityUpdate(Request):
    """Changes to an entity; what is left out or null stays as it is."""

    entity_id: UUID
    expected_revision: Int32 | None = None
    updated_by: Name | None = None
    name: Name | None = None
    type: EntityType | None = None
    version: Short | None = None
    description: Text | None = None
    config: Document | None = None
    parameters: Document | None = None
    status: EntityStatus | None = None
    health_status: HealthStatus | None = None
    tags: list[NonEmpty] | None = None
    dependencies: Dependencies | None = None


class EntityGet(Request):
    """Ask for an entity."""

    entity_id: UUID


class EntityDelete(Request):
    """Delete an entity that is deployed nowhere."""

    entity_id: UUID
    deleted_by: Name


class Page(Request):
    """Which part of a list; ``cursor`` (opaque) goes on where a page ended, and ``page`` is ignored then."""

    page: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1
    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Cursor | None = None


class EntityListRequest(Page):
    """Entities by type, status and exact name; newest first."""

    entity_id: UUID | None = None
    environment: EnvironmentName | None = None
    type: EntityType | None = None
    status: EntityStatus | None = None
    name: Name | None = None


class DependencyView(Reply):
    """A dependency, as an entity shows it."""

    name: str
    version: str | None = None


class Entity(Reply):
    """An entity.

    ``revision`` is changed by entity requests only; ``declared_status`` is the status last set by one.
    ``deployed_at``, ``deployed_by`` and ``deployment_config`` are those of the latest activation, wherever.
    """

    entity_id: UUID
    name: str
    type: str
    version: str
    created_by: str | None
    description: str | None
    config: dict[str, Any]
    parameters: dict[str, Any]
    status: EntityStatus
    declared_status: EntityStatus
    health_status: HealthStatus
    tags: list[str]
    dependencies: list[DependencyView]
    revision: int
    deployed_at: datetime | None
    deployed_by: str | None
    deployment_config: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class EntityList(Reply):
    """A page of entities, newest ``created_at`` first, ties by id descending."""

    entities: list[Entity]
    total: int
    total_exact: bool
    page: int
    page_size: int
    next_cursor: str | None
