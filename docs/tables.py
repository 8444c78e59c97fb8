"""Write the tables of subjects and settings in ``README.md``, or see that they are up to date.

``python docs/tables.py [--check]``
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contracts.endpoints import ENDPOINTS
from worker.settings import Settings

PAGE = Path(__file__).parents[1] / "README.md"


def subjects() -> Iterable[str]:
    """The requests, a row each, with their HTTP twins."""
    yield "| subject | what it does | HTTP |"
    yield "|---|---|---|"
    for endpoint in ENDPOINTS:
        twins = "<br>".join(f"`{route.method} {route.path}`" for route in endpoint.routes)
        yield f"| `{endpoint.subject}` | {endpoint.summary} | {twins} |"


def settings() -> Iterable[str]:
    """The settings, a row each."""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        yield f"| `LIBRARY_{name.upper()}` | `{_text(field.default)}` | {field.description} |"


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def page(text: str) -> str:
    """The page with its tables as they should be. Raises ``ValueError`` where a mark is missing."""
    for table in (subjects, settings):
        start, end = (
            f"<!-- {table.__name__}: written by docs/tables.py -->",
            f"<!-- end of {table.__name__} -->",
        )
        before, behind = text.index(start) + len(start), text.index(end)
        text = "\n".join((text[:before], *table(), text[behind:]))
    return text


def main() -> int:
    """The exit status: 1 where ``--check`` finds a table out of date."""
    parser = argparse.ArgumentParser(description="Write the tables in README.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is not up to date")
    check = parser.parse_args().check
    text = PAGE.read_text(encoding="utf-8")
    if page(text) == text:
        return 0
    if check:
        sys.stderr.write("README.md's tables are not up to date; run make documents\n")
        return 1
    PAGE.write_text(page(text), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
