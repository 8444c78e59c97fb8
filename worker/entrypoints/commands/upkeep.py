"""Operators' commands: see that everything agrees, back up, restore. They go to the servers themselves."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from worker.entrypoints.commands.arguments import example
from worker.entrypoints.commands.output import json_text, printable
from worker.entrypoints.commands.session import AsJson, common_options

if TYPE_CHECKING:
    from nats.aio.client import Client

    from worker.settings import Settings

app = typer.Typer()
live = typer.Typer(help="Look after the live state.", callback=common_options)

_DIFFERS = 1

Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
T = TypeVar("T")


@app.command(epilog=example("library check --json"))
def check(context: typer.Context, *, as_json: AsJson = False) -> None:
    """See whether tables, outbox, stream and live state agree.

    Everything may go on meanwhile. Each difference is a line; exit status 0 if there is none, 1 if something
    differs, 3 if a server is away. It is configured as a worker is; library config lists how.
    """
    from worker.entrypoints.upkeep.check import check as run  # noqa: PLC0415
    from worker.entrypoints.upkeep.servers import Progress  # noqa: PLC0415

    report = _with_servers(
        "check", context, lambda settings, client: run(settings, client, Progress("check"))
    )
    looked_at = ", ".join(f"{number:,} {of}" for of, number in report.looked_at.items())
    if as_json or context.obj.json:
        shown = {
            "holds": report.holds,
            "looked_at": report.looked_at,
            "findings": [asdict(finding) for finding in report.findings],
            "unlisted": report.unlisted,
        }
        _write(json_text(shown, indent=2))
    elif report.holds:
        _write(f"everything agrees: {looked_at}")
    else:
        _write("\n".join(printable(str(finding)) for finding in report.findings))
        count = len(report.findings) + report.unlisted
        unlisted = f", {report.unlisted:,} of them not listed" if report.unlisted else ""
        sys.stderr.write(f"library check: {count:,} differences{unlisted}, in {looked_at}\n")
    raise typer.Exit(0 if report.holds else _DIFFERS)


@app.command(epilog=example("library backup library-2026-01-31.backup"))
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to.", dir_okay=False, metavar="FILE")],
    *,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the database, as of one moment, into a file.

    Everything may go on meanwhile. The file holds all configurations and is its owner's alone. Stream and
    live state follow from the database and are not in it.
    """
    from worker.entrypoints.upkeep.backup import back_up  # noqa: PLC0415
    from worker.entrypoints.upkeep.servers import Progress  # noqa: PLC0415

    settings = _settings(context)
    manifest = _guarded(
        "backup",
        lambda: back_up(
            settings, file, release=version("library-worker"), replace=force, progress=Progress("backup")
        ),
    )
    if as_json or context.obj.json:
        _write(json_text(manifest, indent=2))
    else:
        rows = ", ".join(f"{table.rows:,} {table.table}" for table in manifest.tables)
        _write(f"{file} written: {rows}, as of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC")


@app.command(epilog=example("library restore library-2026-01-31.backup"))
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A backup.", dir_okay=False, metavar="FILE")],
    *,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Load a backup into an empty database, and bring stream and live state in line with it.

    Stop all workers first. With --force, what the database holds is replaced, and a stream that leads
    elsewhere is emptied and filled again.
    """
    from worker.entrypoints.upkeep.restore import restore as run  # noqa: PLC0415
    from worker.entrypoints.upkeep.servers import Progress  # noqa: PLC0415

    progress = Progress("restore")
    restored = _with_servers(
        "restore",
        context,
        lambda settings, client: run(settings, client, file, replace=force, progress=progress),
    )
    manifest = restored.manifest
    if as_json or context.obj.json:
        shown = {
            "backup": manifest,
            "stream_emptied": restored.stream_emptied,
            "events_published": restored.published,
            "keys": restored.keys,
        }
        _write(json_text(shown, indent=2))
    else:
        rows = ", ".join(f"{table.rows:,} {table.table}" for table in manifest.tables)
        emptied = " after emptying the stream" if restored.stream_emptied else ""
        _write(
            f"{file} of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC restored: {rows}; "
            f"{restored.published:,} events published{emptied}; {restored.keys:,} keys"
        )


@live.command(epilog=example("library live rebuild"))
def rebuild(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Make the live state agree with the database.

    Keys that are missing or wrong are put, those of nothing active deleted. Everything may go on meanwhile.
    """
    from worker.entrypoints.upkeep.live import rebuild as run  # noqa: PLC0415
    from worker.entrypoints.upkeep.servers import Progress  # noqa: PLC0415

    rebuilt = _with_servers(
        "live rebuild", context, lambda settings, client: run(settings, client, Progress("live rebuild"))
    )
    if as_json or context.obj.json:
        _write(json_text(asdict(rebuilt), indent=2))
    else:
        done = f"{rebuilt.put:,} keys put, {rebuilt.deleted:,} deleted"
        _write(f"{rebuilt.looked_at:,} keys looked at; {done}")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _settings(context: typer.Context) -> "Settings":
    from worker import logs  # noqa: PLC0415
    from worker.entrypoints.commands.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    logs.configure("WARNING")
    if context.obj.nats_url:
        settings = settings.model_copy(update={"nats_url": context.obj.nats_url})
    return settings


def _with_servers(
    command: str, context: typer.Context, work: Callable[["Settings", "Client"], Awaitable[T]]
) -> T:
    from worker.entrypoints.upkeep.servers import nats_connection  # noqa: PLC0415

    settings = _settings(context)

    async def run() -> T:
        async with nats_connection(settings) as client:
            return await work(settings, client)

    return _guarded(command, lambda: asyncio.run(run()))


def _guarded(command: str, work: Callable[[], T]) -> T:
    """What ``work`` gives; what keeps it from its end is one line and an exit status."""
    from worker.entrypoints.upkeep.failures import describe  # noqa: PLC0415

    try:
        return work()
    except Exception as error:
        described = describe(error)
        if described is None:
            raise
        sys.stderr.write(f"library {command}: {printable(described.line)}\n")
        raise typer.Exit(described.status) from None
