"""Write the documents of both doors and the schema of manifests to ``docs/reference``, or check them.

``python -m worker.entrypoints.gateway.documents [--check]``, in the project's root.
"""

import argparse
import json
import sys
from pathlib import Path

from contracts import asyncapi, manifest
from worker.entrypoints.gateway import openapi

DIRECTORY = Path("docs/reference")


def documents() -> dict[str, str]:
    """The text of each file, by its name; the same at every call."""
    return {
        name: json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, document in (
            ("asyncapi.json", asyncapi.document()),
            ("openapi.json", openapi.document()),
            ("manifest.schema.json", manifest.schema()),
        )
    }


def stale(directory: Path) -> list[Path]:
    """The files that are missing or say something else than the contract does."""
    return [
        directory / name
        for name, text in documents().items()
        if not (directory / name).is_file() or (directory / name).read_text(encoding="utf-8") != text
    ]


def write(directory: Path) -> None:
    """Write every file anew."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (directory / name).write_text(text, encoding="utf-8", newline="\n")


def main() -> int:
    """The exit status: 1 where ``--check`` finds a file that is not up to date."""
    parser = argparse.ArgumentParser(description="Write AsyncAPI, OpenAPI and the schema of manifests.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if they are not up to date")
    if not parser.parse_args().check:
        write(DIRECTORY)
        return 0
    found = stale(DIRECTORY)
    for path in found:
        sys.stderr.write(f"{path} is not up to date; run python -m worker.entrypoints.gateway.documents\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
