"""What keeps requests flat as the tables grow: indexes for every filter, totals by the planner, vacuuming.

On a large database make the indexes before, by ``CREATE INDEX CONCURRENTLY`` under the same names, which
holds up no writes; then this has nothing left to build.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ESTIMATE = """
CREATE OR REPLACE FUNCTION planner_estimate(source text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT 1 FROM ' || source INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint;
END
$$
"""
_INDEXES = (
    """
    CREATE INDEX IF NOT EXISTS entities_by_type ON entities (type, status, created_at, entity_id)
    WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX IF NOT EXISTS entities_by_status ON entities (status, created_at, entity_id)
    WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX IF NOT EXISTS deployments_by_status
    ON deployments (environment, status, deployed_at, deployment_id)
    """,
)

# Shares of a table grow with it; what is left to clean up at once should not. Events are never updated: they
# are vacuumed for the visibility map, which spares their index scans the table, and frozen on the way.
_STORAGE = {
    "deployments": {
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_vacuum_insert_scale_factor": 0.02,
        "autovacuum_analyze_scale_factor": 0.02,
    },
    "entities": {"autovacuum_vacuum_scale_factor": 0.02, "autovacuum_analyze_scale_factor": 0.02},
    "events": {"autovacuum_vacuum_insert_scale_factor": 0.02, "autovacuum_analyze_scale_factor": 0.02},
    "idempotency": {
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_vacuum_insert_scale_factor": 0.02,
    },
}


def upgrade() -> None:
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute("SET LOCAL maintenance_work_mem = '256MB'")
    op.execute(_ESTIMATE)
    for table, options in _STORAGE.items():
        op.execute(
            f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in options.items())})"
        )
    for statement in _INDEXES:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX deployments_by_status, entities_by_status, entities_by_type")
    op.execute("DROP FUNCTION planner_estimate")
    for table, options in _STORAGE.items():
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(options)})")
    for table in ("entities", "deployments"):
        op.execute(f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.05)")
