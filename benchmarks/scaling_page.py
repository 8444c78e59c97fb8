"""What ``make scaling`` measured, as tables of ``docs/scale.md``, and what follows for more machines."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import load
from benchmarks.measures import Figures, median_by_name, median_of, ratio

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
MARKS = "<!-- scaling: written by make scaling -->", "<!-- end of scaling -->"
CALLERS, HOT = 64, 10
PLANNED = (1, 2, 4, 8, 16)
"""Workers, each with a core of its own, for which a rate is computed."""
KINDS = ("worker", "postgres", "nats-server")
_EVENTS = 2
"""Of a deploy that supersedes another."""
_KEY = "load | nats-servers | workers"
SPENT_IN = ("row lock", "sync of the log", "PostgreSQL", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A load on so many workers. CPU in microseconds a deploy, bytes of the logs a deploy.

    ``relay`` is by how much the worker that leads spends more than its answers cost another one.
    """

    workers: int
    figures: Figures
    cpu: dict[str, float]
    relay: float
    busiest: float
    least_share: float
    together: float
    log_bytes: float
    stream_bytes: float
    lanes: dict[str, float]


class Drain(NamedTuple):
    """The relay alone, on events that it has to read back; CPU in microseconds an event."""

    events: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


@dataclass(slots=True)
class Measured:
    """Everything, by a site's title."""

    uniform: dict[tuple[str, int], list[Turn]] = field(default_factory=dict)
    hot: dict[tuple[str, int], list[Turn]] = field(default_factory=dict)
    drains: dict[str, Drain] = field(default_factory=dict)


def tables(found: Measured) -> Iterator[str]:
    """What was measured, and what follows for machines of their own, in Markdown."""
    loads = {f"{load.ENTITIES:,} entities": found.uniform, f"{HOT} entities": found.hot}
    every = [((what, *key), turns) for what, by_key in loads.items() for key, turns in by_key.items()]
    first = {what: next(iter(by_key.values())) for what, by_key in loads.items()}
    yield from _table(
        f"{CALLERS} callers, the median of {len(every[0][1])} rounds",
        f"{_KEY} | deploys/s | to the first | p50 / p99, ms | lesser worker's share | deploys a transaction",
        ([*key, *_rates(turns, first[key[0]])] for key, turns in every),
    )
    yield from _table(
        "CPU in microseconds a deploy",
        f"{_KEY} | workers | PostgreSQL | nats-servers | the busiest of them",
        ([*key, *(f"{value:.0f}" for value in _costs(turns))] for key, turns in every),
    )
    yield from _table(
        "What the workers' lanes spend their time with",
        f"{_KEY} | {' | '.join(SPENT_IN)}",
        (
            [*key, *(f"{median_by_name([each.lanes for each in turns])[name]:.0%}" for name in SPENT_IN)]
            for key, turns in every
        ),
    )
    yield from _table(
        "A relay that reads back what waits, CPU in microseconds an event",
        "nats-servers | events that waited | events/s | worker | PostgreSQL | nats-servers",
        ([title, *_drain(each)] for title, each in found.drains.items()),
    )
    yield from _computed(found)


def _drain(each: Drain) -> Iterator[str]:
    yield from (f"{each.events:,}", f"{each.rate:,.0f}")
    yield from (f"{each.cpu.get(kind, 0):.0f}" for kind in KINDS)


def _middle(turns: Sequence[Turn], figure: Callable[[Turn], float]) -> float:
    return median(map(figure, turns))


def _rates(turns: Sequence[Turn], first: Sequence[Turn]) -> Iterator[str]:
    figures = median_of([each.figures for each in turns])
    yield f"{figures.rate:,.0f}"
    yield f"{ratio([each.figures.rate for each in turns], [each.figures.rate for each in first]).median:.2f}"
    yield f"{figures.p50:.0f} / {figures.p99:.0f}"
    yield f"{_middle(turns, lambda each: each.least_share):.0%}"
    yield f"{_middle(turns, lambda each: each.together):.0f}"


def _costs(turns: Sequence[Turn]) -> Iterator[float]:
    cpu = median_by_name([each.cpu for each in turns])
    yield from (cpu.get(kind, 0) for kind in KINDS)
    yield _middle(turns, lambda each: each.busiest)


def _computed(found: Measured) -> Iterator[str]:
    """What n workers carry, what their relay does, and what the servers are asked for by the lesser of both.

    At least: if its lanes overlapped as little as they did here. At most: if they overlapped until the
    process of the worker that leads is busy all the time. Costs are those of a worker alone, whose batches
    are as large as those of many workers with as many callers each.
    """
    (title, _), turns = list(found.uniform.items())[-1]
    surplus = _middle(turns, lambda each: each.relay)
    alone = next(turns for (where, _), turns in found.uniform.items() if where == title)
    worker, postgres, _, busiest = _costs(alone)
    own = worker - surplus
    turn = _middle(alone, lambda each: 1e6 / each.figures.rate)
    log, stream = _middle(alone, lambda each: each.log_bytes), _middle(alone, lambda each: each.stream_bytes)
    relay = found.drains[title].rate / _EVENTS

    def row(workers: int) -> list[object]:
        least, most = (1e6 / (each / workers + surplus) for each in (max(own, turn - surplus), own))
        rate = min(least, relay) / 1e6
        asked = [f"{rate * each:.1f}" for each in (postgres, busiest)]
        asked += [f"{rate * each:.0f}" for each in (log, stream)]
        return [workers, f"{least:,.0f}", f"{most:,.0f}", f"{relay:,.0f}", *asked]

    yield from _table(
        f"Computed, for {title} nats-servers and machines of their own. An answer costs a worker {own:.0f} "
        f"microseconds of its process, and with its lanes' waits {turn:.0f} went by; a deploy's events cost "
        f"the leader's relay {surplus:.0f}; a deploy takes {log / 1000:.1f} kB of write-ahead log, and "
        f"{stream / 1000:.1f} kB of the stream on each server",
        "workers | deploys/s, at least | at most | the relay's | for the lesser, cores of PostgreSQL "
        "| of the busiest nats-server | MB/s of write-ahead log | of the stream",
        map(row, PLANNED),
    )


def _table(caption: str, heads: str, rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield textwrap.fill(f"{caption}:", 118, break_on_hyphens=False) + "\n"
    yield f"| {heads} |"
    yield "|" + "--:|" * (heads.count("|") + 1)
    yield from (f"| {' | '.join(map(str, row))} |" for row in rows)
    yield ""


def filled(text: str, found: Measured) -> str:
    """The page with these tables. Raises ``ValueError`` where a mark is missing."""
    before, behind = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    return "\n".join((text[:before], *tables(found), text[behind:]))
