"""The same transition as a task of procrastinate, a task queue on PostgreSQL; the task answers over NATS.

It is started as ``python -m benchmarks.peers.task_queue``, with ``PEER_DATABASE_URL`` and
``PEER_NATS_URL`` in the environment; two of them share the queue.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import nats
from nats.aio.client import Client
from procrastinate import App, JobContext, PsycopgConnector

from benchmarks.peers.records import DeploymentRecord, DeployRequest, deploy, sessions_for
from benchmarks.peers.subjects import QUEUE_COMPLETED

DEPLOY = "deploy"
AT_ONCE = 20


def app_on(database_url: str) -> App:
    """The queue's application: callers defer to it, workers run it."""
    return App(connector=PsycopgConnector(conninfo=database_url, min_size=1, max_size=10))


async def work(database_url: str, nats_url: str) -> None:
    """Run tasks until a signal comes."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(AT_ONCE))
    sessions, connection = sessions_for(database_url), await nats.connect(nats_url)

    def run(request: DeployRequest) -> DeploymentRecord:
        with sessions() as session:
            return deploy(session, request, lock=True)

    app = app_on(database_url)

    @app.task(name=DEPLOY, pass_context=True)
    async def task(_: JobContext, *, request: dict[str, str], reply: str) -> None:
        deployed = await asyncio.to_thread(run, DeployRequest.model_validate(request))
        record = deployed.model_dump_json().encode()
        await connection.publish(QUEUE_COMPLETED, record)
        await connection.publish(reply, record)

    async with app.open_async():
        await _ready(connection)
        await app.run_worker_async(concurrency=AT_ONCE)
    await connection.drain()


async def _ready(connection: Client) -> None:
    await connection.flush()
    print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(work(os.environ["PEER_DATABASE_URL"], os.environ["PEER_NATS_URL"]))
