"""Confirmed environments: what waits and until when, health, quarantine, and when what was active.

On a large database make the indexes of deployments before, by ``CREATE INDEX CONCURRENTLY`` under the same
names, which holds up no writes.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = (
    """
    ALTER TABLE deployments
        ADD COLUMN unhealthy_reports integer NOT NULL DEFAULT 0,
        ADD COLUMN came_back_for_health boolean NOT NULL DEFAULT false
    """,
    """
    CREATE INDEX IF NOT EXISTS deployments_waiting
    ON deployments (entity_id, environment, deployed_at, deployment_id)
    WHERE status IN ('deploying', 'pending')
    """,
    "CREATE INDEX IF NOT EXISTS deployments_due ON deployments (confirm_by) WHERE status = 'deploying'",
    """
    CREATE TABLE former_activations (
        deployment_id uuid NOT NULL,
        entity_id uuid NOT NULL,
        environment text NOT NULL,
        activated_at timestamptz NOT NULL,
        deactivated_at timestamptz NOT NULL,
        PRIMARY KEY (deployment_id, activated_at)
    )
    """,
    """
    CREATE INDEX former_activations_of_entity
    ON former_activations (entity_id, environment, activated_at)
    """,
    """
    CREATE TABLE quarantine (
        quarantine_id uuid PRIMARY KEY,
        entity_id uuid NOT NULL,
        environment text NOT NULL,
        version text NOT NULL,
        snapshot_digest text NOT NULL,
        deployment_id uuid NOT NULL,
        since timestamptz NOT NULL,
        reason text NOT NULL,
        lifted_at timestamptz,
        lifted_by text,
        lift_reason text
    )
    """,
    """
    CREATE INDEX quarantine_in_force ON quarantine (entity_id, environment, since, quarantine_id)
    WHERE lifted_at IS NULL
    """,
    "CREATE INDEX quarantine_newest ON quarantine (since, quarantine_id)",
)

# A row of deployments knows its last activation alone; the former ones are in the log.
_ACTIVATION = "type IN ('library.deployment.completed.v1', 'library.deployment.reactivated.v1')"
_END = (
    "type IN ('library.deployment.superseded.v1', 'library.deployment.retired.v1', "
    "'library.deployment.rolled_back.v1')"
)
_FILL = f"""
INSERT INTO former_activations
SELECT subject::uuid, entity_id, split_part(nats_subject, '.', 5), created_at, ended_at
FROM (
    SELECT subject, entity_id, nats_subject, created_at, activates,
        lead(created_at) OVER (PARTITION BY subject ORDER BY sequence) AS ended_at,
        row_number() OVER (PARTITION BY subject, activates ORDER BY sequence DESC) AS turn
    FROM (
        SELECT subject, entity_id, nats_subject, created_at, sequence, {_ACTIVATION} AS activates
        FROM events WHERE {_ACTIVATION} OR {_END}
    ) moves
) told
WHERE activates AND turn > 1 AND ended_at IS NOT NULL
"""  # noqa: S608 - made of constants


def upgrade() -> None:
    op.execute("SET LOCAL statement_timeout = 0")
    for statement in _TABLES:
        op.execute(statement)
    op.execute(_FILL)


def downgrade() -> None:
    op.execute("DROP TABLE quarantine, former_activations")
    op.execute("DROP INDEX deployments_due, deployments_waiting")
    op.execute("ALTER TABLE deployments DROP COLUMN came_back_for_health, DROP COLUMN unhealthy_reports")
