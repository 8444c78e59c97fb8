"""The checker finds what is planted in the history of a confirmed environment; no server runs for this."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.checker import check
from tests.faults.observed import Answer, DeploymentRow, EventRow, Evidence, Kind, LiveValue, Told

ENTITY = "entity-1"
PLACE = (ENTITY, "staging")


def event(number: int, name: str, subject: str, key: str, time: float, **known: object) -> EventRow:
    row = EventRow(f"event-{number}", ENTITY, number, name, "staging", subject, key, time)
    return row._replace(**known)


EVENTS = (
    event(1, "started", "d1", "first", 1.0, confirm_by=3.0),
    event(2, "queued", "d2", "second", 1.1),
    event(3, "queued", "d3", "third", 1.2),
    event(4, "completed", "d1", "says-d1", 1.5, confirm_by=3.0, actor="agent"),
    event(5, "started", "d2", "says-d1", 1.5, confirm_by=3.5),
    event(6, "failed", "d2", "timer", 3.6, confirm_by=3.5, actor="system"),
    event(7, "started", "d3", "timer", 3.6, confirm_by=5.6),
    event(8, "superseded", "d1", "says-d3", 4.0, actor="faults"),
    event(9, "completed", "d3", "says-d3", 4.0, confirm_by=5.6, actor="agent"),
    event(10, "health", "d3", "report-1", 4.1, report="unhealthy", action="none"),
    event(11, "health", "d3", "report-2", 4.2, report="unhealthy", action="rollback"),
    event(12, "rolled_back", "d3", "report-2", 4.2, actor="system"),
    event(13, "reactivated", "d1", "report-2", 4.2, actor="system"),
    event(14, "started", "d4", "fourth", 5.0, confirm_by=100.0),
    event(15, "queued", "d5", "fifth", 5.0),
)


def sound() -> Evidence:
    """Confirmed, timed out, back for its health; two wait."""
    states = ("active", "failed", "rolled_back", "deploying", "pending")
    return Evidence(
        told={
            "first": Told("deploy", (Answer("d1"),)),
            "says-d1": Told("confirm", (Answer("d1"), Answer("d1")), "d1"),
            "says-d2": Told("refuse", (Answer(None, "deployment_not_active"),), "d2"),
            "report-2": Told("report", (Answer("d3"),), "d3"),
        },
        shown=[("d1", "deploying"), ("d2", "pending"), ("d3", "rolled_back")],
        deployments=[
            DeploymentRow(f"d{number}", *PLACE, status, 1.0, 100.0 if number == 4 else None)
            for number, status in enumerate(states, 1)
        ],
        events=EVENTS,
        stream=EVENTS,
        live={PLACE: LiveValue("d1", 13)},
        waiting={PLACE: LiveValue("d4", 14)},
        ended=50.0,
        unhealthy_after={"staging": 2},
    )


def changed(number: int, **change: object) -> Callable[[Evidence], Evidence]:
    """An event that reads otherwise, in the table and in the stream."""

    def plant(evidence: Evidence) -> Evidence:
        events = [each._replace(**change) if each.sequence == number else each for each in evidence.events]
        return replace(evidence, events=events, stream=events)

    return plant


def told(key: str, change: Told) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, told={**evidence.told, key: change})


def swapped(evidence: Evidence) -> Evidence:
    turns = {5: "d3", 6: "d3", 7: "d2", 9: "d2", 10: "d2", 11: "d2", 12: "d2"}
    events = [each._replace(subject=turns.get(each.sequence, each.subject)) for each in evidence.events]
    return replace(evidence, events=events, stream=events)


def row(number: int, **change: object) -> Callable[[Evidence], Evidence]:
    def plant(evidence: Evidence) -> Evidence:
        rows = list(evidence.deployments)
        rows[number - 1] = rows[number - 1]._replace(**change)
        return replace(evidence, deployments=rows)

    return plant


PLANTED: dict[str, tuple[Callable[[Evidence], Evidence], Kind]] = {
    "a word after the time": (changed(9, time=5.7), "out of order"),
    "a timer that fires late": (changed(6, time=4.6), "lost"),
    "a turn before another one's": (swapped, "out of order"),
    "a turn that nobody got": (changed(7, name="health", action="none"), "lost"),
    "a path that is none": (changed(8, name="started"), "out of order"),
    "an acknowledged word that did not count": (
        told("says-d4", Told("confirm", (Answer("d4"),), "d4")),
        "lost",
    ),
    "a refused word that counted": (
        told("says-d3", Told("confirm", (Answer(None, "deployment_not_active"),), "d3")),
        "doubled",
    ),
    "a report that should have led back": (changed(11, action="none"), "lost"),
    "a report that should not have": (changed(10, action="rollback"), "doubled"),
    "a state that it never had": (lambda each: replace(each, shown=[("d2", "active")]), "lost"),
    "deploying past its time": (row(4, confirm_by=48.0), "lost"),
    "decided twice": (changed(14, name="completed", subject="d1"), "doubled"),
    "pending behind nothing": (row(4, status="failed"), "lost"),
    "a key that stayed": (
        lambda each: replace(each, waiting={**each.waiting, (ENTITY, "production"): LiveValue("d2", 5)}),
        "lost",
    ),
    "a key that never came": (lambda each: replace(each, waiting={}), "lost"),
}


def test_nothing_is_found_where_nothing_is_wrong():
    assert check(sound()) == []


@pytest.mark.parametrize(("plant", "kind"), PLANTED.values(), ids=PLANTED)
def test_it_finds(plant: Callable[[Evidence], Evidence], kind: Kind):
    assert kind in {finding.kind for finding in check(plant(sound()))}


def test_it_finds_a_rollback_past_those_that_wait():
    left = event(11, "started", "d9", "ninth", 4.15, confirm_by=90.0)
    events = [*EVENTS[:10], left, *(each._replace(sequence=each.sequence + 1) for each in EVENTS[10:])]

    found = check(replace(sound(), events=events, stream=events))

    assert [finding for finding in found if "went back" in finding.what]


def test_an_outage_excuses_a_late_timer():
    late = replace(changed(6, time=6.0)(sound()), outages=[(4.0, 5.5)])

    assert not [finding for finding in check(late) if "past its time" in finding.what]
    assert [finding for finding in check(replace(late, outages=[])) if "past its time" in finding.what]
