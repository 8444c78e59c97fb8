"""``library entity``: what can be deployed."""

from typing import Annotated

import typer

from contracts.client import pages
from contracts.entities import EntityCreate, EntityDelete, EntityListRequest, EntityUpdate, HealthStatus
from contracts.environments import EntityStatus
from worker.entrypoints.commands import views
from worker.entrypoints.commands.arguments import (
    All,
    By,
    Config,
    CursorOption,
    Depends,
    Entity,
    Key,
    PageSize,
    Parameters,
    example,
    login_name,
)
from worker.entrypoints.commands.paging import show_pages
from worker.entrypoints.commands.session import Session, asks, common_options

app = typer.Typer(help="Register, show, change and delete entities.", callback=common_options)

_TYPE = typer.Option("--type", help="Its type: a-z, 0-9, _ and -.", metavar="TYPE")
_VERSION = typer.Option("--version", help="Its version, at most 50 characters.", metavar="VERSION")
Description = Annotated[str | None, typer.Option("--description", help="What it is.", metavar="TEXT")]
Status = Annotated[EntityStatus | None, typer.Option("--status", help="Its status.")]
Health = Annotated[HealthStatus | None, typer.Option("--health", help="Its health.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.", metavar="TAG")]


@app.command(
    epilog=example("library entity create shop --type service --version 1.0.0 --depends 'prices>=1.2,<2'")
)
@asks
async def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Its name, unique among the entities.", metavar="NAME")],
    *,
    type_: Annotated[str, _TYPE],
    version: Annotated[str, _VERSION],
    config: Config = None,
    parameters: Parameters = None,
    depends: Depends = None,
    description: Description = None,
    tags: Tags = None,
    status: Status = None,
    health: Health = None,
    by: By = None,
    key: Key = None,
) -> None:
    """Register an entity."""
    request = EntityCreate(
        name=name,
        type=type_,
        version=version,
        created_by=login_name(by),
        description=description,
        config=config or {},
        parameters=parameters or {},
        status=status or "registered",
        health_status=health or "unknown",
        tags=tags or [],
        dependencies=depends or [],
    )
    entity = await session.client.create_entity(request, idempotency_key=key)
    session.show(entity, views.entity(entity))


@app.command(epilog=example("library entity get shop"))
@asks
async def get(session: Session, entity: Entity) -> None:
    """Show an entity."""
    found = await session.client.get_entity(entity_id=await session.entity_id(entity))
    session.show(found, views.entity(found))


@app.command("list", epilog=example("library entity list --type service --all"))
@asks
async def list_(
    session: Session,
    *,
    type_: Annotated[str | None, typer.Option("--type", help="Of this type only.", metavar="TYPE")] = None,
    status: Annotated[EntityStatus | None, typer.Option("--status", help="In this status only.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of this exact name.", metavar="NAME")] = None,
    page_size: PageSize = 20,
    cursor: CursorOption = None,
    all_pages: All = False,
) -> None:
    """List entities, newest first."""
    request = EntityListRequest(type=type_, status=status, name=name, page_size=page_size, cursor=cursor)
    found = pages(session.client.list_entities, request)
    await show_pages(session, found, "entities", views.entities, all_pages=all_pages)


@app.command(epilog=example("library entity update shop --version 1.1.0 --config @shop.json"))
@asks
async def update(
    session: Session,
    entity: Entity,
    *,
    name: Annotated[str | None, typer.Option("--name", help="Its new name.", metavar="NAME")] = None,
    type_: Annotated[str | None, _TYPE] = None,
    version: Annotated[str | None, _VERSION] = None,
    config: Config = None,
    parameters: Parameters = None,
    depends: Depends = None,
    description: Description = None,
    tags: Tags = None,
    status: Status = None,
    health: Health = None,
    expected_revision: Annotated[
        int | None,
        typer.Option("--expected-revision", help="Refuse if it has another revision by now.", metavar="N"),
    ] = None,
    by: By = None,
    key: Key = None,
) -> None:
    """Change an entity; what is not named stays as it is."""
    request = EntityUpdate(
        entity_id=await session.entity_id(entity),
        expected_revision=expected_revision,
        updated_by=login_name(by),
        name=name,
        type=type_,
        version=version,
        description=description,
        config=config,
        parameters=parameters,
        status=status,
        health_status=health,
        tags=tags or None,
        dependencies=depends or None,
    )
    changed = await session.client.update_entity(request, idempotency_key=key)
    session.show(changed, views.entity(changed))


@app.command(epilog=example("library entity delete shop"))
@asks
async def delete(session: Session, entity: Entity, *, by: By = None, key: Key = None) -> None:
    """Delete an entity that is deployed nowhere."""
    request = EntityDelete(entity_id=await session.entity_id(entity), deleted_by=login_name(by))
    deleted = await session.client.delete_entity(request, idempotency_key=key)
    session.show(deleted, views.entity(deleted))
