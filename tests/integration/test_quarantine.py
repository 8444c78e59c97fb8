"""Quarantine: what went back for its health is not deployed there again, unless somebody says so."""

import pytest

from contracts import subjects
from tests.places import place
from tests.refusals import refusal


@pytest.fixture
async def testing(caller):
    async with place(caller, "testing", auto_rollback=True, unhealthy_after=1) as found:
        yield found


@pytest.fixture
async def entity(testing, caller):
    """An entity whose configuration b went back for its health."""
    entity = await caller.create()
    await testing.deploy(entity)
    bad = await testing.deploy(entity, config_override={"b": 2, "c": [1]})
    assert (await testing.report(bad))["status"] == "rolled_back"
    return entity


async def quarantined(caller, entity, **fields):
    return await caller.ask(subjects.QUARANTINE_LIST, entity_id=entity["entity_id"], **fields)


async def test_the_same_again_is_refused_however_it_is_written(testing, caller, entity):
    for same in ({"b": 2, "c": [1]}, {"c": [1], "b": 2.0}, {"c": [1.0], "b": 2e0}):
        problem = await refusal(testing.deploy(entity, config_override=same))
        assert (problem["code"], problem["status"]) == ("quarantined", 409)
    (found,) = (await quarantined(caller, entity))["quarantined"]
    assert problem["quarantine_id"] == found["quarantine_id"]

    assert (await testing.deploy(entity, config_override={"b": 2, "c": [2]}))["status"] == "active"
    elsewhere = await caller.deploy(entity, "staging", config_override={"b": 2, "c": [1]})
    assert elsewhere["status"] == "active"


async def test_another_version_with_the_same_snapshot_is_deployed(testing, caller, entity):
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], version="1.0.1")
    assert (await testing.deploy(entity, config_override={"b": 2, "c": [1]}))["version"] == "1.0.1"


async def test_it_may_be_overridden_with_a_reason_and_says_so(testing, caller, entity):
    again = {"config_override": {"b": 2, "c": [1]}, "override_quarantine": True}
    assert (await refusal(testing.deploy(entity, **again)))["code"] == "invalid_request"

    deployed = await testing.deploy(entity, **again, reason="the feed was at fault")

    assert deployed["status"] == "active"
    assert any("Overridden" in warning for warning in deployed["warnings"])
    assert (await quarantined(caller, entity))["total"] == 1


async def test_it_comes_before_what_is_in_progress_and_what_is_not_valid(testing, caller, entity):
    await testing.set(activation="confirmed")
    await testing.deploy(entity)
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], status="archived")

    same = await refusal(testing.deploy(entity, config_override={"b": 2, "c": [1]}))
    other = await refusal(testing.deploy(entity, config_override={"b": 3}))
    superseding = await refusal(testing.deploy(entity, config_override={"b": 3}, supersede_pending=True))

    codes = [each["code"] for each in (same, other, superseding)]
    assert codes == ["quarantined", "deployment_in_progress", "validation_failed"]


async def test_a_plan_shows_it_as_an_error(testing, caller, entity):
    plan = await caller.ask(
        subjects.DEPLOY_VALIDATE,
        entity_id=entity["entity_id"],
        environment="testing",
        deployed_by="tests",
        config_override={"b": 2, "c": [1]},
    )
    assert not plan["validation"]["passed"]
    assert "rolled back" in plan["validation"]["errors"][0]


async def test_once_lifted_it_is_deployed_again(testing, caller, entity):
    (found,) = (await quarantined(caller, entity))["quarantined"]
    lift = {"quarantine_id": found["quarantine_id"], "lifted_by": "zoe", "reason": "mended"}

    lifted = await caller.ask(subjects.QUARANTINE_LIFT, **lift)

    assert (lifted["lifted_by"], lifted["lift_reason"]) == ("zoe", "mended")
    assert (await caller.ask(subjects.QUARANTINE_LIFT, **{**lift, "lifted_by": "ann"})) == lifted
    assert (await testing.deploy(entity, config_override={"b": 2, "c": [1]}))["status"] == "active"
    assert (await quarantined(caller, entity))["quarantined"] == []
    assert (await quarantined(caller, entity, status="lifted"))["quarantined"] == [lifted]


async def test_lifting_what_nobody_knows_is_refused(caller):
    unknown = "0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41"
    problem = await refusal(
        caller.ask(subjects.QUARANTINE_LIFT, quarantine_id=unknown, lifted_by="zoe", reason="why not")
    )
    assert (problem["code"], problem["status"]) == ("not_found", 404)


async def test_the_list_is_newest_first_and_comes_in_pages(testing, caller):
    entity = await caller.create()
    await testing.deploy(entity)
    for number in range(3):
        bad = await testing.deploy(entity, config_override={"n": number})
        await testing.report(bad)
        back = await testing.deploy(entity, config_override={"good": number})
        assert back["status"] == "active"

    first = await quarantined(caller, entity, page_size=2)
    second = await quarantined(caller, entity, page_size=2, cursor=first["next_cursor"])

    assert (first["total"], len(first["quarantined"]), second["next_cursor"]) == (3, 2, None)
    found = first["quarantined"] + second["quarantined"]
    assert [each["since"] for each in found] == sorted((each["since"] for each in found), reverse=True)
    assert len({each["snapshot_digest"] for each in found}) == 3
    elsewhere = await quarantined(caller, entity, environment="staging")
    assert elsewhere["total"] == 0
