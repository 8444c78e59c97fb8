"""Whether what callers were told, the tables, the stream and the live state agree: pure, over what was read.

Each key (`Idempotency-Key`) stands for one request, asked as often as its caller needed; it is the
``correlationid`` of the events that it led to, so each key's effects can be counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise

from tests.faults.history import ARRIVES, IN_TIME, LEADS_TO, history
from tests.faults.observed import (
    Answer,
    DeploymentRow,
    EventRow,
    Evidence,
    Finding,
    Kind,
    LiveValue,
    Place,
    Told,
)

__all__ = ["Answer", "DeploymentRow", "EventRow", "Evidence", "Finding", "Kind", "LiveValue", "Told", "check"]

_EFFECTS = {"rollback": "rolled_back", "confirm": "completed", "refuse": "failed", "report": "health"}
_DECIDES = ("completed", "failed")
_UNDECIDED = ("pending", "deploying")


def check(evidence: Evidence) -> list[Finding]:
    """Everything that is wrong; nothing if all agree."""
    return list(
        chain(
            _answers(evidence),
            _effects(evidence),
            _numbering(evidence.events),
            _announcements(evidence),
            _order(evidence.stream),
            history(evidence),
            _states(evidence),
            _waiting(evidence),
            _bucket(evidence, "active", ("completed", "reactivated"), evidence.live),
            _bucket(evidence, "deploying", ("started",), evidence.waiting),
            _times(evidence),
        )
    )


def _answers(evidence: Evidence) -> Iterator[Finding]:
    """Each key was told one thing only, and what it was told is so."""
    effects = _effects_by_key(evidence)
    known = {row.deployment_id for row in evidence.deployments}
    for key, told in evidence.told.items():
        if len(set(told.answers)) > 1:
            yield Finding("doubled", f"key {key} was told different things: {sorted(map(str, told.answers))}")
        for answer in set(told.answers):
            done = [event.subject for event in effects[key]]
            if answer.refusal is None and answer.deployment_id not in done:
                yield Finding(
                    "lost", f"{told.operation} {key} was acknowledged as {answer.deployment_id}: no event"
                )
            if answer.deployment_id is not None and answer.deployment_id not in known:
                yield Finding("lost", f"deployment {answer.deployment_id} was acknowledged: no row")
            if answer.refusal is not None and done:
                yield Finding("doubled", f"{told.operation} {key} was refused ({answer.refusal}), and done")


def _effects(evidence: Evidence) -> Iterator[Finding]:
    """Each key had one effect at most; each deployment came about once, and was decided once if at all."""
    for key, done in _effects_by_key(evidence).items():
        if len(done) > 1:
            yield Finding("doubled", f"key {key} had {len(done)} effects: {[e.subject for e in done]}")
    arrived = {event.subject for event in evidence.events if event.name in ARRIVES}
    decided = Counter(event.subject for event in evidence.events if event.name in _DECIDES)
    for row in evidence.deployments:
        if row.deployment_id not in arrived:
            yield Finding("lost", f"deployment {row.deployment_id} came from nowhere")
        times, wanted = decided[row.deployment_id], 0 if row.status in _UNDECIDED else 1
        if times != wanted:
            kind: Kind = "doubled" if times > wanted else "lost"
            yield Finding(
                kind, f"deployment {row.deployment_id} is {row.status}, and was decided {times} times"
            )


def _numbering(events: Iterable[EventRow]) -> Iterator[Finding]:
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
    """One is active in a place at most, one deploying, and the states are those that the history leads to."""
    there = Counter(
        (row.entity_id, row.environment, row.status)
        for row in evidence.deployments
        if row.status in ("active", "deploying")
    )
    for (entity_id, environment, status), number in there.items():
        if number > 1:
            yield Finding("doubled", f"{number} are {status} in {(entity_id, environment)}")
    expected: dict[str, str] = {}
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for event in sorted(evidence.events, key=lambda event: (event.entity_id, event.sequence)):
        if event.name in LEADS_TO:
            expected[event.subject] = LEADS_TO[event.name]
            seen[event.subject].add(LEADS_TO[event.name])
    for row in evidence.deployments:
        if row.deployment_id in expected and expected[row.deployment_id] != row.status:
            yield Finding(
                "lost",
                f"deployment {row.deployment_id} is {row.status}; its history says "
                f"{expected[row.deployment_id]}",
            )
    for deployment_id, status in evidence.shown:
        if status not in seen[deployment_id]:
            yield Finding("lost", f"deployment {deployment_id} was shown as {status}, which it never was")


def _waiting(evidence: Evidence) -> Iterator[Finding]:
    """Nothing waits past its time, nor behind nothing."""
    deploying = {
        (row.entity_id, row.environment) for row in evidence.deployments if row.status == "deploying"
    }
    for row in evidence.deployments:
        if row.status == "pending" and (row.entity_id, row.environment) not in deploying:
            yield Finding("lost", f"deployment {row.deployment_id} is pending, and nothing is before it")
        if row.status == "deploying" and (row.confirm_by or 0.0) + IN_TIME < evidence.ended:
            yield Finding("lost", f"deployment {row.deployment_id} is deploying past its time")


def _bucket(
    evidence: Evidence, status: str, names: tuple[str, ...], kept: Mapping[Place, LiveValue]
) -> Iterator[Finding]:
    """A bucket holds what has the status, by the event that gave it."""
    given: dict[str, int] = {}
    for event in evidence.events:
        if event.name in names:
            given[event.subject] = max(event.sequence, given.get(event.subject, 0))
    expected = {
        (row.entity_id, row.environment): LiveValue(row.deployment_id, given.get(row.deployment_id, 0))
        for row in evidence.deployments
        if row.status == status
    }
    for place in expected.keys() | kept.keys():
        if expected.get(place) != kept.get(place):
            yield Finding(
                "lost", f"the {status} one of {place} is {expected.get(place)}; told is {kept.get(place)}"
            )


def _times(evidence: Evidence) -> Iterator[Finding]:
    """Deployments bear the true time, whatever a worker's clock says."""
    for row in evidence.deployments:
        if not evidence.began <= row.deployed_at <= evidence.ended:
            yield Finding(
                "out of order",
                f"deployment {row.deployment_id} bears a time outside the run: {row.deployed_at}",
            )


def _effects_by_key(evidence: Evidence) -> defaultdict[str, list[EventRow]]:
    """What each request did, beside what followed from that: other deployments may fail by it, or begin."""
    found: defaultdict[str, list[EventRow]] = defaultdict(list)
    arrived: set[str] = set()
    for event in sorted(evidence.events, key=lambda event: (event.entity_id, event.sequence)):
        arrives = event.name in ARRIVES and event.subject not in arrived
        arrived.add(event.subject)
        told = evidence.told.get(event.key)
        if told is None or told.about not in (None, event.subject):
            continue
        if arrives if told.operation == "deploy" else event.name == _EFFECTS[told.operation]:
            found[event.key].append(event)
    return found


def _numbers(events: Iterable[EventRow]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in events:
        found.setdefault(event.entity_id, []).append(event.sequence)
    return found
