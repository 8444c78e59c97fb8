"""What every client command shares: its options, its connection, its ways to end."""

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec
from uuid import UUID

import typer
from pydantic import BaseModel, ValidationError

from contracts.client import LibraryClient
from contracts.connection import NoAnswerError
from contracts.ids import new_id
from contracts.problems import ProblemError
from worker.entrypoints.commands.arguments import entity_or_id
from worker.entrypoints.commands.output import (
    Record,
    Table,
    json_text,
    problem_lines,
    read_or_not,
    stop_writing,
    write,
)

P = ParamSpec("P")

DONE, REFUSED, NO_ANSWER = 0, 1, 3
_DEFAULT_NATS_URL = "nats://127.0.0.1:4222"
_DEFAULT_TIMEOUT = 10.0
_CONNECT_TIMEOUT = 3.0

NatsUrl = Annotated[
    str | None,
    typer.Option(
        "--nats-url",
        help=f"Where nats-server is; else LIBRARY_NATS_URL, else {_DEFAULT_NATS_URL}.",
        metavar="URL",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        min=0.1,
        help=f"How long to wait for an answer; {_DEFAULT_TIMEOUT:g} by default.",
        metavar="SECONDS",
    ),
]


@dataclass(frozen=True, slots=True)
class Common:
    """The options of every client command, wherever on the line they stand."""

    nats_url: str | None = None
    json: bool = False
    timeout: float | None = None


def common_options(
    context: typer.Context, *, nats_url: NatsUrl = None, as_json: AsJson = False, timeout: Timeout = None
) -> None:
    """Keep what stands here; what stands further on the line wins."""
    before: Common = context.obj or Common()
    context.obj = Common(nats_url or before.nats_url, as_json or before.json, timeout or before.timeout)


@dataclass(frozen=True, slots=True)
class Session:
    """A command at work: the client it asks and the way it answers."""

    client: LibraryClient
    json: bool
    timeout: float | None = None

    def show(self, reply: BaseModel, view: Table | Record) -> None:
        """Write a reply, or the view of it that people read."""
        with read_or_not():
            if self.json:
                sys.stdout.write(f"{json_text(reply, indent=2)}\n")
                sys.stdout.flush()
            else:
                write(view)

    def note(self, text: str) -> None:
        """Say something beside the result."""
        if not self.json:
            sys.stderr.write(f"{text}\n")

    def seconds(self, otherwise: float) -> float:
        """How long a request may take that by its nature takes ``otherwise`` seconds: --timeout, if given."""
        return otherwise if self.timeout is None else self.timeout

    async def entity_id(self, entity: str) -> UUID:
        """The id of ENTITY. Raises ``ProblemError`` with ``entity_not_found`` for a name nobody has."""
        found = entity_or_id(entity)
        if isinstance(found, UUID):
            return found
        page = await self.client.list_entities(name=found)
        if not page.entities:
            raise ProblemError("entity_not_found", f"No entity is called {found!r}.")
        return page.entities[0].entity_id


def asks(command: Callable[Concatenate[Session, P], Awaitable[None]]) -> Callable[..., None]:
    """A command of typer's from a coroutine: with the common options, a connection, and the exit statuses."""

    @functools.wraps(command)
    def run(context: typer.Context, **arguments: Any) -> None:
        common_options(context, **{name: arguments.pop(name) for name in common})
        raise typer.Exit(asyncio.run(_run(command, context.obj, arguments)))

    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "session"]
    first, *options = inspect.signature(common_options).parameters.values()
    common = [option.name for option in options]
    every = [first, *own, *options]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in every]
    )
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return run


async def _run(command: Callable[..., Awaitable[None]], common: Common, arguments: dict[str, Any]) -> int:
    try:
        async with await _connected(common) as client:
            await command(Session(client, common.json, common.timeout), **arguments)
    except NoAnswerError as problem:
        _say(problem, "no answer", common)
        return NO_ANSWER
    except ProblemError as problem:
        _say(problem, "refused", common)
        return REFUSED
    except ValidationError as error:
        _say(_refusal(error), "refused", common)
        return REFUSED
    except BrokenPipeError:  # whoever read on has read enough
        stop_writing()
    return DONE


async def _connected(common: Common) -> LibraryClient:
    seconds = common.timeout or _DEFAULT_TIMEOUT
    url = common.nats_url or os.environ.get("LIBRARY_NATS_URL") or _DEFAULT_NATS_URL
    try:
        return await LibraryClient.connect(
            url, timeout=seconds, connect_timeout=min(seconds, _CONNECT_TIMEOUT), name="library-cli"
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--nats-url") from None


def _refusal(error: ValidationError) -> ProblemError:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return ProblemError.invalid(
        *((".".join(map(str, fault["loc"])) or "body", fault["msg"]) for fault in faults)
    )


def _say(problem: ProblemError, verdict: str, common: Common) -> None:
    if common.json:
        said = json_text(problem.body(problem.request_id or str(new_id())))
    else:
        said = "\n".join(problem_lines(problem, verdict))
    sys.stderr.write(f"{said}\n")
