"""``make flood``: as many deploys as generators on this machine can send, and what becomes of each of them.

Every request must be answered, by its deployment or by ``busy``; the worker's memory must stay flat; and two
seconds after the flood a lone request must be as fast as before.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import time
from collections import Counter
from multiprocessing.connection import Connection

import psutil

from benchmarks import load, product
from contracts import subjects

GENERATORS = 2
IN_FLIGHT = 20_000
PATIENCE = 30.0


def generate(url: str, entities: list[str], seconds: float, pipe: Connection) -> None:
    """A generator's process: sends without waiting, counts what comes back."""
    pipe.send(asyncio.run(_generate(url, entities, seconds, pipe)))


async def _generate(
    url: str, entities: list[str], seconds: float, pipe: Connection
) -> tuple[int, Counter[str]]:
    client = await load.connect(url)
    answers: Counter[str] = Counter()
    inbox = client.new_inbox()

    async def count(message: object) -> None:
        carried = getattr(message, "headers", None) or {}
        answers[carried.get("Nats-Service-Error", "done")] += 1

    await client.subscribe(f"{inbox}.*", cb=count)
    bodies = [
        json.dumps({"entity_id": entity, "environment": "staging", "deployed_by": "flood"}).encode()
        for entity in entities
    ]
    sent, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(50):
            await client.publish(subjects.DEPLOY_REQUEST, random.choice(bodies), reply=f"{inbox}.{sent}")
            sent += 1
        while sent - answers.total() > IN_FLIGHT and time.monotonic() < until:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
    pipe.send("sent")
    patience = time.monotonic() + PATIENCE
    while answers.total() < sent and time.monotonic() < patience:
        await asyncio.sleep(0.05)
    await client.close()
    return sent, answers


async def lone(client: load.Client, entities: list[str]) -> float:
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


async def flood(running: product.Product, seconds: float) -> bool:
    """Whether all three held."""
    client = await load.connect(running.nats)
    entities = await load.make_entities(client)
    root = psutil.Process(running.process.pid)
    (worker,) = (each for each in root.children(recursive=True) if each.cmdline()[-1:] == ["worker"])
    before = await lone(client, entities)
    pipes = []
    for _ in range(GENERATORS):
        ours, theirs = multiprocessing.Pipe()
        multiprocessing.Process(
            target=generate, args=(running.nats, entities, seconds, theirs), daemon=True
        ).start()
        pipes.append(ours)
    memory, started = [], time.monotonic()
    while time.monotonic() - started < seconds:
        await asyncio.sleep(seconds / 12)
        memory.append(worker.memory_info().rss // 2**20)
    for pipe in pipes:
        assert await asyncio.to_thread(pipe.recv) == "sent"
    await asyncio.sleep(2)
    after = await lone(client, entities)
    results = [await asyncio.to_thread(pipe.recv) for pipe in pipes]
    sent = sum(each for each, _ in results)
    answers = sum((counts for _, counts in results), Counter())
    print(f"sent {sent} ({sent / seconds:.0f}/s), answered {answers.total()}: {dict(answers)}")
    print(f"memory of the worker, MiB: {memory}")
    print(f"a lone deploy: {before:.2f} ms before, {after:.2f} ms two seconds after")
    await client.close()
    return sent == answers.total()


def main() -> None:
    """Flood, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with product.running() as running:
        answered = asyncio.run(flood(running, options.seconds))
    raise SystemExit(0 if answered else 1)


if __name__ == "__main__":
    main()
