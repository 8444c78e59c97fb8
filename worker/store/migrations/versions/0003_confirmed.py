"""Confirmed environments: what waits and until when, health, quarantine, and when what was active.

On a large database make the indexes of deployments and events before, by ``CREATE INDEX CONCURRENTLY`` under
the same names, which holds up no writes. What writes wait for comes last.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = (
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


# Health reports are events, too, and may be many: what brought a configuration is found without passing them.
_INDEXES = (
    """
    CREATE INDEX IF NOT EXISTS events_of_arrivals ON events (subject, sequence)
    WHERE type IN ('library.deployment.completed.v1', 'library.deployment.reactivated.v1',
        'library.deployment.started.v1')
    """,
    """
    CREATE INDEX IF NOT EXISTS deployments_waiting
    ON deployments (entity_id, environment, deployed_at, deployment_id)
    WHERE status IN ('deploying', 'pending')
    """,
    "CREATE INDEX IF NOT EXISTS deployments_due ON deployments (confirm_by) WHERE status = 'deploying'",
)
_COLUMNS = """
ALTER TABLE deployments
    ADD COLUMN unhealthy_reports integer NOT NULL DEFAULT 0,
    ADD COLUMN came_back_for_health boolean NOT NULL DEFAULT false
"""

# A trigger, so that the previous release's workers, which go on beside this one's, leave no gap either. It
# costs a deploy nothing: what supersedes another does not touch the column.
_KEEP = """
CREATE FUNCTION keep_former_activation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO former_activations
    VALUES (OLD.deployment_id, OLD.entity_id, OLD.environment, OLD.activated_at, OLD.deactivated_at)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER former_activation AFTER UPDATE OF activated_at ON deployments FOR EACH ROW
WHEN (OLD.activated_at IS NOT NULL AND OLD.activated_at IS DISTINCT FROM NEW.activated_at)
EXECUTE FUNCTION keep_former_activation()
"""


def upgrade() -> None:
    op.execute("SET LOCAL statement_timeout = 0")
    for statement in (*_TABLES, _FILL, *_INDEXES, _COLUMNS, _KEEP, _TRIGGER):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER former_activation ON deployments")
    op.execute("DROP FUNCTION keep_former_activation")
    op.execute("DROP TABLE quarantine, former_activations")
    op.execute("DROP INDEX deployments_due, deployments_waiting, events_of_arrivals")
    op.execute("ALTER TABLE deployments DROP COLUMN came_back_for_health, DROP COLUMN unhealthy_reports")
