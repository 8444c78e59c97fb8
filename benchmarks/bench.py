"""``make bench``: deploys and gets a second, and their latency, at 1 and at 64 callers."""

import argparse
import asyncio
import json
import random
from dataclasses import asdict
from pathlib import Path

import psutil

from benchmarks import load, product
from contracts import subjects

ROUNDS = 3


def cpu(process: psutil.Process) -> dict[str, float]:
    """CPU seconds by what the processes are, children of children included."""
    spent: dict[str, float] = {}
    for child in process.children(recursive=True):
        line = " ".join(child.cmdline())
        name = next(
            (part for part in ("nats-server", "postgres", "gateway", "worker") if part in line), "other"
        )
        if name == "worker" and line.rstrip().endswith("gateway"):
            name = "gateway"
        times = child.cpu_times()
        spent[name] = spent.get(name, 0) + times.user + times.system
    return spent


async def measure(running: product.Product, seconds: float) -> dict[str, object]:
    """Medians of three rounds, and the CPU a deploy takes by process."""
    client = await load.connect(running.nats)
    entities = await load.make_entities(client)
    root = psutil.Process(running.process.pid)
    deploy = load.deploy_body(entities)
    await load.closed_loop(client, subjects.DEPLOY_REQUEST, deploy, _active, callers=64, seconds=2)
    some = await load.ask(client, subjects.DEPLOY_LIST, {"page_size": 100})
    ids = [str(each["deployment_id"]) for each in some["deployments"]]  # type: ignore[attr-defined]
    kinds = {
        "deploy": (subjects.DEPLOY_REQUEST, deploy, _active),
        "get": (
            subjects.DEPLOY_GET,
            lambda: {"deployment_id": random.choice(ids)},
            lambda answer: "status" in answer,
        ),
    }
    found: dict[str, object] = {}
    for name, (subject, body, check) in kinds.items():
        for callers in (1, 64):
            rounds, deploys, before = [], 0.0, cpu(root)
            for _ in range(ROUNDS):
                figures = await load.closed_loop(
                    client, subject, body, check, callers=callers, seconds=seconds
                )
                rounds.append(figures)
                deploys += figures.rate * seconds
            median = sorted(rounds, key=lambda figures: figures.rate)[ROUNDS // 2]
            micro = {
                part: round((value - before.get(part, 0)) / deploys * 1e6)
                for part, value in cpu(root).items()
            }
            print(f"{name:8} {callers:3} callers {median}   cpu µs each: {micro}", flush=True)
            found[f"{name}-{callers}"] = {**asdict(median), "cpu_us": micro}
    await client.close()
    return found


def _active(answer: dict[str, object]) -> bool:
    return answer["status"] == "active"


def main() -> None:
    """Measure and print; with ``--json FILE`` write the figures, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a round")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    with product.running() as running:
        found = asyncio.run(measure(running, options.seconds))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
