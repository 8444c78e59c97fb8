"""How delivery goes, told anew only as often as it is cheap to find out."""

import threading
import time

from contracts.delivery import Delivery, EnvironmentDelivery
from contracts.environments import ENVIRONMENTS
from worker.store import delivery, facts
from worker.store.delivery import WINDOW_DAYS, Delivered, There
from worker.store.transaction import Transaction

_SHARE = 20
"""What took a second to find out holds for twenty: asking often costs the database a twentieth at most."""


class DeliveryFigures:
    """The answer, kept for a while; for any threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: bytes = b""
        self._until = 0.0

    def answer(self, transaction: Transaction) -> bytes:
        """The body of a ``Delivery``."""
        with self._lock:
            began = time.monotonic()
            if began >= self._until:
                self._known = _measure(transaction).model_dump_json().encode()
                ended = time.monotonic()
                self._until = ended + (ended - began) * _SHARE
            return self._known


def _measure(transaction: Transaction) -> Delivery:
    there, delivered = delivery.there(transaction), delivery.delivered(transaction)
    return Delivery(
        measured_at=facts.clock(transaction),
        window_days=WINDOW_DAYS,
        environments=[
            _environment(name, there.get(name, There()), delivered.get(name, Delivered()))
            for name in ENVIRONMENTS
        ],
    )


def _environment(name: str, there: There, delivered: Delivered) -> EnvironmentDelivery:
    decided = delivered.decided
    return EnvironmentDelivery(
        environment=name,
        active=there.active,
        waiting=there.waiting,
        deployments_per_day=delivered.activated / max(delivered.days, 1 / 24),
        lead_time_seconds=delivered.lead_seconds,
        change_failure_ratio=delivered.gone_wrong / decided if decided else None,
        time_to_restore_seconds=delivered.restore_seconds,
    )
