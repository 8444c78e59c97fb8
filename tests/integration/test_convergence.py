"""Who is behind: what agents say that they run, beside what is active."""

import json

from contracts import subjects
from contracts.convergence import Convergence

PLACE = "development"


async def say(connection, entity, agent, value, environment=PLACE):
    """What an agent of any language writes."""
    key = subjects.applied_key(environment, entity["entity_id"], agent)
    subject = subjects.bucket_subject(subjects.APPLIED_BUCKET, key)
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    await connection.jetstream().publish(subject, body)


def running(deployment, sequence):
    identity = deployment and deployment["deployment_id"]
    return {"deployment_id": identity, "sequence": sequence, "applied_at": "2026-01-01T00:00:00.000000Z"}


async def of(caller, entity):
    found = await caller.ask(subjects.DEPLOY_CONVERGENCE, environment=PLACE)
    assert Convergence.model_validate(found)
    return {each["agent"]: each for each in found["consumers"] if each["entity_id"] == entity["entity_id"]}


async def test_it_tells_who_runs_what_is_active_and_who_does_not_since_when(caller, connection):
    entity = await caller.create()
    first = await caller.deploy(entity, PLACE)
    second = await caller.deploy(entity, PLACE)
    third = await caller.deploy(entity, PLACE)
    await say(connection, entity, "current", running(third, "6"))
    await say(connection, entity, "late", running(first, "2"))
    await say(connection, entity, "idle", running(None, None))

    found = await of(caller, entity)

    assert {each["active_sequence"] for each in found.values()} == {"6"}
    assert found["current"]["behind_since"] is None
    assert (found["late"]["applied_sequence"], found["late"]["behind_since"]) == ("2", second["deployed_at"])
    assert (found["idle"]["applied_sequence"], found["idle"]["behind_since"]) == (None, third["deployed_at"])

    retired = await caller.retire(third)
    found = await of(caller, entity)
    assert found["current"]["behind_since"] == retired["updated_at"]
    assert found["current"]["active_sequence"] is None
    assert found["idle"]["behind_since"] is None


async def test_what_a_rollback_brings_back_is_what_the_agent_runs(caller, connection):
    entity = await caller.create()
    first = await caller.deploy(entity, PLACE)
    await say(connection, entity, "slow", running(first, "2"))
    second = await caller.deploy(entity, PLACE)
    assert (await of(caller, entity))["slow"]["behind_since"] == second["deployed_at"]

    await caller.rollback(second)

    assert (await of(caller, entity))["slow"]["behind_since"] is None


async def test_what_cannot_be_read_in_the_bucket_is_left_out(caller, connection):
    entity = await caller.create()
    deployed = await caller.deploy(entity, PLACE)
    await say(connection, entity, "good", running(deployed, "2"))
    for agent, value in {"torn": b"{", "wrong": {"sequence": "x"}, "a" * 65: running(deployed, "2")}.items():
        await say(connection, entity, agent, value)
    stranger = {"entity_id": entity["entity_id"].upper()}
    await say(connection, stranger, "shouting", running(deployed, "2"))
    await say(connection, entity, "elsewhere", running(deployed, "2"), environment="testing")

    assert list(await of(caller, entity)) == ["good"]


async def test_its_http_twin_says_the_same(system, caller, connection):
    entity = await caller.create()
    deployed = await caller.deploy(entity, PLACE)
    await say(connection, entity, "one", running(deployed, "2"))

    status, body = system.get(f"/api/v1/environments/{PLACE}/convergence")

    assert status == 200
    found = [each for each in json.loads(body)["consumers"] if each["entity_id"] == entity["entity_id"]]
    assert [each["agent"] for each in found] == ["one"]
