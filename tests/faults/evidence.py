"""Reads what the checker compares, past the product: the tables by SQL, stream and bucket by a consumer."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any

import nats
import psycopg2
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from contracts import subjects
from tests.events import in_stream
from tests.faults.checker import check
from tests.faults.load import Load
from tests.faults.observed import DeploymentRow, EventRow, Evidence, LiveValue, Place
from tests.faults.plant import Plant

_SETTLED_WITHIN = 30.0
_DELETED = "KV-Operation"

_OUTBOX = "SELECT count(*) FROM outbox"
_DEPLOYMENTS = """
SELECT deployment_id::text, entity_id::text, environment, status, extract(epoch FROM deployed_at)::float8,
    extract(epoch FROM confirm_by)::float8
FROM deployments WHERE entity_id = ANY(%s::uuid[])
"""
_EVENTS = "SELECT body FROM events WHERE entity_id = ANY(%s::uuid[]) ORDER BY entity_id, sequence"


async def settled(plant: Plant, load: Load) -> Evidence:
    """What is there once everything is announced and the live state agrees, or when that takes too long."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _SETTLED_WITHIN
    while True:
        try:
            waiting = await asyncio.to_thread(_waiting, plant.database_url)
            if not waiting or loop.time() > until:
                found = replace(await _read(plant, load), unannounced=waiting)
                if loop.time() > until or not check(found):
                    return found
        except (psycopg2.Error, NatsError, TimeoutError, OSError):
            if loop.time() > until:
                raise
        await asyncio.sleep(0.25)


async def _read(plant: Plant, load: Load) -> Evidence:
    ids = [str(entity_id) for entity_id in load.entities]
    client = await nats.connect(plant.nats_url.split(","), max_reconnect_attempts=3)
    try:
        stream = await in_stream(client, *(each for entity_id in ids for each in _subjects_of(entity_id)))
        live = await _bucket(client, subjects.ACTIVE_BUCKET, ids)
        waiting = await _bucket(client, subjects.PENDING_BUCKET, ids)
    finally:
        await client.close()
    deployments, events = await asyncio.to_thread(_tables, plant.database_url, ids)
    return Evidence(
        told=load.told,
        shown=sorted(load.shown),
        deployments=deployments,
        events=events,
        stream=[_event(message.data) for message in stream],
        live=live,
        waiting=waiting,
        began=load.began,
        ended=time.time(),
        outages=plant.outages,
        unhealthy_after=load.unhealthy_after,
    )


async def _bucket(client: Client, bucket: str, ids: Sequence[str]) -> dict[Place, LiveValue]:
    """What the bucket holds for these entities."""
    keys = (subjects.bucket_subject(bucket, subjects.active_key("*", each)) for each in ids)
    found = await in_stream(client, *keys, stream=subjects.bucket_stream(bucket))
    return dict(_live(message) for message in found if _DELETED not in (message.headers or {}))


def _subjects_of(entity_id: str) -> tuple[str, str]:
    return subjects.watched_events(entity_id), subjects.entity_event("*", entity_id)


def _live(message: Msg) -> tuple[Place, LiveValue]:
    value = json.loads(message.data)
    place = value["entity_id"], value["environment"]
    return place, LiveValue(value["deployment_id"], int(value["sequence"]))


def _waiting(database_url: str) -> int:
    ((number,),) = rows(database_url, _OUTBOX)
    return int(number)


def _tables(database_url: str, ids: Sequence[str]) -> tuple[list[DeploymentRow], list[EventRow]]:
    deployments = [DeploymentRow(*row) for row in rows(database_url, _DEPLOYMENTS, list(ids))]
    return deployments, [_event(body) for (body,) in rows(database_url, _EVENTS, list(ids))]


def rows(database_url: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Rows of a statement, past the product."""
    with (
        closing(psycopg2.connect(database_url, connect_timeout=2)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, parameters or None)
        return cursor.fetchall()


def _event(body: str | bytes) -> EventRow:
    event: dict[str, Any] = json.loads(body)
    data: dict[str, Any] = event["data"]
    deployment = data.get("deployment") or {}
    return EventRow(
        event_id=event["id"],
        entity_id=deployment.get("entity_id") or event["subject"],
        sequence=int(event["sequence"]),
        name=event["type"].split(".")[2],
        environment=deployment.get("environment", ""),
        subject=event["subject"],
        key=event["correlationid"],
        time=_seconds(event["time"]) or 0.0,
        actor=data.get("actor"),
        confirm_by=_seconds(deployment.get("confirm_by")),
        report=(data.get("report") or {}).get("status"),
        action=data.get("action"),
    )


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None
