"""The example whose strategy is swapped under load: every tick is handled, whatever happens beside it."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from contracts import subjects

ROOT = Path(__file__).parents[2]
PLACE = "development"
SWAPPED = re.compile(
    r"(?P<name>\S+): swapped to (?P<new>.+); ticks with the old one: (?P<before>\d+) before and "
    r"(?P<during>\d+) during the swap, with the new one so far: (?P<after>\d+); missed: (?P<missed>\d+)"
)
SUMMARY = re.compile(
    r"(?P<name>\S+): (?P<expected>\d+) ticks expected, (?P<handled>\d+) handled, (?P<missed>\d+) missed "
    r"over (?P<swaps>\d+) swaps; a tick waited \S+ ms at most"
)
HANDLED = re.compile(r"\S+: (\d+) handled with (.+)")


class Runner:
    """A process of the example, and the lines it prints."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.lines: SimpleQueue[str] = SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "examples/strategy_runner.py", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip())

    def line(self) -> str:
        """The next line."""
        try:
            return self.lines.get(timeout=20)
        except Empty:
            raise AssertionError("nothing is printed") from None

    def swap(self) -> dict[str, str]:
        """The figures of the next swap."""
        line = self.line()
        matched = SWAPPED.fullmatch(line)
        assert matched, line
        return matched.groupdict()

    def stop(self) -> list[str]:
        """Interrupt it; what it printed last."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(20) == 0
        self._reader.join()
        return [self.lines.get() for _ in range(self.lines.qsize())]


@pytest.fixture
def start(system) -> Iterator:
    """Starts the example, which ends with the test."""
    started: list[Runner] = []

    def starting(*arguments: str) -> Runner:
        started.append(Runner([*arguments], system.environment))
        return started[-1]

    yield starting
    for runner in started:
        runner.process.kill()
        runner.process.communicate()
        runner._reader.join()


@pytest.fixture
async def confirmed(caller):
    listed = (await caller.ask(subjects.ENVIRONMENT_LIST))["environments"]
    before = next(each for each in listed if each["environment"] == PLACE)
    await caller.ask(subjects.ENVIRONMENT_SET, environment=PLACE, activation="confirmed")
    yield
    await caller.ask(subjects.ENVIRONMENT_SET, **before)


async def release(caller, entity, version, threshold):
    """A new version with its configuration, deployed."""
    config = {"threshold": threshold}
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], version=version, config=config)
    return await caller.deploy(entity, PLACE, wait=True)


@pytest.mark.usefixtures("confirmed")
async def test_no_tick_is_missed_over_three_swaps_a_refusal_and_a_rollback(caller, start):
    entity = await caller.create()
    runner = start(entity["name"], PLACE, "--agent", "test")
    assert (await release(caller, entity, "1.0.0", 0.98))["status"] == "active"
    assert runner.line() == f'{entity["name"]}: runs 1.0.0 {{"threshold": 0.98}} at 1000 ticks/s'
    swaps = []
    for version, threshold in (("1.1.0", 0.97), ("1.2.0", 0.96), ("1.3.0", 0.95)):
        last = await release(caller, entity, version, threshold)
        assert last["status"] == "active"
        swaps.append(runner.swap())
        assert swaps[-1]["new"] == f'{version} {{"threshold": {threshold}}}'
    refused = await release(caller, entity, "1.4.0", 1.5)
    assert (refused["status"], refused["error_logs"]) == (
        "failed",
        "The threshold must be between 0 and 1, and it is 1.5.",
    )
    await caller.rollback(last)
    swaps.append(runner.swap())
    assert swaps[-1]["new"] == '1.2.0 {"threshold": 0.96}'

    summary, *by_strategy = runner.stop()

    for swap in swaps:
        assert min(int(swap[part]) for part in ("before", "during", "after")) > 0
        assert swap["missed"] == "0"
    total = SUMMARY.fullmatch(summary)
    assert total, summary
    assert (total["missed"], total["swaps"], total["handled"]) == ("0", "4", total["expected"])
    counts = {matched[2]: int(matched[1]) for line in by_strategy if (matched := HANDLED.fullmatch(line))}
    assert list(counts) == [f'1.{n}.0 {{"threshold": {0.98 - n / 100:g}}}' for n in range(4)]
    assert sum(counts.values()) == int(total["handled"])


async def test_it_waits_without_a_strategy_and_goes_on_when_there_is_one_again(caller, start):
    entity = await caller.create()
    runner = start(entity["name"], PLACE, "--ticks-per-second", "200")
    first = await release(caller, entity, "1.0.0", 0.98)
    assert runner.line().endswith("at 200 ticks/s")
    await caller.retire(first)
    assert runner.line() == f"{entity['name']}: nothing is active"
    await release(caller, entity, "1.1.0", 0.97)
    assert "runs 1.1.0" in runner.line()

    summary = SUMMARY.fullmatch(runner.stop()[0])

    assert summary
    assert (summary["missed"], summary["swaps"]) == ("0", "0")


def test_an_entity_that_is_not_there_is_named(start):
    runner = start("nobody-has-this-name", PLACE)

    assert runner.process.wait(20) == 1
    assert runner.process.stderr.read() == "There is no entity nobody-has-this-name.\n"
