"""``docs/performance.md``: its tables and its picture, made of the figures that are kept beside it.

``python -m benchmarks.page [--check]`` writes them anew, or fails where they are not up to date.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks import picture, report
from benchmarks.load import CALLERS
from benchmarks.measures import median_of
from benchmarks.report import Report

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
FIGURES = DOCS / "performance" / "bench.json"
PICTURE = DOCS / "performance" / "bench.svg"

KINDS = ("worker", "gateway", "service", "postgres", "nats-server", "supervisor", "generator")
_FULL = 64
_HEADS = " | ".join(f"{callers} caller{'s' * (callers > 1)}" for callers in CALLERS)


def ratios(found: Report) -> Iterable[str]:
    """The product beside the others."""
    texts = {
        "seed_at_64": "deploys a second at 64 callers, times the seed document's service",
        "postgresql_at_64": "deploys a second at 64 callers, of PostgreSQL alone",
        "lone_p50_of_seed": "median latency of a lone caller, of the seed document's service",
    }
    yield "| library over NATS | median | rounds | should be | aim |"
    yield "|---|--:|--:|--:|--:|"
    for name, each in found.ratios().items():
        least, aim = report.WANTED[name]
        bound = "at most" if aim < least else "at least"
        yield (
            f"| {texts[name]} | **{_short(each.median)}** | {_short(each.lowest)} to {_short(each.highest)} "
            f"| {bound} {least:g} | {aim:g} |"
        )


def rates(found: Report) -> Iterable[str]:
    """Deploys a second and correctness."""
    yield ("| contestant | " + _HEADS + " | not exactly one active |")
    yield "|---|" + "--:|" * (len(CALLERS) + 1)
    for each in found.contestants.values():
        cells = [f"{figures.rate:,.0f}" if (figures := each.median(callers)) else "" for callers in CALLERS]
        wrong = f"{each.without_exactly_one_active} of {each.entities_deployed:,} entities"
        yield f"| {each.title} | {' | '.join(cells)} | {wrong} |"


def latencies(found: Report) -> Iterable[str]:
    """Milliseconds: p50, p99, p99.9."""
    yield "| contestant | " + _HEADS + " |"
    yield "|---|" + "--:|" * len(CALLERS)
    for each in found.contestants.values():
        cells = [
            " / ".join(map(_short, (figures.p50, figures.p99, figures.p999)))
            if (figures := each.median(callers))
            else ""
            for callers in CALLERS
        ]
        yield f"| {each.title} | {' | '.join(cells)} |"


def processors(found: Report) -> Iterable[str]:
    """Microseconds of CPU a deploy by process, at 64 callers."""
    yield f"| contestant | {' | '.join(KINDS)} | all but the generator |"
    yield "|---|" + "--:|" * (len(KINDS) + 1)
    for each in found.contestants.values():
        spent = each.cpu_us(_FULL)
        if not spent:
            continue
        cells = [f"{spent[kind]:,.0f}" if spent.get(kind, 0) >= 1 else "" for kind in KINDS]
        served = sum(value for kind, value in spent.items() if kind != "generator")
        yield f"| {each.title} | {' | '.join(cells)} | {served:,.0f} |"


def swaps(found: Report) -> Iterable[str]:
    """Milliseconds from a request to the consumer's ``activate``, one at a time, 1,000 entities watched."""
    yield "| environment | p50 | p99 |"
    yield "|---|--:|--:|"
    for activation, rounds in found.swaps.items():
        figures = median_of(rounds)
        yield f"| {activation} | {_short(figures.p50)} | {_short(figures.p99)} |"


def machine(found: Report) -> Iterable[str]:
    """Where and when."""
    here = found.machine
    packages = ", ".join(f"{name} {number}" for name, number in sorted(here.packages.items()))
    lag = [
        each.announced_after_s
        for each in found.contestants["product"].rounds[_FULL]
        if each.announced_after_s is not None
    ]
    yield (
        f"Taken {found.taken}: {here.cores} cores of {here.processor}, {here.memory_gib} GiB, {here.system}, "
        f"Python {here.python}; {packages}. Rounds: {found.rounds}, of {found.seconds:g} s at 64 callers and "
        f"{found.seconds / 2:g} s at others, {found.entities:,} entities. After library's last answer at 64, "
        f"every event was announced within {max(lag):.2f} s."
    )


_PARTS: tuple[Callable[[Report], Iterable[str]], ...] = (ratios, rates, latencies, processors, swaps, machine)


def filled(text: str, found: Report) -> str:
    """The page with its parts as they should be. Raises ``ValueError`` where a mark is missing."""
    for part in _PARTS:
        start = f"<!-- {part.__name__}: written by make bench -->"
        before = text.index(start) + len(start)
        behind = text.index(f"<!-- end of {part.__name__} -->")
        text = "\n".join((text[:before], "", *part(found), "", text[behind:]))
    return text


def picture_of(found: Report) -> str:
    """The figures, drawn."""
    bars = {each.title: each.median(_FULL) for each in found.contestants.values()}
    spread = {
        each.title: {callers: figures for callers in CALLERS if (figures := each.median(callers))}
        for name, each in found.contestants.items()
        if name in ("product", "seed", "postgresql")
    }
    return picture.draw(
        rates={title: figures.rate for title, figures in bars.items() if figures},
        latencies=spread,
        cpu={
            each.title: _stacked(each.cpu_us(_FULL))
            for each in found.contestants.values()
            if each.rounds.get(_FULL)
        },
    )


def _stacked(spent: Mapping[str, float]) -> dict[str, float]:
    """By what the picture tells apart."""
    parts = {"service": ("worker", "gateway", "service", "supervisor"), "PostgreSQL": ("postgres",)}
    parts |= {"NATS": ("nats-server",), "load generator": ("generator",)}
    return {name: sum(spent.get(kind, 0.0) for kind in kinds) for name, kinds in parts.items()}


def renew(found: Report) -> None:
    """Write figures, picture and page."""
    report.write(found, FIGURES)
    kept = report.read(FIGURES)
    PICTURE.write_text(picture_of(kept), encoding="utf-8", newline="\n")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), kept), encoding="utf-8", newline="\n")


def stale() -> list[str]:
    """The files that are not what the kept figures make of them."""
    kept = report.read(FIGURES)
    wanted = {PAGE: filled(PAGE.read_text(encoding="utf-8"), kept), PICTURE: picture_of(kept)}
    return [path.name for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]


def terminal(found: Report) -> Iterable[str]:
    """A line for each contestant and number of callers."""
    for each in found.contestants.values():
        for callers in each.rounds:
            yield f"{each.title:36} {callers:4} callers {each.median(callers)}"
        if wrong := each.without_exactly_one_active:
            yield f"{each.title:36} left {wrong} entities without exactly one active deployment"
    for activation, rounds in found.swaps.items():
        yield f"{f'hot swap, {activation}':36}    1 caller  {median_of(rounds)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main() -> int:
    """The exit status: 1 where ``--check`` finds something out of date."""
    parser = argparse.ArgumentParser(description="Write tables and picture of docs/performance.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is not up to date")
    if not parser.parse_args().check:
        renew(report.read(FIGURES))
        return 0
    for name in stale():
        sys.stderr.write(f"{name} is not what the kept figures say; run python -m benchmarks.page\n")
    return 1 if stale() else 0


if __name__ == "__main__":
    sys.exit(main())
