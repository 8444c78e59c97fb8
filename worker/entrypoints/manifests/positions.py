"""YAML and JSON as values whose lines are known.

Scalars are those of YAML 1.2's core schema: ``on`` and ``no`` are text, and so is a date. Tags are refused,
and what aliases unfold to is limited.
"""

import json
import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from contracts.limits import MAX_DEPTH

Path = tuple[str | int, ...]
Lines = dict[Path, int]

TWICE = "stands here a second time"

_MOST_CHARACTERS = 16 * 1024 * 1024
_MOST_NODES = 200_000
_DEEPEST = MAX_DEPTH + 8
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
)
_NULL = re.compile(r"|~|null|Null|NULL")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class Unreadable(Exception):
    """What stands on ``line`` cannot be read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def documents(text: str, *, as_json: bool) -> list[tuple[Any, Lines]]:
    """The documents of a file, each with the line of every value. Raises ``Unreadable``."""
    if len(text) > _MOST_CHARACTERS:
        raise Unreadable(1, f"holds more than {_MOST_CHARACTERS:,} characters")
    if as_json or text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            if as_json:
                raise Unreadable(error.lineno, f"is no JSON: {error.msg}") from None
        except (ValueError, RecursionError):
            raise Unreadable(1, "is no JSON that can be read") from None
        else:
            return [(value, _lines_of_json(text))]
    return _of_yaml(text)


def _lines_of_json(text: str) -> Lines:
    """Where what stands in JSON; nowhere in the little JSON that is no YAML."""
    try:
        ((_, lines),) = _of_yaml(text)
    except Unreadable as error:
        if str(error).endswith(TWICE):
            raise
        return {}
    return lines


def _of_yaml(text: str) -> list[tuple[Any, Lines]]:
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        return [_Reading().document(node) for node in nodes if node is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, error.problem or "is no YAML") from None
    except (yaml.YAMLError, RecursionError):
        raise Unreadable(1, "is no YAML") from None


class _Reading:
    """One document."""

    def __init__(self) -> None:
        self.lines: Lines = {}
        self._nodes = 0

    def document(self, node: Node) -> tuple[Any, Lines]:
        return self._value(node, ()), self.lines

    def _value(self, node: Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self._nodes += 1
        self.lines[path] = line
        if self._nodes > _MOST_NODES:
            raise Unreadable(line, f"holds more than {_MOST_NODES:,} values")
        if len(path) > _DEEPEST:
            raise Unreadable(line, "is nested too deep")
        if node.tag not in _PLAIN_TAGS:
            raise Unreadable(line, f"the tag {node.tag} is not taken")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._value(each, (*path, number)) for number, each in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return _scalar(node)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise Unreadable(line, "a key is text")
            if key.value in values:
                raise Unreadable(line, f"{key.value!r} {TWICE}")
            values[key.value] = self._value(value, (*path, key.value))
        return values


def _scalar(node: ScalarNode) -> Any:
    text: str = node.value
    if node.style is not None:
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text[0] in "tT"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
