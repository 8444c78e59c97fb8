"""HTTP to message body: the path's fields, and those of the query or of the JSON body, as one object."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic_core import from_json, to_json

from contracts.limits import MAX_BODY_BYTES
from contracts.problems import ProblemError
from contracts.values import Request as RequestBody
from worker.entrypoints.gateway.request_headers import IF_MATCH, Fault

REVISION = "expected_revision"
"""The field of a body that ``If-Match`` stands for."""

Kind = Literal["integer", "boolean"]

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_WHITESPACE = b" \t\r\n"
_MAX_PARAMETERS = 100
_MAX_NAME = 200


async def read(request: Request, within: float) -> bytes:
    """The body of ``request``, which must be there in so many seconds.

    Raises ``deadline_exceeded``, or ``payload_too_large`` once it is, without reading on.
    """
    try:
        async with asyncio.timeout(within):
            return await _read(request)
    except TimeoutError:
        raise ProblemError(
            "deadline_exceeded", f"The body did not arrive within {within:g} s; nothing was done."
        ) from None


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> ProblemError:
    return ProblemError(
        "payload_too_large", f"The body is too large; at most {MAX_BODY_BYTES} bytes are taken."
    )


def kinds(model: type[RequestBody]) -> dict[str, Kind]:
    """The fields of ``model`` that are no strings in JSON but can stand in a query."""
    found: dict[str, Kind] = {}
    for name, schema in model.model_json_schema().get("properties", {}).items():
        types = {part.get("type") for part in (schema, *schema.get("anyOf", ()))}
        if "integer" in types:
            found[name] = "integer"
        elif "boolean" in types:
            found[name] = "boolean"
    return found


def from_query(
    query: bytes, path: Mapping[str, str], kinds_of_fields: Mapping[str, Kind], faults: list[Fault]
) -> bytes:
    """The body that ``query`` and ``path`` stand for. What is no value of its field goes on as it is."""
    fields: dict[str, Any] = dict(path)
    asked: set[str] = set()
    for name, text in _parameters(query, faults):
        if name in asked:
            faults.append((name[:_MAX_NAME], "must be given once"))
        elif name in path and path[name] != text:
            faults.append((name, "is another one in the path"))
        else:
            fields[name] = _value(text, kinds_of_fields.get(name))
        asked.add(name)
    return to_json(fields)


def refuse_query(query: bytes, faults: list[Fault]) -> None:
    """Where the fields come in the body, one in the query would be lost without a word."""
    names = dict(_parameters(query, faults))
    faults += [(name[:_MAX_NAME], "belongs in the body, not in the query") for name in names]


def _parameters(query: bytes, faults: list[Fault]) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("latin-1"),
            keep_blank_values=True,
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        faults.append(("query", f"must have at most {_MAX_PARAMETERS} parameters"))
        return []


def _value(text: str, kind: Kind | None) -> Any:
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "boolean":
        return _BOOLEANS.get(text, text)
    return text


def with_fields(body: bytes, path: Mapping[str, str], revision: int | None, faults: list[Fault]) -> bytes:
    """``body`` with the path's fields and the revision of ``If-Match``.

    Nothing that the caller wrote is written anew, so that numbers and faults reach the worker as they are;
    what is no JSON object goes on whole.
    """
    added: dict[str, Any] = dict(path) if revision is None else {**path, REVISION: revision}
    given = _object(body or b"{}") if added else None
    if given is None:
        return body
    faults += _contradictions(given, path, revision)
    missing = {name: value for name, value in added.items() if given.get(name) is None}
    return _extended(body or b"{}", missing, empty=not given)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        given = from_json(body)
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


def _contradictions(given: Mapping[str, Any], path: Mapping[str, str], revision: int | None) -> list[Fault]:
    found = [
        (name, "is another one in the path") for name in path if given.get(name, path[name]) != path[name]
    ]
    if revision is not None and given.get(REVISION) not in (None, revision):
        found.append((IF_MATCH, f"is another revision than {REVISION} in the body"))
    return found


def _extended(body: bytes, added: Mapping[str, Any], *, empty: bool) -> bytes:
    """The object ``body`` with ``added`` at its end, where the later of two equal names counts."""
    if not added:
        return body
    return body.rstrip(_WHITESPACE)[:-1] + (b"" if empty else b",") + to_json(added)[1:]
