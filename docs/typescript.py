"""Write docs/reference/library.d.ts, the contract for TypeScript, or see that it is up to date.

``python docs/typescript.py [--check]``
"""

import argparse
import json
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from contracts.endpoints import ENDPOINTS
from contracts.events import CloudEvent
from contracts.problems import Problem

FILE = Path(__file__).parent / "reference" / "library.d.ts"
_TYPES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}

Schema = dict[str, Any]


def declarations() -> Iterator[str]:
    """The lines of the file."""
    yield "// Written by docs/typescript.py from the contract; `make documents` writes it anew."
    yield "// Times are RFC 3339 in UTC; ids are UUIDs; replies and events may get more fields."
    interfaces: dict[str, str] = {}
    for endpoint in ENDPOINTS:
        _declare(endpoint.request, "validation", interfaces)
    for model in (*(endpoint.reply for endpoint in ENDPOINTS), CloudEvent, Problem):
        _declare(model, "serialization", interfaces)
    for name in sorted(interfaces):
        yield from ("", interfaces[name])
    yield from ("", "/** What each subject takes and answers. */", "export interface Endpoints {")
    for endpoint in ENDPOINTS:
        yield f"  /** {endpoint.summary} */"
        request, reply = endpoint.request.__name__, endpoint.reply.__name__
        yield f'  "{endpoint.subject}": {{ request: {request}; reply: {reply} }};'
    yield "}"


def _declare(
    model: type[BaseModel], mode: Literal["validation", "serialization"], known: dict[str, str]
) -> None:
    schema = model.model_json_schema(mode=mode)
    for name, each in {**schema.get("$defs", {}), model.__name__: schema}.items():
        text = _interface(name, each)
        if known.setdefault(name, text) != text:
            raise ValueError(f"{name} is not the same in requests and replies")


def _interface(name: str, schema: Schema) -> str:
    about = cleandoc(schema.get("description", "")).partition("\n\n")[0].replace("\n", " ").replace("``", "`")
    said = f"/** {about} */\n" if about else ""
    fields: dict[str, Schema] = schema.get("properties", {})
    if not fields:
        return f"{said}export type {name} = {_form(schema) if 'enum' in schema else 'Record<string, never>'};"
    required = schema.get("required", ())
    lines = (f"  {each}{'' if each in required else '?'}: {_form(form)};" for each, form in fields.items())
    return "\n".join((f"{said}export interface {name} {{", *lines, "}"))


def _form(schema: Schema) -> str:
    """A JSON Schema as a type."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_form(each) for each in schema["anyOf"]))
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return " | ".join(json.dumps(value) for value in values)
    kind = schema.get("type")
    if kind == "array":
        return f"Array<{_form(schema.get('items', {}))}>"
    if kind == "object":
        values = schema.get("additionalProperties", True)
        return f"Record<string, {_form(values) if isinstance(values, dict) else 'unknown'}>"
    return _TYPES.get(kind or "", "unknown")


def main() -> int:
    """The exit status: 1 where ``--check`` finds the file out of date."""
    parser = argparse.ArgumentParser(description="Write docs/reference/library.d.ts.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is not up to date")
    text = "\n".join(declarations()) + "\n"
    if not parser.parse_args().check:
        FILE.write_text(text, encoding="utf-8", newline="\n")
        return 0
    if FILE.is_file() and FILE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{FILE.name} is not up to date; run make documents\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
