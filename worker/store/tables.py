"""The tables, as SQLAlchemy knows them; the migrations make them."""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata: Final = MetaData()


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


entities: Final = Table(
    "entities",
    metadata,
    Column("entity_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("created_by", Text),
    Column("description", Text),
    Column("config", JSONB, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("declared_status", Text, nullable=False),
    Column("health_status", Text, nullable=False),
    Column("tags", JSONB, nullable=False),
    Column("dependencies", JSONB, nullable=False),
    Column("dependency_names", ARRAY(Text), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("event_sequence", BigInteger, nullable=False),
    _time("deployed_at", nullable=True),
    Column("deployed_by", Text),
    Column("deployment_config", JSONB),
    _time("created_at"),
    _time("updated_at"),
    _time("deleted_at", nullable=True),
    Index("entity_name_taken", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
    Index("entities_newest", "created_at", "entity_id", postgresql_where=text("deleted_at IS NULL")),
    Index(
        "entities_by_type",
        "type",
        "status",
        "created_at",
        "entity_id",
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "entities_by_status", "status", "created_at", "entity_id", postgresql_where=text("deleted_at IS NULL")
    ),
    Index("entities_depending", "dependency_names", postgresql_using="gin"),
)

deployments: Final = Table(
    "deployments",
    metadata,
    Column("deployment_id", Uuid, primary_key=True),
    Column("entity_id", Uuid, ForeignKey("entities.entity_id"), nullable=False),
    Column("entity_name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("config_snapshot", JSONB, nullable=False),
    Column("parameters_snapshot", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    _time("deployed_at"),
    Column("deployed_by", Text, nullable=False),
    Column("deployment_method", Text, nullable=False),
    Column("reason", Text),
    _time("rolled_back_at", nullable=True),
    Column("rolled_back_by", Text),
    Column("rollback_reason", Text),
    Column("previous_deployment_id", Uuid),
    Column("health_checks", JSONB, nullable=False),
    _time("last_health_check", nullable=True),
    Column("error_logs", Text),
    Column("deployment_duration_ms", Integer),
    Column("deployment_duration_seconds", Integer, Computed("deployment_duration_ms / 1000", persisted=True)),
    Column("validation_results", JSONB, nullable=False),
    Column("warnings", JSONB, nullable=False),
    _time("confirm_by", nullable=True),
    _time("created_at"),
    _time("updated_at"),
    _time("activated_at", nullable=True),
    _time("deactivated_at", nullable=True),
    Column("unhealthy_reports", Integer, nullable=False, server_default=text("0")),
    Column("came_back_for_health", Boolean, nullable=False, server_default=text("false")),
    Index(
        "one_active",
        "entity_id",
        "environment",
        unique=True,
        postgresql_where=text("status = 'active'"),
    ),
    Index(
        "one_deploying",
        "entity_id",
        "environment",
        unique=True,
        postgresql_where=text("status = 'deploying'"),
    ),
    Index("deployments_of_entity", "entity_id", "environment", "deployed_at", "deployment_id"),
    Index(
        "rollback_targets",
        "entity_id",
        "environment",
        "deactivated_at",
        postgresql_where=text("status = 'inactive'"),
    ),
    Index("deployments_newest", "deployed_at", "deployment_id"),
    Index("deployments_by_status", "environment", "status", "deployed_at", "deployment_id"),
    Index(
        "deployments_waiting",
        "entity_id",
        "environment",
        "deployed_at",
        "deployment_id",
        postgresql_where=text("status IN ('deploying', 'pending')"),
    ),
    Index("deployments_due", "confirm_by", postgresql_where=text("status = 'deploying'")),
)

former_activations: Final = Table(
    "former_activations",
    metadata,
    Column("deployment_id", Uuid, primary_key=True),
    Column("entity_id", Uuid, nullable=False),
    Column("environment", Text, nullable=False),
    Column("activated_at", DateTime(timezone=True), primary_key=True),
    _time("deactivated_at"),
    Index("former_activations_of_entity", "entity_id", "environment", "activated_at"),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("quarantine_id", Uuid, primary_key=True),
    Column("entity_id", Uuid, nullable=False),
    Column("environment", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("snapshot_digest", Text, nullable=False),
    Column("deployment_id", Uuid, nullable=False),
    _time("since"),
    Column("reason", Text, nullable=False),
    _time("lifted_at", nullable=True),
    Column("lifted_by", Text),
    Column("lift_reason", Text),
    Index(
        "quarantine_in_force",
        "entity_id",
        "environment",
        "since",
        "quarantine_id",
        postgresql_where=text("lifted_at IS NULL"),
    ),
    Index("quarantine_newest", "since", "quarantine_id"),
)

environments: Final = Table(
    "environments",
    metadata,
    Column("environment", Text, primary_key=True),
    Column("position", SmallInteger, nullable=False),
    Column("activation", Text, nullable=False),
    Column("confirm_timeout_s", Integer, nullable=False),
    Column("auto_rollback", Boolean, nullable=False),
    Column("unhealthy_after", Integer, nullable=False),
    Column("concurrency", Text, nullable=False),
    Column("require_status", JSONB, nullable=False),
)

events: Final = Table(
    "events",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("entity_id", Uuid),
    Column("sequence", BigInteger),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("nats_subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    _time("created_at"),
    Index("events_of_subject", "subject", "sequence"),
    Index(
        "events_of_arrivals",
        "subject",
        "sequence",
        postgresql_where=text(
            "type IN ('library.deployment.completed.v1', 'library.deployment.reactivated.v1', "
            "'library.deployment.started.v1')"
        ),
    ),
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("outbox_id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_ids", ARRAY(Uuid), nullable=False),
    _time("created_at"),
)

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("code", Text),
    Column("reply", Text, nullable=False),
    _time("expires_at"),
    Index("idempotency_expiring", "expires_at"),
)
