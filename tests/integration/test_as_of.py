"""What was active at a time that is past."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from contracts import subjects
from tests.refusals import refusal


async def active_at(caller, at, entity, **fields):
    found = await caller.ask(subjects.DEPLOY_AS_OF, at=at, entity_id=entity["entity_id"], **fields)
    return [each["deployment_id"] for each in found["deployments"]]


async def test_each_moment_of_a_life_has_what_was_active_then(caller):
    entity = await caller.create()
    first = await caller.deploy(entity)
    second = await caller.deploy(entity)
    back = await caller.rollback(second)
    third = await caller.deploy(entity)
    again = await caller.rollback(third, target_deployment_id=second["deployment_id"])
    retired = await caller.retire(second)
    moments = {
        entity["created_at"]: None,
        first["deployed_at"]: first,
        second["deployed_at"]: second,
        back["rolled_back_at"]: first,
        third["deployed_at"]: third,
        again["rolled_back_at"]: second,
        retired["updated_at"]: None,
    }

    for at, expected in moments.items():
        wanted = [] if expected is None else [expected["deployment_id"]]
        assert await active_at(caller, at, entity) == wanted, at
        just_before = datetime.fromisoformat(at) - timedelta(microseconds=1)
        earlier = [each for moment, each in moments.items() if moment < at]
        wanted = [earlier[-1]["deployment_id"]] if earlier and earlier[-1] else []
        assert await active_at(caller, just_before.isoformat(), entity) == wanted, f"before {at}"


async def test_records_are_as_they_are_now(caller):
    entity = await caller.create()
    first = await caller.deploy(entity)
    second = await caller.deploy(entity)

    found = await caller.ask(subjects.DEPLOY_AS_OF, at=first["deployed_at"], entity_id=entity["entity_id"])

    assert found["deployments"] == [await caller.get(first)]
    assert found["deployments"][0]["status"] == "inactive"
    assert (found["total"], found["next_cursor"]) == (1, None)
    assert second["previous_deployment_id"] == first["deployment_id"]


async def test_it_is_asked_by_environment_and_of_all_of_them(caller):
    entity = await caller.create()
    there = {name: await caller.deploy(entity, name) for name in ("development", "testing", "production")}
    at = there["production"]["deployed_at"]

    assert await active_at(caller, at, entity, environment="testing") == [there["testing"]["deployment_id"]]
    assert await active_at(caller, at, entity, environment="staging") == []
    everywhere = await active_at(caller, at, entity)
    assert everywhere == [each["deployment_id"] for each in reversed(there.values())]


async def test_it_comes_in_pages_newest_first(caller):
    entity = await caller.create()
    there = [await caller.deploy(entity, name) for name in ("development", "testing", "staging")]
    at = there[-1]["deployed_at"]
    ask = {"at": at, "entity_id": entity["entity_id"], "page_size": 2}

    first = await caller.ask(subjects.DEPLOY_AS_OF, **ask)
    second = await caller.ask(subjects.DEPLOY_AS_OF, **ask, cursor=first["next_cursor"])

    assert (first["total"], second["next_cursor"]) == (3, None)
    found = [each["deployment_id"] for each in first["deployments"] + second["deployments"]]
    assert found == [each["deployment_id"] for each in reversed(there)]


@pytest.mark.parametrize(
    "at", ["2999-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01", "yesterday", 1700000000, None]
)
async def test_a_time_that_is_none_or_has_not_come_is_refused(caller, at):
    problem = await refusal(caller.ask(subjects.DEPLOY_AS_OF, at=at))

    assert problem["code"] == "invalid_request"
    assert [each["field"] for each in problem["errors"]] == ["at"]


async def test_its_http_twin_says_the_same(system, caller):
    entity = await caller.create()
    deployed = await caller.deploy(entity)
    at = (datetime.fromisoformat(deployed["deployed_at"]) + timedelta(microseconds=1)).astimezone(UTC)

    status, body = system.get(
        f"/api/v1/deployments/as-of?at={quote(at.isoformat())}&entity_id={entity['entity_id']}"
    )

    assert status == 200
    assert [each["deployment_id"] for each in json.loads(body)["deployments"]] == [deployed["deployment_id"]]
