"""What a caller does, over whichever transport."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import nats
import pytest

from contracts import subjects
from contracts.convergence import Applied
from contracts.events import CloudEvent, EventList
from tests.conftest import Refused
from tests.parity.transports import Body, Transport
from tests.system import System


def create(transport: Transport, **fields: Any) -> Body:
    values = {
        "name": f"parity-{uuid4()}",
        "type": "strategy",
        "version": "1.0.0",
        "config": {"a": 1, "b": {"c": 2}},
    }
    return transport.ask(subjects.ENTITY_CREATE, **{**values, **fields})


def deploy(transport: Transport, entity: Body, environment: str = "staging", **fields: Any) -> Body:
    return transport.ask(
        subjects.DEPLOY_REQUEST,
        entity_id=entity["entity_id"],
        environment=environment,
        deployed_by="parity",
        **fields,
    )


def rollback(transport: Transport, deployment: Body, **fields: Any) -> Body:
    return transport.ask(
        subjects.DEPLOY_ROLLBACK,
        deployment_id=deployment["deployment_id"],
        reason="it misbehaves",
        rolled_back_by="parity",
        **fields,
    )


def retire(transport: Transport, deployment: Body, **fields: Any) -> Body:
    return transport.ask(
        subjects.DEPLOY_RETIRE,
        deployment_id=deployment["deployment_id"],
        reason="no longer needed",
        retired_by="parity",
        **fields,
    )


def get(transport: Transport, deployment: Body) -> Body:
    return transport.ask(subjects.DEPLOY_GET, deployment_id=deployment["deployment_id"])


def refusal(act: Any, *arguments: Any, **fields: Any) -> Body:
    with pytest.raises(Refused) as refused:
        act(*arguments, **fields)
    problem = refused.value.problem
    assert problem["type"] == f"urn:library:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"]
    return problem


def confirm(transport: Transport, deployment: Body, outcome: str = "active", **fields: Any) -> Body:
    return transport.ask(
        subjects.DEPLOY_CONFIRM,
        deployment_id=deployment["deployment_id"],
        agent="shop-1",
        outcome=outcome,
        **fields,
    )


def report_health(transport: Transport, deployment: Body, status: str, **fields: Any) -> Body:
    return transport.ask(
        subjects.DEPLOY_HEALTH,
        deployment_id=deployment["deployment_id"],
        reported_by="shop-1",
        status=status,
        **fields,
    )


def history(transport: Transport, deployment: Body) -> list[CloudEvent]:
    page = transport.ask(subjects.DEPLOY_HISTORY, deployment_id=deployment["deployment_id"])
    return EventList.model_validate(page).events


def names(events: list[CloudEvent]) -> list[str]:
    """The short names of events, such as ``completed``."""
    return [event.type.split(".")[2] for event in events]


def agent_runs(
    system: System, environment: str, entity: Body, deployment_id: str | None, sequence: str | None
) -> None:
    """What an agent puts down for itself, however it is asked for later."""

    async def put() -> None:
        connection = await nats.connect(system.nats_url)
        try:
            bucket = await connection.jetstream().key_value(subjects.APPLIED_BUCKET)
            key = subjects.applied_key(environment, entity["entity_id"], "shop-1")
            applied = Applied(deployment_id=deployment_id, sequence=sequence, applied_at=datetime.now(UTC))
            await bucket.put(key, applied.model_dump_json().encode())
        finally:
            await connection.close()

    asyncio.run(put())
