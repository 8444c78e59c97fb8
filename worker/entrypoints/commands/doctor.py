"""``library doctor``: is everything as it should be, and what to do if not."""

import asyncio
import sys
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

import typer

from worker.entrypoints.commands.arguments import example
from worker.entrypoints.commands.output import Table, json_text, printable, write
from worker.entrypoints.commands.session import DONE, NO_ANSWER, REFUSED, AsJson

app = typer.Typer()


def _url(given: str | None) -> str | None:
    """An address as a browser has it; the port is a number."""
    try:
        parts = urlsplit(given or "http://x")
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return given
    except ValueError:
        pass
    raise typer.BadParameter(f"{given!r} is no URL such as http://127.0.0.1:8222")


@app.command(epilog=example("library doctor --json"))
def doctor(
    context: typer.Context,
    *,
    monitoring: Annotated[
        str | None,
        typer.Option(
            "--monitoring",
            help="Where nats-server's monitoring answers; by default on port 8222 of the server in use.",
            callback=_url,
            metavar="URL",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at settings, servers, permissions, streams, schema, clock and processes.

    It changes nothing. What is not well stands there with what to do about it. Exit status 0 without a fault
    (warnings do not count), 1 with one, 3 if neither NATS nor PostgreSQL answers.
    """
    from worker.entrypoints.commands.settings import read_settings  # noqa: PLC0415
    from worker.entrypoints.doctor.examination import examine  # noqa: PLC0415

    findings = asyncio.run(examine(read_settings(), monitoring=monitoring))
    faults = [each for each in findings if each.verdict == "fault"]
    if as_json or context.obj.json:
        shown = {"healthy": not faults, "findings": [asdict(each) for each in findings]}
        sys.stdout.write(f"{json_text(shown, indent=2)}\n")
    else:
        write(Table(("", "WHAT", "HOW IT IS"), [(each.verdict, each.about, each.says) for each in findings]))
        for each in findings:
            if each.do:
                sys.stderr.write(f"{each.verdict}: {printable(each.about)}: {printable(each.do)}\n")
        warnings = sum(each.verdict == "warning" for each in findings)
        sys.stderr.write(f"{len(faults)} faults, {warnings} warnings\n")
    unreached = {"NATS", "PostgreSQL"} <= {each.about for each in faults}
    raise typer.Exit(NO_ANSWER if unreached else REFUSED if faults else DONE)
