"""``make scaling``: what a second worker brings on one database, and what a cluster of nats-servers costs.

In each round, in turn: one worker and two on one nats-server, and on three whose streams have three replicas.
64 callers deploy 2,000 entities at random, and then ten. At the end the relay alone, with an outbox that has
filled up. All share this machine's cores: rates are its own; CPU and bytes a deploy are what to go by.
"""

import argparse
import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson
import psutil
from nats.aio.client import Client

from benchmarks import asking, databases, load, processor
from benchmarks.measures import Run
from benchmarks.scaling_page import CALLERS, HOT, PAGE, SPENT_IN, Drain, Measured, Turn, filled, tables
from contracts import subjects
from tests.faults.cluster import Cluster, ClusterSystem
from tests.system import System, eventually
from worker.dispatch.dispatcher import LANES
from worker.embedded.processes import spawn
from worker.embedded.server import stop_process
from worker.store import outbox, unit_of_work

WARM_UP, FILLING = 1.0, 5.0
_PATIENCE, _LOOK = 60.0, 0.05

_STATE = """
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8, last_value FROM outbox_outbox_id_seq
"""
_WAITING = "SELECT coalesce(sum(cardinality(event_ids)), 0)::int FROM outbox"
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
_LANES = """
SELECT CASE
    WHEN state <> 'active' THEN 'worker'
    WHEN wait_event_type = 'Lock' THEN 'row lock'
    WHEN wait_event IN ('WalSync', 'WalWrite', 'WALWrite') THEN 'sync of the log'
    ELSE 'PostgreSQL'
END FROM pg_stat_activity WHERE application_name = 'library-worker' AND state <> 'idle'
"""


class Worker(NamedTuple):
    """A process of ``library worker``, and what it logs."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def id(self) -> str:
        """Empty until it is ready."""
        found = re.search(r'"id": ?"(\w+)".*worker_ready', self.log.read_text())
        return found[1] if found else ""

    @property
    def leads(self) -> bool:
        """Whether its relay has taken the lead."""
        return "relay_leads" in self.log.read_text()


@dataclass(slots=True)
class Site:
    """Servers with a database of their own, and what was asked there."""

    title: str
    system: System
    client: Client = field(init=False)
    entities: list[str] = field(init=False)
    answers: int = 0

    @property
    def servers(self) -> dict[str, psutil.Process]:
        """The nats-servers' processes."""
        nats = self.system.nats
        members = nats.members if isinstance(nats, Cluster) else [nats]
        return {each.url: psutil.Process(each.process.pid) for each in members if each.process}

    async def open(self, entities: int) -> None:
        """Connect, and make so many entities."""
        self.client = await load.connect(next(iter(self.servers)))
        async with self.workers(1):
            self.entities = await load.make_entities(self.client, entities)

    async def stored(self) -> tuple[float, int, int]:
        """How far the write-ahead log is, how many transactions wrote events, and the stream's bytes."""
        ((log, transactions),) = self.system.sql(_STATE)
        state = (await self.client.jetstream().stream_info(subjects.EVENTS_STREAM)).state
        return float(str(log)), int(str(transactions)), state.bytes

    async def announced(self) -> None:
        """Wait until the outbox is empty."""
        url = self.system.database_url
        await asyncio.to_thread(eventually, lambda: databases.announced(url), _PATIENCE, _LOOK)

    async def drive(self, entities: Sequence[str], seconds: float) -> Run:
        """64 callers; each answer is the active deployment that was asked for."""
        async with asking.over_nats(next(iter(self.servers)), subjects.DEPLOY_REQUEST) as ask:
            run = await asking.drive(ask, entities, callers=CALLERS, seconds=seconds)
        self.answers += len(run.latencies)
        return run

    @asynccontextmanager
    async def workers(self, count: int) -> AsyncIterator[dict[str, Worker]]:
        """So many workers by their ids, ready to be asked; ended when this is left."""
        command, started = [sys.executable, "-m", "worker", "worker"], list[Worker]()
        try:
            for number in range(count):
                log = self.system.directory / f"worker-{number}.log"
                with log.open("wb") as output:
                    process = spawn(command, environment=self.system.environment, output=output.fileno())
                started.append(Worker(process, log))
            for each in started:
                await asyncio.to_thread(eventually, lambda each=each: each.id, _PATIENCE, _LOOK)
            yield {each.id: each for each in started}
        finally:
            for each in started:
                await asyncio.to_thread(stop_process, each.process, signal.SIGTERM, timeout_s=_PATIENCE)

    async def answered(self, workers: Iterable[str]) -> dict[str, int]:
        """Deploys that each worker has answered, as it tells by the service protocol of NATS."""
        found = {}
        for worker in workers:
            reply = await self.client.request(f"$SRV.STATS.{subjects.SERVICE}.{worker}", timeout=10)
            endpoints = orjson.loads(reply.data)["endpoints"]
            of_deploys = [each for each in endpoints if each["subject"] == subjects.DEPLOY_REQUEST]
            found[worker] = int(of_deploys[0]["num_requests"])
        return found


@contextmanager
def lanes_watched(url: str, workers: int) -> Iterator[dict[str, float]]:
    """Filled, in the end, with the shares of the lanes' time: what they waited for, or who worked."""
    seen, looks, over = Counter[str](), 0, threading.Event()

    def look() -> None:
        nonlocal looks
        with databases.connected(url) as cursor:
            while not over.wait(_LOOK):
                cursor.execute(_LANES)
                seen.update(what for (what,) in cursor.fetchall())
                looks += 1

    shares: dict[str, float] = {}
    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield shares
    finally:
        over.set()
        thread.join()
        shares.update({what: seen[what] / max(1, looks * workers * LANES) for what in SPENT_IN})
        shares["worker"] = 1 - sum(shares[what] for what in SPENT_IN if what != "worker")


def _seconds(processes: dict[str, psutil.Process]) -> dict[str, float]:
    return {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}


def _grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - value for name, value in before.items()}


async def turn(site: Site, workers: dict[str, Worker], entities: Sequence[str], seconds: float) -> Turn:
    """One load, until its last event is announced."""
    processes = {name: psutil.Process(each.process.pid) for name, each in workers.items()}
    counted, stored = await site.answered(workers), await site.stored()
    spent, by_worker, by_server = processor.spent(), _seconds(processes), _seconds(site.servers)
    with lanes_watched(site.system.database_url, len(workers)) as lanes:
        run = await site.drive(entities, seconds)
    await site.announced()
    done = len(run.latencies)
    cpu = processor.each(spent, processor.spent(), done)
    by_worker = _grown(by_worker, _seconds(processes))
    busiest = max(_grown(by_server, _seconds(site.servers)).values())
    after = await site.answered(workers)
    counts = {name: after[name] - counted[name] for name in workers}
    log, transactions, stream = (now - then for now, then in zip(await site.stored(), stored, strict=True))
    leader = next(name for name, each in workers.items() if each.leads)
    followers = [name for name in workers if name != leader]
    own = sum(by_worker[name] for name in followers) / max(1, sum(counts[name] for name in followers))
    relay = (by_worker[leader] - own * counts[leader]) / done
    return Turn(
        workers=len(workers),
        figures=run.figures,
        cpu=cpu,
        relay=relay * 1e6,
        busiest=busiest * 1e6 / done,
        least_share=min(counts.values()) / sum(counts.values()),
        together=done / transactions,
        log_bytes=log / done,
        stream_bytes=stream / done,
        lanes=lanes,
    )


async def drained(site: Site, filling: float) -> Drain:
    """Fill the outbox for so many seconds while nobody leads; how long a new worker takes to empty it."""
    database = unit_of_work.connect(site.system.database_url, name="scaling", size=1, patient=True)
    with unit_of_work.transaction(database) as connection:
        assert outbox.try_to_lead_within(connection)
        async with site.workers(1):
            await site.drive(site.entities, filling)
    database.dispose()
    events = int(str(site.system.sql(_WAITING)[0][0]))
    site.system.sql("VACUUM ANALYZE")  # else autovacuum may come in between, and take as much as the relay
    async with site.workers(1) as workers:
        (worker,) = workers.values()
        before = processor.spent()
        await asyncio.to_thread(eventually, lambda: worker.leads, _PATIENCE, 0.005)
        started = time.perf_counter()
        await site.announced()
        seconds = time.perf_counter() - started
        return Drain(events, seconds, processor.each(before, processor.spent(), events))


async def measure(sites: Sequence[Site], options: argparse.Namespace) -> Measured:
    """All turns of all rounds, then the relays. Raises ``asking.WrongAnswerError`` at a wrong answer."""
    found = Measured()
    for site in sites:
        await site.open(load.ENTITIES)
    for _ in range(options.rounds):
        for count in options.workers:
            for site in sites:
                await _turns(site, count, options.seconds, found)
    for site in sites:
        found.drains[site.title] = drain = await drained(site, FILLING)
        _say(f"{site.title}: {drain.events} events in {drain.seconds:.2f} s, CPU us {drain.cpu}")
        await site.client.close()
    return found


async def _turns(site: Site, count: int, seconds: float, found: Measured) -> None:
    async with site.workers(count) as workers:
        await site.drive(site.entities, WARM_UP)
        await site.announced()
        for turns, entities, length in (
            (found.uniform, site.entities, seconds),
            (found.hot, site.entities[:HOT], seconds / 2),
        ):
            turns.setdefault((site.title, count), []).append(
                done := await turn(site, workers, entities, length)
            )
            _say(f"{site.title}, {count} of {len(entities)} entities: {done}")


def faults(site: Site) -> Iterator[str]:
    """What should not be. To be asked when its workers have ended: a session tells of deadlocks late."""
    outcome = databases.outcome(site.system.database_url)
    if outcome.deployments != site.answers:
        yield f"{site.answers} answers, {outcome.deployments} deployments"
    if wrong := outcome.without_exactly_one_active:
        yield f"{wrong} entities have not exactly one active deployment"
    ((deadlocks,),) = site.system.sql(_DEADLOCKS)
    if deadlocks:
        yield f"{deadlocks} deadlocks"


def main() -> int:
    """The exit status: 1 where an answer, the tables or PostgreSQL's count of deadlocks are not right."""
    parser = argparse.ArgumentParser(prog="make scaling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="a turn; half of it on the ten entities")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="how many, in turn")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and stop what was started
    sites = [Site("1", System()), Site("3", ClusterSystem())]
    try:
        for site in sites:
            site.system.start_servers()
        found = asyncio.run(measure(sites, options))
        wrong = [f"{site.title} nats-servers: {fault}" for site in sites for fault in faults(site)]
    finally:
        for site in sites:
            site.system.stop()
    print("\n".join(tables(found)))
    if options.write:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8", newline="\n")
    for fault in wrong:
        _say(f"scaling: {fault}")
    return int(bool(wrong))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
