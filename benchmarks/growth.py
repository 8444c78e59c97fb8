"""``make growth``: what every request costs on a million deployments, beside what it costs on a thousand.

Two products run side by side, one with each history, and are asked in turn, so that a machine that changes
its speed changes both. What is compared are a lone caller's median latencies, and the rate of deploys of 64.
"""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psycopg2
from nats.aio.client import Client

from benchmarks import history, load, product
from benchmarks.measures import Ratio, ratio
from contracts import subjects

SMALL, LARGE = 100, 100_000
"""Entities; each has ten deployments."""
DEEP = 1000
PAGE = 20
SAMPLE = 500
ROUNDS, DEPLOY_ROUNDS = 5, 3
LIMIT = 1.3

Body = Callable[[], dict[str, object]]
_LISTS = {subjects.DEPLOY_LIST: "deployments", subjects.ENTITY_LIST: "entities"}
_IDS = """
SELECT deployment_id::text, entity_id::text, environment, status, entity_name
FROM deployments TABLESAMPLE SYSTEM ({percent}) WHERE entity_name ~ '^history-[0-9]'
ORDER BY random() LIMIT {limit}
"""


@dataclass(frozen=True, slots=True)
class Grown:
    """A running product with a history, and some of what is in it."""

    client: Client
    deployments: list[dict[str, str]]
    cursors: dict[str, str]


@dataclass(frozen=True, slots=True)
class Compared:
    """A request's cost with each history, in milliseconds, or deploys a second; and how the cost grew."""

    small: float
    large: float
    ratio: Ratio


async def prepare(running: product.Product, entities: int) -> Grown:
    """Fill it, and look up what to ask for."""
    client = await load.connect(running.nats)
    await history.fill(client, running.database, entities)
    return await look_around(client, running.database, entities)


async def look_around(client: Client, database: str, entities: int) -> Grown:
    """What to ask for: some of the deployments, and where the lists go on in their depth."""
    percent = min(100.0, 5 * SAMPLE * 100 / (entities * history.DEPLOYMENTS_EACH))
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(_IDS.format(percent=percent, limit=SAMPLE))
        names = ("deployment_id", "entity_id", "environment", "status", "entity_name")
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for each in found:  # what is compared is PostgreSQL with its pages in memory, not the disk beneath
        await load.ask(client, subjects.ENTITY_DEPLOYMENTS, {"entity_id": each["entity_id"]})
        await load.ask(client, subjects.DEPLOY_HISTORY, {"deployment_id": each["deployment_id"]})
    cursors = {subject: await _deep(client, subject, name) for subject, name in _LISTS.items()}
    return Grown(client, found, cursors)


async def _deep(client: Client, subject: str, name: str) -> str:
    """The cursor behind a thousand pages of twenty, or in the middle of a list that has not so many."""
    cursors: list[str] = []
    body: dict[str, object] = {}
    while len(cursors) < DEEP:
        page = await load.ask(client, subject, body)
        assert page[name]
        if page["next_cursor"] is None:
            return cursors[len(cursors) // 2]
        cursors.append(str(page["next_cursor"]))
        body = {"cursor": cursors[-1]}
    return cursors[-1]


def requests(of: Grown) -> Iterator[tuple[str, str, Body]]:
    """What is asked: its name, its subject, and bodies for it."""

    def of_random(*names: str) -> Body:
        def body() -> dict[str, object]:
            chosen = random.choice(of.deployments)
            return {name: chosen[name] for name in names}

        return body

    yield "get", subjects.DEPLOY_GET, of_random("deployment_id")
    yield "history", subjects.DEPLOY_HISTORY, of_random("deployment_id")
    yield "entity.get", subjects.ENTITY_GET, of_random("entity_id")
    for conditions in ((), ("environment",), ("status",), ("environment", "status")):
        named = " ".join(("entity.deployments", *conditions))
        yield named, subjects.ENTITY_DEPLOYMENTS, of_random("entity_id", *conditions)
    for subject, filters in _FILTERS.items():
        name = subject.partition(".")[2]
        cursor = of.cursors[subject]
        yield f"{name}, {DEEP} pages deep", subject, lambda cursor=cursor: {"cursor": cursor}
        for conditions in filters:
            said = " ".join(f"{key}={value}" for key, value in conditions.items())
            yield f"{name} {said}".rstrip(), subject, lambda conditions=conditions: dict(conditions)
    yield (
        "entity.list name",
        subjects.ENTITY_LIST,
        lambda: {"name": random.choice(of.deployments)["entity_name"]},
    )


_FILTERS: dict[str, list[dict[str, object]]] = {
    subjects.DEPLOY_LIST: [
        {},
        {"environment": "development"},
        {"environment": "production"},
        {"status": "active"},
        {"status": "inactive"},
        {"status": "rolled_back"},
        {"status": "failed"},
        {"status": "pending"},
        {"environment": "production", "status": "active"},
        {"environment": "staging", "status": "inactive"},
        {"environment": "testing", "status": "failed"},
        {"environment": "production", "status": "rolled_back"},
    ],
    subjects.ENTITY_LIST: [
        {},
        {"type": "model"},
        {"type": "absent"},
        {"status": "deployed"},
        {"status": "deprecated"},
        {"status": "archived"},
        {"type": "feed", "status": "deprecated"},
        {"environment": "production"},
        {"environment": "production", "type": "model", "status": "deployed"},
    ],
}


async def compare_reads(small: Grown, large: Grown, *, seconds: float, only: str = "") -> dict[str, Compared]:
    """Every request's median latency in milliseconds, with one caller, in turn on both."""
    found: dict[str, Compared] = {}
    for on_small, on_large in zip(requests(small), requests(large), strict=True):
        name = on_small[0]
        if only not in name:
            continue
        shown = min(await _shown(small, on_small), await _shown(large, on_large)) or 1
        rounds = [
            (await _lone(small, on_small, shown, seconds), await _lone(large, on_large, shown, seconds))
            for _ in range(ROUNDS)
        ]
        found[name] = _compared(*zip(*rounds, strict=True))
        print(f"{name:44} {_said(found[name], 'ms')}", flush=True)
    return found


async def _shown(of: Grown, request: tuple[str, str, Body]) -> int:
    """How many a list shows: the answers that are compared hold as many as both have."""
    _, subject, body = request
    if subject not in _LISTS:
        return PAGE
    answer = await load.ask(of.client, subject, body())
    items = answer[_LISTS[subject]]
    assert isinstance(items, list)
    return len(items)


async def _lone(of: Grown, request: tuple[str, str, Body], shown: int, seconds: float) -> float:
    _, subject, body = request

    def sized() -> dict[str, object]:
        return body() | ({"page_size": shown} if shown < PAGE else {})

    measured = await load.closed_loop(of.client, subject, sized, lambda _: True, callers=1, seconds=seconds)
    return measured.p50


async def compare_deploys(small: Grown, large: Grown, *, seconds: float) -> Compared:
    """Deploys a second of 64 callers, in turn on both; what they make is added to the history."""
    rounds = [(await _deploys(small, seconds), await _deploys(large, seconds)) for _ in range(DEPLOY_ROUNDS)]
    of_small, of_large = (tuple(each) for each in zip(*rounds, strict=True))
    found = Compared(median(of_small), median(of_large), ratio(of_small, of_large))
    print(f"{'deploys, 64 callers':44} {_said(found, '/s')}", flush=True)
    return found


async def _deploys(of: Grown, seconds: float) -> float:
    measured = await load.closed_loop(
        of.client,
        subjects.DEPLOY_REQUEST,
        load.deploy_body([each["entity_id"] for each in of.deployments]),
        lambda answer: answer["status"] == "active",
        callers=64,
        seconds=seconds,
    )
    return measured.rate


def _compared(small: tuple[float, ...], large: tuple[float, ...]) -> Compared:
    return Compared(median(small), median(large), ratio(large, small))


def _said(of: Compared, unit: str) -> str:
    spread = f"{of.ratio.lowest:.2f} to {of.ratio.highest:.2f}"
    mark = "" if of.ratio.median <= LIMIT else "   above the limit"
    return f"{of.small:9.2f} {of.large:9.2f} {unit:3} {of.ratio.median:5.2f} ({spread}){mark}"


async def measure(arguments: argparse.Namespace) -> dict[str, Compared]:
    """Both products, filled and compared."""
    with product.running() as one, product.running() as other:
        small, large = await prepare(one, SMALL), await prepare(other, arguments.entities)
        found = await compare_reads(small, large, seconds=arguments.seconds, only=arguments.only)
        if arguments.only in "deploys":
            found["deploys"] = await compare_deploys(small, large, seconds=arguments.deploy_seconds)
        return found


def main() -> int:
    """The exit status: 1 where a median ratio is above 1.3."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--entities", type=int, default=LARGE, help="of the large history, ten deployments each"
    )
    parser.add_argument("--seconds", type=float, default=0.4, help="a round of a request")
    parser.add_argument("--deploy-seconds", type=float, default=10.0, help="a round of deploys")
    parser.add_argument("--only", default="", help="only requests whose name holds this")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments))
    if arguments.json:
        figures = {name: asdict(each) for name, each in found.items()}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(any(each.ratio.median > LIMIT for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
