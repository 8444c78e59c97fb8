"""The records of the peers, and the transition that all of them make, as an ORM has it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, Engine, ForeignKey, Index, String, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSONB, datetime: DateTime(timezone=True)}  # noqa: RUF012


class Entity(Base):
    __tablename__ = "entities"

    entity_id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    type: Mapped[str] = mapped_column(String(50))
    version: Mapped[str] = mapped_column(String(50))
    config: Mapped[dict[str, Any]]
    parameters: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20), default="registered")
    health_status: Mapped[str] = mapped_column(String(20), default="unknown")
    deployed_at: Mapped[datetime | None]
    deployed_by: Mapped[str | None] = mapped_column(String(255))
    deployment_config: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class Deployment(Base):
    __tablename__ = "deployments"

    deployment_id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    entity_id: Mapped[UUID] = mapped_column(ForeignKey("entities.entity_id"))
    version: Mapped[str] = mapped_column(String(50))
    environment: Mapped[str] = mapped_column(String(20))
    config_snapshot: Mapped[dict[str, Any]]
    parameters_snapshot: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20))
    deployed_at: Mapped[datetime]
    deployed_by: Mapped[str] = mapped_column(String(255))
    deployment_method: Mapped[str] = mapped_column(String(50))
    rolled_back_at: Mapped[datetime | None]
    rolled_back_by: Mapped[str | None] = mapped_column(String(255))
    rollback_reason: Mapped[str | None]
    previous_deployment_id: Mapped[UUID | None]
    health_checks: Mapped[dict[str, Any]]
    last_health_check: Mapped[datetime | None]
    error_logs: Mapped[str | None]
    deployment_duration_seconds: Mapped[int | None]
    validation_results: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (Index("deployments_of_entity", "entity_id", "environment", "status"),)


class DeployRequest(BaseModel):
    """What a caller sends to any of them."""

    entity_id: UUID
    environment: str
    deployed_by: str = Field(min_length=1, max_length=255)
    deployment_method: str = "api"
    config_override: dict[str, Any] | None = None
    parameters_override: dict[str, Any] | None = None


class DeploymentRecord(BaseModel):
    """What a caller is answered: the whole record."""

    model_config = ConfigDict(from_attributes=True)

    deployment_id: UUID
    entity_id: UUID
    version: str
    environment: str
    config_snapshot: dict[str, Any]
    parameters_snapshot: dict[str, Any]
    status: str
    deployed_at: datetime
    deployed_by: str
    deployment_method: str
    rolled_back_at: datetime | None
    rolled_back_by: str | None
    rollback_reason: str | None
    previous_deployment_id: UUID | None
    health_checks: dict[str, Any]
    last_health_check: datetime | None
    error_logs: str | None
    deployment_duration_seconds: int | None
    validation_results: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class UnknownEntity(LookupError):
    """There is no such entity."""


def engine_for(url: str) -> Engine:
    """An engine with the pool that all peers have: 20 connections and 20 more."""
    return create_engine(url, pool_size=20, max_overflow=20)


def sessions_for(url: str) -> sessionmaker[Session]:
    """Makes the sessions of a peer."""
    return sessionmaker(engine_for(url))


def deploy(session: Session, request: DeployRequest, *, lock: bool) -> DeploymentRecord:
    """One deploy in one transaction, statement by statement as the seed document has them; then its record.

    ``lock`` holds the entity's row from the first statement on. Without it, as in the seed's service, two
    deploys of one entity at the same time both become active.
    """
    with session.begin():
        deployment = _transition(session, request, lock=lock)
    session.refresh(deployment)
    return DeploymentRecord.model_validate(deployment)


def _transition(session: Session, request: DeployRequest, *, lock: bool) -> Deployment:
    started = datetime.now(UTC)
    wanted = select(Entity).where(Entity.entity_id == request.entity_id, Entity.deleted_at.is_(None))
    entity = session.scalars(wanted.with_for_update() if lock else wanted).one_or_none()
    if entity is None:
        raise UnknownEntity(str(request.entity_id))
    active = select(Deployment).where(
        Deployment.entity_id == entity.entity_id,
        Deployment.environment == request.environment,
        Deployment.status == "active",
    )
    existing = session.scalars(active.limit(1)).first()
    warnings = [] if existing is None else [f"{existing.deployment_id} is active and will be superseded"]
    for superseded in session.scalars(active):
        superseded.status, superseded.updated_at = "inactive", datetime.now(UTC)
    deployment = _new(request, entity, warnings, started)
    deployment.previous_deployment_id = existing.deployment_id if existing else None
    session.add(deployment)
    session.flush()
    entity.status, entity.deployed_by = "deployed", request.deployed_by
    entity.deployed_at = entity.updated_at = deployment.deployed_at
    entity.deployment_config = deployment.config_snapshot
    return deployment


def _new(request: DeployRequest, entity: Entity, warnings: list[str], started: datetime) -> Deployment:
    now = datetime.now(UTC)
    return Deployment(
        entity_id=entity.entity_id,
        version=entity.version,
        environment=request.environment,
        config_snapshot=request.config_override or entity.config,
        parameters_snapshot=request.parameters_override or entity.parameters,
        status="active",
        deployed_at=now,
        deployed_by=request.deployed_by,
        deployment_method=request.deployment_method,
        health_checks={},
        deployment_duration_seconds=int((now - started).total_seconds()),
        validation_results={"passed": True, "errors": [], "warnings": warnings},
        created_at=now,
        updated_at=now,
    )
