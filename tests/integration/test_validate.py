"""A plan says what a deploy would do, and does nothing."""

import json

import jsonpatch
import pytest

from contracts import subjects
from contracts.deployments import DeploymentPlan
from tests.refusals import refusal


def plan_for(caller, entity, **fields):
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests", **fields}
    return caller.ask(subjects.DEPLOY_VALIDATE, **body)


async def test_the_first_plan_adds_everything(caller):
    entity = await caller.create(version="1.0", config={"a": 1}, parameters={"p": 2})

    plan = await plan_for(caller, entity)

    assert DeploymentPlan.model_validate(plan).validation.passed
    assert (plan["replaces"], plan["version"]) == (None, "1.0")
    assert (plan["config_snapshot"], plan["parameters_snapshot"]) == ({"a": 1}, {"p": 2})
    assert jsonpatch.apply_patch({}, plan["changes"]) == {
        "version": "1.0",
        "config": {"a": 1},
        "parameters": {"p": 2},
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"a": 2, "b": {"c": [2, 1], "d": None}}),
        ({"a/b": 1, "m~n": 2, "": 3}, {"a/b": 2, "": {"": 4}}),
        ({"a": 1}, {"a": True}),
        ({"a": {"b": 1}}, {"a": [{"b": 1}]}),
        ({"a": "0"}, {"a": 0}),
    ],
)
async def test_the_changes_lead_from_what_is_active_to_the_plan(caller, before, after):
    entity = await caller.create(version="1.0", config=before)
    active = await caller.deploy(entity)
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], version="2.0", config=after)

    plan = await plan_for(caller, entity)

    assert plan["replaces"] == active["deployment_id"]
    document = {"version": "1.0", "config": before, "parameters": {}}
    planned = {"version": "2.0", "config": after, "parameters": {}}
    patched = jsonpatch.apply_patch(document, plan["changes"])
    assert json.dumps(patched, sort_keys=True) == json.dumps(planned, sort_keys=True)  # here true is not 1


async def test_a_plan_that_changes_nothing_says_so(caller):
    entity = await caller.create()
    await caller.deploy(entity)

    assert (await plan_for(caller, entity))["changes"] == []


async def test_the_deploy_does_what_the_plan_said(caller):
    entity = await caller.create(config={"a": {"b": 1}})
    active = await caller.deploy(entity)
    wish = {"config_override": {"a": {"c": 2}}, "override_strategy": "merge"}

    plan = await plan_for(caller, entity, **wish)
    deployed = await caller.deploy(entity, **wish)

    assert deployed["previous_deployment_id"] == plan["replaces"] == active["deployment_id"]
    assert deployed["config_snapshot"] == plan["config_snapshot"] == {"a": {"b": 1, "c": 2}}
    assert deployed["validation_results"]["pre"] == plan["validation"]


async def test_a_plan_writes_nothing(system, caller):
    entity = await caller.create()
    before = await caller.entity(entity)
    counts = "SELECT (SELECT count(*) FROM deployments), (SELECT count(*) FROM events)"
    rows = system.sql(counts)

    await plan_for(caller, entity)

    assert await caller.entity(entity) == before
    assert system.sql(counts) == rows


async def test_keys_are_ignored_since_nothing_is_written(caller):
    entity = await caller.create(version="1")
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    key = {"Idempotency-Key": f"key-{entity['entity_id']}"}

    first = await caller.ask(subjects.DEPLOY_VALIDATE, headers=key, **body)
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], version="2")
    second = await caller.ask(subjects.DEPLOY_VALIDATE, headers=key, **body)

    assert (first["version"], second["version"]) == ("1", "2")


async def test_what_a_deploy_would_refuse_is_a_plan_that_does_not_pass(caller):
    entity = await caller.create(version="1", health_status="unhealthy", dependencies=[{"name": "nobody"}])

    plan = await plan_for(caller, entity, expected_version="2")

    validation = plan["validation"]
    assert not validation["passed"]
    assert len(validation["errors"]) == 3
    assert (await refusal(caller.deploy(entity)))["validation"]["errors"] == validation["errors"][:2]
