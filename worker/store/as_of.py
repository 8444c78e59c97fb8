"""What was active at a time: for each place a step back along an index from that time.

A row of ``deployments`` knows when it was last active; ``former_activations`` has the times before that. The
cost grows with the number of places, and not with what happened in them; only where nothing was active then,
what came before is walked.
"""

from datetime import datetime

from contracts.environments import ENVIRONMENTS, EnvironmentName
from contracts.ids import Id
from contracts.values import timestamp
from worker.domain.facts import Deployment
from worker.store import rows
from worker.store.queries import Page, Which, bounds, page_of
from worker.store.transaction import Transaction

_AS_OF = """
WITH places AS (
    SELECT e.entity_id, environment
    FROM entities e CROSS JOIN unnest(%(environments)s::text[]) AS environment {of_entity}
), found AS MATERIALIZED (
    SELECT was.deployment_id, was.deployed_at
    FROM places CROSS JOIN LATERAL (
        (SELECT deployment_id FROM deployments
        WHERE entity_id = places.entity_id AND environment = places.environment AND deployed_at <= %(then)s
            AND activated_at <= %(then)s AND (status = 'active' OR deactivated_at > %(then)s)
        ORDER BY deployed_at DESC, deployment_id DESC
        LIMIT 1)
        UNION ALL
        (SELECT deployment_id FROM former_activations
        WHERE entity_id = places.entity_id AND environment = places.environment
            AND activated_at <= %(then)s AND deactivated_at > %(then)s
        ORDER BY activated_at DESC
        LIMIT 1)
        LIMIT 1
    ) active
    CROSS JOIN LATERAL (
        SELECT deployment_id, deployed_at FROM deployments WHERE deployment_id = active.deployment_id LIMIT 1
    ) was
), page AS (
    SELECT * FROM found WHERE (deployed_at, deployment_id) < (%(at)s::timestamptz, %(id)s::uuid)
    ORDER BY deployed_at DESC, deployment_id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT total, {columns}
FROM (SELECT count(*) AS total FROM found) counted
LEFT JOIN (
    page CROSS JOIN LATERAL (SELECT * FROM deployments WHERE deployment_id = page.deployment_id LIMIT 1) d
) ON true
ORDER BY d.deployed_at DESC, d.deployment_id DESC
"""


def active_at(
    transaction: Transaction,
    then: datetime,
    which: Which,
    *,
    environment: EnvironmentName | None,
    entity_id: Id | None,
) -> Page[Deployment]:
    """What was active at a time, as the records are now, newest first."""
    of_entity = "WHERE e.entity_id = %(entity_id)s::uuid" if entity_id else ""
    found = transaction.execute(
        _AS_OF.format(of_entity=of_entity, columns=rows.DEPLOYMENT_COLUMNS),
        {
            **bounds(which),
            "then": timestamp(then),
            "environments": [environment] if environment else list(ENVIRONMENTS),
            "entity_id": entity_id,
        },
    )
    return page_of(
        [rows.deployment(row) for _, *row in found if row[0] is not None],
        which,
        (found[0][0], None),
        at_least=0,
        position=lambda item: (item.deployed_at, item.deployment_id),
    )
