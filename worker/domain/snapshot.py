"""Snapshots: an entity's document with what a deploy overrides, and the difference between two documents."""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from contracts.deployments import OverrideStrategy
from contracts.limits import MAX_DEPTH, MAX_DOCUMENT_BYTES
from worker.domain.facts import Document


def overridden(document: Document, override: dict[str, Any] | None, strategy: OverrideStrategy) -> Document:
    """The document that is deployed: an empty override leaves the entity's own as it is."""
    if not override:
        return document
    if strategy == "replace":
        return Document.of(override)
    return Document.of(merge_patch(document.value, override))


def merge_patch(target: Any, patch: Any) -> Any:
    """``target`` after the JSON Merge Patch (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def difference(before: Any, after: Any) -> list[dict[str, Any]]:
    """The JSON Patch (RFC 6902) that leads from ``before`` to ``after``; arrays are replaced whole.

    So are the members of the whole where their paths would be longer than a document may be: each change
    below a name has that name in its path, which makes gigabytes of a small document with a long name.
    """
    operations, in_paths = [], 0
    for operation in _operations(before, after, "", MAX_DEPTH):
        in_paths += len(operation["path"])
        if in_paths > MAX_DOCUMENT_BYTES:
            return [*_operations(before, after, "", 1)]
        operations.append(operation)
    return operations


def _operations(before: Any, after: Any, pointer: str, levels: int) -> Iterator[dict[str, Any]]:
    """The operations at a pointer, and so many levels below it."""
    if equal(before, after):
        return
    if not (levels and isinstance(before, dict) and isinstance(after, dict)):
        yield {"op": "replace", "path": pointer, "value": after}
        return
    for name, value in before.items():
        path = f"{pointer}/{_escaped(name)}"
        if name in after:
            yield from _operations(value, after[name], path, levels - 1)
        else:
            yield {"op": "remove", "path": path}
    for name, value in after.items():
        if name not in before:
            yield {"op": "add", "path": f"{pointer}/{_escaped(name)}", "value": value}


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same; unlike in Python, ``true`` is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def _escaped(name: str) -> str:
    """A member's name as a token of a JSON Pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def digest(config: Document, parameters: Document) -> str:
    """SHA-256, in hex, of a snapshot: the same for equal JSON, however it is spaced, ordered or counted."""
    return _digest(config.text, parameters.text)


@lru_cache(16)  # a snapshot in quarantine is deployed again and again; both documents have 1 MB at most
def _digest(config: str, parameters: str) -> str:
    return hashlib.sha256(f"{_canonical(config)}\n{_canonical(parameters)}".encode()).hexdigest()


def _canonical(document: str) -> str:
    value = json.loads(document, parse_float=_number, parse_int=_number)
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@lru_cache(1024)  # most numbers of a document stand there more than once
def _number(text: str) -> tuple[str, str, int]:
    """A number's sign, digits and exponent: PostgreSQL may write 1e2 as 100, and keeps the zeros of 1.50."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    shown = (whole + fraction).lstrip("0")
    kept = shown.rstrip("0")
    if not kept:
        return "", "", 0
    shift = len(shown) - len(kept) - len(fraction)
    return "-" if text[0] == "-" else "", kept, shift + int(exponent) if exponent else shift
