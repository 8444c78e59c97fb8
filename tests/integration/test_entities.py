"""Entities: created, changed with care for others' changes, deleted when they run nowhere."""

from uuid import uuid4

import pytest

from contracts import subjects
from contracts.entities import Entity
from tests.events import events_of, names
from tests.refusals import refusal

CHANGES = {
    "name": "renamed",
    "type": "service",
    "version": "2.0.0",
    "description": "other words",
    "config": {"other": True},
    "parameters": {"p": [1]},
    "status": "validated",
    "health_status": "degraded",
    "tags": ["a", "b"],
    "dependencies": [{"name": "somebody", "version": ">=1"}],
}


def update(caller, entity, **changes):
    return caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], **changes)


def delete(caller, entity):
    return caller.ask(subjects.ENTITY_DELETE, entity_id=entity["entity_id"], deleted_by="tests")


async def test_a_new_entity_has_the_defaults_of_the_contract(caller):
    entity = await caller.ask(subjects.ENTITY_CREATE, name=f"e-{uuid4()}", type="strategy", version="1")

    assert Entity.model_validate(entity)
    defaults = {
        "created_by": None,
        "description": None,
        "config": {},
        "parameters": {},
        "status": "registered",
        "declared_status": "registered",
        "health_status": "unknown",
        "tags": [],
        "dependencies": [],
        "revision": 1,
        "deployed_at": None,
        "deployed_by": None,
        "deployment_config": None,
        "deleted_at": None,
    }
    assert {name: entity[name] for name in defaults} == defaults
    assert await caller.entity(entity) == entity


async def test_null_means_the_default(caller):
    nothing = dict.fromkeys(
        (
            "created_by",
            "description",
            "config",
            "parameters",
            "status",
            "health_status",
            "tags",
            "dependencies",
        )
    )

    entity = await caller.create(**nothing)

    assert (entity["config"], entity["status"], entity["tags"]) == ({}, "registered", [])


async def test_a_name_is_taken_until_its_entity_is_deleted(caller):
    entity = await caller.create()

    problem = await refusal(caller.create(name=entity["name"]))

    assert (problem["code"], problem["status"]) == ("entity_name_taken", 409)
    await delete(caller, entity)
    assert (await caller.create(name=entity["name"]))["entity_id"] != entity["entity_id"]


@pytest.mark.parametrize("field", CHANGES)
async def test_an_update_changes_the_field_it_names_and_no_other(caller, field):
    entity = await caller.create()
    value = f"renamed-{uuid4()}" if field == "name" else CHANGES[field]

    changed = await update(caller, entity, **{field: value})

    assert changed[field] == value
    assert changed["revision"] == 2
    follows = {"revision", "updated_at", field} | ({"declared_status"} if field == "status" else set())
    assert {name for name in entity if changed[name] != entity[name]} == follows
    assert await caller.entity(entity) == changed


async def test_a_null_in_an_update_leaves_the_field_as_it_is(caller):
    entity = await caller.create(description="words", tags=["a"], config={"a": 1})

    changed = await update(caller, entity, **dict.fromkeys(CHANGES))

    assert {name: changed[name] for name in CHANGES} == {name: entity[name] for name in CHANGES}


async def test_empty_values_in_an_update_are_values(caller):
    entity = await caller.create(description="words", tags=["a"], config={"a": 1})

    changed = await update(caller, entity, description="", tags=[], config={}, dependencies=[])

    assert (changed["description"], changed["tags"], changed["config"]) == ("", [], {})


async def test_the_second_of_two_changes_of_one_revision_is_refused(caller):
    entity = await caller.create()
    await update(caller, entity, version="2", expected_revision=1)

    problem = await refusal(update(caller, entity, version="3", expected_revision=1))

    assert (problem["code"], problem["expected_revision"], problem["actual_revision"]) == (
        "revision_conflict",
        1,
        2,
    )
    assert (await caller.entity(entity))["version"] == "2"
    assert (await update(caller, entity, version="3", expected_revision=2))["revision"] == 3


async def test_deploys_do_not_count_as_revisions(caller):
    entity = await caller.create()
    await caller.rollback((await caller.deploy(entity), await caller.deploy(entity))[1])

    assert (await update(caller, entity, version="2", expected_revision=1))["revision"] == 2


async def test_an_entity_is_not_renamed_to_what_another_is_called_but_may_keep_its_name(caller):
    one, other = await caller.create(), await caller.create()

    problem = await refusal(update(caller, one, name=other["name"]))

    assert problem["code"] == "entity_name_taken"
    assert (await update(caller, one, name=one["name"]))["revision"] == 2


async def test_a_changed_entity_is_deployed_as_it_is_now_and_what_runs_keeps_its_snapshot(caller):
    entity = await caller.create(version="1", config={"v": 1})
    first = await caller.deploy(entity)
    await update(caller, entity, version="2", config={"v": 2})

    assert (await caller.get(first))["config_snapshot"] == {"v": 1}
    second = await caller.deploy(entity)
    assert (second["version"], second["config_snapshot"]) == ("2", {"v": 2})


async def test_what_runs_somewhere_is_not_deleted(caller):
    entity = await caller.create()
    deployed = await caller.deploy(entity, "testing")

    problem = await refusal(delete(caller, entity))

    assert (problem["code"], problem["environments"]) == ("entity_in_use", ["testing"])
    await caller.retire(deployed)
    assert (await delete(caller, entity))["deleted_at"]


async def test_a_deleted_entity_is_gone_and_its_deployments_stay(caller):
    entity = await caller.create()
    deployed = await caller.deploy(entity)
    await caller.retire(deployed)

    gone = await delete(caller, entity)

    assert gone["deleted_at"] == gone["updated_at"]
    for asking in (
        caller.entity(entity),
        caller.deploy(entity),
        update(caller, entity, version="2"),
        delete(caller, entity),
        caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"]),
        caller.ask(
            subjects.DEPLOY_VALIDATE,
            entity_id=entity["entity_id"],
            environment="staging",
            deployed_by="tests",
        ),
    ):
        assert (await refusal(asking))["code"] == "entity_not_found"
    listed = await caller.ask(subjects.ENTITY_LIST, name=entity["name"])
    assert (listed["entities"], listed["total"]) == ([], 0)
    assert (await caller.get(deployed))["status"] == "inactive"


async def test_entity_requests_are_announced_with_who_made_them(system, caller, connection):
    entity = await caller.create(created_by="ann")
    await update(caller, entity, version="2", updated_by="bob")
    await caller.ask(subjects.ENTITY_DELETE, entity_id=entity["entity_id"], deleted_by="cid")

    events = await events_of(system, connection, entity)

    assert names(events) == ["created", "updated", "deleted"]
    assert [event["data"]["actor"] for event in events] == ["ann", "bob", "cid"]
    assert {event["subject"] for event in events} == {entity["entity_id"]}
    assert [event["data"]["entity"]["revision"] for event in events] == [1, 2, 3]
    assert [event["sequence"] for event in events] == ["1", "2", "3"]
