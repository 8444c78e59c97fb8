"""The seed document's service, written from its description: FastAPI, an ORM session a request, core NATS.

``serve_seed.py`` starts it, with ``PEER_DATABASE_URL``, ``PEER_NATS_URL`` and ``PEER_BLOCKING`` in the
environment. The description leaves open where the synchronous session runs: in a thread, or
(``PEER_BLOCKING=1``) in the event loop, which it blocks.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from benchmarks.peers.records import (
    DeploymentRecord,
    DeployRequest,
    UnknownEntity,
    deploy,
    sessions_for,
)
from benchmarks.peers.subjects import SEED_COMPLETED

sessions = sessions_for(os.environ["PEER_DATABASE_URL"])
blocking = os.environ["PEER_BLOCKING"] == "1"


@asynccontextmanager
async def connected(service: FastAPI) -> AsyncIterator[None]:
    """A connection to NATS for as long as the service runs."""
    service.state.nats = await nats.connect(os.environ["PEER_NATS_URL"])
    yield
    await service.state.nats.drain()


app = FastAPI(title="The seed document's service", lifespan=connected)


@app.post("/api/v1/deployments", status_code=201)
async def create_deployment(body: DeployRequest, request: Request) -> DeploymentRecord:
    """Deploy, tell NATS, answer the record."""
    try:
        record = _deploy(body) if blocking else await run_in_threadpool(_deploy, body)
    except UnknownEntity:
        raise HTTPException(404, "no such entity") from None
    await request.app.state.nats.publish(SEED_COMPLETED, record.model_dump_json().encode())
    return record


def _deploy(body: DeployRequest) -> DeploymentRecord:
    with sessions() as session:
        return deploy(session, body, lock=False)
