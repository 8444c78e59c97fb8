"""Write the pages of docs/reference that follow from the contract, or see that they are up to date.

``python docs/reference.py [--check]``
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from typer.main import get_command

from contracts.endpoints import ENDPOINTS, Endpoint
from contracts.problems import PROBLEMS, RETRY_AFTER_SECONDS
from worker.entrypoints.cli import app

FOLDER = Path(__file__).parent / "reference"
_MARK = "<!-- Written by docs/reference.py from the contract; `make documents` writes it anew. -->"


def requests() -> Iterator[str]:
    """Each request: its fields, what it answers, and its HTTP twins."""
    yield from ("# Requests", "", _MARK, "")
    yield "A request's body is a JSON object; the reply is one too, or a problem ([codes](codes.md))."
    yield "Headers, events and every field of the replies: `asyncapi.json`, also at `/asyncapi` of a gateway."
    for endpoint in ENDPOINTS:
        yield from ("", f"## `{endpoint.subject}`", "", endpoint.summary, "")
        twins = ", ".join(f"`{route.method} {route.path}`" for route in endpoint.routes)
        yield f"Answers `{endpoint.reply.__name__}`." + (f" Over HTTP: {twins}." if twins else "")
        yield from _fields(endpoint)


def _fields(endpoint: Endpoint) -> Iterator[str]:
    model: type[BaseModel] = endpoint.request
    if not model.model_fields:
        return
    schema = model.model_json_schema()
    yield from ("", "| field | type | default |", "|---|---|---|")
    for name, field in model.model_fields.items():
        form = _form(schema["properties"][name], schema.get("$defs", {}))
        default = "required" if field.is_required() else f"`{_json(field.default)}`"
        yield f"| `{name}` | {form} | {default} |"


def _form(schema: dict[str, Any], defs: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        return _form(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_form(each, defs) for each in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    form = schema.get("format") or schema.get("type", "any JSON")
    limits = [
        f"{words} {schema[key]}"
        for key, words in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("minLength", "at least"),
            ("maxLength", "at most"),
        )
        if key in schema
    ]
    unit = " characters" if form == "string" and limits else ""
    return form + (f", {', '.join(limits)}{unit}" if limits else "")


def _json(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def codes() -> Iterator[str]:
    """Each problem's code."""
    yield from ("# Problem codes", "", _MARK, "")
    yield "A refusal is a problem (RFC 9457) whose `code` never changes; over NATS the headers"
    yield "`Nats-Service-Error-Code` and `Nats-Service-Error` say so, over HTTP the status."
    yield from ("", "| code | status | title | ask again after |", "|---|---|---|---|")
    for code, problem in PROBLEMS.items():
        seconds = RETRY_AFTER_SECONDS.get(code)
        again = f"{seconds} s" if seconds is not None else ""
        yield f"| `{code}` | {problem.status} | {problem.title} | {again} |"


def command_line() -> Iterator[str]:
    """Each command with its options, as ``--help`` has them."""
    yield from ("# Command line", "", _MARK, "")
    yield "Exit status: 0 done, 1 refused, 2 usage, 3 no answer."
    yield from _commands(get_command(app), "library")


def _commands(command: click.Command, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, max_content_width=100, terminal_width=100)
    children = getattr(command, "commands", None)
    if children is None:
        help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        yield from ("", f"## {name}", "", "```text", help_text, "```")
        return
    for child in children:
        yield from _commands(children[child], f"{name} {child}")


PAGES = {"requests.md": requests, "codes.md": codes, "command-line.md": command_line}


def main() -> int:
    """The exit status: 1 where ``--check`` finds a page out of date."""
    parser = argparse.ArgumentParser(description="Write the pages of docs/reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is not up to date")
    check = parser.parse_args().check
    stale = []
    for name, lines in PAGES.items():
        path, text = FOLDER / name, "\n".join(lines()) + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8", newline="\n")
    if check and stale:
        sys.stderr.write(f"docs/reference/{', '.join(stale)} not up to date; run make documents\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
