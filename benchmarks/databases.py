"""The databases of the contestants: one each, on one server, with the same entities."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg2
import psycopg2.extras
from sqlalchemy import create_engine, insert

from benchmarks import load
from benchmarks.peers.records import Base, Entity
from benchmarks.peers.task_queue import app_on
from worker.store.migrate import migrate

PEERS = Path(__file__).parent / "peers"


@contextmanager
def connected(url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def create(server: str, name: str) -> str:
    """The address of a new database on the server that the address names."""
    with connected(server) as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def with_records(server: str, name: str, entities: int) -> tuple[str, list[str]]:
    """A new database with the peers' tables, and its entities' ids."""
    url = create(server, name)
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    now = datetime.now(UTC)
    rows = [
        {
            "entity_id": numbered(number),
            "name": f"bench-{number}",
            "type": "strategy",
            "version": "1.0.0",
            "config": load.CONFIG,
            "parameters": load.PARAMETERS,
            "created_at": now,
            "updated_at": now,
        }
        for number in range(1, entities + 1)
    ]
    with engine.begin() as connection:
        connection.execute(insert(Entity), rows)
    engine.dispose()
    return url, [str(row["entity_id"]) for row in rows]


def numbered(number: int) -> UUID:
    """The id of an entity by its number, as ``entity_of`` in ``peers/postgresql.sql`` has it."""
    return UUID(f"00000000-0000-7000-8000-{number:012x}")


async def with_queue(server: str, name: str, entities: int) -> tuple[str, list[str]]:
    """The same, with procrastinate's tables beside them."""
    url, ids = with_records(server, name, entities)
    app = app_on(url)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
    return url, ids


def with_product_tables(server: str, name: str, entities: int) -> str:
    """A new database with the product's tables, entities, and the function that deploys."""
    url = create(server, name)
    engine = create_engine(url)
    migrate(engine)
    engine.dispose()
    with connected(url) as cursor:
        cursor.execute((PEERS / "postgresql.sql").read_text())
        cursor.execute(
            """
            INSERT INTO entities (
                entity_id, name, type, version, config, parameters, status, declared_status, health_status,
                tags, dependencies, dependency_names, revision, event_sequence, created_at, updated_at)
            SELECT entity_of(number), 'bench-' || number, 'strategy', '1.0.0', %s, %s, 'registered',
                'registered', 'unknown', '[]', '[]', '{}', 1, 0, now(), now()
            FROM generate_series(1, %s) AS number
            """,
            (psycopg2.extras.Json(load.CONFIG), psycopg2.extras.Json(load.PARAMETERS), entities),
        )
    return url


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a contestant's database holds at the end."""

    deployments: int
    entities_deployed: int
    without_exactly_one_active: int
    """Entities that were deployed and have no active deployment, or more than one."""


def outcome(url: str) -> Outcome:
    """Counted, once nothing is under way."""
    with connected(url) as cursor:
        cursor.execute(
            """
            SELECT coalesce(sum(every), 0), count(*), count(*) FILTER (WHERE active <> 1) FROM (
                SELECT count(*) AS every, count(*) FILTER (WHERE status = 'active') AS active
                FROM deployments GROUP BY entity_id, environment) AS places
            """
        )
        every, places, wrong = cursor.fetchone()
    return Outcome(int(every), places, wrong)


def announced(url: str) -> bool:
    """Whether the product has published all its events."""
    with connected(url) as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM outbox)")
        return bool(cursor.fetchone()[0])


def at_rest(server: str) -> bool:
    """Whether no session of the server is in a statement or a transaction, and no vacuum runs."""
    with connected(server) as cursor:
        cursor.execute(
            """
            SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (
                backend_type = 'autovacuum worker'
                OR backend_type = 'client backend' AND state <> 'idle')
            """
        )
        return bool(cursor.fetchone()[0] == 0)
