"""What a form of the dashboard sent: its fields, once it is sure that it is ours."""

import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic_core import from_json

from contracts.problems import ProblemError
from worker.entrypoints.gateway import message_bodies
from worker.entrypoints.gateway.origin import require_own_pages

COOKIE = "library_form"
"""Holds what each form repeats in ``token``: another site can send a form here, but not read the cookie."""

_MOST_FIELDS = 40
_PATIENCE = 10.0
_LONGEST_TOKEN = 64


def token(request: Request) -> str:
    """What the forms of this browser carry: the cookie's value, or a new one."""
    given = request.cookies.get(COOKIE, "")
    return given if 0 < len(given) <= _LONGEST_TOKEN and given.isascii() else secrets.token_urlsafe(24)


async def fields(request: Request) -> dict[str, str]:
    """The form's fields without the empty ones.

    Raises ``ProblemError``: ``forbidden`` where it was not sent by a page of ours, ``invalid_request``,
    ``payload_too_large``, ``deadline_exceeded``.
    """
    require_own_pages(request.scope["headers"])
    body = await message_bodies.read(request, _PATIENCE)
    try:
        pairs = parse_qsl(body.decode(), max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise ProblemError.invalid(("form", "cannot be read")) from None
    given = dict(pairs)
    expected = request.cookies.get(COOKIE, "")
    if not expected or not hmac.compare_digest(expected.encode(), given.pop("token", "").encode()):
        raise ProblemError("forbidden", "This form is not from here, or too old. Open it again and send it.")
    return {name: value.replace("\r\n", "\n").strip() for name, value in given.items() if value.strip()}


def documents(given: Mapping[str, str], *names: str) -> dict[str, Any]:
    """The fields that hold JSON objects. Raises ``ProblemError`` that names each that does not."""
    read: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for name in names:
        if name not in given:
            continue
        try:
            value = from_json(given[name])
        except ValueError as error:
            faults.append((name, f"is no JSON: {error}"))
            continue
        if isinstance(value, dict):
            read[name] = value
        else:
            faults.append((name, 'must be a JSON object, such as {"window": 20}'))
    if faults:
        raise ProblemError.invalid(*faults)
    return read
