"""What must hold between the tables, the stream and the live state; what does not is a finding.

Pure functions over rows in a stated order, one row at a time: a million of them need no memory.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from contracts.subjects import event_type


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference: what kind of it, what it is about, what was expected and what was found instead."""

    what: str
    about: str
    expected: str
    found: str

    def __str__(self) -> str:
        """The finding on one line."""
        return f"{self.what}: {self.about}: expected {self.expected}, found {self.found}"


class Place(NamedTuple):
    """A deployment that is ``active`` or ``deploying``, and where."""

    entity_id: str
    environment: str
    status: str
    deployment_id: str


def one_in_each_place(places: Iterable[Place]) -> Iterator[Finding]:
    """Places where more than one is active, or deploying. Ordered by entity, environment and status."""
    for (entity_id, environment, status), held in groupby(places, key=lambda place: place[:3]):
        deployments = [place.deployment_id for place in held]
        if len(deployments) > 1:
            about = f"entity {entity_id} in {environment}"
            yield Finding(f"{status}_twice", about, f"one {status} at most", " and ".join(deployments))


STATUS_AFTER: Mapping[str, str] = {
    event_type("deployment", event): status
    for event, status in (
        ("queued", "pending"),
        ("started", "deploying"),
        ("completed", "active"),
        ("reactivated", "active"),
        ("superseded", "inactive"),
        ("retired", "inactive"),
        ("rolled_back", "rolled_back"),
        ("failed", "failed"),
    )
}
"""The status that each event of a transition leaves its deployment in; other events change none."""


class LastTransition(NamedTuple):
    """A deployment's status and the type of the last event that changed it; None where there is none."""

    deployment_id: str
    status: str | None
    event_type: str | None


def statuses(deployments: Iterable[LastTransition]) -> Iterator[Finding]:
    """Deployments whose status is not what their events say. In any order."""
    for deployment_id, status, last in deployments:
        told = STATUS_AFTER[last] if last else None
        if told != status:
            expected = f"{told} after {last}" if last else "an event that tells of it"
            found = status or "no such deployment"
            yield Finding("status_differs", f"deployment {deployment_id}", expected, found)


class Numbered(NamedTuple):
    """An event's place in its entity's sequence; ``counter`` is the entity's own, None without an entity."""

    entity_id: str
    counter: int | None
    sequence: int | None


def sequences(events: Iterable[Numbered]) -> Iterator[Finding]:
    """Entities whose events are not numbered 1, 2, 3 up to their counter. Ordered by entity and sequence.

    An entity without events comes once, with no sequence.
    """
    for entity_id, numbered in groupby(events, key=lambda event: event.entity_id):
        about = f"entity {entity_id}"
        counter, last = None, 0
        for event in numbered:
            counter = event.counter
            if event.sequence is None:
                continue
            if event.sequence != last + 1:
                yield Finding("sequence_broken", about, f"event {last + 1}", f"event {event.sequence}")
            last = event.sequence
        if counter is None:
            yield Finding("entity_missing", about, "an entity", f"its {last} events alone")
        elif counter != last:
            yield Finding("sequence_differs", about, f"its last event to be {counter}", f"event {last}")


class Announced(NamedTuple):
    """An event of the table and its message in the stream, or one of them alone.

    ``position`` is the message's, None without one; ``same`` says whether id, subject and body agree;
    ``known`` whether the table has the event; ``waiting`` whether the outbox names it; ``expired`` whether it
    is too old for the stream to keep.
    """

    entity_id: str | None
    sequence: int | None
    event_id: str | None
    position: int | None
    same: bool
    known: bool
    waiting: bool
    expired: bool


def announcements(events: Iterable[Announced], *, all_known_until: int) -> Iterator[Finding]:
    """Events that are not in the stream once, unaltered, in their entity's order; messages of no event.

    Known events come first, ordered by entity, sequence, id and position. Messages after position
    ``all_known_until`` may be of events that are newer than the table as it was read.
    """
    for known, part in groupby(events, key=lambda event: event.known):
        if known:
            for _, of_entity in groupby(part, key=lambda event: event.entity_id):
                yield from _of_entity(of_entity)
        else:
            for stranger in part:
                if stranger.position is not None and stranger.position <= all_known_until:
                    about = f"message {stranger.position}"
                    found = f"event {stranger.event_id}" if stranger.event_id else "none that can be read"
                    yield Finding("event_unknown", about, "an event of the table", found)


def _of_entity(events: Iterable[Announced]) -> Iterator[Finding]:
    before: Announced | None = None
    late: Announced | None = None
    for _, same_event in groupby(events, key=lambda event: event.event_id):
        first, *others = same_event
        about = _event(first)
        if others:
            positions = " and ".join(str(each.position) for each in (first, *others))
            yield Finding("event_doubled", about, "one message", f"messages {positions}")
        elif first.position is not None and not first.same:
            found = f"another in message {first.position}"
            yield Finding("event_altered", about, "id, subject and body of the table", found)
        if first.position is None:
            if first.waiting:
                late = late or first
            elif not first.expired:
                yield Finding("event_lost", about, "a message", "none")
            continue
        if first.entity_id is not None:
            behind = late or before
            if late is not None or (before is not None and first.position < (before.position or 0)):
                yield Finding("event_out_of_order", about, f"to follow {_named(behind)}", _at(first))
            late = None
            before = first


def _event(event: Announced) -> str:
    of = f", number {event.sequence} of entity {event.entity_id}" if event.entity_id else ""
    return f"event {event.event_id}{of}"


def _named(event: Announced | None) -> str:
    assert event is not None
    where = "which still waits" if event.position is None else f"in message {event.position}"
    return f"number {event.sequence} {where}"


def _at(event: Announced) -> str:
    return f"it in message {event.position}"


def unknown_in_outbox(rows: Iterable[tuple[int, str]]) -> Iterator[Finding]:
    """What the outbox names and the table of events lacks: row and event id."""
    for outbox_id, event_id in rows:
        yield Finding("outbox_broken", f"row {outbox_id} of the outbox", f"event {event_id}", "no such event")


class Waiting(NamedTuple):
    """The outbox at a moment: its oldest row's id (None when empty) and age in seconds, and how many wait."""

    oldest_id: int | None
    age: float
    rows: int


def outbox(earlier: Waiting, later: Waiting, *, limit: float) -> Iterator[Finding]:
    """The outbox, if it holds what is older than ``limit`` seconds and nothing left it between two looks."""
    if later.oldest_id is not None and later.age > limit and later.oldest_id == earlier.oldest_id:
        found = f"{later.rows} transactions, the oldest of {later.age:.0f} s, and nothing that takes them"
        yield Finding("outbox_stuck", "outbox", f"nothing older than {limit:.0f} s", found)


def live_value(key: str, expected: bytes | None, found: bytes | None) -> Finding | None:
    """The finding about a key of the live state, None where it holds what the database says.

    None is for a key that is not there. What documents hold is compared, and not shown.
    """
    about = f"key {key}"
    if expected == found:
        return None
    if expected is None:
        return Finding("key_orphaned", about, "no such key, as nothing is active there", _shown(found))
    if found is None:
        return Finding("key_missing", about, _shown(expected), "no such key")
    wanted, there = _members(expected), _members(found)
    if wanted == there:
        return None
    if _shown(expected) != _shown(found):
        return Finding("key_stale", about, _shown(expected), _shown(found))
    names = ", ".join(sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name)))
    return Finding("key_stale", about, f"{_shown(expected)} with {names} as in the database", "others")


def _members(value: bytes) -> dict[str, str]:
    """The members of a value, each as canonical JSON: unlike Python's values, 1, 1.0 and true differ."""
    document = _parsed(value)
    if not isinstance(document, dict):
        return {"": repr(value)}
    return {name: json.dumps(member, sort_keys=True) for name, member in document.items()}


def _shown(value: bytes | None) -> str:
    document = _parsed(value or b"")
    if not isinstance(document, dict):
        return "a value that is no JSON object"
    return f"deployment {document.get('deployment_id')} at sequence {document.get('sequence')}"


def _parsed(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
