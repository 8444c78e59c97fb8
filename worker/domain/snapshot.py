"""Snapshots: an entity's document with what a deploy overrides, and the difference between two documents."""

import hashlib
import json
from functools import lru_cache
from typing import Any

from contracts.deployments import OverrideStrategy
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


def difference(before: Any, after: Any, pointer: str = "") -> list[dict[str, Any]]:
    """The JSON Patch (RFC 6902) that leads from ``before`` to ``after``; arrays are replaced whole."""
    if equal(before, after):
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [{"op": "replace", "path": pointer, "value": after}]
    operations: list[dict[str, Any]] = []
    for name, value in before.items():
        path = f"{pointer}/{_escaped(name)}"
        if name in after:
            operations += difference(value, after[name], path)
        else:
            operations.append({"op": "remove", "path": path})
    for name, value in after.items():
        if name not in before:
            operations.append({"op": "add", "path": f"{pointer}/{_escaped(name)}", "value": value})
    return operations


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
