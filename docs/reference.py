"""Write the pages of docs/reference that follow from the contract, or see that they are up to date.

``python docs/reference.py [--check]``
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import BaseModel
from typer.main import get_command

from contracts import subjects
from contracts.endpoints import ENDPOINTS, Endpoint
from contracts.events import CloudEvent, DeploymentEventName, EntityEventName, EventData
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


_DEPLOYMENT_EVENTS = {
    "queued": "It waits in line (`pending`) behind one that is under way in a confirmed environment.",
    "started": "It waits for the word of an agent (`deploying`).",
    "completed": "It is active.",
    "superseded": "Another one took its place, or its turn.",
    "rolled_back": "It was taken back; `target_deployment_id` is what runs instead.",
    "reactivated": "It is active again, since the one that had replaced it was taken back.",
    "failed": "An agent refused it, or nobody confirmed it in time; what was active stays so.",
    "retired": "It was ended, and nothing took its place.",
    "rejected": "A durable command was refused: `command`, its `body` and the `problem`. It changes nothing.",
    "health": "An agent reported how it does: the `report` and the `action` it led to.",
}
_ENTITY_EVENTS = {
    "created": "There is a new entity.",
    "updated": "Something of it was changed; a deployment is no such change.",
    "deleted": "It is gone; its name is free, its history stays.",
}
_ENVIRONMENT_EVENTS = {"updated": "Its rules changed."}
_ATTRIBUTES = {
    "specversion": "`1.0`",
    "id": "its own; the header `Nats-Msg-Id` is the same",
    "source": f"`{subjects.EVENT_SOURCE}`",
    "type": "what happened to what, as in the tables above",
    "subject": "the id of the deployment or entity, the name of the environment, or the id of the command",
    "time": "when it was decided, by the database's clock",
    "datacontenttype": "`application/json`",
    "correlationid": "the id of the request that it came from",
    "sequence": "its number among its entity's events: 1, 2, 3 and so on; a decimal string, 64 bits",
    "traceparent": "the trace of the request, if it had one ([observability.md](../observability.md))",
    "tracestate": "the same",
    "data": "below",
}


def events() -> Iterator[str]:
    """Each event: its type, its subject, when it is sent, and what it holds."""
    yield from ("# Events", "", _MARK, "")
    yield "Every committed change is a CloudEvent 1.0 in structured JSON, in the stream"
    yield f"`{subjects.EVENTS_STREAM}`, once and in the order of its entity. Read it with"
    yield "`LibraryClient.watch`, `library watch`, or a consumer of your own; one that must do nothing"
    yield "twice drops an `id` that it has seen."
    of_deployments = subjects.deployment_event("EVENT", "ENVIRONMENT", "ENTITY_ID")
    of_environments = subjects.environment_event("EVENT", "ENVIRONMENT")
    told = (
        ("deployment", "Deployments", of_deployments, _DEPLOYMENT_EVENTS),
        ("entity", "Entities", subjects.entity_event("EVENT", "ENTITY_ID"), _ENTITY_EVENTS),
        ("environment", "Environments", of_environments, _ENVIRONMENT_EVENTS),
    )
    assert set(_DEPLOYMENT_EVENTS) == set(get_args(DeploymentEventName))
    assert set(_ENTITY_EVENTS) == set(get_args(EntityEventName))
    assert set(_ATTRIBUTES) == set(CloudEvent.model_fields)
    for kind, title, subject, names in told:
        yield from ("", f"## {title}", "", f"On `{subject}`:", "", "| type | when |", "|---|---|")
        for name, when in names.items():
            yield f"| `{subjects.event_type(kind, name)}` | {when} |"
    yield from ("", "## Attributes", "", "| attribute | value |", "|---|---|")
    yield from (f"| `{name}` | {value} |" for name, value in _ATTRIBUTES.items())
    yield from (
        "",
        "## Data",
        "",
        "What does not apply is not there or null.",
        "",
        "| field | type |",
        "|---|---|",
    )
    schema = EventData.model_json_schema()
    for name in EventData.model_fields:
        form = _form(schema["properties"][name], schema.get("$defs", {}))
        yield f"| `{name}` | {form} |"
    yield from (
        "",
        "A deployment in `health` is without its snapshots and `health_checks`. New fields may be added.",
    )


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


PAGES = {"requests.md": requests, "events.md": events, "codes.md": codes, "command-line.md": command_line}


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
