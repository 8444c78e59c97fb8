"""What bodies are made of: the two kinds of message, and the values that all of them share."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema, to_json

from contracts.limits import MAX_DEPTH, MAX_DETAILS_BYTES, MAX_DOCUMENT_BYTES

TOO_LARGE = "payload_too_large"
_DOCUMENT_LEVEL = 2


class Request(BaseModel):
    """A request's body: values of the stated types alone, unknown fields refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class Empty(Request):
    """A request that asks for nothing in particular; its body may be empty."""


class Reply(BaseModel):
    """A reply's body. Fields may be added in later releases, so unknown ones are kept and not refused."""

    model_config = ConfigDict(frozen=True, extra="allow")


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("nul", "must not contain NUL (\\u0000)")
    return text


def _inspect(value: Any, level: int) -> None:
    """Refuse what PostgreSQL or another reader could not hold, at whatever depth it stands."""
    if isinstance(value, str):
        _without_nul(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise PydanticCustomError("not_finite", "must hold finite numbers only (no NaN, no infinity)")
    elif isinstance(value, dict | list):
        if level > MAX_DEPTH:
            raise PydanticCustomError("too_deep", "is nested deeper than 64 levels")
        if isinstance(value, dict):
            for name in value:
                _without_nul(name)
        for item in value.values() if isinstance(value, dict) else value:
            _inspect(item, level + 1)


def compact(document: Any) -> str:
    """A document as compact JSON, characters unescaped, integers of any size."""
    return to_json(document).decode()


@lru_cache(4096)  # a record's times are written many times over: with each reply, row and event
def timestamp(at: datetime | None) -> str | None:
    """RFC 3339 with microseconds and a ``Z``, of an aware time that is in UTC."""
    return None if at is None else at.isoformat(timespec="microseconds")[:26] + "Z"


RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
"""The form of a time on the wire (RFC 3339, section 5.6)."""
_NO_TIME = PydanticCustomError("rfc3339", "is an RFC 3339 time such as 2026-01-31T12:00:00Z")


def _in_utc(given: Any) -> Any:
    if isinstance(given, datetime):
        return given
    if not isinstance(given, str) or not RFC3339.fullmatch(given):
        raise _NO_TIME
    try:
        return datetime.fromisoformat(given.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _NO_TIME from None


def _floats(value: Any) -> Iterator[float]:
    """All numbers in a document that are no integers."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _floats(item)


def _digits_beyond(number: float) -> int:
    """How much longer a number becomes with its exponent written out, as PostgreSQL stores and shows it."""
    written = repr(number)
    if "e" not in written:
        return 0
    return len(format(Decimal(written), "f")) - len(written)


def _document(limit: int) -> AfterValidator:
    def check(document: dict[str, Any]) -> dict[str, Any]:
        size = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
        size += sum(map(_digits_beyond, _floats(document)))
        if size > limit:
            raise PydanticCustomError(
                TOO_LARGE, "has {size} bytes; at most {limit} are taken", {"size": size, "limit": limit}
            )
        _inspect(document, _DOCUMENT_LEVEL)
        return document

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class null_means:  # noqa: N801 - it stands where pydantic's own markers do, and reads as a phrase
    """For a field that may be left out or null: null is its default."""

    default: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The field's schema behind the exchange of null."""
        return core_schema.no_info_before_validator_function(
            lambda value: self.default if value is None else value, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        """The field's JSON Schema, null admitted."""
        return {"anyOf": [handler(schema), {"type": "null"}]}


Document = Annotated[dict[str, Any], _document(MAX_DOCUMENT_BYTES)]
Details = Annotated[dict[str, Any], _document(MAX_DETAILS_BYTES)]

_NO_NUL = AfterValidator(_without_nul)  # PostgreSQL holds none
Text = Annotated[str, _NO_NUL]
NonEmpty = Annotated[str, StringConstraints(min_length=1), _NO_NUL]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), _NO_NUL]
Method = Annotated[str, StringConstraints(max_length=50), _NO_NUL]
Short = Annotated[str, StringConstraints(min_length=1, max_length=50), _NO_NUL]
Moment = Annotated[AwareDatetime, BeforeValidator(_in_utc)]
"""A time with its offset from UTC (RFC 3339)."""
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=500), _NO_NUL]
