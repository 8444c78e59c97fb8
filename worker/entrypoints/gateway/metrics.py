"""``GET /metrics``: gathered from all workers and the database whenever Prometheus asks."""

import asyncio
from contextlib import suppress

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

from contracts.delivery import Delivery
from contracts.headers import ERROR_CODE
from contracts.metrics import WorkerFigures
from contracts.problems import ProblemError
from contracts.subjects import DELIVERY_GET, FIGURES
from worker.entrypoints.gateway import exposition, health
from worker.entrypoints.gateway.nats_connection import NatsConnection
from worker.entrypoints.gateway.request_headers import seconds_to_wait
from worker.entrypoints.gateway.worker_totals import WorkerTotals

METRICS = "/metrics"
_WITHIN = 2.0


class Metrics:
    """What this gateway has heard, and how it asks."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._totals = WorkerTotals()
        self._workers = 0

    async def page(self) -> bytes:
        """All metrics, as far as they can be told; within about two seconds."""
        workers, status, delivery = await asyncio.gather(
            self._figures(), health.status(self._connection), self._delivery()
        )
        return exposition.page(self._totals.take(workers), workers, status, delivery)

    async def _figures(self) -> list[WorkerFigures]:
        told = await self._connection.ask_all(FIGURES, expected=self._workers, within=_WITHIN)
        figures: dict[str, WorkerFigures] = {}
        for body in told:
            with suppress(ValidationError):  # of another release
                each = WorkerFigures.model_validate_json(body)
                figures[each.worker] = each
        self._workers = len(figures)
        return list(figures.values())

    async def _delivery(self) -> Delivery | None:
        headers: dict[str, str] = {}
        within = seconds_to_wait(headers, _WITHIN)
        with suppress(ProblemError, ValidationError):
            answer = await self._connection.ask(DELIVERY_GET, b"{}", headers, within=within)
            if ERROR_CODE not in (answer.headers or {}):
                return Delivery.model_validate_json(answer.data)
        return None


def install(app: FastAPI, connection: NatsConnection) -> None:
    """Register the page."""
    metrics = Metrics(connection)

    async def show(_: Request) -> Response:
        return Response(await metrics.page(), media_type=CONTENT_TYPE_LATEST)

    app.add_route(METRICS, show, include_in_schema=False)
