# ruff: noqa: INP001, T201 - a script that prints what it sees
"""A live program whose strategy is swapped under load without missing a tick.

``python examples/strategy_runner.py ENTITY ENVIRONMENT [--ticks-per-second N] [--agent NAME]``, with
nats-server's address in ``LIBRARY_NATS_URL``. Ticks come by a clock that waits for nobody; each is handled
with the strategy that is active at that moment, and is missed if there is none or if it has become stale. A
line at each swap and, when it is interrupted, a summary.
"""

import argparse
import asyncio
import json
import math
import os
import signal
import sys
from collections import Counter, deque
from dataclasses import dataclass
from uuid import UUID

from contracts.agent import Agent, Configuration, Health
from contracts.client import LibraryClient
from contracts.environments import ENVIRONMENTS
from contracts.problems import ProblemError

STALE = 0.5
"""Seconds after which a tick is of no use any more."""
HISTORY = [[100.0 + number % 7 for number in range(10)] for _ in range(200)]


class Strategy:
    """Buys below a share of the mean of the last prices; what it has seen is what makes a swap hard."""

    def __init__(self, configuration: Configuration) -> None:
        self.label = f"{configuration.version} {json.dumps(configuration.config)}"
        self.orders = 0
        self._window: deque[float] = deque(maxlen=20)
        self._threshold = float(configuration.config.get("threshold", 0.98))
        if not 0 < self._threshold < 1:
            raise ValueError(f"The threshold must be between 0 and 1, and it is {self._threshold:g}.")

    async def warm_up(self) -> None:
        """Read the past bit by bit, so that ticks are handled meanwhile."""
        for prices in HISTORY:
            await asyncio.sleep(0.001)  # here it would come from a file, or over the network
            for price in prices:
                self.handle(price)

    def handle(self, price: float) -> None:
        """Take a tick."""
        self._window.append(price)
        self.orders += price < self._threshold * sum(self._window) / len(self._window)


@dataclass
class Swap:
    """How many ticks were handled before, during and after a swap."""

    old: Strategy | None
    new: Strategy
    before: int
    during: int
    after: int = 0


class Runner:
    """The program that the agent drives, and its ticks."""

    def __init__(self, name: str, ticks_per_second: float) -> None:
        self.name = name
        self.rate = ticks_per_second
        self.handled: Counter[str] = Counter()
        self.expected = self.swaps = 0
        self.longest_wait = 0.0
        self._active: Strategy | None = None
        self._has_work = False
        self._prepared: dict[UUID, Strategy] = {}
        self._since_swap = self._before_preparing = 0
        self._swap: Swap | None = None

    @property
    def missed(self) -> int:
        """Ticks that nobody handled in time."""
        return self.expected - self.handled.total()

    async def prepare(self, new: Configuration) -> None:
        """Make the new strategy and warm it up beside the old one."""
        self._before_preparing = self._since_swap
        strategy = Strategy(new)
        await strategy.warm_up()
        self._prepared[new.deployment_id] = strategy

    async def activate(self, new: Configuration) -> None:
        """From the next tick on it is the new one."""
        self._tell()
        during = self._since_swap - self._before_preparing
        strategy = self._prepared[new.deployment_id]
        self._swap = Swap(self._active, strategy, self._before_preparing, during)
        self._active, self._has_work, self._since_swap = strategy, True, 0

    async def release(self, old: Configuration) -> None:
        """Forget a strategy, which is the active one when nothing takes its place."""
        strategy = self._prepared.pop(old.deployment_id, None)
        if strategy is not None and strategy is self._active:
            self._tell()
            self._active, self._has_work = None, False
            print(f"{self.name}: nothing is active", flush=True)

    async def health(self) -> Health:
        """Whether ticks are missed."""
        figures = {"handled": self.handled.total(), "missed": self.missed}
        return Health("degraded" if self.missed else "healthy", figures)

    async def tick(self) -> None:
        """Ticks, for ever, by the clock: number n is due n / rate seconds after the first."""
        clock = asyncio.get_running_loop().time
        began, number = clock(), 0
        while True:
            due = began + number / self.rate
            if (early := due - clock()) > 0:
                await asyncio.sleep(early)
            self._take(100 + 5 * math.sin(number / 50), clock() - due)
            number += 1

    def _take(self, price: float, waited: float) -> None:
        if not self._has_work:
            return
        self.expected += 1
        if self._active is None or waited > STALE:
            return
        self._active.handle(price)
        self.handled[self._active.label] += 1
        self.longest_wait = max(self.longest_wait, waited)
        self._since_swap += 1
        if self._swap is not None:
            self._swap.after += 1
            if self._swap.after >= self.rate / 10:
                self._tell()

    def _tell(self) -> None:
        swap, self._swap = self._swap, None
        if swap is None:
            return
        if swap.old is None:
            print(f"{self.name}: runs {swap.new.label} at {self.rate:g} ticks/s", flush=True)
            return
        self.swaps += 1
        print(
            f"{self.name}: swapped to {swap.new.label}; ticks with the old one: {swap.before} before and "
            f"{swap.during} during the swap, with the new one so far: {swap.after}; missed: {self.missed}",
            flush=True,
        )

    def tell_all(self) -> None:
        """Print the summary."""
        self._tell()
        print(
            f"{self.name}: {self.expected} ticks expected, {self.handled.total()} handled, {self.missed} "
            f"missed over {self.swaps} swaps; a tick waited {1000 * self.longest_wait:.1f} ms at most",
            *(f"{self.name}: {count} handled with {label}" for label, count in self.handled.items()),
            sep="\n",
            flush=True,
        )


async def run(url: str, arguments: argparse.Namespace) -> None:
    """Run what is active there until SIGINT or SIGTERM, then print the summary."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await LibraryClient.connect(url) as client:
        entities = (await client.list_entities(name=arguments.entity)).entities
        if not entities:
            raise SystemExit(f"There is no entity {arguments.entity}.")
        runner = Runner(arguments.entity, arguments.ticks_per_second)
        entity_id = entities[0].entity_id
        ticks = asyncio.create_task(runner.tick())
        stopped = asyncio.create_task(stop.wait())
        try:
            async with Agent(client, arguments.environment, entity_id, arguments.agent, runner) as agent:
                ended = asyncio.create_task(agent.wait())
                done, others = await asyncio.wait(
                    (ticks, stopped, ended), return_when=asyncio.FIRST_COMPLETED
                )
                for task in others:
                    task.cancel()
                for task in done:
                    task.result()
        finally:
            runner.tell_all()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Run an entity's strategy, and swap it under load.")
    parser.add_argument("entity", help="the entity's name")
    parser.add_argument("environment", choices=ENVIRONMENTS)
    parser.add_argument("--ticks-per-second", type=float, default=1000.0)
    parser.add_argument("--agent", default="strategy-runner", help="the agent's name")
    try:
        asyncio.run(run(os.environ.get("LIBRARY_NATS_URL", "nats://127.0.0.1:4222"), parser.parse_args()))
    except ProblemError as problem:
        sys.exit(problem.detail)


if __name__ == "__main__":
    main()
