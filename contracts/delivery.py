"""How delivery goes: the four figures of DORA (dora.dev), and what is active, by environment."""

from datetime import datetime

from contracts.environments import EnvironmentName
from contracts.values import Reply


class EnvironmentDelivery(Reply):
    """An environment's figures; times in seconds, medians; None where nothing tells.

    They are of the last ``window_days``, and of its newest 5,000 deployments at most. A lead time runs from
    an entity's change to the first deployment of it being active; a time to restore from a deployment being
    active to its rollback; the ratio is what failed or was rolled back, of all that became active or failed.
    """

    environment: EnvironmentName
    active: int
    waiting: int
    deployments_per_day: float
    lead_time_seconds: float | None
    change_failure_ratio: float | None
    time_to_restore_seconds: float | None


class Delivery(Reply):
    """All environments, as they were at a time."""

    measured_at: datetime
    window_days: int
    environments: list[EnvironmentDelivery]
