"""Structured logs on standard error: for people on a terminal, JSON a line elsewhere."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import orjson
import structlog


def configure(level: str) -> None:
    """Set logging up for this process; libraries' own logs are shown from WARNING on."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(_json)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=(
            structlog.PrintLoggerFactory(sys.stderr)
            if terminal
            else structlog.BytesLoggerFactory(_Lines(sys.stderr.buffer))  # type: ignore[arg-type]
        ),
        cache_logger_on_first_use=True,
    )


@contextmanager
def together() -> Iterator[None]:
    """What this thread logs meanwhile, as JSON, is written at once: each write costs as much as its line."""
    _gathering.lines = []
    try:
        yield
    finally:
        lines, _gathering.lines = _gathering.lines, None
        if lines:
            sys.stderr.buffer.write(b"".join(lines))
            sys.stderr.buffer.flush()


class _Gathering(threading.local):
    """A thread's lines that wait to be written."""

    lines: list[bytes] | None = None


_gathering = _Gathering()


class _Lines:
    """The file that lines are written to, unless the thread gathers them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: bytes) -> None:
        if _gathering.lines is None:
            self._file.write(line)
        else:
            _gathering.lines.append(line)

    def flush(self) -> None:
        if _gathering.lines is None:
            self._file.flush()


def _json(line: Any, **_: Any) -> bytes:
    """The line as JSON; what orjson does not take, such as half a surrogate pair, is no reason to fail."""
    try:
        return orjson.dumps(line, default=str)
    except TypeError:
        return json.dumps(line, default=str).encode()
