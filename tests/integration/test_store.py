"""The database has the last word: what it refuses, holds up, or changes behind our back."""

import asyncio
import json
from contextlib import contextmanager
from uuid import uuid4

import psycopg2
import pytest

from contracts import subjects
from tests.lane import BLOCKED, lane_held
from tests.refusals import refusal
from tests.system import eventually


@contextmanager
def aside(system):
    """A transaction of somebody else's, undone at the end unless it is committed."""
    connection = psycopg2.connect(system.database_url)
    try:
        yield connection
    finally:
        connection.close()


async def lane_waits(system):
    """Wait until the worker's lane waits for a lock."""
    await asyncio.to_thread(eventually, lambda: system.sql(BLOCKED) == [(1,)], 4)


@pytest.fixture
def spoiled(system):
    """Makes the database change the status of an entity's new deployments, behind our back."""
    name = f"spoil_{uuid4().hex}"

    def spoil(entity):
        system.sql(
            f"""
            CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN NEW.status := 'failed'; RETURN NEW; END $$;
            CREATE TRIGGER {name} BEFORE INSERT ON deployments FOR EACH ROW
                WHEN (NEW.entity_id = '{entity["entity_id"]}') EXECUTE FUNCTION {name}()
            """
        )

    spoil.undo = lambda: system.sql(f"DROP FUNCTION IF EXISTS {name} CASCADE")
    yield spoil
    spoil.undo()


def everything_of(system, entity):
    """All that the database holds of an entity."""
    return [
        system.sql(f"SELECT to_jsonb(t)::text FROM {table} t WHERE entity_id = %s", (entity["entity_id"],))
        for table in ("entities", "deployments", "events")
    ]


async def test_a_deploy_that_is_not_stored_as_decided_is_undone(system, caller, spoiled):
    entity = await caller.create()
    active = await caller.deploy(entity)
    spoiled(entity)
    before = [sorted(rows) for rows in everything_of(system, entity)]

    problem = await refusal(caller.deploy(entity))

    assert (problem["code"], problem["status"]) == ("internal_error", 500)
    assert [sorted(rows) for rows in everything_of(system, entity)] == before
    assert (await caller.get(active))["status"] == "active"


async def test_of_a_full_batch_with_one_that_fails_the_others_succeed(system, caller, spoiled):
    culprit = await caller.create()
    others = [await caller.create() for _ in range(63)]
    spoiled(culprit)
    worker = system.workers[0]
    splits = sum("batch_split" in line for line in worker.lines)
    async with lane_held(system, caller) as queued:
        asking = [asyncio.ensure_future(caller.deploy(entity)) for entity in others]
        asking.insert(len(asking) // 2, asyncio.ensure_future(refusal(caller.deploy(culprit))))
        await queued(64)

    outcomes = await asyncio.gather(*asking)

    assert [each.get("code") for each in outcomes].count("internal_error") == 1
    assert sum(each["status"] == "active" for each in outcomes) == len(others)
    assert sum("batch_split" in line for line in worker.lines) == splits + 1
    assert len(everything_of(system, culprit)[2]) == 1
    for entity in others:
        assert len(everything_of(system, entity)[2]) == 2


async def test_the_log_names_the_reason_under_the_requests_id_and_the_reply_does_not(system, caller, spoiled):
    entity = await caller.create()
    spoiled(entity)
    key = str(uuid4())
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}

    problem, _ = await caller.raw(subjects.DEPLOY_REQUEST, json.dumps(body).encode(), Idempotency_Key=key)

    line = await asyncio.to_thread(system.workers[0].wait_for_line, key)
    assert "request_failed" in line
    assert "GuardFailed" in line
    assert problem["request_id"] == key
    assert "stored" not in json.dumps(problem)


async def test_an_internal_error_is_no_outcome_of_a_key(system, caller, spoiled):
    entity = await caller.create()
    spoiled(entity)
    key = {"Idempotency-Key": str(uuid4())}
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    first = await refusal(caller.ask(subjects.DEPLOY_REQUEST, headers=key, **body))
    spoiled.undo()

    assert first["code"] == "internal_error"
    assert (await caller.ask(subjects.DEPLOY_REQUEST, headers=key, **body))["status"] == "active"


def insert_of_a_namesake(entity, name):
    """A row like the entity's, with another id and this name."""
    return (
        """
        INSERT INTO entities SELECT (json_populate_record(
            e, json_build_object('entity_id', gen_random_uuid(), 'name', %s::text))).*
        FROM entities e WHERE entity_id = %s
        """,
        (name, entity["entity_id"]),
    )


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "free after all"])
@pytest.mark.parametrize("operation", ["create", "rename"])
async def test_a_name_that_somebody_else_is_about_to_take_is_decided_by_the_database(
    system, caller, operation, is_taken
):
    entity = await caller.create()
    name = f"contested-{uuid4()}"
    with aside(system) as somebody:
        somebody.cursor().execute(*insert_of_a_namesake(entity, name))
        ask = (
            caller.create(name=name)
            if operation == "create"
            else caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], name=name)
        )
        asking = asyncio.ensure_future(refusal(ask) if is_taken else ask)
        await lane_waits(system)
        if is_taken:
            somebody.commit()
        else:
            somebody.rollback()

    answer = await asking

    assert answer.get("code") == ("entity_name_taken" if is_taken else None)
    assert system.sql("SELECT count(*) FROM entities WHERE name = %s", (name,)) == [(1,)]


INSERT_ANOTHER = """
INSERT INTO deployments (deployment_id, entity_id, entity_name, version, environment, config_snapshot,
    parameters_snapshot, status, deployed_at, deployed_by, deployment_method, health_checks,
    validation_results, warnings, created_at, updated_at)
SELECT gen_random_uuid(), entity_id, entity_name, version, environment, config_snapshot, parameters_snapshot,
    %s, deployed_at, deployed_by, deployment_method, health_checks, validation_results, warnings, created_at,
    updated_at
FROM deployments WHERE deployment_id = %s
"""


@pytest.mark.parametrize("status", ["active", "deploying"])
async def test_a_second_one_in_the_same_place_is_refused_by_the_database_itself(system, caller, status):
    deployed = await caller.deploy(await caller.create())
    with aside(system) as somebody:
        if status == "deploying":
            somebody.cursor().execute(INSERT_ANOTHER, (status, deployed["deployment_id"]))

        with pytest.raises(psycopg2.errors.UniqueViolation):
            somebody.cursor().execute(INSERT_ANOTHER, (status, deployed["deployment_id"]))


async def test_a_request_waits_for_a_row_that_is_held_and_is_then_carried_out(system, caller):
    entity = await caller.create()
    with aside(system) as somebody:
        somebody.cursor().execute(
            "SELECT 1 FROM entities WHERE entity_id = %s FOR UPDATE", (entity["entity_id"],)
        )
        asking = asyncio.ensure_future(caller.deploy(entity))
        await lane_waits(system)
        listed = await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"])
        assert listed["total"] == 0  # reads wait for nobody

    assert (await asking)["status"] == "active"


async def test_a_deadline_that_passes_while_the_lane_waits_is_heeded_before_the_commit(system, caller):
    entity = await caller.create()
    ((soon,),) = system.sql("SELECT clock_timestamp() + interval '1 second'")
    deadline = soon.isoformat()
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    with aside(system) as somebody:
        somebody.cursor().execute(
            "SELECT 1 FROM entities WHERE entity_id = %s FOR UPDATE", (entity["entity_id"],)
        )
        asking = asyncio.ensure_future(
            refusal(caller.ask(subjects.DEPLOY_REQUEST, headers={"Library-Deadline": deadline}, **body))
        )
        await lane_waits(system)
        await asyncio.to_thread(
            eventually, lambda: system.sql("SELECT clock_timestamp() > %s::timestamptz", (deadline,))[0][0]
        )

    assert (await asking)["code"] == "deadline_exceeded"
    assert len(everything_of(system, entity)[2]) == 1
