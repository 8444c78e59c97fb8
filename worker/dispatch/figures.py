"""What the lanes count: how large their batches are, and which deployments changed how."""

import threading
from collections import Counter
from collections.abc import Iterable

from contracts.metrics import COMMANDS
from worker.dispatch.transitions import Announced
from worker.domain.facts import Deployment
from worker.domain.figures import Histogram


class LaneFigures:
    """Since the worker's start; deployments by the event that announced them and their environment."""

    def __init__(self) -> None:
        self.batches = Histogram(COMMANDS)
        self.deployments: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def count(self, commands: int, announced: Iterable[Announced]) -> None:
        """Count a batch and what it committed."""
        with self._lock:
            self.batches.observe(commands)
            for event, _ in announced:
                if isinstance(event.about, Deployment):
                    self.deployments[event.name, event.about.environment] += 1
