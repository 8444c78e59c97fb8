"""A second deploy while one waits to be confirmed, under each of the environment's policies."""

import pytest

from contracts import subjects
from tests.events import events_of, names
from tests.places import place
from tests.refusals import refusal


@pytest.fixture
async def testing(caller):
    async with place(caller, "testing", activation="confirmed") as found:
        yield found


async def statuses(caller, deployments):
    return [(await caller.get(each))["status"] for each in deployments]


async def test_it_is_refused_where_the_environment_rejects(testing, caller):
    entity = await caller.create()
    waiting = await testing.deploy(entity)

    problem = await refusal(testing.deploy(entity))

    assert (problem["code"], problem["status"]) == ("deployment_in_progress", 409)
    assert waiting["deployment_id"] in problem["detail"]
    other = await caller.create()
    assert (await testing.deploy(other))["status"] == "deploying"


async def test_it_fails_the_one_that_waits_where_the_environment_supersedes(
    testing, system, caller, connection
):
    await testing.set(concurrency="supersede")
    entity = await caller.create()
    first = await testing.deploy(entity)

    second = await testing.deploy(entity, deployed_by="bob")

    failed = await caller.get(first)
    assert (failed["status"], second["status"]) == ("failed", "deploying")
    assert second["deployment_id"] in failed["error_logs"]
    events = await events_of(system, connection, entity)
    assert names(events) == ["created", "started", "failed", "started"]
    assert events[2]["data"]["actor"] == "bob"
    assert (await testing.confirm(second))["status"] == "active"


async def test_a_request_may_supersede_all_that_wait_where_the_environment_does_not(testing, caller):
    await testing.set(concurrency="queue")
    entity = await caller.create()
    former = [await testing.deploy(entity) for _ in range(3)]

    newest = await testing.deploy(entity, supersede_pending=True)

    assert newest["status"] == "deploying"
    assert await statuses(caller, former) == ["failed"] * 3


async def test_they_have_their_turns_in_the_order_of_their_arrival(testing, system, caller, connection):
    await testing.set(concurrency="queue")
    entity = await caller.create(version="1.0.0")
    first = await testing.deploy(entity)
    line = [await testing.deploy(entity, config_override={"n": number}) for number in range(3)]
    assert [each["status"] for each in line] == ["pending"] * 3
    assert {each["confirm_by"] for each in line} == {None}
    await caller.ask(
        subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], version="2.0.0", config={"n": "new"}
    )

    await testing.confirm(first, "failed")
    assert await statuses(caller, line) == ["deploying", "pending", "pending"]
    for place_in_line in (0, 1):
        active = await testing.confirm(line[place_in_line])
        following = await caller.get(line[place_in_line + 1])
        assert (active["version"], active["config_snapshot"]) == ("1.0.0", {"n": place_in_line})
        assert (following["status"], following["confirm_by"] > active["confirm_by"]) == ("deploying", True)
    await testing.confirm(line[2])

    assert await statuses(caller, line) == ["inactive", "inactive", "active"]
    events = [each for each in await events_of(system, connection, entity) if "deployment" in each["data"]]
    assert names(events) == [
        *("started", "queued", "queued", "queued", "failed"),
        *("started", "completed"),
        *("started", "superseded", "completed"),
        *("started", "superseded", "completed"),
    ]


async def test_what_is_no_longer_valid_at_its_turn_has_failed_and_the_next_is_tried(testing, caller):
    await testing.set(concurrency="queue")
    entity = await caller.create()
    first, second, third = [await testing.deploy(entity) for _ in range(3)]
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], status="archived")

    await testing.confirm(first, "failed")

    for each in (second, third):
        found = await caller.get(each)
        assert found["status"] == "failed"
        assert "archived" in found["error_logs"]
        assert not found["validation_results"]["passed"]


async def test_at_most_a_hundred_wait_in_line(testing, caller):
    await testing.set(concurrency="queue")
    entity = await caller.create()
    deployments = [await testing.deploy(entity) for _ in range(101)]

    assert (await refusal(testing.deploy(entity)))["code"] == "deployment_in_progress"

    await testing.deploy(entity, supersede_pending=True)
    assert set(await statuses(caller, deployments)) == {"failed"}


async def test_where_the_environment_is_made_instant_what_is_deploying_stays_and_the_line_follows_it(
    testing, caller
):
    await testing.set(concurrency="queue")
    entity = await caller.create()
    first = await testing.activated(entity)
    line = [await testing.deploy(entity, config_override={"n": number}) for number in range(3)]
    await testing.set(activation="instant")
    line.append(await testing.deploy(entity, config_override={"n": 3}))
    assert await statuses(caller, line) == ["deploying", "pending", "pending", "pending"]

    await testing.confirm(line[0])

    assert await statuses(caller, [first, *line]) == ["inactive"] * 4 + ["active"]
    last = await caller.get(line[3])
    assert last["previous_deployment_id"] == line[2]["deployment_id"]
    assert line[2]["deployment_id"] in last["validation_results"]["pre"]["warnings"][0]
    rolled_back = await caller.rollback(last)
    assert rolled_back["previous_deployment_id"] == line[2]["deployment_id"]
