"""What all workers together have counted since this gateway started, however they come and go.

A counter must not fall when a worker ends, and must not jump when a gateway meets one that has run for days.
So a worker that is gone stays counted with its last word, and one that is older than this gateway counts from
when it was first met.
"""

import time
from collections.abc import Iterable, Sequence

from contracts.metrics import COMMANDS, SECONDS, Counts, RequestFigures, WorkerCounts, WorkerFigures

_OLDER_SECONDS = 60.0
_MOST_KNOWN = 256


def nothing() -> WorkerCounts:
    """What a worker has counted that has done nothing."""
    return WorkerCounts(
        requests={},
        deployments={},
        published=0,
        batches=Counts(counts=[0] * (len(COMMANDS) + 1), total=0.0),
        relay_lag=Counts(counts=[0] * (len(SECONDS) + 1), total=0.0),
    )


class WorkerTotals:
    """Takes what workers tell, gives the sums."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._gone = nothing()
        self._latest: dict[str, WorkerCounts] = {}

    def take(self, told: Iterable[WorkerFigures]) -> WorkerCounts:
        """The sum of all that was ever told."""
        for figures in told:
            if figures.worker not in self._latest and self._is_older(figures):
                self._gone = plus(self._gone, figures.counts, -1)
            self._latest.pop(figures.worker, None)  # the one heard of last stands last
            self._latest[figures.worker] = figures.counts
        while len(self._latest) > _MOST_KNOWN:
            self._gone = plus(self._gone, self._latest.pop(next(iter(self._latest))))
        total = self._gone
        for counts in self._latest.values():
            total = plus(total, counts)
        return total

    def _is_older(self, figures: WorkerFigures) -> bool:
        return figures.uptime_seconds > time.monotonic() - self._started + _OLDER_SECONDS


def plus(one: WorkerCounts, other: WorkerCounts, times: int = 1) -> WorkerCounts:
    """One and so many times the other."""
    requests = dict(one.requests)
    for subject, figures in other.requests.items():
        before = requests.get(subject) or RequestFigures(
            outcomes={}, seconds=Counts(counts=[0] * len(figures.seconds.counts), total=0.0)
        )
        requests[subject] = RequestFigures.model_construct(
            outcomes=_plus(before.outcomes, figures.outcomes, times),
            seconds=_plus_counts(before.seconds, figures.seconds, times),
        )
    deployments = dict(one.deployments)
    for event, by_environment in other.deployments.items():
        deployments[event] = _plus(deployments.get(event, {}), by_environment, times)
    return WorkerCounts.model_construct(
        requests=requests,
        batches=_plus_counts(one.batches, other.batches, times),
        deployments=deployments,
        published=one.published + times * other.published,
        relay_lag=_plus_counts(one.relay_lag, other.relay_lag, times),
    )


def _plus(one: dict[str, int], other: dict[str, int], times: int) -> dict[str, int]:
    return {
        name: one.get(name, 0) + times * other.get(name, 0) for name in [*one, *(other.keys() - one.keys())]
    }


def _plus_counts(one: Counts, other: Counts, times: int) -> Counts:
    return Counts.model_construct(
        counts=_plus_each(one.counts, other.counts, times), total=one.total + times * other.total
    )


def _plus_each(one: Sequence[int], other: Sequence[int], times: int) -> list[int]:
    return [mine + times * theirs for mine, theirs in zip(one, other, strict=True)]
