"""Answers of docs/decisions/0007 that no other test asks for."""

from uuid import uuid4

import pytest

from contracts import subjects
from contracts.headers import IDEMPOTENCY_KEY
from tests.conftest import Refused


async def test_an_update_that_changes_nothing_counts_and_is_announced(caller, system):
    entity = await caller.create()
    same = await caller.ask(
        subjects.ENTITY_UPDATE,
        entity_id=entity["entity_id"],
        version=entity["version"],
        config=entity["config"],
    )
    assert same["revision"] == entity["revision"] + 1
    events = system.sql(
        "SELECT type FROM events WHERE entity_id = %s ORDER BY sequence", (entity["entity_id"],)
    )
    assert [name for (name,) in events] == ["library.entity.created.v1", "library.entity.updated.v1"]


async def test_a_dependency_named_twice_must_be_satisfied_twice(caller):
    prices = await caller.create(version="1.5.0")
    await caller.deploy(prices)
    twice = [{"name": prices["name"], "version": ">=1.0"}, {"name": prices["name"], "version": "<1.5"}]
    shop = await caller.create(dependencies=twice)
    with pytest.raises(Refused) as refusal:
        await caller.deploy(shop)
    assert len(refusal.value.problem["validation"]["errors"]) == 1


async def test_an_unreadable_version_satisfies_only_a_dependency_on_any_version(caller):
    prices = await caller.create(version="blue")
    await caller.deploy(prices)
    await caller.deploy(await caller.create(dependencies=[{"name": prices["name"]}]))
    picky = await caller.create(dependencies=[{"name": prices["name"], "version": ">=0"}])
    with pytest.raises(Refused, match="does not admit"):
        await caller.deploy(picky)


async def test_after_a_renaming_those_who_name_the_old_one_miss_it(caller):
    prices = await caller.create()
    deployed = await caller.deploy(prices)
    shop = await caller.create(dependencies=[{"name": prices["name"]}])
    await caller.deploy(shop)
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=prices["entity_id"], name=f"renamed-{uuid4()}")
    assert (await caller.get(deployed))["entity_name"] == prices["name"]
    with pytest.raises(Refused, match="is not active"):
        await caller.deploy(shop)


async def test_entities_of_an_environment_are_those_active_there(caller):
    kind = f"kind-{uuid4().hex[:8]}"
    here, there = await caller.create(type=kind), await caller.create(type=kind)
    await caller.deploy(here, "staging")
    await caller.deploy(there, "testing")
    found = await caller.ask(subjects.ENTITY_LIST, type=kind, environment="staging")
    assert [entity["entity_id"] for entity in found["entities"]] == [here["entity_id"]]


async def test_a_refusal_comes_again_under_its_key_even_when_it_would_not_be_refused_any_more(caller):
    prices = await caller.create()
    shop = await caller.create(dependencies=[{"name": prices["name"]}])
    body = {"entity_id": shop["entity_id"], "environment": "staging", "deployed_by": "tests"}
    key = {IDEMPOTENCY_KEY: str(uuid4())}
    for _ in range(2):
        with pytest.raises(Refused) as refusal:
            await caller.ask(subjects.DEPLOY_REQUEST, headers=key, **body)
        assert refusal.value.code == "validation_failed"
        await caller.deploy(prices)
    assert (await caller.ask(subjects.DEPLOY_REQUEST, **body))["status"] == "active"
