"""How delivery goes, by environment: the four figures of DORA, from what is on record.

Each environment's newest 5,000 deployments of the window are looked at, by index: the cost is bounded.
"""

from typing import NamedTuple

from contracts import subjects
from worker.store.transaction import Transaction

WINDOW_DAYS = 28
_MOST = 5_000
_SAMPLES = 1_000
_CREATED, _UPDATED = (subjects.event_type("entity", event) for event in ("created", "updated"))

_COUNTED = """
SELECT environment, count(*) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status <> 'active')
FROM deployments WHERE status IN ('active', 'deploying', 'pending') GROUP BY environment
"""

# Deployments came into their status along the index of environment and status: the newest of all are among
# the newest of each. What changed the entity is the last of its own events before the deployment; one that
# had another before it since that change is no first one.
_DELIVERED = f"""
WITH decided AS MATERIALIZED (
    SELECT newest.*, deployed_at + coalesce(deployment_duration_ms, 0) * interval '1 ms' AS arrived_at,
        row_number() OVER (PARTITION BY newest.environment ORDER BY deployed_at DESC) AS number
    FROM environments e
    CROSS JOIN (VALUES ('active'), ('inactive'), ('rolled_back'), ('failed')) AS decided_as (status)
    CROSS JOIN LATERAL (
        SELECT d.environment, d.status, d.deployed_at, d.entity_id, d.deployment_duration_ms, d.rolled_back_at
        FROM deployments d
        WHERE d.environment = e.environment AND d.status = decided_as.status
            AND d.deployed_at > clock_timestamp() - interval '{WINDOW_DAYS} days'
        ORDER BY d.deployed_at DESC, d.deployment_id DESC LIMIT {_MOST}
    ) newest
), lead AS (
    SELECT d.environment, extract(epoch FROM d.arrived_at - change.created_at) AS seconds
    FROM decided d
    CROSS JOIN LATERAL (
        SELECT created_at FROM events
        WHERE subject = d.entity_id::text AND created_at <= d.deployed_at
            AND type IN ('{_CREATED}', '{_UPDATED}')
        ORDER BY sequence DESC LIMIT 1
    ) change
    WHERE d.number <= {_SAMPLES} AND d.status <> 'failed' AND NOT EXISTS (
        SELECT FROM deployments before
        WHERE before.entity_id = d.entity_id AND before.environment = d.environment
            AND before.deployed_at >= change.created_at AND before.deployed_at < d.deployed_at
    )
)
SELECT environment,
    count(*) FILTER (WHERE status <> 'failed'),
    count(*) FILTER (WHERE status IN ('failed', 'rolled_back')),
    count(*),
    (percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM rolled_back_at - arrived_at))
        FILTER (WHERE status = 'rolled_back'))::float8,
    (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FROM lead
        WHERE lead.environment = decided.environment)::float8,
    CASE WHEN count(*) < {_MOST} THEN {WINDOW_DAYS}
        ELSE extract(epoch FROM clock_timestamp() - min(deployed_at)) / 86400 END::float8
FROM decided WHERE number <= {_MOST} GROUP BY environment
"""  # noqa: S608 - made of constants


class Delivered(NamedTuple):
    """An environment's deployments of the window: how many, of how many days, and medians in seconds."""

    activated: int = 0
    gone_wrong: int = 0
    decided: int = 0
    restore_seconds: float | None = None
    lead_seconds: float | None = None
    days: float = WINDOW_DAYS


class There(NamedTuple):
    """What is in an environment now."""

    active: int = 0
    waiting: int = 0


def there(transaction: Transaction) -> dict[str, There]:
    """What is active and what waits, by environment."""
    return {environment: There(*row) for environment, *row in transaction.execute(_COUNTED)}


def delivered(transaction: Transaction) -> dict[str, Delivered]:
    """What was decided in the window, by environment."""
    return {environment: Delivered(*row) for environment, *row in transaction.execute(_DELIVERED)}
