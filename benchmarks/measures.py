"""The arithmetic of the benchmark: percentiles, medians of rounds, ratios within a round."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1] of them do not exceed: its nearest rank.

    Of fewer than 1,000 values, 0.999 gives the largest.
    """
    if not ascending:
        raise ValueError("nothing was measured")
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


@dataclass(frozen=True, slots=True)
class Figures:
    """Rate a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    p999: float

    def __str__(self) -> str:
        return f"{self.rate:8.0f}/s   p50 {self.p50:7.2f}   p99 {self.p99:7.2f}   p99.9 {self.p999:7.2f} ms"


@dataclass(frozen=True, slots=True)
class Run:
    """Latencies in seconds, in any order, and how long it took to measure them all."""

    latencies: Sequence[float]
    elapsed: float

    @property
    def figures(self) -> Figures:
        ascending = sorted(self.latencies)
        p50, p99, p999 = (percentile(ascending, share) * 1000 for share in (0.5, 0.99, 0.999))
        return Figures(len(ascending) / self.elapsed, p50, p99, p999)


def median_of(rounds: Sequence[Figures]) -> Figures:
    """Each figure's median over the rounds."""
    return Figures(
        median(each.rate for each in rounds),
        median(each.p50 for each in rounds),
        median(each.p99 for each in rounds),
        median(each.p999 for each in rounds),
    )


def median_by_name(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each name's values; a name that a round lacks counts as 0 there."""
    names = dict.fromkeys(name for each in rounds for name in each)
    return {name: median(each.get(name, 0.0) for each in rounds) for name in names}


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the rounds' ratios, and what they spread over."""

    median: float
    lowest: float
    highest: float


def ratio(of: Sequence[float], to: Sequence[float]) -> Ratio:
    """Each round's value to the other's of the same round: a machine that changes speed changes both."""
    each = [one / other for one, other in zip(of, to, strict=True)]
    return Ratio(median(each), min(each), max(each))
