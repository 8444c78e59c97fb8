"""Environments: four from the start, and what their settings hold up."""

import json

import pytest

from contracts import subjects
from contracts.environments import Environment
from tests.events import announced, in_stream
from tests.refusals import refusal

PLACE = "testing"


async def settings(caller, environment=PLACE):
    """An environment as it is now."""
    listed = await caller.ask(subjects.ENVIRONMENT_LIST)
    return next(each for each in listed["environments"] if each["environment"] == environment)


def change(caller, **changes):
    return caller.ask(subjects.ENVIRONMENT_SET, environment=PLACE, **changes)


@pytest.fixture
async def restored(caller):
    """An environment that is put back afterwards."""
    before = await settings(caller)
    yield before
    assert await caller.ask(subjects.ENVIRONMENT_SET, **before) == before


async def test_all_four_are_there_in_their_order_with_the_settings_of_the_contract(caller):
    listed = (await caller.ask(subjects.ENVIRONMENT_LIST))["environments"]

    assert [each.pop("environment") for each in listed] == ["development", "testing", "staging", "production"]
    for each in listed:
        assert each == {
            "activation": "instant",
            "confirm_timeout_s": 300,
            "auto_rollback": False,
            "unhealthy_after": 3,
            "concurrency": "reject",
            "require_status": ["registered", "validated", "deployed", "active"],
        }


async def test_a_change_touches_what_it_names_alone(caller, restored):
    changed = await change(caller, confirm_timeout_s=10, auto_rollback=True, unhealthy_after=None)

    assert Environment.model_validate(changed)
    assert changed == {**restored, "confirm_timeout_s": 10, "auto_rollback": True}
    assert await settings(caller) == changed


async def test_a_change_is_announced_once(system, caller, connection, restored):
    subject = subjects.environment_event("updated", PLACE)
    announced(system)
    before = len(await in_stream(connection, subject))

    await change(caller, concurrency="queue", updated_by="ann")

    announced(system)
    *_, last = messages = await in_stream(connection, subject)
    assert len(messages) == before + 1
    event = json.loads(last.data)
    assert (event["subject"], event["data"]["actor"]) == (PLACE, "ann")
    assert event["data"]["environment"]["concurrency"] == "queue"
    assert "sequence" not in event


@pytest.mark.parametrize("status", ["draft", "deprecated", "archived"])
async def test_an_entity_of_another_status_is_not_deployed(caller, status):
    entity = await caller.create(status=status)

    problem = await refusal(caller.deploy(entity))

    assert problem["code"] == "validation_failed"
    assert problem["validation"]["checks"]["entity_status"] is False
    assert status in problem["detail"]


async def test_an_environment_may_ask_for_more_and_for_less(caller, restored):
    registered, validated = await caller.create(), await caller.create(status="validated")
    draft = await caller.create(status="draft")

    await change(caller, require_status=["validated"])
    assert (await refusal(caller.deploy(registered, PLACE)))["code"] == "validation_failed"
    assert (await caller.deploy(validated, PLACE))["status"] == "active"

    await change(caller, require_status=["draft"])
    assert (await caller.deploy(draft, PLACE))["status"] == "active"

    await change(caller, require_status=[])
    assert (await refusal(caller.deploy(validated, PLACE)))["code"] == "validation_failed"


async def test_the_declared_status_counts_not_the_one_a_deploy_gave(caller, restored):
    entity = await caller.create(status="validated")
    await caller.deploy(entity, "staging")
    assert (await caller.entity(entity))["status"] == "deployed"
    await change(caller, require_status=["validated"])

    assert (await caller.deploy(entity, PLACE))["status"] == "active"

    await change(caller, require_status=["deployed"])
    assert (await refusal(caller.deploy(entity, PLACE)))["code"] == "validation_failed"


async def test_a_rollback_is_not_held_up_by_the_status(caller, restored):
    entity = await caller.create()
    first = await caller.deploy(entity, PLACE)
    second = await caller.deploy(entity, PLACE)
    await change(caller, require_status=["validated"])
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], status="archived")

    assert (await caller.rollback(second))["previous_deployment_id"] == first["deployment_id"]
