import json
from datetime import timedelta

import pytest

from tests.unit.builders import (
    NOW,
    SECOND,
    a_deploy,
    a_deployment,
    a_former,
    a_rollback,
    an_entity,
    an_update,
    deployed,
)
from tests.unit.records import Records
from worker.dispatch.batch import fingerprint
from worker.domain.command import Caller


def keyed(key="k", **more):
    return {"key": key, **more}


def effects(records):
    return [row.type for row in records.events]


def test_the_same_key_twice_in_a_batch_has_one_effect_and_the_second_answer_is_a_replay():
    entity = an_entity()
    records = Records(entity)
    first, second = records.answers(a_deploy(entity, keyed()), a_deploy(entity, keyed()))
    assert (first.code, first.replayed) == (None, False)
    assert (second.code, second.replayed) == (None, True)
    assert second.body == first.body
    assert effects(records) == ["library.deployment.completed.v1"]


def test_a_key_of_an_earlier_batch_is_replayed_though_the_world_has_moved_on():
    entity = an_entity()
    records = Records(entity)
    (first,) = records.answers(a_deploy(entity, keyed()))
    records.answers(a_deploy(entity), an_update(entity, version="9"))
    (again,) = records.answers(a_deploy(entity, keyed()))
    assert (again.body, again.replayed) == (first.body, True)
    assert len(records.deployments) == 2


@pytest.mark.parametrize("together", [True, False])
def test_the_same_key_with_another_body_is_refused_and_changes_nothing(together):
    entity = an_entity()
    records = Records(entity)
    commands = (a_deploy(entity, keyed()), a_deploy(entity, keyed(), reason="another"))
    _, second = records.answers(*commands) if together else [*map(records.answers, commands)]
    answer = second if together else second[0]
    assert (answer.code, answer.replayed) == ("idempotency_key_reused", False)
    assert len(records.events) == 1


def test_a_key_that_was_reused_still_stands_for_its_first_request():
    entity = an_entity()
    first, _, third = Records(entity).answers(
        a_deploy(entity, keyed()), a_deploy(entity, keyed(), reason="another"), a_deploy(entity, keyed())
    )
    assert (third.body, third.replayed) == (first.body, True)


def test_a_refusal_is_an_outcome_and_replayed_though_the_request_would_succeed_now():
    entity = an_entity(version="1")
    records = Records(entity)
    asked = a_deploy(entity, keyed(), expected_version="2")
    (refused,) = records.answers(asked)
    records.answers(an_update(entity, version="2"))
    (again,) = records.answers(asked)
    assert refused.code == again.code == "version_mismatch"
    assert (again.body, again.replayed) == (refused.body, True)
    assert again.headers("k")["Idempotency-Replayed"] == "true"


def test_a_passed_deadline_is_no_outcome():
    entity = an_entity()
    records = Records(entity)
    late = a_deploy(entity, keyed(deadline=NOW - SECOND))
    first, second = records.answers(late, a_deploy(entity, keyed()))
    assert (first.code, second.code, second.replayed) == ("deadline_exceeded", None, False)


def test_a_passed_deadline_comes_before_a_stored_outcome():
    entity = an_entity()
    records = Records(entity)
    records.answers(a_deploy(entity, keyed()))
    (late,) = records.answers(a_deploy(entity, keyed(deadline=NOW - timedelta(microseconds=1))))
    assert (late.code, late.replayed) == ("deadline_exceeded", False)


def test_a_stored_outcome_comes_before_every_refusal_of_the_rules():
    entity = an_entity()
    records = Records(entity)
    (first,) = records.answers(a_deploy(entity, keyed()))
    records.entities.clear()
    (again,) = records.answers(a_deploy(entity, keyed()))
    assert (again.code, again.body) == (None, first.body)


def test_keys_are_scoped_to_the_operation_and_the_caller():
    entity = deployed(an_entity())
    former = a_former(entity)
    active = a_deployment(entity, deployed_at=former.deployed_at + SECOND)
    records = Records(entity, former, active)
    answers = records.answers_to_all(
        a_rollback(active, keyed()),
        a_deploy(entity, keyed()),
        a_deploy(entity, keyed(caller=Caller("another"))),
        a_deploy(entity, keyed(key="another")),
    )
    assert [(answer.code, answer.replayed) for answer in answers] == [(None, False)] * 4


def test_without_a_key_every_request_has_its_effect():
    entity = an_entity()
    records = Records(entity)
    first, second = records.answers(a_deploy(entity), a_deploy(entity))
    assert first.body != second.body
    assert records.outcomes == {}


def test_the_key_of_what_is_put_off_stays_with_it():
    entity = deployed(an_entity())
    former = a_former(entity)
    active = a_deployment(entity, deployed_at=former.deployed_at + SECOND)
    records = Records(entity, former, active)
    elsewhere = a_deploy(entity, environment="production")
    first, second, third = records.answers(
        elsewhere, a_rollback(active, keyed()), a_rollback(active, keyed())
    )
    assert (first.code, second, third) == (None, None, None)
    assert records.outcomes == {}
    again, replayed = records.answers_to_all(a_rollback(active, keyed()), a_rollback(active, keyed()))
    assert (again.replayed, replayed.replayed, again.body == replayed.body) == (False, True, True)


def test_a_key_belongs_to_the_first_that_came_with_it_even_where_that_is_put_off():
    entity, other = deployed(an_entity("one")), deployed(an_entity("other"))
    formers = a_former(entity), a_former(other)
    since = formers[0].deployed_at + SECOND
    active, others = a_deployment(entity, deployed_at=since), a_deployment(other, deployed_at=since)
    records = Records(entity, other, *formers, active, others)
    elsewhere = a_deploy(entity, environment="production")
    answers = records.answers_to_all(elsewhere, a_rollback(active, keyed()), a_rollback(others, keyed()))
    assert [answer.code for answer in answers] == [None, None, "idempotency_key_reused"]


def marks(*bodies, envelope=None):
    entity = an_entity()
    return [fingerprint(a_deploy(entity, envelope, **body)) for body in bodies]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"deployment_method": None, "reason": None, "override_strategy": None, "wait": None}),
        ({}, {"override_strategy": "replace", "wait": False, "supersede_pending": False}),
        (
            {"config_override": {"a": 1, "b": {"c": 2, "d": 3}}},
            {"config_override": {"b": {"d": 3, "c": 2}, "a": 1}},
        ),
    ],
    ids=["null", "default", "order of members"],
)
def test_bodies_that_mean_the_same_are_the_same_request(one, other):
    first, second = marks(one, other)
    assert first == second


def test_the_transports_default_method_is_no_part_of_the_request():
    entity = an_entity()
    by_nats, by_http = {"default_method": "nats"}, {"default_method": "api"}
    unsaid = fingerprint(a_deploy(entity, by_nats))
    assert unsaid == fingerprint(a_deploy(entity, by_http))
    assert unsaid == fingerprint(a_deploy(entity, by_nats, deployment_method="nats"))
    assert unsaid == fingerprint(a_deploy(entity, by_http, deployment_method="api"))
    assert unsaid != fingerprint(a_deploy(entity, by_http, deployment_method="pipeline"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": None}),
        ({"a": 1}, {"a": "1"}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": {}}, {"a": []}),
        ({"a": 2**70}, {"a": 2**70 + 1}),
        ({"a": 2**64}, {"a": -(2**64)}),
        ({"a": 2**70}, {"a": str(2**70)}),
        ({"a": 2**70}, {"a": {"integer": str(2**70)}}),
        ({"a": 2**53}, {"a": 2**53 + 1}),
    ],
    ids=json.dumps,
)
def test_documents_that_differ_are_different_requests(one, other):
    first, second = marks({"config_override": one}, {"config_override": other})
    assert first != second
