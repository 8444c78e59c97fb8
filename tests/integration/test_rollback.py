"""Rollbacks: to what ran before, to what is named, and refused where neither fits."""

import re
from uuid import uuid4

from tests.events import events_of, live, names
from tests.refusals import refusal

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def test_a_rollback_returns_to_what_was_active_most_recently_before(system, caller, connection):
    entity = await caller.create()
    first, second, third = [await caller.deploy(entity, config_override={"n": n}) for n in (1, 2, 3)]

    rolled_back = await caller.rollback(third, reason="it smokes", rolled_back_by="bob")

    assert rolled_back["deployment_id"] == third["deployment_id"]
    assert rolled_back["status"] == "rolled_back"
    assert rolled_back["previous_deployment_id"] == second["deployment_id"]
    assert (rolled_back["rolled_back_by"], rolled_back["rollback_reason"]) == ("bob", "it smokes")
    assert TIME.fullmatch(rolled_back["rolled_back_at"])
    back = await caller.get(second)
    assert (back["status"], back["deployed_at"]) == ("active", second["deployed_at"])
    assert (await caller.get(first))["status"] == "inactive"
    now = await caller.entity(entity)
    assert (now["deployed_by"], now["deployment_config"], now["status"]) == ("bob", {"n": 2}, "deployed")
    *_, undone, again = await events_of(system, connection, entity)
    assert names([undone, again]) == ["rolled_back", "reactivated"]
    assert undone["subject"] == third["deployment_id"]
    assert again["subject"] == second["deployment_id"]
    assert undone["data"]["target_deployment_id"] == second["deployment_id"]
    current = await live(connection, "staging", entity, lambda value: value and value["config"] == {"n": 2})
    assert current["sequence"] == again["sequence"]


async def test_repeated_rollbacks_walk_back_and_end_with_no_target(caller):
    entity = await caller.create()
    first, second, third = [await caller.deploy(entity) for _ in range(3)]

    await caller.rollback(third)
    await caller.rollback(second)

    assert (await caller.get(first))["status"] == "active"
    assert (await refusal(caller.rollback(first)))["code"] == "no_rollback_target"
    assert (await caller.get(first))["status"] == "active"


async def test_what_was_deployed_later_is_no_default_target(caller):
    entity = await caller.create()
    first, second, third = [await caller.deploy(entity) for _ in range(3)]
    await caller.rollback(third, target_deployment_id=first["deployment_id"])

    assert (await caller.get(second))["status"] == "inactive"
    assert (await refusal(caller.rollback(first)))["code"] == "no_rollback_target"


async def test_of_several_targets_the_one_active_last_is_taken_not_the_one_deployed_last(caller):
    entity = await caller.create()
    first, second, third = [await caller.deploy(entity) for _ in range(3)]
    await caller.rollback(third, target_deployment_id=first["deployment_id"])
    fourth = await caller.deploy(entity)

    rolled_back = await caller.rollback(fourth)

    assert (await caller.get(second))["status"] == "inactive"
    assert rolled_back["previous_deployment_id"] == first["deployment_id"]


async def test_a_rollback_goes_to_the_target_it_names(caller):
    entity = await caller.create()
    first, _, third = [await caller.deploy(entity) for _ in range(3)]

    rolled_back = await caller.rollback(third, target_deployment_id=first["deployment_id"])

    assert rolled_back["previous_deployment_id"] == first["deployment_id"]
    assert (await caller.get(first))["status"] == "active"


async def test_what_was_rolled_back_comes_back_when_it_is_named_and_keeps_what_was_written_on_it(caller):
    entity = await caller.create()
    first, second = [await caller.deploy(entity) for _ in range(2)]
    rolled_back = await caller.rollback(second, reason="too early")

    await caller.rollback(first, target_deployment_id=second["deployment_id"])

    again = await caller.get(second)
    assert again["status"] == "active"
    kept = ("deployed_at", "rolled_back_at", "rolled_back_by", "rollback_reason", "previous_deployment_id")
    assert {name: again[name] for name in kept} == {name: rolled_back[name] for name in kept}
    assert again["previous_deployment_id"] == first["deployment_id"]


async def test_targets_that_do_not_fit_are_refused_and_nothing_changes(caller):
    entity, other = await caller.create(), await caller.create()
    current = await caller.deploy(entity)
    elsewhere = await caller.deploy(entity, "production")
    foreign = await caller.deploy(other)

    for target in (current, elsewhere, foreign):
        problem = await refusal(caller.rollback(current, target_deployment_id=target["deployment_id"]))
        assert problem["code"] == "invalid_rollback_target"
    absent = await refusal(caller.rollback(current, target_deployment_id=str(uuid4())))
    assert absent["code"] == "deployment_not_found"
    assert (await caller.get(current)) == current


async def test_only_what_is_active_is_rolled_back_or_retired(caller):
    entity = await caller.create()
    old, new = [await caller.deploy(entity) for _ in range(2)]

    for asking in (caller.rollback(old), caller.retire(old)):
        problem = await refusal(asking)
        assert (problem["code"], problem["current_status"]) == ("deployment_not_active", "inactive")
    await caller.rollback(new)
    assert (await refusal(caller.rollback(new)))["code"] == "deployment_not_active"


async def test_the_state_is_looked_at_before_the_target(caller):
    entity = await caller.create()
    old, _ = [await caller.deploy(entity) for _ in range(2)]

    for target in (old["deployment_id"], str(uuid4())):
        problem = await refusal(caller.rollback(old, target_deployment_id=target))
        assert problem["code"] == "deployment_not_active"


async def test_what_was_retired_can_be_rolled_back_to(caller):
    entity = await caller.create()
    first = await caller.deploy(entity)
    await caller.retire(first)
    second = await caller.deploy(entity)
    assert second["previous_deployment_id"] is None

    assert (await caller.rollback(second))["previous_deployment_id"] == first["deployment_id"]
