"""What is due: deployments whose time to be confirmed is over, by the database's clock."""

from contracts.ids import Id
from worker.store.transaction import Transaction

AT_ONCE = 512

_DUE = """
SELECT deployment_id FROM deployments WHERE status = 'deploying' AND confirm_by < (SELECT clock_timestamp())
ORDER BY confirm_by LIMIT %(limit)s
"""


def unconfirmed(transaction: Transaction) -> list[Id]:
    """Those that are overdue, the oldest first, at most 512. By index, whatever waits."""
    return [row[0] for row in transaction.execute(_DUE, {"limit": AT_ONCE})]
