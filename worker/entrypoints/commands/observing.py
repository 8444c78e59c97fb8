"""Looking on: what happens, and how the parts are."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from typing import Annotated

import typer

from contracts.environments import EnvironmentName
from contracts.watching import EventWatch
from worker.entrypoints.commands import views
from worker.entrypoints.commands.arguments import example
from worker.entrypoints.commands.output import json_text
from worker.entrypoints.commands.session import Session, asks

app = typer.Typer()


@app.command(epilog=example("library watch shop --environment production --from 4711 --json"))
@asks
async def watch(
    session: Session,
    entity: Annotated[
        str | None, typer.Argument(help="Of this entity only, by id or name.", metavar="ENTITY")
    ] = None,
    *,
    environment: Annotated[
        EnvironmentName | None, typer.Option("--environment", help="In this environment only.")
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            min=1,
            help="Begin with this number of the stream; by default with what comes.",
            metavar="SEQUENCE",
        ),
    ] = None,
) -> None:
    """Print what happens, until interrupted.

    A line is an event of a deployment. It begins with its number in the stream; --from goes on with the
    number after it. With --json it is the event, with that number as streamsequence. Lost connections are
    taken up again, without gaps.
    """
    entity_id = None if entity is None else await session.entity_id(entity)
    async with session.client.watch(entity_id, environment, start=start) as events:
        sys.stderr.write(f"watching from {events.sequence}\n")
        sys.stderr.flush()
        await _until_interrupted(_print(session, events))


async def _print(session: Session, events: EventWatch) -> None:
    async for sequence, event in events:
        if session.json:
            line = json_text({**event.model_dump(), "streamsequence": sequence})
        else:
            line = f"{sequence}  {views.event(event)}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


async def _until_interrupted(work: Coroutine[None, None, None]) -> None:
    """Work until SIGINT or SIGTERM, which is how a watch ends well."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


@app.command(epilog=example("library status --json"))
@asks
async def status(session: Session) -> None:
    """Show how NATS, database, worker and outbox are."""
    found = await session.client.status()
    session.show(found, views.status(found))
