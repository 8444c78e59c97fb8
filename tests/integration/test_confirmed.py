"""A confirmed environment: what is deployed there counts when its agent has confirmed it."""

import json
from uuid import uuid4

import pytest

from contracts import subjects
from contracts.deployments import Deployment
from tests.events import events_of, live, names
from tests.places import place
from tests.refusals import refusal


@pytest.fixture
async def testing(caller):
    async with place(caller, "testing", activation="confirmed") as found:
        yield found


async def test_a_deploy_waits_for_its_agent_and_leaves_what_is_active_untouched(testing, caller, connection):
    entity = await caller.create()
    former = await testing.activated(entity)
    before = await caller.entity(entity)

    waiting = await testing.deploy(entity, config_override={"b": 2})

    assert Deployment.model_validate(waiting).status == "deploying"
    assert waiting["confirm_by"] > waiting["deployed_at"]
    assert waiting["previous_deployment_id"] is None
    assert waiting["deployment_duration_ms"] is None
    results = waiting["validation_results"]
    assert (results["passed"], results["post"]) == (True, None)
    assert await caller.get(former) == former
    unchanged = {name: value for name, value in before.items() if name != "updated_at"}
    assert unchanged.items() <= (await caller.entity(entity)).items()
    shown = await live(connection, "testing", entity, lambda value: value is not None)
    assert shown["deployment_id"] == former["deployment_id"]


async def test_a_confirmation_switches_and_says_who_did_what(testing, system, caller, connection):
    entity = await caller.create()
    former = await testing.activated(entity, deployed_by="ann")
    waiting = await testing.deploy(entity, deployed_by="bob", reason="faster", config_override={"b": 2})

    active = await testing.confirm(waiting, agent="runner-7", details={"warm": True})

    assert active["status"] == "active"
    assert active["previous_deployment_id"] == former["deployment_id"]
    assert active["deployed_at"] == waiting["deployed_at"]
    assert active["deployment_duration_ms"] >= 0
    assert active["validation_results"]["post"]["passed"]
    assert (await caller.get(former))["status"] == "inactive"
    entity_now = await caller.entity(entity)
    assert (entity_now["deployed_by"], entity_now["deployment_config"]) == ("bob", {"b": 2})
    events = (await events_of(system, connection, entity))[3:]
    assert names(events) == ["started", "superseded", "completed"]
    assert [event["data"]["actor"] for event in events] == ["bob", "bob", "runner-7"]
    assert [event["data"]["reason"] for event in events] == ["faster"] * 3
    assert events[2]["data"]["details"] == {"warm": True}
    assert await live(
        connection, "testing", entity, lambda value: value["deployment_id"] == active["deployment_id"]
    )


async def test_a_refusal_is_kept_and_what_was_active_stays(testing, caller):
    entity = await caller.create()
    former = await testing.activated(entity)
    waiting = await testing.deploy(entity)

    failed = await testing.confirm(waiting, "failed", error="no market data", details={"feed": "down"})

    assert (failed["status"], failed["error_logs"]) == ("failed", "no market data")
    assert await caller.get(former) == former
    history = (await caller.ask(subjects.DEPLOY_HISTORY, deployment_id=waiting["deployment_id"]))["events"]
    assert names(history) == ["started", "failed"]
    assert history[1]["data"]["details"] == {"feed": "down"}
    assert history[1]["data"]["actor"] == "agent-1"


async def test_the_first_word_counts(testing, caller):
    entity = await caller.create()
    refused, confirmed = await testing.deploy(entity), None
    await testing.confirm(refused, "failed")
    confirmed = await testing.activated(entity)

    for deployment, status in ((refused, "failed"), (confirmed, "active")):
        for outcome in ("active", "failed"):
            problem = await refusal(testing.confirm(deployment, outcome))
            assert (problem["code"], problem["current_status"]) == ("deployment_not_active", status)


async def test_a_word_on_nothing_is_refused_and_so_is_a_malformed_one(testing, caller):
    entity = await caller.create()
    unknown = {"deployment_id": str(uuid4())}
    assert (await refusal(testing.confirm(unknown)))["code"] == "deployment_not_found"
    waiting = await testing.deploy(entity)
    for fields in ({"agent": "a b"}, {"agent": ""}, {"agent": "x" * 65}, {"outcome": "perhaps"}, {"more": 1}):
        assert (await refusal(testing.confirm(waiting, **fields)))["code"] == "invalid_request"
    large = {"details": {"text": "x" * 16 * 1024}}
    assert (await refusal(testing.confirm(waiting, **large)))["code"] == "payload_too_large"
    assert (await caller.get(waiting))["status"] == "deploying"


async def test_what_waits_is_in_a_bucket_until_it_is_decided(testing, system, caller, connection):
    bucket = await connection.jetstream().key_value(subjects.PENDING_BUCKET)
    entity = await caller.create(config={"a": 1})
    key = subjects.active_key("testing", entity["entity_id"])

    async def shown(wanted):
        watcher = await bucket.watch(key)
        async for entry in watcher:
            value = None if entry is None or entry.operation else json.loads(entry.value)
            if entry is not None and wanted(value):
                await watcher.stop()
                return value
        raise AssertionError("the watch ended")

    waiting = await testing.deploy(entity, config_override={"b": 2})
    value = await shown(lambda value: value is not None)
    started = (await events_of(system, connection, entity))[-1]
    assert value == {
        "deployment_id": waiting["deployment_id"],
        "entity_id": entity["entity_id"],
        "entity_name": entity["name"],
        "environment": "testing",
        "version": "1.0.0",
        "config": {"b": 2},
        "parameters": {},
        "sequence": started["sequence"],
        "started_at": started["time"],
        "confirm_by": waiting["confirm_by"],
    }

    await testing.confirm(waiting, "failed")
    assert await shown(lambda value: value is None) is None


async def test_an_entity_is_in_use_while_something_of_it_waits(testing, caller):
    entity = await caller.create()
    waiting = await testing.deploy(entity)
    delete = {"entity_id": entity["entity_id"], "deleted_by": "tests"}

    problem = await refusal(caller.ask(subjects.ENTITY_DELETE, **delete))

    assert (problem["code"], problem["environments"]) == ("entity_in_use", ["testing"])
    await testing.confirm(waiting, "failed")
    assert (await caller.ask(subjects.ENTITY_DELETE, **delete))["deleted_at"]


async def test_a_rollback_is_immediate_and_fails_what_waits_first(testing, system, caller, connection):
    await testing.set(concurrency="queue")
    entity = await caller.create()
    first, second = await testing.activated(entity), await testing.activated(entity)
    deploying, pending = await testing.deploy(entity), await testing.deploy(entity)
    assert (deploying["status"], pending["status"]) == ("deploying", "pending")
    before = len(await events_of(system, connection, entity))

    rolled_back = await caller.rollback(second, rolled_back_by="zoe")

    assert rolled_back["previous_deployment_id"] == first["deployment_id"]
    assert (await caller.get(first))["status"] == "active"
    for each in (deploying, pending):
        found = await caller.get(each)
        assert found["status"] == "failed"
        assert second["deployment_id"] in found["error_logs"]
    events = (await events_of(system, connection, entity))[before:]
    assert names(events) == ["failed", "failed", "rolled_back", "reactivated"]
    assert [event["subject"] for event in events[:2]] == [
        deploying["deployment_id"],
        pending["deployment_id"],
    ]
    assert {event["data"]["actor"] for event in events} == {"zoe"}
    assert (await refusal(testing.confirm(deploying)))["code"] == "deployment_not_active"


async def test_what_only_waits_cannot_be_rolled_back_or_retired(testing, caller):
    entity = await caller.create()
    waiting = await testing.deploy(entity)

    for asking in (caller.rollback, caller.retire):
        assert (await refusal(asking(waiting)))["code"] == "deployment_not_active"

    await testing.confirm(waiting)
    retired = await caller.retire(waiting)
    assert retired["status"] == "inactive"


async def test_a_plan_says_what_is_in_progress(testing, caller):
    entity = await caller.create()
    waiting = await testing.deploy(entity)
    body = {"entity_id": entity["entity_id"], "environment": "testing", "deployed_by": "tests"}

    plan = await caller.ask(subjects.DEPLOY_VALIDATE, **body)

    assert not plan["validation"]["passed"]
    assert waiting["deployment_id"] in plan["validation"]["errors"][0]
    superseding = await caller.ask(subjects.DEPLOY_VALIDATE, **body, supersede_pending=True)
    assert superseding["validation"]["passed"]
