"""``library quarantine``: what was rolled back for its health, and is not deployed there again."""

from typing import Annotated
from uuid import UUID

import typer

from contracts.client import pages
from contracts.quarantine import QuarantineLift, QuarantineListRequest, QuarantineStatus
from worker.entrypoints.commands import views
from worker.entrypoints.commands.arguments import (
    All,
    By,
    CursorOption,
    InEnvironment,
    Key,
    OfEntity,
    PageSize,
    example,
    login_name,
)
from worker.entrypoints.commands.paging import show_pages
from worker.entrypoints.commands.session import Session, asks, common_options

app = typer.Typer(help="Show and lift quarantines.", callback=common_options)


@app.command("list", epilog=example("library quarantine list --environment production"))
@asks
async def list_(
    session: Session,
    *,
    entity: OfEntity = None,
    environment: InEnvironment = None,
    status: Annotated[QuarantineStatus, typer.Option("--status", help="In force, or lifted.")] = "in_force",
    page_size: PageSize = 20,
    cursor: CursorOption = None,
    all_pages: All = False,
) -> None:
    """List what is not deployed again because of its health, newest first."""
    request = QuarantineListRequest(
        entity_id=None if entity is None else await session.entity_id(entity),
        environment=environment,
        status=status,
        page_size=page_size,
        cursor=cursor,
    )
    found = pages(session.client.quarantined, request)
    await show_pages(session, found, "quarantined", views.quarantines, all_pages=all_pages)


@app.command(
    epilog=example(
        "library quarantine lift 0197f3a4-2b1d-7c3f-8e5a-6d7c8b9a0f12 --reason 'The disk was full'"
    )
)
@asks
async def lift(
    session: Session,
    quarantine_id: Annotated[
        UUID,
        typer.Argument(help="Its id, as `library quarantine list` shows it.", metavar="QUARANTINE_ID"),
    ],
    *,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; it is kept with the quarantine.", metavar="TEXT")
    ],
    by: By = None,
    key: Key = None,
) -> None:
    """Let what is in quarantine be deployed there again."""
    request = QuarantineLift(quarantine_id=quarantine_id, lifted_by=login_name(by), reason=reason)
    lifted = await session.client.lift_quarantine(request, idempotency_key=key)
    session.show(lifted, views.quarantine(lifted))
