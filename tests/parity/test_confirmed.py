"""Environments where an agent confirms what is deployed: over each transport, most over NATS and HTTP."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from contracts import subjects
from contracts.convergence import Convergence
from contracts.deployments import Deployment, DeploymentList
from contracts.environments import Environment
from contracts.headers import DEADLINE
from contracts.quarantine import Quarantined, QuarantineList
from tests.parity.steps import (
    agent_runs,
    confirm,
    create,
    deploy,
    get,
    history,
    names,
    refusal,
    report_health,
    retire,
)
from tests.parity.transports import Body, OverHttp, OverNats, Transport
from tests.system import System, eventually

PLACE = "development"


def set_environment(transport: Transport, **changes: Any) -> Body:
    return transport.ask(subjects.ENVIRONMENT_SET, environment=PLACE, **changes)


@pytest.fixture(autouse=True)
def put_back(system: System) -> Iterator[None]:
    """The environment is as it was, whatever a test sets."""
    over_nats = OverNats(system)
    listed = over_nats.ask(subjects.ENVIRONMENT_LIST)["environments"]
    before = next(each for each in listed if each["environment"] == PLACE)
    yield
    over_nats.ask(subjects.ENVIRONMENT_SET, **before)


@pytest.fixture
def confirmed(transport: Transport) -> Transport:
    """The transport, with agents that confirm at the other end."""
    set_environment(transport, activation="confirmed")
    return transport


@pytest.fixture
def rolls_back(transport: Transport) -> Transport:
    """The transport, with an environment that takes back what one report calls unhealthy."""
    set_environment(transport, auto_rollback=True, unhealthy_after=1)
    return transport


@pytest.fixture
def twin_confirmed(twin: Transport) -> Transport:
    """As ``confirmed``, over the two transports of programs."""
    set_environment(twin, activation="confirmed")
    return twin


@pytest.fixture
def twin_rolls_back(twin: Transport) -> Transport:
    """As ``rolls_back``, over the two transports of programs."""
    set_environment(twin, auto_rollback=True, unhealthy_after=1)
    return twin


def gone_back(transport: Transport) -> tuple[Body, Body, Body]:
    """An entity, its deployment that came back, and the one that went back for its health."""
    entity = create(transport)
    before = deploy(transport, entity, PLACE)
    after = deploy(transport, entity, PLACE, config_override={"a": 2})
    report_health(transport, after, "unhealthy")
    return entity, before, after


def quarantines(transport: Transport, entity: Body, **fields: Any) -> list[Body]:
    listed = transport.ask(subjects.QUARANTINE_LIST, entity_id=entity["entity_id"], **fields)
    assert QuarantineList.model_validate(listed).total == len(listed["quarantined"])
    return listed["quarantined"]


def lift(transport: Transport, quarantine_id: str) -> Body:
    return transport.ask(
        subjects.QUARANTINE_LIFT, quarantine_id=quarantine_id, lifted_by="ann", reason="the disk was full"
    )


def test_settings_change_one_by_one_and_hold_for_the_next_deploy(twin: Transport):
    changed = set_environment(
        twin, activation="confirmed", confirm_timeout_s=77, concurrency="queue", auto_rollback=True
    )
    Environment.model_validate(changed)
    assert set_environment(twin, auto_rollback=False, updated_by="ann") == {
        **changed,
        "auto_rollback": False,
    }

    started = Deployment.model_validate(deploy(twin, create(twin), PLACE))

    assert started.status == "deploying"
    assert started.confirm_by is not None
    assert started.confirm_by - started.deployed_at == timedelta(seconds=77)


def test_what_an_agent_confirms_is_active(confirmed: Transport):
    started = deploy(confirmed, create(confirmed), PLACE)

    active = confirm(confirmed, started, details={"pid": 7})

    Deployment.model_validate(active)
    assert active["status"] == "active"
    assert get(confirmed, started) == active
    begun, completed = history(confirmed, started)
    assert names([begun, completed]) == ["started", "completed"]
    assert (completed.data.actor, completed.data.details) == ("shop-1", {"pid": 7})


def test_what_an_agent_refuses_has_failed_and_what_was_active_stays(transport: Transport):
    entity = create(transport)
    before = deploy(transport, entity, PLACE)
    set_environment(transport, activation="confirmed")
    started = deploy(transport, entity, PLACE)

    failed = confirm(transport, started, "failed", error="the port is in use", details={"port": 80})

    assert (failed["status"], failed["error_logs"]) == ("failed", "the port is in use")
    assert get(transport, before) == before
    assert names(history(transport, started)) == ["started", "failed"]


def test_the_first_word_counts_and_one_on_nothing_is_refused(confirmed: Transport):
    started = deploy(confirmed, create(confirmed), PLACE)
    confirm(confirmed, started)

    assert refusal(confirm, confirmed, started, "failed")["code"] == "deployment_not_active"
    assert refusal(confirm, confirmed, {"deployment_id": str(uuid4())})["code"] == "deployment_not_found"
    assert get(confirmed, started)["status"] == "active"


def test_a_second_deploy_is_refused_until_the_first_is_decided_or_superseded(
    twin_confirmed: Transport,
):
    entity = create(twin_confirmed)
    first = deploy(twin_confirmed, entity, PLACE)

    assert refusal(deploy, twin_confirmed, entity, PLACE)["code"] == "deployment_in_progress"
    second = deploy(twin_confirmed, entity, PLACE, supersede_pending=True)

    assert second["status"] == "deploying"
    superseded = get(twin_confirmed, first)
    assert superseded["status"] == "failed"
    assert second["deployment_id"] in superseded["error_logs"]


def test_a_deploy_that_waits_is_answered_with_the_outcome(confirmed: Transport, system: System):
    entity = create(confirmed)

    def started() -> list[Body]:
        listed = OverNats(system).ask(subjects.DEPLOY_LIST, entity_id=entity["entity_id"])
        return listed["deployments"]

    with ThreadPoolExecutor(1) as elsewhere:
        waiting = elsewhere.submit(deploy, confirmed, entity, PLACE, wait=True)
        (deployment,) = eventually(started)
        assert not waiting.done()
        confirm(OverNats(system), deployment)
        answered = waiting.result(20)

    assert answered["deployment_id"] == deployment["deployment_id"]
    assert answered["status"] == "active"


async def test_a_deploy_that_waits_has_half_a_minute_over_http_where_its_caller_says_nothing(
    system: System, connection: Client
):
    requests = await connection.subscribe(subjects.DEPLOY_REQUEST)
    await connection.flush()
    entity = await asyncio.to_thread(create, OverHttp(system))

    for wait, seconds in ((True, 30.2), (False, 10)):
        before = datetime.now(UTC)
        await asyncio.to_thread(deploy, OverHttp(system), entity, PLACE, wait=wait)
        after = datetime.now(UTC)
        while json.loads((request := await requests.next_msg(10)).data)["entity_id"] != entity["entity_id"]:
            pass
        deadline = datetime.fromisoformat(request.headers[DEADLINE])
        assert before < deadline - timedelta(seconds=seconds) < after


def test_health_reports_are_kept_with_the_deployment_and_in_its_history(twin: Transport):
    deployment = deploy(twin, create(twin), PLACE)

    report_health(twin, deployment, "healthy")
    reported = report_health(twin, deployment, "degraded", details={"error_rate": 0.04})

    Deployment.model_validate(reported)
    assert [each["status"] for each in reported["health_checks"]] == ["healthy", "degraded"]
    assert reported["health_checks"][1]["details"] == {"error_rate": 0.04}
    assert reported["last_health_check"] == reported["health_checks"][1]["reported_at"]
    last = history(twin, deployment)[-1]
    assert (names([last]), last.data.action, last.data.actor) == (["health"], "none", "shop-1")
    nowhere = {"deployment_id": str(uuid4())}
    assert refusal(report_health, twin, nowhere, "healthy")["code"] == "deployment_not_found"


def test_what_is_unhealthy_goes_back_and_what_came_back_stays(rolls_back: Transport):
    _, before, after = gone_back(rolls_back)

    assert get(rolls_back, after)["rolled_back_by"] == "system"
    assert names(history(rolls_back, after))[-2:] == ["health", "rolled_back"]
    assert report_health(rolls_back, before, "unhealthy")["status"] == "active"


def test_what_went_back_for_its_health_is_deployed_there_again_once_it_is_lifted(twin_rolls_back: Transport):
    entity, _, after = gone_back(twin_rolls_back)

    problem = refusal(deploy, twin_rolls_back, entity, PLACE, config_override={"a": 2})
    assert problem["code"] == "quarantined"
    (held,) = quarantines(twin_rolls_back, entity, environment=PLACE)
    assert held["deployment_id"] == after["deployment_id"]
    assert problem["quarantine_id"] == held["quarantine_id"]
    lifted = lift(twin_rolls_back, held["quarantine_id"])

    assert Quarantined.model_validate(lifted).lifted_by == "ann"
    assert lift(twin_rolls_back, held["quarantine_id"]) == lifted
    assert quarantines(twin_rolls_back, entity) == []
    assert quarantines(twin_rolls_back, entity, status="lifted") == [lifted]
    assert deploy(twin_rolls_back, entity, PLACE, config_override={"a": 2})["status"] == "active"
    assert refusal(lift, twin_rolls_back, str(uuid4()))["code"] == "not_found"


def test_a_quarantine_is_overridden_with_a_reason(twin_rolls_back: Transport):
    entity, _, _ = gone_back(twin_rolls_back)
    again = {"config_override": {"a": 2}, "override_quarantine": True}

    problem = refusal(deploy, twin_rolls_back, entity, PLACE, **again)
    assert [fault["field"] for fault in problem["errors"]] == ["override_quarantine"]

    assert deploy(twin_rolls_back, entity, PLACE, **again, reason="it was the disk")["status"] == "active"


def test_what_was_active_at_a_time_is_shown_as_it_is_now(twin: Transport):
    entity = create(twin)
    before = datetime.now(UTC)
    first = deploy(twin, entity, PLACE)
    between = datetime.now(UTC)
    second = deploy(twin, entity, PLACE)
    after = datetime.now(UTC)
    retire(twin, second)

    def then(at: datetime, **fields: Any) -> list[Body]:
        listed = twin.ask(subjects.DEPLOY_AS_OF, at=at.isoformat(), entity_id=entity["entity_id"], **fields)
        assert DeploymentList.model_validate(listed).total == len(listed["deployments"])
        return listed["deployments"]

    assert then(before) == []
    assert then(between) == [get(twin, first)]
    assert then(after, environment=PLACE) == [get(twin, second)]
    assert then(after, environment="production") == []
    assert then(datetime.now(UTC)) == []


def test_the_future_is_not_known(transport: Transport):
    def tomorrow() -> Body:
        at = datetime.now(UTC) + timedelta(days=1)
        return transport.ask(subjects.DEPLOY_AS_OF, at=at.isoformat(), environment=PLACE)

    problem = refusal(tomorrow)

    assert problem["code"] == "invalid_request"
    assert [fault["field"] for fault in problem["errors"]] == ["at"]


def test_an_agent_that_runs_something_else_than_what_is_active_is_behind(twin: Transport, system: System):
    entity = create(twin)
    deployment = deploy(twin, entity, PLACE)
    (completed,) = history(twin, deployment)
    agent_runs(system, PLACE, entity, None, None)

    def behind() -> list[Body]:
        found = twin.ask(subjects.DEPLOY_CONVERGENCE, environment=PLACE)
        Convergence.model_validate(found)
        return [
            each
            for each in found["consumers"]
            if each["entity_id"] == entity["entity_id"] and each["behind_since"] is not None
        ]

    (consumer,) = eventually(behind)
    assert consumer["agent"] == "shop-1"
    assert (consumer["deployment_id"], consumer["applied_sequence"]) == (None, None)
    assert consumer["active_sequence"] == completed.sequence

    agent_runs(system, PLACE, entity, deployment["deployment_id"], completed.sequence)
    eventually(lambda: not behind())
