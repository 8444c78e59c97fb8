"""The processes of the library itself. Each imports what it runs when it runs: clients start without it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.entrypoints.commands.arguments import example
from worker.entrypoints.commands.output import json_text, write
from worker.entrypoints.commands.session import AsJson

app = typer.Typer()

_FREE = "0 picks a free one."


@app.command(epilog=example("library up --data-dir ./state --nats-port 0 --http-port 0"))
def up(
    context: typer.Context,
    *,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Where the state is kept.", file_okay=False, metavar="DIR")
    ] = Path(".library"),
    nats_port: Annotated[
        int, typer.Option("--nats-port", min=0, max=65535, help=f"The port of nats-server; {_FREE}")
    ] = 4222,
    http_port: Annotated[
        int, typer.Option("--http-port", min=0, max=65535, help=f"The port of the gateway; {_FREE}")
    ] = 8350,
    nats_url: Annotated[
        str | None,
        typer.Option("--nats-url", help="Use this running nats-server, and start none.", metavar="URL"),
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option("--database-url", help="Use this running PostgreSQL, and start none.", metavar="URL"),
    ] = None,
) -> None:
    """Start everything on this machine.

    That is nats-server, PostgreSQL, worker and gateway. When all of it answers, it prints one line, "ready
    nats=URL http=URL database=URL"; logs go to standard error. SIGINT or SIGTERM stops it; started again on
    the same DIR it goes on where it was.
    """
    from worker.entrypoints.up import up as run  # noqa: PLC0415

    raise typer.Exit(
        run(
            data_dir=data_dir,
            nats_port=nats_port,
            http_port=http_port,
            nats_url=nats_url or context.obj.nats_url,
            database_url=database_url,
        )
    )


@app.command(epilog=example("LIBRARY_DATABASE_URL=postgresql://127.0.0.1/library library worker"))
def worker() -> None:
    """Run a worker.

    It is configured by environment variables, which library config lists.
    """
    from worker.entrypoints.run import worker as run  # noqa: PLC0415

    raise typer.Exit(run())


@app.command(epilog=example("LIBRARY_HTTP_PORT=8080 library gateway"))
def gateway() -> None:
    """Run the HTTP gateway.

    It is configured by environment variables, which library config lists.
    """
    from worker.entrypoints.run import gateway as run  # noqa: PLC0415

    raise typer.Exit(run())


@app.command(epilog=example("LIBRARY_DATABASE_URL=postgresql://127.0.0.1/library library migrate"))
def migrate() -> None:
    """Bring database and streams up to date.

    Run it once a release, before its workers; it is configured by environment variables, which library config
    lists.
    """
    from worker.entrypoints.run import migrate as run  # noqa: PLC0415

    raise typer.Exit(run())


@app.command(epilog=example("library config"))
def config(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the settings of worker and gateway.

    Each with its value here, its environment variable and its meaning; passwords are hidden.
    """
    from worker.entrypoints.commands import settings  # noqa: PLC0415

    found = settings.read_settings()
    if as_json or context.obj.json:
        sys.stdout.write(f"{json_text(settings.as_document(found), indent=2)}\n")
    else:
        write(settings.as_table(found))
