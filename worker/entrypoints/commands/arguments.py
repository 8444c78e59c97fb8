"""What stands on the command line, and how it is read."""

import getpass
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError

from contracts.entities import Dependency
from contracts.environments import EnvironmentName
from contracts.values import RFC3339

_SPECIFIER = re.compile(r"(?=[<>=!~])")


def document(text: str) -> dict[str, Any]:
    """The JSON object that ``text`` is, or the file after an ``@`` holds; ``@-`` is standard input."""
    source = text
    if text.startswith("@"):
        source = _content(text[1:])
    try:
        value = json.loads(source)
    except ValueError as error:
        raise typer.BadParameter(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter('a JSON object is needed, such as {"replicas": 3}')
    return value


def _content(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{name} is not UTF-8") from None


def dependency(text: str) -> Dependency:
    """``NAME[SPECIFIER]``, such as ``prices>=1.2,<2``."""
    name, *specifier = (part.strip() for part in _SPECIFIER.split(text, maxsplit=1))
    try:
        return Dependency(name=name, version=specifier[0] if specifier else None)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise typer.BadParameter(
            f"{'the specifier' if fault['loc'] == ('version',) else 'the name'} of {text!r}: {fault['msg']}"
        ) from None


def point_in_time(text: str) -> datetime:
    """A time with its offset from UTC (RFC 3339), such as ``2026-01-31T12:00:00Z``."""
    try:
        if RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"{text!r} is no time such as 2026-01-31T12:00:00Z or 2026-01-31T13:00:00+01:00")


def entity_or_id(text: str) -> UUID | str:
    """What ENTITY stands for: an id where it reads as one, else a name."""
    try:
        return UUID(text)
    except ValueError:
        return text


def example(*commands: str) -> str:
    """The end of a command's help; the mark keeps its lines as they are."""
    return "\n".join(
        ("\b", "Example:" if len(commands) == 1 else "Examples:", *(f"  {one}" for one in commands))
    )


def login_name(given: str | None) -> str:
    """Who acts: ``--by``, or whoever is logged in."""
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # KeyError until Python 3.13
        raise typer.BadParameter("nobody is logged in: say who with --by NAME") from None


_JSON = "JSON|@FILE"

Entity = Annotated[str, typer.Argument(help="The entity: its id or its name.", metavar="ENTITY")]
DeploymentId = Annotated[UUID, typer.Argument(help="The deployment's id.", metavar="DEPLOYMENT_ID")]
By = Annotated[
    str | None, typer.Option("--by", help="Who does it; by default the login name.", metavar="NAME")
]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        help="A name for this change: asked again under it, it is done once.",
        metavar="KEY",
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the deployment.", metavar="TEXT")]
Config = Annotated[
    dict[str, Any] | None,
    typer.Option("--config", parser=document, help="The configuration, a JSON object.", metavar=_JSON),
]
Parameters = Annotated[
    dict[str, Any] | None,
    typer.Option("--parameters", parser=document, help="The parameters, a JSON object.", metavar=_JSON),
]
Details = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--details", parser=document, help="What else there is to say, a JSON object.", metavar=_JSON
    ),
]
OfEntity = Annotated[
    str | None, typer.Option("--entity", help="Of this entity, by id or name.", metavar="ENTITY")
]
InEnvironment = Annotated[
    EnvironmentName | None, typer.Option("--environment", help="In this environment only.")
]
Depends = Annotated[
    list[Dependency] | None,
    typer.Option(
        "--depends",
        parser=dependency,
        help="What must be active in the same environment, such as 'prices>=1.2,<2'; may be repeated.",
        metavar="NAME[SPECIFIER]",
    ),
]
PageSize = Annotated[int, typer.Option("--page-size", min=1, max=100, help="How many a page holds.")]
CursorOption = Annotated[
    str | None, typer.Option("--cursor", help="Go on where a page ended.", metavar="CURSOR")
]
All = Annotated[bool, typer.Option("--all", help="All pages from there on, not one.")]
