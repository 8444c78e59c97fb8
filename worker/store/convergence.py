"""What is active beside what agents say that they run."""

from collections.abc import Sequence
from datetime import datetime

from contracts import subjects
from contracts.environments import EnvironmentName
from worker.domain.convergence import Applied, Beside
from worker.store.transaction import Transaction

_ACTIVATIONS = ", ".join(
    f"'{subjects.event_type('deployment', event)}'" for event in ("completed", "reactivated")
)
_BESIDE = f"""
SELECT clock_timestamp(), d.deployment_id, activation.sequence, d.activated_at, ended.deactivated_at
FROM unnest(%(entities)s::uuid[], %(applied)s::uuid[]) WITH ORDINALITY
    AS asked (entity_id, deployment_id, number)
LEFT JOIN LATERAL (
    SELECT deployment_id, activated_at FROM deployments
    WHERE entity_id = asked.entity_id AND environment = %(environment)s AND status = 'active'
    LIMIT 1
) d ON true
LEFT JOIN LATERAL (
    SELECT sequence FROM events
    WHERE subject = d.deployment_id::text AND type IN ({_ACTIVATIONS})
    ORDER BY sequence DESC
    LIMIT 1
) activation ON true
LEFT JOIN LATERAL (
    SELECT deactivated_at FROM deployments
    WHERE deployment_id = asked.deployment_id AND status <> 'active'
    LIMIT 1
) ended ON true
ORDER BY asked.number
"""  # noqa: S608 - made of constants


def beside(
    transaction: Transaction, environment: EnvironmentName, applied: Sequence[Applied]
) -> tuple[datetime | None, list[Beside]]:
    """For each agent what is active for its entity, and the database's time (None where nothing is asked)."""
    found = transaction.execute(
        _BESIDE,
        {
            "entities": [each.entity_id for each in applied],
            "applied": [each.deployment_id for each in applied],
            "environment": environment,
        },
    )
    return (found[0][0] if found else None), [Beside(*row) for _, *row in found]
