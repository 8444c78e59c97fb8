"""How results are written: JSON for programs, tables for people, plain where nobody looks at a terminal."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from pydantic import BaseModel

from contracts.problems import PROBLEMS, ProblemError
from contracts.values import timestamp

_ANY_WIDTH = 10_000  # rich wraps nothing then: cells that are wrapped cannot be copied
_GAP = 2
_USUAL_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Record:
    """One thing: a label and a text a line; empty ones are left out."""

    fields: Sequence[tuple[str, str]]


def json_text(value: BaseModel | dict[str, Any], *, indent: int | None = None) -> str:
    """JSON as the wire has it, times with microseconds and a ``Z``."""
    content = value.model_dump() if isinstance(value, BaseModel) else value
    return json.dumps(content, ensure_ascii=False, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value.astimezone(UTC))
    if isinstance(value, BaseModel):
        return value.model_dump()
    return str(value)


def moment(at: datetime | None) -> str:
    """A time for people: UTC, to the second."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """The text on one line, with nothing in it that steers a terminal."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


@contextmanager
def read_or_not() -> Iterator[None]:
    """What is written meanwhile is for whoever reads on; where nobody does any more, the work goes on."""
    try:
        yield
    except BrokenPipeError:
        stop_writing()


def stop_writing() -> None:
    """Have standard output, which nobody reads any more, lead nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write(view: Table | Record, *, to: TextIO | None = None) -> None:
    """Write a view to ``to``, standard output by default."""
    out = to or sys.stdout
    if out.isatty():
        _write_rich(view, out)
    else:
        out.writelines(f"{line}\n" for line in lines(view))
    out.flush()


def lines(view: Table | Record) -> Iterable[str]:
    """A view as plain lines, its columns two blanks apart."""
    rows: list[tuple[str, ...]] = (
        [(f"{label}:", text) for label, text in view.fields if text]
        if isinstance(view, Record)
        else [view.headings, *view.rows]
    )
    texts = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _write_rich(view: Table | Record, out: TextIO) -> None:
    # Imported here: only a terminal needs them, and they cost a fifth of the start.
    from rich.console import Console  # noqa: PLC0415

    console = Console(file=out, width=_ANY_WIDTH)
    if isinstance(view, Record):
        Console(file=out).print(_fields(view.fields))
    elif _width(view) <= _terminal_width(out):
        console.print(_grid(view))
    else:  # a record a row, as psql does
        for number, row in enumerate(view.rows):
            if number:
                console.print()
            console.print(_fields(tuple(zip(view.headings, row, strict=True))))


def _grid(table: Table) -> Any:
    from rich.table import Table as Grid  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Grid(*table.headings, box=None, pad_edge=False)
    for row in table.rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    return grid


def _fields(fields: Sequence[tuple[str, str]]) -> Any:
    from rich.table import Table as Grid  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Grid(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in fields:
        if text:
            grid.add_row(Text(printable(label)), Text(printable(text)))
    return grid


def _width(table: Table) -> int:
    columns = zip(table.headings, *table.rows, strict=True)
    return sum(max(len(printable(cell)) for cell in column) + _GAP for column in columns) - _GAP


def _terminal_width(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


def problem_lines(problem: ProblemError, verdict: str) -> Iterable[str]:
    """A problem for people: what became of it, why, and every fault once."""
    faults = [f"{fault['field']}: {fault['message']}" for fault in problem.extensions.get("errors") or ()]
    reason = f"{PROBLEMS[problem.code].title}." if faults else problem.detail
    validation = problem.extensions.get("validation") or {}
    faults += [message for message in validation.get("errors", ()) if message not in reason]
    yield printable(f"{verdict}: {reason} [{problem.code}]")
    for fault in faults:
        yield printable(f"  {fault}")
    if problem.request_id:
        yield printable(f"  request {problem.request_id}")
