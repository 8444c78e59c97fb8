"""What is on record: deployments and their histories, what was active at a time, and who is behind."""

from datetime import datetime
from typing import Annotated, Any

import typer

from contracts.client import pages
from contracts.convergence import Convergence, ConvergenceRequest
from contracts.deployments import AsOfRequest, DeploymentListRequest, DeploymentStatus, HistoryRequest
from contracts.environments import EnvironmentName
from worker.entrypoints.commands import views
from worker.entrypoints.commands.arguments import (
    All,
    CursorOption,
    DeploymentId,
    InEnvironment,
    OfEntity,
    PageSize,
    example,
    point_in_time,
)
from worker.entrypoints.commands.paging import show_pages
from worker.entrypoints.commands.session import Session, asks

app = typer.Typer()


@app.command(epilog=example("library get 0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41 --json"))
@asks
async def get(session: Session, deployment_id: DeploymentId) -> None:
    """Show a deployment."""
    deployment = await session.client.get(deployment_id=deployment_id)
    session.show(deployment, views.deployment(deployment))


def _suits_behind(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:
    """Agents are those of an environment, and have neither statuses nor pages.

    Options are read in the order they stand in, those that are not there last; so each looks at what was read
    before it, and together they have seen all.
    """
    read = {**context.params, str(option.name): value}
    if read.get("behind"):
        if "environment" in read and read["environment"] is None:
            raise typer.BadParameter("needs --environment, whose agents it lists", param_hint="--behind")
        if clash := next((name for name in ("status", "cursor") if read.get(name) is not None), None):
            raise typer.BadParameter(f"lists agents; --{clash} is for deployments", param_hint="--behind")
    return value


@app.command(
    "list",
    epilog=example(
        "library list --environment production --status active",
        "library list --behind --environment production",
    ),
)
@asks
async def list_(
    session: Session,
    *,
    entity: OfEntity = None,
    environment: Annotated[
        EnvironmentName | None,
        typer.Option("--environment", help="In this environment only.", callback=_suits_behind),
    ] = None,
    status: Annotated[
        DeploymentStatus | None,
        typer.Option("--status", help="In this status only.", callback=_suits_behind),
    ] = None,
    behind: Annotated[
        bool,
        typer.Option(
            "--behind",
            help="Instead, the agents of --environment that run something else than what is active.",
            callback=_suits_behind,
        ),
    ] = False,
    page_size: PageSize = 20,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", help="Go on where a page ended.", metavar="CURSOR", callback=_suits_behind),
    ] = None,
    all_pages: All = False,
) -> None:
    """List deployments, newest first."""
    if behind and environment is not None:
        await _list_behind(session, entity, environment)
        return
    request = DeploymentListRequest(
        entity_id=None if entity is None else await session.entity_id(entity),
        environment=environment,
        status=status,
        page_size=page_size,
        cursor=cursor,
    )
    found = pages(session.client.list, request)
    await show_pages(session, found, "deployments", views.deployments, all_pages=all_pages)


async def _list_behind(session: Session, entity: str | None, environment: EnvironmentName) -> None:
    entity_id = None if entity is None else await session.entity_id(entity)
    found = pages(session.client.convergence, ConvergenceRequest(environment=environment))
    consumers = [
        each async for page in found for each in page.consumers if entity_id in (None, each.entity_id)
    ]
    behind = [each for each in consumers if each.behind_since is not None]
    session.show(Convergence(consumers=behind), views.consumers(behind))
    session.note(f"{len(behind):,} of {len(consumers):,} agents are behind")


@app.command(
    "as-of",
    epilog=example(
        "library as-of 2026-01-31T12:00:00Z --environment production",
        "library as-of 2026-01-31T13:00:00+01:00 --entity shop",
    ),
)
@asks
async def as_of(
    session: Session,
    at: Annotated[
        datetime,
        typer.Argument(
            parser=point_in_time,
            help="The time, with Z or its offset from UTC (RFC 3339); not one that is to come.",
            metavar="TIME",
        ),
    ],
    *,
    entity: OfEntity = None,
    environment: InEnvironment = None,
    page_size: PageSize = 100,
    cursor: CursorOption = None,
    all_pages: All = False,
) -> None:
    """List what was active at a time.

    The deployments are shown as they are now: their statuses are today's.
    """
    request = AsOfRequest(
        at=at,
        entity_id=None if entity is None else await session.entity_id(entity),
        environment=environment,
        page_size=page_size,
        cursor=cursor,
    )
    found = pages(session.client.as_of, request)
    await show_pages(session, found, "deployments", views.deployments, all_pages=all_pages)


@app.command(epilog=example("library history 0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41"))
@asks
async def history(
    session: Session,
    deployment_id: DeploymentId,
    *,
    page_size: PageSize = 100,
    cursor: CursorOption = None,
    all_pages: All = False,
) -> None:
    """Show what happened to a deployment, oldest first."""
    request = HistoryRequest(deployment_id=deployment_id, page_size=page_size, cursor=cursor)
    found = pages(session.client.history, request)
    await show_pages(session, found, "events", views.events, all_pages=all_pages)
