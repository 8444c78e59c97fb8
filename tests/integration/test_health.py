"""Health: reports are kept, and enough bad ones in a row take a deployment back, once."""

import pytest

from contracts import subjects
from tests.events import events_of, names
from tests.places import place
from tests.refusals import refusal


@pytest.fixture
async def testing(caller):
    async with place(caller, "testing", auto_rollback=True, unhealthy_after=2) as found:
        yield found


async def test_a_report_is_kept_in_the_record_and_in_the_history(testing, caller):
    active = await testing.deploy(await caller.create(config={"a": 1}))

    reported = await testing.report(active, "degraded", reported_by="probe", details={"n": 10**30})

    (kept,) = reported["health_checks"]
    assert kept == {
        "reported_by": "probe",
        "status": "degraded",
        "details": {"n": 10**30},
        "reported_at": reported["last_health_check"],
    }
    assert reported["status"] == "active"
    history = (await caller.ask(subjects.DEPLOY_HISTORY, deployment_id=active["deployment_id"]))["events"]
    assert names(history) == ["completed", "health"]
    data = history[1]["data"]
    assert (data["actor"], data["action"], data["report"]) == ("probe", "none", kept)
    assert data["deployment"]["deployment_id"] == active["deployment_id"]
    assert not {"config_snapshot", "parameters_snapshot", "health_checks"} & data["deployment"].keys()


async def test_the_record_keeps_the_latest_fifty_and_the_history_all(testing, caller):
    active = await testing.deploy(await caller.create())
    for number in range(52):
        reported = await testing.report(active, "healthy", details={"number": number})

    kept = [each["details"]["number"] for each in reported["health_checks"]]
    assert kept == list(range(2, 52))
    history = await caller.ask(subjects.DEPLOY_HISTORY, deployment_id=active["deployment_id"], page_size=100)
    assert names(history["events"]).count("health") == 52


async def test_bad_reports_in_a_row_take_it_back_once_and_what_came_back_stays(
    testing, system, caller, connection
):
    entity = await caller.create()
    older, old = await testing.deploy(entity), await testing.deploy(entity)
    bad = await testing.deploy(entity, config_override={"b": 2})
    await testing.report(bad)
    await testing.report(bad, "healthy")
    still = await testing.report(bad)
    assert still["status"] == "active"

    gone = await testing.report(bad, details={"rate": 0.5})

    assert (gone["status"], gone["rolled_back_by"]) == ("rolled_back", "system")
    assert gone["previous_deployment_id"] == old["deployment_id"]
    assert "2 reports" in gone["rollback_reason"]
    events = (await events_of(system, connection, entity))[-3:]
    assert names(events) == ["health", "rolled_back", "reactivated"]
    assert events[0]["data"]["action"] == "rollback"
    assert events[0]["data"]["deployment"]["status"] == "active"
    assert [event["data"]["actor"] for event in events] == ["monitor", "system", "system"]
    assert [each["status"] for each in events[1]["data"]["reports"]] == ["unhealthy", "unhealthy"]
    assert events[1]["data"]["reason"] == gone["rollback_reason"]

    for _ in range(5):
        stays = await testing.report(old)
    assert (stays["status"], stays["deployment_id"]) == ("active", old["deployment_id"])
    assert (await caller.get(older))["status"] == "inactive"
    late = await testing.report(bad)
    assert (late["status"], len(late["health_checks"])) == ("rolled_back", 5)
    last = (await events_of(system, connection, entity))[-1]
    assert (last["subject"], last["data"]["action"]) == (bad["deployment_id"], "none")


async def test_what_waits_fails_by_a_rollback_for_health(testing, system, caller, connection):
    await testing.set(activation="confirmed", unhealthy_after=1)
    entity = await caller.create()
    await testing.activated(entity)
    bad, waiting = await testing.activated(entity), await testing.deploy(entity)

    await testing.report(bad)

    assert (await caller.get(waiting))["status"] == "failed"
    events = await events_of(system, connection, entity)
    assert names(events)[-4:] == ["health", "failed", "rolled_back", "reactivated"]
    assert events[-3]["data"]["actor"] == "system"


async def test_with_nothing_to_go_back_to_it_stays(testing, caller):
    active = await testing.deploy(await caller.create())
    for _ in range(3):
        reported = await testing.report(active)
    assert reported["status"] == "active"


async def test_nothing_goes_back_where_the_environment_does_not_ask_for_it(testing, caller):
    await testing.set(auto_rollback=False)
    entity = await caller.create()
    await testing.deploy(entity)
    active = await testing.deploy(entity)
    for _ in range(3):
        reported = await testing.report(active)
    assert reported["status"] == "active"
    await testing.set(auto_rollback=True)
    assert (await testing.report(active))["status"] == "rolled_back"


async def test_a_report_on_nothing_is_refused(testing):
    unknown = {"deployment_id": "0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41"}
    assert (await refusal(testing.report(unknown)))["code"] == "deployment_not_found"
    assert (await refusal(testing.report(unknown, "unknown")))["code"] == "invalid_request"
