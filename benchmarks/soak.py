"""``make soak``: ten minutes of deploys at full load; neither the rate falls nor the tables swell.

64 callers deploy 2,000 entities again and again. Every ten seconds: the rate since then, dead rows, and what
the tables take beyond their growth. The last minute's rate is compared with the first one's, and what the
tables take with what they took after three minutes: PostgreSQL looks once a minute whether there is something
to clean up, and until then a table takes the room that it goes on with.
"""

import argparse
import asyncio
import json
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import psycopg2

from benchmarks import load, product
from contracts import subjects

EVERY = 10.0
WINDOW = 6
"""Samples that are a minute."""
SETTLED = 3 * WINDOW
WARM_UP = 5.0
LEAST_RATE, MOST_SWELLING = 0.9, 1.3

# Rows of entities stay as many as they are, and the outbox empties itself: their bytes are what would swell.
# The other tables grow by what is added, so theirs are told by the row.
_SIZES = """
SELECT relname, pg_total_relation_size(relid), n_live_tup, n_dead_tup, n_tup_upd, n_tup_hot_upd,
    autovacuum_count
FROM pg_stat_user_tables WHERE relname IN ('entities', 'deployments', 'events', 'outbox') ORDER BY relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table at some moment."""

    bytes: int
    live: int
    dead: int
    updated: int
    updated_hot: int
    vacuums: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Deploys a second since the sample before, and the tables."""

    second: float
    rate: float
    tables: dict[str, Table]

    @property
    def bytes_of_entities(self) -> int:
        return self.tables["entities"].bytes

    @property
    def bytes_a_deploy(self) -> float:
        """What the history takes for each deployment."""
        history = self.tables["deployments"].bytes + self.tables["events"].bytes
        return history / max(1, self.tables["deployments"].live)

    def __str__(self) -> str:
        tables = "   ".join(
            f"{name} {each.bytes / 2**20:.0f} MB, {each.dead} dead" for name, each in self.tables.items()
        )
        return f"{self.second:5.0f} s {self.rate:6.0f}/s   {tables}"


async def soak(seconds: float) -> list[Sample]:
    """The samples of so many seconds."""
    with product.running() as running, closing(psycopg2.connect(running.database)) as connection:
        connection.autocommit = True
        client = await load.connect(running.nats)
        deploy = load.deploy_body(await load.make_entities(client))
        done = 0

        def count(answer: dict[str, object]) -> bool:
            nonlocal done
            done += 1
            return answer["status"] == "active"

        callers = asyncio.create_task(
            load.closed_loop(
                client, subjects.DEPLOY_REQUEST, deploy, count, callers=64, seconds=WARM_UP + seconds
            )
        )
        await asyncio.sleep(WARM_UP)
        samples: list[Sample] = []
        started = before = time.perf_counter()
        counted = done
        while not callers.done():
            await asyncio.wait([callers], timeout=EVERY)
            now, total = time.perf_counter(), done
            if now - before < EVERY / 2:
                break
            tables = await asyncio.to_thread(_tables, connection)
            samples.append(Sample(now - started, (total - counted) / (now - before), tables))
            before, counted = now, total
            print(samples[-1], flush=True)
        await callers
        return samples


def _tables(connection: Any) -> dict[str, Table]:
    with connection.cursor() as cursor:
        cursor.execute(_SIZES)
        return {name: Table(*figures) for name, *figures in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rate of the last minute to the first; bytes at the end to those after three minutes.

    ``entities`` are the bytes of the table, ``history`` those of deployments and events a deploy.
    """

    rate: float
    entities: float
    history: float
    outbox_bytes: int
    hot_share: float

    @property
    def passed(self) -> bool:
        return self.rate >= LEAST_RATE and max(self.entities, self.history) <= MOST_SWELLING


def verdict(samples: list[Sample]) -> Verdict:
    """What became of it. Where there is less than two minutes, halves are compared."""
    window = min(WINDOW, len(samples) // 2)
    first, last = samples[:window], samples[-window:]
    settled = samples[min(SETTLED, len(samples) // 2) - 1]
    entities = samples[-1].tables["entities"]
    return Verdict(
        mean(each.rate for each in last) / mean(each.rate for each in first),
        last[-1].bytes_of_entities / settled.bytes_of_entities,
        last[-1].bytes_a_deploy / settled.bytes_a_deploy,
        last[-1].tables["outbox"].bytes,
        entities.updated_hot / max(1, entities.updated),
    )


def main() -> int:
    """The exit status: 1 where the rate fell below 0.9 of the first minute's, or a table swelled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--json", type=Path, help="also write the samples there")
    arguments = parser.parse_args()
    samples = asyncio.run(soak(arguments.seconds))
    found = verdict(samples)
    print(
        f"last minute to first: rate {found.rate:.2f}; the end to the third minute: bytes of entities "
        f"{found.entities:.2f}, of history a deploy {found.history:.2f}; outbox "
        f"{found.outbox_bytes / 1024:.0f} kB; {found.hot_share:.1%} of the entities' updates stay "
        "in their page"
    )
    if arguments.json:
        body = {"verdict": asdict(found), "samples": [asdict(each) for each in samples]}
        arguments.json.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return int(not found.passed)


if __name__ == "__main__":
    sys.exit(main())
