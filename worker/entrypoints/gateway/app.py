"""The gateway's application: routes from the table of endpoints, probes, documents."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from contracts.subjects import STATUS_GET
from worker import tracing
from worker.entrypoints.gateway import asyncapi_page, edge, health, metrics, openapi, schemas
from worker.entrypoints.gateway.dashboard import site
from worker.entrypoints.gateway.hosts import KnownHosts
from worker.entrypoints.gateway.nats_connection import NatsConnection
from worker.entrypoints.gateway.traced import TracedRequests
from worker.entrypoints.gateway.twins import handler, routes


def create_app(
    *, nats_url: str, request_timeout: float = 10.0, names: Collection[str] = (), exposed: bool = False
) -> FastAPI:
    """The application, which asks the workers behind ``nats_url`` (several addresses with commas between).

    ``request_timeout`` is in seconds, for callers that name no deadline. ``names`` are those by which it is
    asked, besides addresses and localhost; none for any, where it is ``exposed`` to other machines.

    NATS may be away: the application starts, says so in its answers, and goes on trying.
    """
    connection = NatsConnection(nats_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with connection:
            yield

    app = FastAPIOffline(  # its pages load nothing from elsewhere
        docs_url="/docs",
        redoc_url=None,
        title=openapi.TITLE,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would be built from the caller's Host header
        swagger_ui_parameters={"validatorUrl": None, "defaultModelsExpandDepth": 0},
    )
    app.openapi = cache(openapi.document)  # type: ignore[method-assign]  # FastAPI's way to bring one's own
    if names or not exposed:
        app.add_middleware(KnownHosts, names=names)
    edge.install(app)
    if tracing.tracer().is_on:
        app.add_middleware(TracedRequests)
    health.install(app, connection)
    metrics.install(app, connection)
    app.state.changes = site.install(app, connection, exposed=exposed)
    schemas.install(app)
    asyncapi_page.install(app)
    for path, twins in routes():
        if any(twin.subject == STATUS_GET for twin in twins.values()):
            asked = handler(twins, connection, health.STATUS_TIMEOUT)
            endpoint = health.or_what_is_known(asked, connection)
        else:
            endpoint = handler(twins, connection, request_timeout)
        app.add_route(path, endpoint, methods=list(twins), include_in_schema=False)
    return app
