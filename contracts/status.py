"""The state of the parts, for operators."""

from contracts.values import Reply


class ComponentStatus(Reply):
    """One part: ``up``, ``degraded`` or ``down``, and its figures beside it."""

    status: str


class Status(Reply):
    """The parts the product stands on."""

    nats: ComponentStatus
    database: ComponentStatus
    worker: ComponentStatus
    outbox: ComponentStatus
