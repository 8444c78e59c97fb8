"""``make bench``: what a deploy costs, beside the seed document's service, PostgreSQL alone and others.

They take turns on one PostgreSQL and one nats-server, round after round, one load at a time. Progress goes to
standard error; the last line on standard output has the ratios.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import contestants, databases, hot_swap, load, page, processor, product, report
from benchmarks.contestants import Contestant, Drive
from benchmarks.measures import Figures, Run

REST_S = 30.0
WARM_S = 1.0
FULL = 64
_POLL_S = 0.02
_UNPUBLISHED = "the product does not publish its events"


class WorkLostError(Exception):
    """A contestant did not do what it answered, or left work undone."""


class Bench:
    """A run: rounds, lengths in seconds, and what was found so far."""

    def __init__(self, running: product.Product, *, rounds: int, seconds: float, entities: int) -> None:
        self.running = running
        self.rounds, self.seconds, self.entities = rounds, seconds, entities
        self.found: dict[str, report.Measured] = {}

    async def measure(self, only: Sequence[str]) -> report.Report:
        """All rounds, and then whether everybody did what it said."""
        field = await contestants.prepare(self.running, only=only, entities=self.entities)
        self.found = {each.name: report.Measured(each.title) for each in field}
        for number in range(1, self.rounds + 1):
            for contestant in field:
                _say(f"round {number} of {self.rounds}: {contestant.title}")
                async with contestant.running() as drive:
                    await self._turn(contestant, drive)
        verify(field, self.found)
        return report.Report(
            taken=report.now(),
            machine=report.machine(),
            rounds=self.rounds,
            seconds=self.seconds,
            entities=self.entities,
            contestants=self.found,
            swaps=await self._swaps() if not only else {},
        )

    async def _swaps(self) -> dict[str, list[Figures]]:
        """After everything else: it adds entities and deployments of its own."""
        found: dict[str, list[Figures]] = {}
        for number in range(1, self.rounds + 1):
            for activation in hot_swap.ENVIRONMENTS:
                await self._rest()
                run = await hot_swap.measure(self.running.nats, activation)
                _say(f"round {number} of {self.rounds}: hot swap, {activation} {run.figures}")
                found.setdefault(activation, []).append(run.figures)
        return found

    async def _turn(self, contestant: Contestant, drive: Drive) -> None:
        measured = self.found[contestant.name]
        warmed = await drive(callers=min(16, max(contestant.callers)), seconds=WARM_S)
        measured.answers += len(warmed.latencies)
        for callers in contestant.callers:
            await self._rest()
            seconds = self.seconds if callers == FULL else self.seconds / 2
            before = processor.spent()
            run = await drive(callers=callers, seconds=seconds)
            announced_after = await self._announced(contestant)
            cpu = processor.each(before, processor.spent(), len(run.latencies))
            measured.rounds.setdefault(callers, []).append(report.Round(run.figures, cpu, announced_after))
            self._note(contestant, callers, run)

    def _note(self, contestant: Contestant, callers: int, run: Run) -> None:
        self.found[contestant.name].answers += len(run.latencies)
        cpu = self.found[contestant.name].rounds[callers][-1].cpu_us
        spent = ", ".join(f"{kind} {value:.0f}" for kind, value in cpu.items() if value >= 1)
        _say(f"  {callers:4} callers {run.figures}   CPU us: {spent}")

    async def _announced(self, contestant: Contestant) -> float | None:
        if contestant.database != self.running.database:
            return None
        started = time.perf_counter()
        await _until(lambda: databases.announced(contestant.database), _UNPUBLISHED)
        return time.perf_counter() - started

    async def _rest(self) -> None:
        """Until nothing of an earlier turn is under way."""
        await _until(lambda: databases.announced(self.running.database), _UNPUBLISHED)
        await _until(lambda: databases.at_rest(self.running.database), "PostgreSQL does not come to rest")


def verify(field: Sequence[Contestant], found: Mapping[str, report.Measured]) -> None:
    """Enter what the databases hold. Raises ``WorkLostError`` where it is not what was answered."""
    for database in dict.fromkeys(each.database for each in field):
        sharing = [each for each in field if each.database == database]
        outcome = databases.outcome(database)
        answers = sum(found[each.name].answers for each in sharing)
        who = " and ".join(each.title for each in sharing)
        if outcome.deployments != answers:
            raise WorkLostError(f"{who}: {answers} answers, {outcome.deployments} deployments")
        wrong = outcome.without_exactly_one_active
        if wrong and all(each.locks for each in sharing):
            raise WorkLostError(f"{who}: {wrong} entities have not exactly one active deployment")
        for each in sharing:
            found[each.name].entities_deployed = outcome.entities_deployed
            found[each.name].without_exactly_one_active = wrong


async def _until(condition: Callable[[], bool], otherwise: str) -> None:
    give_up = time.monotonic() + REST_S
    while not await asyncio.to_thread(condition):
        if time.monotonic() > give_up:
            raise WorkLostError(f"{otherwise} within {REST_S:.0f} s")
        await asyncio.sleep(_POLL_S)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="length at 64 callers; half of it at others"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of 2 seconds: for a first look")
    parser.add_argument("--only", nargs="+", default=[], choices=contestants.NAMES, help="who is measured")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--svg", type=Path, help="where to draw them")
    parser.add_argument(
        "--write", action="store_true", help="renew docs/performance.md, its figures and picture"
    )
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    if options.write and options.only:
        parser.error("--write takes a whole run: leave --only out")
    return options


def main() -> None:
    """Measure, keep, print."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and stop what was started
    started = time.monotonic()
    with product.running() as running:
        bench = Bench(running, rounds=options.rounds, seconds=options.seconds, entities=load.ENTITIES)
        found = asyncio.run(bench.measure(options.only))
    _say(f"done in {time.monotonic() - started:.0f} s")
    if options.json:
        report.write(found, options.json)
    if options.svg:
        options.svg.write_text(page.picture_of(found), encoding="utf-8", newline="\n")
    if options.write:
        page.renew(found)
    for line in page.terminal(found):
        print(line)
    print(report.last_line(found.ratios()))


if __name__ == "__main__":
    main()
