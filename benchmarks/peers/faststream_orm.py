"""A FastStream handler with an ORM session a message: request and reply over NATS, in a queue group.

It is started as ``faststream run benchmarks.peers.faststream_orm:app --workers 2``, with
``PEER_DATABASE_URL`` and ``PEER_NATS_URL`` in the environment.
"""

import os

from faststream import FastStream
from faststream.nats import NatsBroker

from benchmarks.peers.records import DeploymentRecord, DeployRequest, deploy, sessions_for
from benchmarks.peers.subjects import ORM_COMPLETED, ORM_REQUEST

sessions = sessions_for(os.environ["PEER_DATABASE_URL"])
broker = NatsBroker(os.environ["PEER_NATS_URL"], logger=None)
app = FastStream(broker)


@broker.subscriber(ORM_REQUEST, queue="orm", max_workers=20)
@broker.publisher(ORM_COMPLETED)
def handle(request: DeployRequest) -> DeploymentRecord:
    """Deploy; the record is the reply, and is published."""
    with sessions() as session:
        return deploy(session, request, lock=True)


@app.after_startup
async def ready() -> None:
    """Say so: with its logger off, the application itself does not."""
    print("ready", flush=True)
