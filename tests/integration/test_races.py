"""Many at once, on one worker and on two: whatever the order, the rules hold and the history has no gap."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import nats
import pytest

from contracts import headers, subjects
from contracts.environments import ENVIRONMENTS
from tests.conftest import Caller, Refused
from tests.events import announced, events_of, in_stream, live, names, subjects_of
from tests.system import System

CONNECTIONS = 8
REFUSALS = {
    "deployment_not_active",
    "no_rollback_target",
    "dependency_in_use",
    "validation_failed",
}


@pytest.fixture(scope="module")
def pair() -> Iterator[System]:
    """Two workers on one database."""
    product = System()
    try:
        product.start_servers()
        for worker in [product.start_worker() for _ in range(2)]:
            worker.wait_for_line("worker_ready")
        yield product
    finally:
        product.stop()


@pytest.fixture(params=["one worker", "two workers"])
def product(request) -> System:
    """The running product, once with requests in batches of one worker, once with two that contend."""
    return request.getfixturevalue("system" if request.param == "one worker" else "pair")


@pytest.fixture
async def callers(product) -> AsyncIterator[list[Caller]]:
    """Callers on connections of their own."""
    connections = [await nats.connect(product.nats_url) for _ in range(CONNECTIONS)]
    yield [Caller(connection) for connection in connections]
    await asyncio.gather(*(connection.close() for connection in connections))


async def outcome(asking):
    """The reply, or the code of the refusal."""
    try:
        return await asking
    except Refused as refused:
        return refused.code


def spread(callers, times):
    """Callers in turn, so many in all."""
    return (callers[number % len(callers)] for number in range(times))


async def test_of_a_hundred_deploys_at_once_one_is_active_and_all_are_on_record(product, callers):
    caller, connection = callers[0], callers[0].connection
    entity = await caller.create()

    deployed = await asyncio.gather(
        *(
            each.deploy(entity, config_override={"n": number})
            for number, each in enumerate(spread(callers, 100))
        )
    )

    ids = {each["deployment_id"] for each in deployed}
    assert len(ids) == 100
    rows = product.sql(
        "SELECT deployment_id::text, status, previous_deployment_id::text FROM deployments "
        "WHERE entity_id = %s ORDER BY deployed_at, deployment_id",
        (entity["entity_id"],),
    )
    assert {row[0] for row in rows} == ids
    assert [row[1] for row in rows] == ["inactive"] * 99 + ["active"]
    assert [row[2] for row in rows] == [None, *(row[0] for row in rows[:-1])]  # one chain, in this order

    events = await events_of(product, connection, entity)
    assert [int(event["sequence"]) for event in events] == list(range(1, 201))
    assert names(events) == ["created", "completed", *["superseded", "completed"] * 99]
    assert [event["subject"] for event in events[1::2]] == [row[0] for row in rows]
    assert [event["subject"] for event in events[2::2]] == [row[0] for row in rows[:-1]]

    active = next(each for each in deployed if each["deployment_id"] == rows[-1][0])
    value = await live(
        connection, "staging", entity, lambda value: value and value["deployment_id"] == rows[-1][0]
    )
    assert value["config"] == active["config_snapshot"]
    assert value["sequence"] == events[-1]["sequence"]
    await caller.retire(active)
    await live(connection, "staging", entity, lambda value: value is None)


async def test_of_thirty_entities_with_one_name_one_is_made(product, callers):
    name = f"contested-{uuid4()}"

    outcomes = await asyncio.gather(*(outcome(each.create(name=name)) for each in spread(callers, 30)))

    winners = [each for each in outcomes if isinstance(each, dict)]
    assert len(winners) == 1
    assert outcomes.count("entity_name_taken") == 29
    assert product.sql("SELECT entity_id::text FROM entities WHERE name = %s", (name,)) == [
        (winners[0]["entity_id"],)
    ]


async def test_of_thirty_changes_of_one_revision_one_is_made(callers):
    entity = await callers[0].create()

    outcomes = await asyncio.gather(
        *(
            outcome(
                each.ask(
                    subjects.ENTITY_UPDATE,
                    entity_id=entity["entity_id"],
                    expected_revision=1,
                    version=str(number),
                )
            )
            for number, each in enumerate(spread(callers, 30))
        )
    )

    (winner,) = [each for each in outcomes if isinstance(each, dict)]
    assert outcomes.count("revision_conflict") == 29
    assert await callers[0].entity(entity) == winner


async def test_of_ten_rollbacks_of_one_deployment_one_is_done(product, callers):
    entity = await callers[0].create()
    deployed = [await callers[0].deploy(entity) for _ in range(3)][-1]

    outcomes = await asyncio.gather(*(outcome(each.rollback(deployed)) for each in spread(callers, 10)))

    assert outcomes.count("deployment_not_active") == 9
    events = await events_of(product, callers[0].connection, entity)
    assert names(events[-2:]) == ["rolled_back", "reactivated"]
    assert names(events).count("rolled_back") == 1


@pytest.mark.parametrize("subject", [subjects.DEPLOY_REQUEST, subjects.ENTITY_CREATE])
async def test_of_thirty_requests_with_one_key_one_has_an_effect_and_all_get_its_answer(
    product, callers, subject
):
    entity = await callers[0].create()
    bodies = {
        subjects.DEPLOY_REQUEST: {
            "entity_id": entity["entity_id"],
            "environment": "staging",
            "deployed_by": "tests",
        },
        subjects.ENTITY_CREATE: {"name": f"once-{uuid4()}", "type": "strategy", "version": "1"},
    }
    key = str(uuid4())

    answers = await asyncio.gather(
        *(
            each.raw(subject, json.dumps(bodies[subject]).encode(), Idempotency_Key=key)
            for each in spread(callers, 30)
        )
    )

    bodies_seen = [body for body, _ in answers]
    assert all(body == bodies_seen[0] for body in bodies_seen)
    assert "code" not in bodies_seen[0]
    replayed = [carried for _, carried in answers if carried.get(headers.REPLAYED) == "true"]
    assert len(replayed) == 29
    ((count,),) = product.sql("SELECT count(*) FROM events WHERE body::json ->> 'correlationid' = %s", (key,))
    assert count == 1


async def test_a_dependent_never_outlives_its_dependency(product, callers):
    caller = callers[0]
    database = await caller.create()
    service = await caller.create(dependencies=[{"name": database["name"]}])
    for attempt in range(30):
        needed = await caller.deploy(database)
        first, second = callers[attempt % 8], callers[(attempt + 1) % 8]
        contenders = [outcome(first.deploy(service)), outcome(second.retire(needed))]

        deployed, retired = await asyncio.gather(*contenders)

        if isinstance(deployed, dict):
            assert retired == "dependency_in_use"
            assert (await caller.get(needed))["status"] == "active"
            await caller.retire(deployed)
            await caller.retire(needed)
        else:
            assert deployed == "validation_failed"
            assert retired["status"] == "inactive"
            assert (await caller.entity(service))["status"] == "registered"


async def test_a_forced_retirement_is_not_held_up_by_a_dependent_that_comes(callers):
    caller = callers[0]
    database = await caller.create()
    service = await caller.create(dependencies=[{"name": database["name"]}])
    for attempt in range(10):
        needed = await caller.deploy(database)

        deployed, retired = await asyncio.gather(
            outcome(callers[attempt % 8].deploy(service)), caller.retire(needed, force=True)
        )

        assert retired["status"] == "inactive"
        if isinstance(deployed, dict):
            await caller.retire(deployed)
        else:
            assert deployed == "validation_failed"


async def one_of_many_moves(caller, entities, seed):
    """Deploys, rollbacks and retirements on entities that others move at the same time."""
    dice = random.Random(seed)
    for _ in range(25):
        entity, environment = dice.choice(entities), dice.choice(ENVIRONMENTS[:2])
        move = dice.random()
        if move < 0.5:
            result = await outcome(caller.deploy(entity, environment))
        else:
            listed = await caller.ask(
                subjects.ENTITY_DEPLOYMENTS,
                entity_id=entity["entity_id"],
                environment=environment,
                status="active",
            )
            if not listed["deployments"]:
                continue
            (current,) = listed["deployments"]
            ask = caller.rollback if move < 0.9 else caller.retire
            result = await outcome(ask(current))
        assert isinstance(result, dict) or result in REFUSALS, result


async def test_every_rule_holds_under_a_mix_of_moves(product, callers):
    first = await callers[0].create()
    entities = [first, await callers[0].create(), await callers[0].create()]
    entities.append(await callers[0].create(dependencies=[{"name": first["name"]}]))

    await asyncio.gather(*(one_of_many_moves(caller, entities, seed) for seed, caller in enumerate(callers)))

    assert_one_active_at_most(product)
    assert_no_dependent_without_its_dependency(product, entities)
    for entity in entities:
        await assert_its_history_is_whole(product, callers[0].connection, entity)


def assert_one_active_at_most(system):
    doubled = system.sql(
        "SELECT 1 FROM deployments WHERE status = 'active' "
        "GROUP BY entity_id, environment HAVING count(*) > 1"
    )
    assert doubled == []


def assert_no_dependent_without_its_dependency(system, entities):
    orphans = system.sql(
        """
        SELECT e.name FROM deployments d JOIN entities e USING (entity_id)
        CROSS JOIN unnest(e.dependency_names) AS needed
        WHERE d.status = 'active' AND e.entity_id = ANY(%s::uuid[]) AND NOT EXISTS (
            SELECT 1 FROM deployments o JOIN entities f USING (entity_id)
            WHERE f.name = needed AND o.environment = d.environment AND o.status = 'active')
        """,
        ([entity["entity_id"] for entity in entities],),
    )
    assert orphans == []


async def assert_its_history_is_whole(system, connection, entity):
    """The stream tells, in order and without a gap, how each record came to be what it is."""
    announced(system)
    events = [json.loads(message.data) for message in await in_stream(connection, *subjects_of(entity))]
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    rows = system.sql("SELECT event_sequence FROM entities WHERE entity_id = %s", (entity["entity_id"],))
    assert rows == [(len(events),)]
    told = {event["subject"]: event["data"]["deployment"]["status"] for event in events[1:]}
    rows = system.sql(
        "SELECT deployment_id::text, environment, status FROM deployments WHERE entity_id = %s",
        (entity["entity_id"],),
    )
    assert told == {deployment_id: status for deployment_id, _, status in rows}
    for environment in ENVIRONMENTS[:2]:
        active = {row[0] for row in rows if row[1:] == (environment, "active")}
        await live(
            connection,
            environment,
            entity,
            lambda value, active=active: {value["deployment_id"] for value in [value] if value} == active,
        )
