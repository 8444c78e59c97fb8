"""Whether what callers were told, the tables, the stream and the live state agree: pure, over what was read.

Each key (`Idempotency-Key`) stands for one request, asked as often as its caller needed; it is the
``correlationid`` of the events that it led to, so each key's effects can be counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Literal, NamedTuple

Kind = Literal["lost", "doubled", "out of order"]
Place = tuple[str, str]
"""An entity's id and an environment."""

_COMES = ("completed", "reactivated")
_GOES = {"superseded": "inactive", "retired": "inactive", "rolled_back": "rolled_back"}


class Finding(NamedTuple):
    """Something that must not be."""

    kind: Kind
    what: str


class Answer(NamedTuple):
    """A definite answer: a deployment's id, or the code of a refusal."""

    deployment_id: str | None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller asked under a key and was told, each time it asked; nothing where that is open."""

    operation: Literal["deploy", "rollback"]
    answers: tuple[Answer, ...] = ()


class DeploymentRow(NamedTuple):
    """A row of the table ``deployments``."""

    deployment_id: str
    entity_id: str
    environment: str
    status: str
    deployed_at: float = 0.0
    """In seconds since 1970, by the database."""


class EventRow(NamedTuple):
    """An event, of the table or of the stream; ``name`` is short, ``subject`` and ``key`` as in its body."""

    event_id: str
    entity_id: str
    sequence: int
    name: str
    environment: str
    subject: str
    key: str


class LiveValue(NamedTuple):
    """A value of the bucket."""

    deployment_id: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was read once the system had settled; ``stream`` in the stream's order.

    ``began`` and ``ended`` are the true times of the run, in seconds since 1970.
    """

    told: dict[str, Told] = field(default_factory=dict)
    deployments: Sequence[DeploymentRow] = ()
    events: Sequence[EventRow] = ()
    stream: Sequence[EventRow] = ()
    live: dict[Place, LiveValue] = field(default_factory=dict)
    unannounced: int = 0
    began: float = 0.0
    ended: float = float("inf")


def check(evidence: Evidence) -> list[Finding]:
    """Everything that is wrong; nothing if all agree."""
    return list(
        chain(
            _answers(evidence),
            _effects(evidence),
            _history(evidence.events),
            _announcements(evidence),
            _order(evidence.stream),
            _states(evidence),
            _live(evidence),
            _times(evidence),
        )
    )


def _answers(evidence: Evidence) -> Iterator[Finding]:
    """Each key was told one thing only, and what it was told is so."""
    effects = _effects_by_key(evidence.events)
    known = {row.deployment_id for row in evidence.deployments}
    for key, told in evidence.told.items():
        if len(set(told.answers)) > 1:
            yield Finding("doubled", f"key {key} was told different things: {sorted(map(str, told.answers))}")
        for answer in set(told.answers):
            done = [event.subject for event in effects[key] if event.name == _effect_of(told)]
            if answer.refusal is None and answer.deployment_id not in done:
                yield Finding(
                    "lost", f"{told.operation} {key} was acknowledged as {answer.deployment_id}: no event"
                )
            if answer.deployment_id is not None and answer.deployment_id not in known:
                yield Finding("lost", f"deployment {answer.deployment_id} was acknowledged: no row")
            if answer.refusal is not None and done:
                yield Finding("doubled", f"{told.operation} {key} was refused ({answer.refusal}), and done")


def _effects(evidence: Evidence) -> Iterator[Finding]:
    """Each key had one effect at most, and each deployment came about once."""
    for key, events in _effects_by_key(evidence.events).items():
        told = evidence.told.get(key)
        done = [event for event in events if told and event.name == _effect_of(told)]
        if len(done) > 1:
            yield Finding("doubled", f"key {key} had {len(done)} effects: {[e.subject for e in done]}")
    completed = Counter(event.subject for event in evidence.events if event.name == "completed")
    for row in evidence.deployments:
        if completed[row.deployment_id] != 1:
            kind: Kind = "doubled" if completed[row.deployment_id] else "lost"
            yield Finding(kind, f"deployment {row.deployment_id}: {completed[row.deployment_id]} completions")


def _history(events: Iterable[EventRow]) -> Iterator[Finding]:
    """The events of the table are numbered from 1, for each entity, without a gap."""
    for entity_id, numbers in _numbers(events).items():
        for number, times in Counter(numbers).items():
            if times > 1:
                yield Finding("doubled", f"entity {entity_id} has {times} events {number}")
        missing = set(range(1, max(numbers) + 1)) - set(numbers)
        if missing:
            yield Finding("lost", f"entity {entity_id} lacks the events {sorted(missing)}")


def _announcements(evidence: Evidence) -> Iterator[Finding]:
    """The stream holds the events of the table, once each and as they were written."""
    if evidence.unannounced:
        yield Finding("lost", f"{evidence.unannounced} transactions are not announced")
    written = {event.event_id: event for event in evidence.events}
    announced = Counter(event.event_id for event in evidence.stream)
    for event_id, times in announced.items():
        if times > 1:
            yield Finding("doubled", f"event {event_id} stands in the stream {times} times")
        if event_id not in written:
            yield Finding("doubled", f"event {event_id} was announced and never committed")
    for event_id in written.keys() - announced.keys():
        yield Finding("lost", f"event {event_id} was committed and never announced")
    for event in evidence.stream:
        if event.event_id in written and event != written[event.event_id]:
            yield Finding("lost", f"event {event.event_id} reads otherwise in the stream")


def _order(stream: Iterable[EventRow]) -> Iterator[Finding]:
    """Each entity's events stand in the stream in their order."""
    for entity_id, numbers in _numbers(stream).items():
        for before, after in pairwise(numbers):
            if after < before:
                yield Finding("out of order", f"entity {entity_id}: event {after} came after {before}")


def _states(evidence: Evidence) -> Iterator[Finding]:
    """One is active in a place at most, and the table's states are those that its history leads to."""
    active = Counter(
        (row.entity_id, row.environment) for row in evidence.deployments if row.status == "active"
    )
    for place, number in active.items():
        if number > 1:
            yield Finding("doubled", f"{number} are active in {place}")
    expected: dict[str, str] = {}
    for event in sorted(evidence.events, key=lambda event: (event.entity_id, event.sequence)):
        if event.name in _COMES:
            expected[event.subject] = "active"
        elif event.name in _GOES:
            expected[event.subject] = _GOES[event.name]
    for row in evidence.deployments:
        if row.deployment_id in expected and expected[row.deployment_id] != row.status:
            yield Finding(
                "lost",
                f"deployment {row.deployment_id} is {row.status}; its history says "
                f"{expected[row.deployment_id]}",
            )


def _live(evidence: Evidence) -> Iterator[Finding]:
    """The bucket holds what is active, by the event that activated it."""
    activated: dict[str, int] = {}
    for event in evidence.events:
        if event.name in _COMES:
            activated[event.subject] = max(event.sequence, activated.get(event.subject, 0))
    active = {
        (row.entity_id, row.environment): LiveValue(row.deployment_id, activated.get(row.deployment_id, 0))
        for row in evidence.deployments
        if row.status == "active"
    }
    for place in active.keys() | evidence.live.keys():
        if active.get(place) != evidence.live.get(place):
            yield Finding(
                "lost", f"the live state of {place} is {evidence.live.get(place)}, not {active.get(place)}"
            )


def _times(evidence: Evidence) -> Iterator[Finding]:
    """Deployments bear the true time, whatever a worker's clock says."""
    for row in evidence.deployments:
        if not evidence.began <= row.deployed_at <= evidence.ended:
            yield Finding(
                "out of order",
                f"deployment {row.deployment_id} bears a time outside the run: {row.deployed_at}",
            )


def _effect_of(told: Told) -> str:
    return "completed" if told.operation == "deploy" else "rolled_back"


def _effects_by_key(events: Iterable[EventRow]) -> defaultdict[str, list[EventRow]]:
    found: defaultdict[str, list[EventRow]] = defaultdict(list)
    for event in events:
        found[event.key].append(event)
    return found


def _numbers(events: Iterable[EventRow]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in events:
        found.setdefault(event.entity_id, []).append(event.sequence)
    return found
