"""Structured logs on standard error: for people on a terminal, JSON a line elsewhere."""

import json
import logging
import sys
from typing import Any

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
            else structlog.BytesLoggerFactory(sys.stderr.buffer)
        ),
        cache_logger_on_first_use=True,
    )


def _json(line: Any, **_: Any) -> bytes:
    """The line as JSON; what orjson does not take, such as half a surrogate pair, is no reason to fail."""
    try:
        return orjson.dumps(line, default=str)
    except TypeError:
        return json.dumps(line, default=str).encode()
