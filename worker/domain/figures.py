"""What a process counts of itself while it works. Each is counted by one thread, and may be read by any."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """How often a value was at most so large: a count for each bound, and one for what lies beyond them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_many(self, value: float, times: int) -> None:
        """Count a value that occurred so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


class Outcomes:
    """How requests of one kind ended, by the problem's code or ``ok``, and how long they took in seconds."""

    __slots__ = ("by_code", "durations", "last_error")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.by_code: dict[str, int] = {}
        self.durations = Histogram(bounds)
        self.last_error = ""

    def count(self, seconds: float, code: str | None) -> None:
        """Count a request that was answered, with the problem's code if it was refused."""
        ended = code or "ok"
        self.by_code[ended] = self.by_code.get(ended, 0) + 1
        self.durations.observe(seconds)
        if code is not None:
            self.last_error = code

    @property
    def requests(self) -> int:
        """All that were answered."""
        return sum(self.by_code.copy().values())

    @property
    def errors(self) -> int:
        """Those that were refused."""
        return self.requests - self.by_code.get("ok", 0)
