"""Whether an entity's events, one after the other, are a history that the rules allow."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from tests.faults.observed import EventRow, Evidence, Finding, Kind, Span
from worker.domain.states import TRANSITIONS

ARRIVES = ("queued", "started", "completed")
"""A deployment's first event is one of these."""
LEADS_TO = {
    "queued": "pending",
    "started": "deploying",
    "completed": "active",
    "reactivated": "active",
    "superseded": "inactive",
    "retired": "inactive",
    "rolled_back": "rolled_back",
    "failed": "failed",
}
IN_TIME = 1.0
"""So many seconds after its time a deployment that nobody confirmed has failed."""
_SYSTEM = "system"


def history(evidence: Evidence) -> Iterator[Finding]:
    """Replay the events of the table."""
    ordered = sorted(evidence.events, key=lambda event: (event.entity_id, event.sequence))
    for _, of_entity in groupby(ordered, key=lambda event: event.entity_id):
        yield from _replayed(of_entity, evidence)


@dataclass(slots=True)
class _Place:
    """An entity in an environment, at a moment of its history; deployments in the order of their arrival."""

    status: dict[str, str] = field(default_factory=dict)
    bad_reports: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    came_back: set[str] = field(default_factory=set)
    promised: str | None = None
    """What a report has said to roll back, until that is done."""

    def having(self, status: str) -> list[str]:
        """The deployments with this status."""
        return [each for each, there in self.status.items() if there == status]

    def can_go_back(self, current: str) -> bool:
        """Whether an earlier one is there that ran before."""
        for each, status in self.status.items():
            if each == current:
                return False
            if status == "inactive":
                return True
        return False


def _replayed(events: Iterable[EventRow], evidence: Evidence) -> Iterator[Finding]:
    places: defaultdict[str, _Place] = defaultdict(_Place)
    for _, of_request in groupby(events, key=lambda event: event.key):
        for event in of_request:
            place = places[event.environment]
            if event.name == "health":
                yield from _reported(event, place, evidence.unhealthy_after.get(event.environment))
            elif event.name in LEADS_TO:
                yield from _moved(event, place, evidence.outages)
        for name, place in places.items():
            if place.having("pending") and not place.having("deploying"):
                yield Finding("lost", f"{place.having('pending')} waited in {name} behind nothing")
            if place.promised:
                yield Finding("lost", f"{place.promised} should have gone back for its health")
                place.promised = None


def _moved(event: EventRow, place: _Place, outages: Iterable[Span]) -> Iterator[Finding]:
    subject, before, after = event.subject, place.status.get(event.subject), LEADS_TO[event.name]
    allowed = event.name in ARRIVES if before is None else after in TRANSITIONS[before]  # type: ignore[index]
    if not allowed:
        yield Finding("out of order", f"deployment {subject} went from {before} to {after}")
    if before == "pending" and after != "failed" and place.having("pending")[0] != subject:
        yield Finding(
            "out of order", f"deployment {subject} had its turn before {place.having('pending')[0]}"
        )
    if before == "deploying":
        yield from _in_time(event, outages)
    if event.name == "rolled_back" and (event.actor == _SYSTEM) != (place.promised == subject):
        yield Finding("doubled", f"deployment {subject} went back by {event.actor}, not as its reports say")
    if event.name == "rolled_back" and (left := place.having("pending") + place.having("deploying")):
        yield Finding("out of order", f"deployment {subject} went back, and {left} still waited")
    place.status[subject] = after
    if after in ("active", "deploying") and len(place.having(after)) > 1:
        yield Finding("doubled", f"at once {after}: {place.having(after)}")
    if after == "active":
        place.bad_reports[subject] = 0
        (place.came_back.add if event.actor == _SYSTEM else place.came_back.discard)(subject)
    elif event.name == "rolled_back":
        place.promised = None


def _in_time(event: EventRow, outages: Iterable[Span]) -> Iterator[Finding]:
    """The word of an agent counts up to the time, and soon after that it is decided without one."""
    due = event.confirm_by or 0.0
    if event.name == "completed" and event.time > due:
        yield Finding(
            "out of order", f"deployment {event.subject} was confirmed {event.time - due:.3f} s late"
        )
    for began, ended in sorted(outages):
        if began < due + IN_TIME and ended > due:
            due = ended
    if event.time > due + IN_TIME:
        yield Finding("lost", f"deployment {event.subject} waited {event.time - due:.3f} s past its time")


def _reported(event: EventRow, place: _Place, unhealthy_after: int | None) -> Iterator[Finding]:
    """Enough bad reports in a row take what is active back, where it can go back and did not come so."""
    subject = event.subject
    active = place.status.get(subject) == "active"
    if active:
        place.bad_reports[subject] = place.bad_reports[subject] + 1 if event.report == "unhealthy" else 0
    last_straw = (
        unhealthy_after is not None
        and active
        and place.bad_reports[subject] >= unhealthy_after
        and subject not in place.came_back
        and place.can_go_back(subject)
    )
    if last_straw != (event.action == "rollback"):
        kind: Kind = "lost" if last_straw else "doubled"
        yield Finding(kind, f"deployment {subject}: report {event.sequence} led to {event.action}")
    if event.action == "rollback":
        place.promised = subject
