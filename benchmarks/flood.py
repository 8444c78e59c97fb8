"""``make flood``: as many deploys as generators on this machine can send, and what becomes of each of them.

Every request must be answered, by its deployment or by ``busy``; the worker's memory must stay flat; and two
seconds after the flood a lone request must be as fast as before.
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil
from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks import load, product
from contracts import headers, subjects

GENERATORS = 2
IN_FLIGHT = 20_000
"""Requests of a generator's that are open at most; nats-server would cut it off as a slow consumer."""
PATIENCE_SECONDS = 30.0
REST_SECONDS = 2.0
FLAT = 1.25
"""The worker's memory at the end of the flood against the most of its first half."""
AS_FAST = 2.0
"""A lone request after the flood against one before; two cores change their speed by half of it."""
_DONE = "done"


@dataclass(frozen=True, slots=True)
class Flood:
    """What was sent and came back, the worker's memory in MiB, and a lone deploy in ms before and after."""

    seconds: float
    sent: int
    answers: Counter[str]
    memory: list[int]
    before: float
    after: float

    @property
    def faults(self) -> list[str]:
        """What should not have been."""
        allowed = {_DONE, "busy"}
        checks = {
            f"{self.sent - self.answers.total()} requests have no answer": self.sent != self.answers.total(),
            "there were refusals other than busy": not self.answers.keys() <= allowed,
            "nothing was done": not self.answers[_DONE],
            "the generators did not overload it": not self.answers["busy"],
            "memory grew": self.memory[-1] > FLAT * max(self.memory[: len(self.memory) // 2]),
            "a lone request is slower than before": self.after > AS_FAST * self.before,
        }
        return [fault for fault, found in checks.items() if found]

    def __str__(self) -> str:
        return (
            f"sent {self.sent} ({self.sent / self.seconds:.0f}/s), answered {self.answers.total()}: "
            f"{dict(self.answers)}\n"
            f"memory of the worker, MiB: {self.memory}\n"
            f"a lone deploy: {self.before:.2f} ms before, {self.after:.2f} ms two seconds after"
        )


def generate(url: str, entities: list[str], seconds: float, pipe: Connection) -> None:
    """A generator's process: sends without waiting, says when it has sent all, and then what came back."""
    pipe.send(asyncio.run(_generate(url, entities, seconds, pipe)))


async def _generate(
    url: str, entities: list[str], seconds: float, pipe: Connection
) -> tuple[int, Counter[str]]:
    client = await load.connect(url)
    answers: Counter[str] = Counter()
    inbox = client.new_inbox()

    async def count(message: Msg) -> None:
        answers[(message.headers or {}).get(headers.ERROR, _DONE)] += 1

    await client.subscribe(f"{inbox}.*", cb=count)
    bodies = [json.dumps(load.deploy_request(entity)).encode() for entity in entities]
    sent, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(50):
            await client.publish(subjects.DEPLOY_REQUEST, random.choice(bodies), reply=f"{inbox}.{sent}")
            sent += 1
        while sent - answers.total() > IN_FLIGHT and time.monotonic() < until:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
    pipe.send("sent")
    patience = time.monotonic() + PATIENCE_SECONDS
    while answers.total() < sent and time.monotonic() < patience:
        await asyncio.sleep(0.05)
    await client.close()
    return sent, answers


async def lone(client: Client, entities: list[str]) -> float:
    """The median of a lone request, in milliseconds."""
    figures = await load.closed_loop(
        client,
        subjects.DEPLOY_REQUEST,
        load.deploy_body(entities),
        lambda answer: answer["status"] == "active",
        callers=1,
        seconds=2,
    )
    return figures.p50


async def flood(url: str, worker: psutil.Process, seconds: float, *, entities: int = load.ENTITIES) -> Flood:
    """Flood the worker's process through the nats-server at ``url``."""
    client = await load.connect(url)
    ids = await load.make_entities(client, entities)
    before = await lone(client, ids)
    pipes = [_generator(url, ids, seconds) for _ in range(GENERATORS)]
    memory = []
    for _ in range(10):
        await asyncio.sleep(seconds / 10)
        memory.append(worker.memory_info().rss // 2**20)
    for pipe in pipes:
        assert await asyncio.to_thread(pipe.recv) == "sent"
    await asyncio.sleep(REST_SECONDS)
    try:
        after = await lone(client, ids)
    except* AssertionError:  # refused as busy
        after = math.inf
    results = [await asyncio.to_thread(pipe.recv) for pipe in pipes]
    await client.close()
    answers: Counter[str] = sum((counts for _, counts in results), Counter())
    return Flood(seconds, sum(sent for sent, _ in results), answers, memory, before, after)


def _generator(url: str, entities: list[str], seconds: float) -> Connection:
    ours, theirs = multiprocessing.Pipe()
    start = multiprocessing.get_context("spawn").Process
    start(target=generate, args=(url, entities, seconds, theirs), daemon=True).start()
    return ours


def main() -> None:
    """Flood, print, and end with status 1 where something was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the generators send")
    options = parser.parse_args()
    with product.running() as running:
        family = psutil.Process(running.process.pid).children(recursive=True)
        (worker,) = (each for each in family if each.cmdline()[-1:] == ["worker"])
        result = asyncio.run(flood(running.nats, worker, options.seconds))
    print(result)
    for fault in result.faults:
        print(f"flood: {fault}", file=sys.stderr)
    raise SystemExit(1 if result.faults else 0)


if __name__ == "__main__":
    main()
