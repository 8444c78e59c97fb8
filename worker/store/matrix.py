"""What runs where: a page of entities by name, with what is active or on its way in each environment."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from contracts.problems import ProblemError
from worker.store.transaction import Transaction


class Row(NamedTuple):
    """An entity; ``places`` is a JSON array as text."""

    entity_id: str
    name: str
    type: str
    version: str
    status: str
    health_status: str
    places: str


# Each entity costs three look-ups by index, however much history it has: the partial indexes of what is
# active, and of what waits.
_PAGE = """
WITH page AS MATERIALIZED (
    SELECT entity_id, name, type, version, status, health_status FROM entities
    WHERE deleted_at IS NULL AND ({condition}) ORDER BY name LIMIT %(limit)s
)
SELECT page.entity_id, name, type, page.version, page.status, health_status, (
    SELECT coalesce(json_agg(json_build_object(
        'environment', e.environment,
        'deployment_id', active.deployment_id,
        'version', active.version,
        'active_since', to_char(active.activated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'unhealthy_reports', coalesce(active.unhealthy_reports, 0),
        'deploying_id', deploying.deployment_id,
        'deploying_version', deploying.version,
        'pending', waiting.pending
    ) ORDER BY e.position), '[]')::text
    FROM environments e
    LEFT JOIN LATERAL (
        SELECT deployment_id, version, activated_at, unhealthy_reports FROM deployments
        WHERE entity_id = page.entity_id AND environment = e.environment AND status = 'active' LIMIT 1
    ) active ON true
    LEFT JOIN LATERAL (
        SELECT deployment_id, version FROM deployments
        WHERE entity_id = page.entity_id AND environment = e.environment AND status = 'deploying' LIMIT 1
    ) deploying ON true
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE status = 'pending') AS pending FROM deployments
        WHERE entity_id = page.entity_id AND environment = e.environment
            AND status IN ('deploying', 'pending')
    ) waiting
    WHERE active.deployment_id IS NOT NULL OR deploying.deployment_id IS NOT NULL OR waiting.pending > 0
) FROM page ORDER BY name
"""
_ALL, _FROM = "true", "name >= %(name)s"
_BEHIND = "name > (SELECT last.name FROM entities last WHERE last.entity_id = %(last)s::uuid)"


def page(
    transaction: Transaction, *, from_name: str | None, cursor: str | None, page_size: int
) -> tuple[Sequence[Row], str | None]:
    """The rows, and the cursor that goes on behind them. Raises ``ProblemError`` for what is no cursor."""
    condition, last = _ALL, None
    if cursor is not None:
        condition, last = _BEHIND, _last(cursor)
    elif from_name is not None:
        condition = _FROM
    found = transaction.execute(
        _PAGE.format(condition=condition), {"name": from_name, "last": last, "limit": page_size + 1}
    )
    rows = [Row(*row) for row in found[:page_size]]
    return rows, str(rows[-1].entity_id) if len(found) > page_size else None


def _last(cursor: str) -> str:
    """The entity that a former page ended with: a name may be longer than a cursor."""
    try:
        return str(UUID(cursor))
    except ValueError:
        raise ProblemError.invalid(("cursor", "is none that a former page gave")) from None
