"""The manifests of files and folders, read and checked as one, every fault named with its file and line."""

import difflib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import to_json

from contracts.entities import EntityCreate
from contracts.manifest import Manifest, ManifestDeployment
from contracts.parsing import parse
from contracts.problems import ProblemError
from contracts.values import Request
from worker.entrypoints.manifests.positions import Lines, Unreadable, documents

_SUFFIXES = (".yaml", ".yml", ".json")
_MOST_FAULTS = 100
_EXTRA = "Extra inputs are not permitted"

RequestT = TypeVar("RequestT", bound=Request)


@dataclass(slots=True)
class Wanted:
    """What all files say together, and where each of it stands (``FILE:LINE``), and what is wrong with it."""

    entities: dict[str, EntityCreate] = field(default_factory=dict)
    deployments: dict[tuple[str, str], ManifestDeployment] = field(default_factory=dict)
    places: dict[tuple[str, ...], str] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)


def read(paths: Iterable[Path]) -> Wanted:
    """What the files say; a folder gives its YAML and JSON files, ``-`` is standard input.

    Raises ``ProblemError`` (``invalid_request``) with every fault.
    """
    wanted = Wanted()
    for path in paths:
        for each in _files(path, wanted):
            _read_file(each, wanted)
    order(wanted)
    require_no_faults(wanted)
    return wanted


def require_no_faults(wanted: Wanted) -> None:
    """Raise ``ProblemError`` where there are faults."""
    if wanted.faults:
        raise ProblemError.invalid(*wanted.faults[:_MOST_FAULTS])


def order(wanted: Wanted) -> list[str]:
    """The entities' names, each behind those that it depends on."""
    known = wanted.entities
    graph = {
        name: [each.name for each in entity.dependencies if each.name in known]
        for name, entity in known.items()
    }
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = error.args[1]
        wanted.faults.append(
            (wanted.places[("entity", circle[0])], f"depend on each other: {' → '.join(circle)}")
        )
        return []


def _files(path: Path, wanted: Wanted) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES and each.is_file())
    if not found:
        wanted.faults.append((str(path), "holds no .yaml, .yml or .json file"))
    return found


def _read_file(path: Path, wanted: Wanted) -> None:
    name = "standard input" if str(path) == "-" else str(path)
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        for value, lines in documents(content.decode(), as_json=path.suffix == ".json"):
            _take(value, _Place(name, lines), wanted)
    except UnicodeDecodeError:
        wanted.faults.append((f"{name}:1", "is no UTF-8"))
    except OSError as error:
        wanted.faults.append((name, error.strerror or "cannot be read"))
    except Unreadable as error:
        wanted.faults.append((f"{name}:{error.line}", str(error)))


@dataclass(frozen=True, slots=True)
class _Place:
    """A document of a file."""

    file: str
    lines: Lines

    def at(self, *path: str | int) -> str:
        """``FILE:LINE`` of the value at a path, or of the nearest around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"


def _take(value: Any, place: _Place, wanted: Wanted) -> None:
    if not isinstance(value, dict):
        wanted.faults.append((place.at(), "is a mapping with entities and deployments"))
        return
    for name in value.keys() - Manifest.model_fields.keys():
        wanted.faults.append((f"{place.at(name)}: {name}", _unknown(name, Manifest)))
    for number, entity in _parsed(value, "entities", EntityCreate, place, wanted):
        where = place.at("entities", number, "name")
        if entity.name in wanted.entities:
            wanted.faults.append(
                (f"{where}: name", f"{entity.name} stands at {wanted.places['entity', entity.name]}, too")
            )
            continue
        wanted.entities[entity.name] = entity
        wanted.places["entity", entity.name] = where
    for number, deployment in _parsed(value, "deployments", ManifestDeployment, place, wanted):
        where = place.at("deployments", number)
        key = (deployment.entity, deployment.environment)
        if key in wanted.deployments:
            wanted.faults.append((where, f"{key[0]} in {key[1]} stands at {wanted.places[key]}, too"))
            continue
        wanted.deployments[key] = deployment
        wanted.places[key] = where


def _parsed(
    value: dict[str, Any], member: str, model: type[RequestT], place: _Place, wanted: Wanted
) -> Iterator[tuple[int, RequestT]]:
    items = value.get(member)
    if items is None:
        return
    if not isinstance(items, list):
        wanted.faults.append((f"{place.at(member)}: {member}", "is a list"))
        return
    for number, item in enumerate(items):
        try:
            yield number, parse(model, to_json(item, inf_nan_mode="constants"))
        except ProblemError as problem:
            errors = problem.extensions.get("errors") or [{"field": "", "message": problem.detail}]
            for error in errors:
                path = [int(part) if part.isdigit() else part for part in error["field"].split(".") if part]
                said = _unknown(path[-1], model) if error["message"] == _EXTRA else error["message"]
                at = place.at(member, number, *path)
                wanted.faults.append((f"{at}: {error['field'] or member}", said))


def _unknown(name: str | int, model: type[Request]) -> str:
    near = difflib.get_close_matches(str(name), model.model_fields, n=1)
    return f"is no field here; is it {near[0]}?" if near else "is no field here"
