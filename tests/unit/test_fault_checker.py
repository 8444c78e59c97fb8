"""The checker of the fault runs finds each fault that is planted in evidence without one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.checker import Answer, DeploymentRow, EventRow, Evidence, Kind, LiveValue, Told, check

ENTITY = "entity-1"
PLACE = (ENTITY, "staging")


def event(number: int, name: str, subject: str, key: str) -> EventRow:
    environment = "" if name == "created" else "staging"
    return EventRow(f"event-{number}", ENTITY, number, name, environment, subject, key)


def sound() -> Evidence:
    """Two deploys and a rollback of the second to the first; a third deploy was refused, a fourth is open."""
    events = (
        event(1, "created", ENTITY, "made"),
        event(2, "completed", "d1", "first"),
        event(3, "superseded", "d1", "second"),
        event(4, "completed", "d2", "second"),
        event(5, "rolled_back", "d2", "back"),
        event(6, "reactivated", "d1", "back"),
    )
    return Evidence(
        told={
            "first": Told("deploy", (Answer("d1"), Answer("d1"))),
            "second": Told("deploy", (Answer("d2"),)),
            "back": Told("rollback", (Answer("d2"),)),
            "third": Told("rollback", (Answer(None, "deployment_not_active"),)),
            "fourth": Told("deploy"),
        },
        deployments=(
            DeploymentRow("d1", ENTITY, "staging", "active"),
            DeploymentRow("d2", ENTITY, "staging", "rolled_back"),
        ),
        events=events,
        stream=events,
        live={PLACE: LiveValue("d1", 6)},
    )


def told(evidence: Evidence, key: str, *answers: Answer) -> Evidence:
    return replace(evidence, told={**evidence.told, key: Told(evidence.told[key].operation, answers)})


def a_deploy_that_is_not_there(evidence: Evidence) -> Evidence:
    return told(evidence, "fourth", Answer("d4"))


def a_rollback_that_did_not_happen(evidence: Evidence) -> Evidence:
    return told(evidence, "third", Answer("d1"))


def an_acknowledged_row_that_is_gone(evidence: Evidence) -> Evidence:
    return replace(evidence, deployments=evidence.deployments[:1])


def a_deploy_done_twice(evidence: Evidence) -> Evidence:
    again = (event(7, "superseded", "d1", "second"), event(8, "completed", "d3", "second"))
    return replace(
        evidence,
        deployments=(
            DeploymentRow("d1", ENTITY, "staging", "inactive"),
            evidence.deployments[1],
            DeploymentRow("d3", ENTITY, "staging", "active"),
        ),
        events=(*evidence.events, *again),
        stream=(*evidence.stream, *again),
        live={PLACE: LiveValue("d3", 8)},
    )


def two_answers_that_differ(evidence: Evidence) -> Evidence:
    return told(evidence, "second", Answer("d2"), Answer("d1"))


def a_refusal_of_what_was_done(evidence: Evidence) -> Evidence:
    return told(evidence, "second", Answer(None, "deployment_in_progress"))


def an_event_lost_on_its_way(evidence: Evidence) -> Evidence:
    return replace(evidence, stream=(*evidence.stream[:3], *evidence.stream[4:]))


def the_last_event_lost_on_its_way(evidence: Evidence) -> Evidence:
    return replace(evidence, stream=evidence.stream[:-1])


def an_event_lost_everywhere(evidence: Evidence) -> Evidence:
    events = (*evidence.events[:2], *evidence.events[3:])
    return replace(evidence, events=events, stream=events)


def a_completion_lost_everywhere(evidence: Evidence) -> Evidence:
    events = [each._replace(name="health") if each.sequence == 4 else each for each in evidence.events]
    return replace(evidence, events=events, stream=events)


def an_event_announced_twice(evidence: Evidence) -> Evidence:
    return replace(evidence, stream=(*evidence.stream, evidence.stream[-1]))


def an_event_written_twice(evidence: Evidence) -> Evidence:
    again = evidence.events[-1]._replace(event_id="event-6-again")
    return replace(evidence, events=(*evidence.events, again), stream=(*evidence.stream, again))


def an_event_of_what_never_committed(evidence: Evidence) -> Evidence:
    return replace(evidence, stream=(*evidence.stream, event(7, "completed", "d9", "fourth")))


def a_swapped_pair(evidence: Evidence) -> Evidence:
    first, second, third, fourth, *rest = evidence.stream
    return replace(evidence, stream=(first, second, fourth, third, *rest))


def an_event_that_reads_otherwise(evidence: Evidence) -> Evidence:
    return replace(evidence, stream=(*evidence.stream[:-1], evidence.stream[-1]._replace(subject="d2")))


def a_second_active(evidence: Evidence) -> Evidence:
    first, second = evidence.deployments
    return replace(evidence, deployments=(first, second._replace(status="active")))


def a_state_that_its_history_does_not_lead_to(evidence: Evidence) -> Evidence:
    first, second = evidence.deployments
    return replace(evidence, deployments=(first, second._replace(status="inactive")))


def a_stale_key(evidence: Evidence) -> Evidence:
    return replace(evidence, live={PLACE: LiveValue("d2", 4)})


def a_key_of_an_earlier_activation(evidence: Evidence) -> Evidence:
    return replace(evidence, live={PLACE: LiveValue("d1", 2)})


def a_missing_key(evidence: Evidence) -> Evidence:
    return replace(evidence, live={})


def a_key_of_nothing(evidence: Evidence) -> Evidence:
    return replace(evidence, live={**evidence.live, (ENTITY, "production"): LiveValue("d1", 6)})


def an_outbox_that_is_not_empty(evidence: Evidence) -> Evidence:
    return replace(evidence, unannounced=1)


PLANTED: list[tuple[Callable[[Evidence], Evidence], Kind]] = [
    (a_deploy_that_is_not_there, "lost"),
    (a_rollback_that_did_not_happen, "lost"),
    (an_acknowledged_row_that_is_gone, "lost"),
    (a_deploy_done_twice, "doubled"),
    (two_answers_that_differ, "doubled"),
    (a_refusal_of_what_was_done, "doubled"),
    (an_event_lost_on_its_way, "lost"),
    (the_last_event_lost_on_its_way, "lost"),
    (an_event_lost_everywhere, "lost"),
    (a_completion_lost_everywhere, "lost"),
    (an_event_announced_twice, "doubled"),
    (an_event_written_twice, "doubled"),
    (an_event_of_what_never_committed, "doubled"),
    (a_swapped_pair, "out of order"),
    (an_event_that_reads_otherwise, "lost"),
    (a_second_active, "doubled"),
    (a_state_that_its_history_does_not_lead_to, "lost"),
    (a_stale_key, "lost"),
    (a_key_of_an_earlier_activation, "lost"),
    (a_missing_key, "lost"),
    (a_key_of_nothing, "lost"),
    (an_outbox_that_is_not_empty, "lost"),
]


def test_nothing_is_found_where_nothing_is_wrong():
    assert check(sound()) == []


@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_it_finds(plant: Callable[[Evidence], Evidence], kind: Kind):
    assert kind in {finding.kind for finding in check(plant(sound()))}


def test_a_rollback_and_the_deploy_that_it_undoes_are_told_apart_by_their_keys():
    evidence = told(sound(), "back", Answer("d1"))

    assert [finding.kind for finding in check(evidence)] == ["lost"]
