"""The table of log events is that of the source: each event with its level and its fields."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`.+?) \| (\w+) \| (.*?) ?\| (.+) \|$", re.MULTILINE)
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
STEPS = ("prepare", "activate", "release")


def logged() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Every event that is logged under a name of its own."""
    for folder in ("worker", "contracts"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield from event(node, node.func)


def event(call: ast.Call, function: ast.Attribute) -> Iterator[tuple[str, str, frozenset[str]]]:
    logger = function.value
    if not (isinstance(logger, ast.Name) and logger.id in ("log", "_log") and function.attr in LEVELS):
        return
    if not (call.args and isinstance(call.args[0], ast.Constant)):
        return  # the name of a transition
    text = call.args[0].value
    level = "error" if function.attr == "exception" else function.attr
    name, _, rest = text.partition(" ")
    fields = {keyword.arg for keyword in call.keywords} | set(re.findall(r"(\w+)=", rest))
    for each in [name.replace("%s", step) for step in STEPS] if "%s" in name else [name]:
        yield each, level, frozenset(fields - {"exc_info", None})


def listed() -> Iterator[tuple[str, str, frozenset[str]]]:
    for names, level, fields, _ in ROW.findall(PAGE):
        for name in re.findall(r"`(\w+)`", names):
            yield name, level, frozenset(re.findall(r"\w+", fields))


def test_every_event_is_in_the_table_and_the_table_has_no_other():
    assert {(name, level) for name, level, _ in logged()} == {(name, level) for name, level, _ in listed()}


def test_the_fields_of_each_event_are_those_of_the_table():
    known: dict[tuple[str, str], set[frozenset[str]]] = {}
    for name, level, fields in listed():
        known.setdefault((name, level), set()).add(fields)
    for name, level, fields in logged():
        assert any(fields <= each for each in known[name, level]), (name, fields)


def test_the_search_sees_the_source():
    assert len(list(logged())) > 40
