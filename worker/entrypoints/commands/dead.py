"""``library dead``: durable commands that could not be carried out."""

import json
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from contracts.dead_letters import DeadLetter, DeadLetters
from contracts.values import timestamp
from worker.entrypoints.commands.arguments import example
from worker.entrypoints.commands.output import Record, Table, moment
from worker.entrypoints.commands.session import Session, asks, common_options

app = typer.Typer(help="Look after durable commands that could not be carried out.", callback=common_options)

Number = Annotated[
    int, typer.Argument(help="Its number, as `library dead list` shows it.", metavar="NUMBER", min=1)
]


class Shown(BaseModel):
    """A dead command for programs; ``body`` is JSON where it can be read as such, else text."""

    number: int
    command: str
    command_id: str
    reason: str
    put_aside_at: str | None
    headers: dict[str, str]
    body: Any


class ShownList(BaseModel):
    """All dead commands."""

    dead: list[Shown]


@app.command("list", epilog=example("library dead list"))
@asks
async def list_(session: Session) -> None:
    """List the dead commands, oldest first."""
    letters = _letters(session)
    found = [letter for number in await letters.numbers() if (letter := await letters.find(number))]
    rows = [
        (str(each.number), each.command, each.command_id, moment(each.put_aside_at), each.reason)
        for each in found
    ]
    session.show(
        ShownList(dead=[_shown(each) for each in found]),
        Table(("NUMBER", "COMMAND", "ID", "PUT ASIDE", "REASON"), rows),
    )


@app.command("show", epilog=example("library dead show 7"))
@asks
async def show(session: Session, number: Number) -> None:
    """Show a dead command whole."""
    _show(session, await _letters(session).get(number))


@app.command("retry", epilog=example("library dead retry 7"))
@asks
async def retry(session: Session, number: Number) -> None:
    """Send a dead command again, under a new id and without its deadline."""
    sent = await _letters(session).retry(number)
    _show(session, sent)
    session.note(f"sent again as {sent.command_id}; its outcome is an event")


@app.command("drop", epilog=example("library dead drop 7"))
@asks
async def drop(session: Session, number: Number) -> None:
    """Forget a dead command."""
    _show(session, await _letters(session).drop(number))


def _letters(session: Session) -> DeadLetters:
    return DeadLetters(session.client.connection.jetstream())


def _show(session: Session, letter: DeadLetter) -> None:
    shown = _shown(letter)
    fields = [
        ("number", str(shown.number)),
        ("command", shown.command),
        ("id", shown.command_id),
        ("put aside", moment(letter.put_aside_at)),
        ("reason", shown.reason),
        *((f"header {name}", value) for name, value in shown.headers.items()),
        ("body", shown.body if isinstance(shown.body, str) else json.dumps(shown.body, ensure_ascii=False)),
    ]
    session.show(shown, Record(fields))


def _shown(letter: DeadLetter) -> Shown:
    try:
        body = json.loads(letter.body)
    except (ValueError, RecursionError):
        body = letter.body.decode(errors="replace")
    return Shown(
        number=letter.number,
        command=letter.command,
        command_id=letter.command_id,
        reason=letter.reason,
        put_aside_at=timestamp(letter.put_aside_at),
        headers=dict(letter.carried),
        body=body,
    )
