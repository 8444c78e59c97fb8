"""Jinja2, set up so that nothing from outside becomes markup, and nothing that is missing passes unseen."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_UNITS = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))


def age(at: datetime | None) -> str:
    """How long ago that is, in its largest unit: ``3 min``."""
    if at is None:
        return ""
    since = datetime.now(UTC) - at
    for unit, name in _UNITS:
        if since >= unit:
            return f"{since // unit} {name}"
    return f"{max(0, int(since.total_seconds()))} s"


def moment(at: datetime | None) -> str:
    """A time to read: UTC, to the second."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def document(value: Any) -> str:
    """A JSON document to read."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"age": age, "moment": moment, "document": document}


def render(template: str, **values: Any) -> str:
    """A page."""
    return _environment.get_template(template).render(**values)
