"""Entities, deployments, environments, the event log with its outbox, and idempotency keys.

Entities and deployments leave room in their pages: the hot updates then stay within the page (HOT).
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UPGRADE = (
    """
    CREATE TABLE entities (
        entity_id uuid PRIMARY KEY,
        name text NOT NULL,
        type text NOT NULL,
        version text NOT NULL,
        created_by text,
        description text,
        config jsonb NOT NULL,
        parameters jsonb NOT NULL,
        status text NOT NULL,
        declared_status text NOT NULL,
        health_status text NOT NULL,
        tags jsonb NOT NULL,
        dependencies jsonb NOT NULL,
        dependency_names text[] NOT NULL,
        revision integer NOT NULL,
        event_sequence bigint NOT NULL,
        deployed_at timestamptz,
        deployed_by text,
        deployment_config jsonb,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        deleted_at timestamptz
    ) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05)
    """,
    "CREATE UNIQUE INDEX entity_name_taken ON entities (name) WHERE deleted_at IS NULL",
    "CREATE INDEX entities_newest ON entities (created_at, entity_id) WHERE deleted_at IS NULL",
    "CREATE INDEX entities_depending ON entities USING gin (dependency_names)",
    """
    CREATE TABLE deployments (
        deployment_id uuid PRIMARY KEY,
        entity_id uuid NOT NULL REFERENCES entities,
        entity_name text NOT NULL,
        version text NOT NULL,
        environment text NOT NULL,
        config_snapshot jsonb NOT NULL,
        parameters_snapshot jsonb NOT NULL,
        status text NOT NULL,
        deployed_at timestamptz NOT NULL,
        deployed_by text NOT NULL,
        deployment_method text NOT NULL,
        reason text,
        rolled_back_at timestamptz,
        rolled_back_by text,
        rollback_reason text,
        previous_deployment_id uuid,
        health_checks jsonb NOT NULL,
        last_health_check timestamptz,
        error_logs text,
        deployment_duration_ms integer,
        deployment_duration_seconds integer
            GENERATED ALWAYS AS (deployment_duration_ms / 1000) STORED,
        validation_results jsonb NOT NULL,
        warnings jsonb NOT NULL,
        confirm_by timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        activated_at timestamptz,
        deactivated_at timestamptz
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)
    """,
    "CREATE UNIQUE INDEX one_active ON deployments (entity_id, environment) WHERE status = 'active'",
    "CREATE UNIQUE INDEX one_deploying ON deployments (entity_id, environment) WHERE status = 'deploying'",
    "CREATE INDEX deployments_of_entity ON deployments (entity_id, environment, deployed_at, deployment_id)",
    """
    CREATE INDEX rollback_targets ON deployments (entity_id, environment, deactivated_at)
    WHERE status = 'inactive'
    """,
    "CREATE INDEX deployments_newest ON deployments (deployed_at, deployment_id)",
    """
    CREATE TABLE environments (
        environment text PRIMARY KEY,
        position smallint NOT NULL,
        activation text NOT NULL,
        confirm_timeout_s integer NOT NULL,
        auto_rollback boolean NOT NULL,
        unhealthy_after integer NOT NULL,
        concurrency text NOT NULL,
        require_status jsonb NOT NULL
    )
    """,
    """
    INSERT INTO environments
    SELECT name, position, 'instant', 300, false, 3, 'reject',
           '["registered", "validated", "deployed", "active"]'
    FROM unnest(ARRAY['development', 'testing', 'staging', 'production'])
         WITH ORDINALITY AS names (name, position)
    """,
    """
    CREATE TABLE events (
        event_id uuid PRIMARY KEY,
        entity_id uuid,
        sequence bigint,
        type text NOT NULL,
        subject text NOT NULL,
        nats_subject text NOT NULL,
        body text NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX events_of_subject ON events (subject, sequence)",
    """
    CREATE TABLE outbox (
        outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_ids uuid[] NOT NULL,
        created_at timestamptz NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
    """,
    """
    CREATE TABLE idempotency (
        caller text,
        operation text,
        key text,
        fingerprint bytea NOT NULL,
        code text,
        reply text NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (caller, operation, key)
    )
    """,
    "CREATE INDEX idempotency_expiring ON idempotency (expires_at)",
)


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE idempotency, outbox, events, environments, deployments, entities")
