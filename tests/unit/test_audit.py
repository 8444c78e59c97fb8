"""The rules of `library check`: what agrees gives no finding, and every planted fault gives one."""

import json
from uuid import uuid4

import pytest

from contracts.subjects import event_type
from worker.domain.audit import (
    STATUS_AFTER,
    Announced,
    LastTransition,
    Numbered,
    Place,
    Waiting,
    announcements,
    live_value,
    one_in_each_place,
    outbox,
    sequences,
    statuses,
    unknown_in_outbox,
)

ENTITY, OTHER = "entity-1", "entity-2"


def kinds(findings):
    return [finding.what for finding in findings]


def numbered(*sequence, counter, entity=ENTITY):
    return [Numbered(entity, counter, number) for number in sequence]


def event(sequence, position, *, entity=ENTITY, event_id=None, **facts):
    """An event that is in the stream as it should be, save for what the test says."""
    as_usual = {"same": position is not None, "known": True, "waiting": False, "expired": False}
    return Announced(entity, sequence, event_id or f"{entity}-{sequence}", position, **{**as_usual, **facts})


def found_in_stream(*events, all_known_until=1000):
    return list(announcements(events, all_known_until=all_known_until))


# One active and one deploying in a place


def test_one_active_and_one_deploying_in_each_place_is_as_it_should_be():
    places = [
        Place(ENTITY, "production", "active", "a"),
        Place(ENTITY, "staging", "active", "b"),
        Place(ENTITY, "staging", "deploying", "c"),
        Place(OTHER, "staging", "active", "d"),
    ]
    assert list(one_in_each_place(places)) == []


@pytest.mark.parametrize("status", ["active", "deploying"])
def test_a_second_one_in_a_place_is_found(status):
    places = [Place(ENTITY, "staging", status, "a"), Place(ENTITY, "staging", status, "b")]
    (finding,) = one_in_each_place(places)
    assert str(finding) == (
        f"{status}_twice: entity entity-1 in staging: expected one {status} at most, found a and b"
    )


# Statuses


@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("queued", "pending"),
        ("started", "deploying"),
        ("completed", "active"),
        ("reactivated", "active"),
        ("superseded", "inactive"),
        ("retired", "inactive"),
        ("rolled_back", "rolled_back"),
        ("failed", "failed"),
    ],
)
def test_a_status_is_what_the_last_transition_says(last, status):
    of = event_type("deployment", last)
    assert list(statuses([LastTransition("d", status, of)])) == []
    others = set(STATUS_AFTER.values()) - {status}
    assert kinds(statuses(LastTransition("d", other, of) for other in others)) == ["status_differs"] * len(
        others
    )


def test_a_deployment_without_events_and_events_without_a_deployment_are_found():
    completed = event_type("deployment", "completed")
    without_events, without_deployment = statuses(
        [LastTransition("d", "active", None), LastTransition("e", None, completed)]
    )
    assert (without_events.about, without_events.expected) == ("deployment d", "an event that tells of it")
    assert (without_deployment.about, without_deployment.found) == ("deployment e", "no such deployment")


# Sequences


def test_sequences_from_one_to_the_counter_are_as_they_should_be():
    assert list(sequences([*numbered(1, 2, 3, counter=3), *numbered(1, counter=1, entity=OTHER)])) == []
    assert list(sequences([Numbered(ENTITY, 0, None)])) == []


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (numbered(1, 2, 4, counter=4), "sequence_broken"),  # a gap
        (numbered(2, 3, counter=3), "sequence_broken"),  # the first is missing
        (numbered(1, 2, 2, 3, counter=3), "sequence_broken"),  # one twice
        (numbered(1, 2, counter=3), "sequence_differs"),  # the last is missing
        (numbered(1, 2, 3, counter=2), "sequence_differs"),  # one too many
        (numbered(1, 2, counter=None), "entity_missing"),
        ([Numbered(ENTITY, 2, None)], "sequence_differs"),  # all are missing
    ],
)
def test_a_fault_in_a_sequence_is_found_once(rows, what):
    findings = list(sequences([*rows, *numbered(1, 2, counter=2, entity=OTHER)]))
    assert kinds(findings) == [what]
    assert findings[0].about == f"entity {ENTITY}"


def test_a_gap_names_both_its_ends():
    (finding,) = sequences(numbered(1, 4, counter=4))
    assert (finding.expected, finding.found) == ("event 2", "event 4")


# The stream


def test_each_event_once_in_its_entitys_order_is_as_it_should_be():
    assert not found_in_stream(
        event(1, 2),
        event(2, 5),
        event(3, 6),
        event(1, 1, entity=OTHER),
        event(2, 7, entity=OTHER),
        event(None, 4, entity=None, event_id="environment-2"),
        event(None, 3, entity=None, event_id="environment-1"),
    )


def test_a_doubled_event_is_found_with_all_its_messages():
    (finding,) = found_in_stream(event(1, 1), event(2, 2), event(2, 9), event(3, 3))
    assert (finding.what, finding.found) == ("event_doubled", "messages 2 and 9")
    assert "number 2 of entity entity-1" in finding.about


def test_a_doubled_event_of_no_entity_is_found():
    doubled = [event(None, position, entity=None, event_id="e") for position in (1, 2)]
    assert kinds(found_in_stream(*doubled)) == ["event_doubled"]


def test_a_lost_event_is_found():
    (finding,) = found_in_stream(event(1, 1), event(2, None), event(3, 3))
    assert (finding.what, finding.about) == ("event_lost", "event entity-1-2, number 2 of entity entity-1")


def test_all_events_of_an_entity_may_be_lost():
    assert kinds(found_in_stream(event(1, None), event(2, None))) == ["event_lost"] * 2


def test_a_swapped_pair_is_found_once():
    findings = found_in_stream(event(1, 1), event(2, 3), event(3, 2), event(4, 4))
    assert kinds(findings) == ["event_out_of_order"]
    assert (findings[0].expected, findings[0].found) == ("to follow number 2 in message 3", "it in message 2")


def test_an_event_that_came_last_instead_of_first_is_found():
    findings = found_in_stream(event(1, 9), event(2, 1), event(3, 2))
    assert kinds(findings) == ["event_out_of_order"]


def test_what_waits_in_the_outbox_is_not_lost():
    assert not found_in_stream(event(1, 1), event(2, None, waiting=True), event(3, None, waiting=True))


def test_what_is_published_and_not_settled_yet_is_as_it_should_be():
    assert not found_in_stream(event(1, 1), event(2, 2, waiting=True))


def test_what_overtook_an_event_that_waits_is_found():
    findings = found_in_stream(event(1, 1), event(2, None, waiting=True), event(3, 2))
    assert kinds(findings) == ["event_out_of_order"]
    assert findings[0].expected == "to follow number 2 which still waits"


def test_what_is_too_old_for_the_stream_may_be_gone():
    old = [event(1, None, expired=True), event(2, None, expired=True)]
    assert not found_in_stream(*old, event(3, 1))


def test_another_body_is_found():
    findings = found_in_stream(event(1, 1), event(2, 2, same=False))
    assert kinds(findings) == ["event_altered"]


def test_a_message_of_no_event_is_found_unless_it_may_be_of_a_newer_one():
    strangers = [
        Announced(None, None, "x", 7, same=False, known=False, waiting=False, expired=False),
        Announced(None, None, None, 8, same=False, known=False, waiting=False, expired=False),
        Announced(None, None, "y", 9, same=False, known=False, waiting=False, expired=False),
    ]
    unknown, unreadable = found_in_stream(event(1, 1), *strangers, all_known_until=8)
    assert (unknown.about, unknown.found) == ("message 7", "event x")
    assert (unreadable.about, unreadable.found) == ("message 8", "none that can be read")


def test_faults_of_one_entity_are_none_of_the_next():
    findings = found_in_stream(
        event(1, 5), event(2, None), event(1, 1, entity=OTHER), event(2, 2, entity=OTHER)
    )
    assert kinds(findings) == ["event_lost"]


# The outbox


def test_an_outbox_that_drains_is_as_it_should_be():
    assert not list(outbox(Waiting(None, 0, 0), Waiting(None, 0, 0), limit=10))
    assert not list(outbox(Waiting(5, 1, 2), Waiting(5, 9, 2), limit=10))  # young
    assert not list(outbox(Waiting(5, 99, 800), Waiting(90, 98, 700), limit=10))  # old, but it moves
    assert not list(outbox(Waiting(5, 99, 800), Waiting(None, 0, 0), limit=10))


def test_an_outbox_that_nobody_takes_is_found():
    (finding,) = outbox(Waiting(5, 89, 3), Waiting(5, 99, 4), limit=10)
    assert (finding.what, finding.expected) == ("outbox_stuck", "nothing older than 10 s")
    assert finding.found.startswith("4 transactions, the oldest of 99 s")


def test_an_outbox_that_names_what_is_not_there_is_found():
    (finding,) = unknown_in_outbox([(3, "e")])
    assert str(finding) == "outbox_broken: row 3 of the outbox: expected event e, found no such event"


# The live state


def value(**members):
    usual = {"deployment_id": "d", "sequence": "4", "version": "1", "config": {"a": 1}, "parameters": {}}
    return json.dumps({**usual, **members}).encode()


def test_a_key_with_the_databases_value_is_as_it_should_be_however_it_is_spelt():
    assert live_value("k", value(), value()) is None
    assert live_value("k", None, None) is None
    assert (
        live_value("k", value(), json.dumps(json.loads(value()), indent=2, sort_keys=True).encode()) is None
    )


def test_a_missing_key_an_orphaned_one_and_a_stale_one_are_found():
    missing = live_value("k", value(), None)
    orphaned = live_value("k", None, value())
    stale = live_value("k", value(), value(deployment_id="c", sequence="2"))
    assert kinds([missing, orphaned, stale]) == ["key_missing", "key_orphaned", "key_stale"]
    assert (stale.expected, stale.found) == ("deployment d at sequence 4", "deployment c at sequence 2")


@pytest.mark.parametrize(
    "tampered",
    [
        {"config": {"a": 2}},
        {"config": {"a": 1.0}},
        {"config": {"a": True}},
        {"parameters": {"p": str(uuid4())}},
        {"version": "2"},
        {"further": 1},
    ],
)
def test_a_changed_member_is_named_and_its_value_is_not_shown(tampered):
    finding = live_value("k", value(), value(**tampered))
    (name,) = tampered
    assert finding.what == "key_stale"
    assert f"with {name} as in the database" in finding.expected
    assert json.dumps(tampered[name]) not in str(finding)


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"null", b"\xff", b"{}"])
def test_a_value_that_is_none_is_found(garbage):
    assert live_value("k", value(), garbage).what == "key_stale"
    assert live_value("k", None, garbage).what == "key_orphaned"
