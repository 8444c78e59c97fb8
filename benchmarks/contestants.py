"""Who is measured, each on a database of its own on the product's PostgreSQL and with its nats-server."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from benchmarks import asking, databases, load, pgbench, services
from benchmarks.measures import Run
from benchmarks.peers.subjects import ORM_REQUEST
from benchmarks.product import Product
from contracts import subjects
from worker.embedded.ports import LOOPBACK, free_port


class Drive(Protocol):
    """Loads a contestant that runs."""

    def __call__(self, *, callers: int, seconds: float) -> Awaitable[Run]: ...


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Someone to be measured, and by how many callers; ``locks`` if it keeps deploys of an entity apart."""

    name: str
    title: str
    database: str
    running: Callable[[], AbstractAsyncContextManager[Drive]]
    callers: Sequence[int] = load.CALLERS
    locks: bool = True


async def prepare(
    product: Product, *, only: Sequence[str], entities: int = load.ENTITIES
) -> list[Contestant]:
    """All of them, or those named, in the order in which they take turns, with their entities made."""
    groups = [await make(product, entities) for name, make in _MAKERS.items() if not only or name in only]
    return [contestant for group in groups for contestant in group]


async def _product(product: Product, entities: int) -> list[Contestant]:
    client = await load.connect(product.nats)
    ids = await load.make_entities(client, entities)
    await client.close()
    return [
        Contestant(
            name="product",
            title="library, over NATS",
            database=product.database,
            running=partial(_asked, partial(asking.over_nats, product.nats, subjects.DEPLOY_REQUEST), ids),
        ),
        Contestant(
            name="product-http",
            title="library, over HTTP",
            database=product.database,
            running=partial(_asked, partial(asking.over_http, product.http), ids),
        ),
    ]


async def _seed(product: Product, entities: int) -> list[Contestant]:
    return [
        _seed_service(product, entities, name="seed", title="the seed document's service"),
        _seed_service(
            product,
            entities,
            "--blocking",
            name="seed-blocking",
            title="the same, without threads",
            callers=(1, 64),
        ),
    ]


def _seed_service(
    product: Product,
    entities: int,
    *options: str,
    name: str,
    title: str,
    callers: Sequence[int] = load.CALLERS,
) -> Contestant:
    database, ids = databases.with_records(product.database, f"peer_{name.replace('-', '_')}", entities)

    @asynccontextmanager
    async def running() -> AsyncIterator[Drive]:
        port = free_port()
        service = ("benchmarks.peers.serve_seed", str(port), *options)
        ready = "Application startup complete"
        async with (
            services.running(service, database=database, nats=product.nats, ready=ready),
            asking.over_http(f"http://{LOOPBACK}:{port}") as ask,
        ):
            yield partial(asking.drive, ask, ids, reads_again=True)

    return Contestant(
        name=name, title=title, database=database, running=running, callers=callers, locks=False
    )


async def _postgresql(product: Product, entities: int) -> list[Contestant]:
    database = databases.with_product_tables(product.database, "peer_postgresql", entities)

    @asynccontextmanager
    async def running(*, with_events: bool) -> AsyncIterator[Drive]:
        yield partial(pgbench.drive, database, entities=entities, with_events=with_events)

    return [
        Contestant(
            name="postgresql",
            title="PostgreSQL alone",
            database=database,
            running=partial(running, with_events=True),
            callers=(1, 16, 64),  # the server takes 100 connections
        ),
        Contestant(
            name="postgresql-without-events",
            title="PostgreSQL alone, no events",
            database=database,
            running=partial(running, with_events=False),
            callers=(64,),
        ),
    ]


async def _faststream(product: Product, entities: int) -> list[Contestant]:
    database, ids = databases.with_records(product.database, "peer_faststream", entities)

    @asynccontextmanager
    async def running() -> AsyncIterator[Drive]:
        service = ("faststream", "run", "benchmarks.peers.faststream_orm:app", "--workers", "2")
        async with (
            services.running(service, database=database, nats=product.nats, ready="ready"),
            asking.over_nats(product.nats, ORM_REQUEST) as ask,
        ):
            yield partial(asking.drive, ask, ids, reads_again=True)

    title = "FastStream, an ORM session each"
    return [Contestant(name="faststream-orm", title=title, database=database, running=running)]


async def _task_queue(product: Product, entities: int) -> list[Contestant]:
    database, ids = await databases.with_queue(product.database, "peer_queue", entities)

    @asynccontextmanager
    async def running() -> AsyncIterator[Drive]:
        service = ("benchmarks.peers.task_queue",)
        async with (
            services.running(service, service, database=database, nats=product.nats, ready="ready"),
            asking.by_queue(database, product.nats) as ask,
        ):
            yield partial(asking.drive, ask, ids, reads_again=True)

    title = "procrastinate, a task each"
    return [Contestant(name="task-queue", title=title, database=database, running=running)]


@asynccontextmanager
async def _asked(
    asked: Callable[[], AbstractAsyncContextManager[asking.Ask]], ids: Sequence[str]
) -> AsyncIterator[Drive]:
    async with asked() as ask:
        yield partial(asking.drive, ask, ids)


_MAKERS: dict[str, Callable[[Product, int], Awaitable[list[Contestant]]]] = {
    "product": _product,
    "seed": _seed,
    "postgresql": _postgresql,
    "faststream-orm": _faststream,
    "task-queue": _task_queue,
}
NAMES = tuple(_MAKERS)
