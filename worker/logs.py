"""Structured logs on standard error: for people on a terminal, JSON a line elsewhere."""

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson
import structlog

_log = structlog.get_logger()
_file: BinaryIO | None = None
"""Where lines of JSON go; none where they are for people, or were not set up."""


def configure(level: str) -> None:
    """Set logging up for this process; libraries' own logs are shown from WARNING on."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    global _file  # noqa: PLW0603 - one a process
    terminal = sys.stderr.isatty()
    _file = None if terminal else sys.stderr.buffer
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
            else structlog.BytesLoggerFactory(sys.stderr.buffer)
        ),
        cache_logger_on_first_use=True,
    )


def info(lines: Iterable[dict[str, Any]]) -> None:
    """Log all of these at info, each an ``event`` with its fields.

    As JSON they are one write with one timestamp, past structlog, which costs four times what a line does.
    """
    if _file is None:
        for line in lines:
            _log.info(**line)
        return
    common = {"level": "info", "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    _file.write(b"".join(_json({**line, **common}) + b"\n" for line in lines))
    _file.flush()


def _json(line: Any, **_: Any) -> bytes:
    """The line as JSON; what orjson does not take, such as half a surrogate pair, is no reason to fail."""
    try:
        return orjson.dumps(line, default=str)
    except TypeError:
        return json.dumps(line, default=str).encode()
