"""Deploy, supersede, retire: the life of a deployment, as a caller over plain NATS sees it."""

import json
import re
from datetime import datetime
from uuid import uuid4

from contracts import headers, subjects
from contracts.deployments import Deployment
from tests.events import events_of, live, names
from tests.refusals import refusal

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def test_a_deploy_is_active_at_once_and_shows_everything_the_contract_names(caller):
    entity = await caller.create(config={"a": 1}, parameters={"p": [1, 2]}, version="1.2.3")

    deployed = await caller.deploy(entity, reason="why not")

    assert Deployment.model_validate(deployed).status == "active"
    assert not Deployment.model_fields.keys() - deployed.keys()
    shown = {
        "entity_id": entity["entity_id"],
        "entity_name": entity["name"],
        "version": "1.2.3",
        "environment": "staging",
        "config_snapshot": {"a": 1},
        "parameters_snapshot": {"p": [1, 2]},
        "deployed_by": "tests",
        "deployment_method": "nats",
        "reason": "why not",
        "previous_deployment_id": None,
        "rolled_back_at": None,
        "health_checks": [],
        "error_logs": None,
        "warnings": [],
    }
    assert {name: deployed[name] for name in shown} == shown
    for name in ("deployed_at", "created_at", "updated_at"):
        assert TIME.fullmatch(deployed[name])
    assert await caller.get(deployed) == deployed


async def test_validation_results_carry_every_check_of_both_validations(caller):
    results = (await caller.deploy(await caller.create()))["validation_results"]

    assert results["passed"]
    before, after = results["pre"], results["post"]
    wanted = {"entity_status", "existing_deployment", "health_status", "has_version", "dependencies"}
    assert wanted <= before["checks"].keys()
    assert {"deployment_exists", "has_config", "status"} <= after["checks"].keys()
    for validation in (before, after):
        assert validation["passed"]
        assert validation["errors"] == []


async def test_durations_are_whole_milliseconds_and_the_seconds_in_them(system, caller):
    deployed = await caller.deploy(await caller.create())

    duration = deployed["deployment_duration_ms"]
    assert isinstance(duration, int)
    assert 0 <= duration < 10_000
    assert deployed["deployment_duration_seconds"] == duration // 1000
    rows = system.sql(
        "SELECT deployment_duration_ms, deployment_duration_seconds FROM deployments "
        "WHERE deployment_id = %s",
        (deployed["deployment_id"],),
    )
    assert rows == [(duration, duration // 1000)]


async def test_the_deployment_method_is_nats_unless_the_caller_says_otherwise(caller):
    entity = await caller.create()

    assert (await caller.deploy(entity))["deployment_method"] == "nats"
    assert (await caller.deploy(entity, deployment_method=None))["deployment_method"] == "nats"
    assert (await caller.deploy(entity, deployment_method="pipeline"))["deployment_method"] == "pipeline"


async def test_an_entity_shows_its_latest_activation(caller):
    entity = await caller.create(status="validated")
    assert (entity["status"], entity["deployed_at"], entity["deployment_config"]) == ("validated", None, None)

    deployed = await caller.deploy(entity, config_override={"b": 2})

    now = await caller.entity(entity)
    assert (now["status"], now["declared_status"]) == ("deployed", "validated")
    assert (now["deployed_at"], now["deployed_by"]) == (deployed["deployed_at"], "tests")
    assert now["deployment_config"] == {"b": 2}
    assert now["revision"] == entity["revision"]


async def test_a_newer_deploy_supersedes_the_active_one_and_warns_of_it(system, caller, connection):
    entity = await caller.create()
    first = await caller.deploy(entity)
    second = await caller.deploy(entity, reason="newer")

    assert second["previous_deployment_id"] == first["deployment_id"]
    assert first["deployment_id"] in second["warnings"][0]
    superseded = await caller.get(first)
    assert superseded["status"] == "inactive"
    assert superseded["deployed_at"] == first["deployed_at"]
    events = await events_of(system, connection, entity)
    assert names(events) == ["created", "completed", "superseded", "completed"]
    assert [event["sequence"] for event in events] == ["1", "2", "3", "4"]
    assert events[2]["subject"] == first["deployment_id"]
    assert (events[2]["data"]["actor"], events[2]["data"]["reason"]) == ("tests", "newer")


async def test_environments_do_not_touch_each_other(caller):
    entity = await caller.create()
    staging = await caller.deploy(entity, "staging")
    production = await caller.deploy(entity, "production")

    assert production["previous_deployment_id"] is None
    assert (await caller.get(staging))["status"] == "active"


async def test_overrides_replace_or_merge_and_an_empty_one_changes_nothing(caller):
    entity = await caller.create(config={"a": 1, "b": {"c": 2, "d": 3}}, parameters={"p": 1})

    replaced = await caller.deploy(entity, config_override={"z": 1})
    merged = await caller.deploy(
        entity, config_override={"b": {"c": None, "e": 4}}, override_strategy="merge"
    )
    untouched = await caller.deploy(entity, config_override={}, parameters_override={"q": 2})

    assert replaced["config_snapshot"] == {"z": 1}
    assert merged["config_snapshot"] == {"a": 1, "b": {"d": 3, "e": 4}}
    assert untouched["config_snapshot"] == {"a": 1, "b": {"c": 2, "d": 3}}
    assert untouched["parameters_snapshot"] == {"q": 2}


async def test_documents_come_back_as_they_were_sent(caller):
    config = {
        "integer": 12345678901234567890123456789,
        "float": 0.1,
        "text": 'ä€😀 \t"\\',
        "null": None,
        "nested": [[{"": []}]],
        "false": False,
    }

    deployed = await caller.deploy(await caller.create(config=config))

    assert deployed["config_snapshot"] == config
    assert (await caller.get(deployed))["config_snapshot"] == config


async def test_an_empty_configuration_is_a_warning_not_a_refusal(caller):
    deployed = await caller.deploy(await caller.create(config={}))

    assert deployed["status"] == "active"
    assert deployed["validation_results"]["pre"]["warnings"]
    assert deployed["warnings"]


async def test_a_retired_deployment_leaves_nothing_behind(system, caller, connection):
    entity = await caller.create(status="validated")
    deployed = await caller.deploy(entity)
    await live(connection, "staging", entity, lambda value: value is not None)

    retired = await caller.retire(deployed, reason="done")

    assert retired["status"] == "inactive"
    now = await caller.entity(entity)
    assert (now["status"], now["deployment_config"]) == ("validated", None)
    assert await live(connection, "staging", entity, lambda value: value is None) is None
    events = await events_of(system, connection, entity)
    assert names(events) == ["created", "completed", "retired"]
    assert events[-1]["data"]["reason"] == "done"


async def test_an_entity_counts_as_deployed_while_it_is_active_anywhere(caller):
    entity = await caller.create()
    staging = await caller.deploy(entity, "staging", config_override={"in": "staging"})
    production = await caller.deploy(entity, "production", config_override={"in": "production"})

    await caller.retire(staging)
    still = await caller.entity(entity)
    await caller.retire(production)

    assert (still["status"], still["deployment_config"]) == ("deployed", {"in": "production"})
    assert (await caller.entity(entity))["status"] == "registered"


async def test_the_history_tells_what_happened_to_one_deployment(caller):
    entity = await caller.create()
    first = await caller.deploy(entity)
    second = await caller.deploy(entity)
    await caller.rollback(second)
    await caller.retire(first)

    history = await caller.ask(subjects.DEPLOY_HISTORY, deployment_id=first["deployment_id"])

    assert names(history["events"]) == ["completed", "superseded", "reactivated", "retired"]
    assert (history["total"], history["next_cursor"]) == (4, None)
    statuses = [event["data"]["deployment"]["status"] for event in history["events"]]
    assert statuses == ["active", "inactive", "active", "inactive"]
    for event in history["events"]:
        assert event["subject"] == first["deployment_id"]
        assert (event["specversion"], event["source"]) == ("1.0", "library")
        assert datetime.fromisoformat(event["time"]).utcoffset().total_seconds() == 0


async def test_what_is_absent_is_not_found(caller):
    nowhere = {"deployment_id": str(uuid4()), "entity_id": str(uuid4())}

    for asking in (
        caller.get(nowhere),
        caller.rollback(nowhere),
        caller.retire(nowhere),
        caller.ask(subjects.DEPLOY_HISTORY, deployment_id=nowhere["deployment_id"]),
    ):
        assert (await refusal(asking))["code"] == "deployment_not_found"
    for asking in (
        caller.entity(nowhere),
        caller.deploy(nowhere),
        caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=nowhere["entity_id"]),
        caller.ask(subjects.ENTITY_UPDATE, entity_id=nowhere["entity_id"], version="2"),
        caller.ask(subjects.ENTITY_DELETE, entity_id=nowhere["entity_id"], deleted_by="tests"),
    ):
        assert (await refusal(asking))["code"] == "entity_not_found"


async def test_a_reply_carries_the_requests_id_and_its_kind(caller):
    entity = await caller.create()
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}

    key = f"key-{uuid4()}"
    deployed, carried = await caller.raw(
        subjects.DEPLOY_REQUEST, json.dumps(body).encode(), Idempotency_Key=key
    )
    assert deployed["status"] == "active"
    assert carried == {headers.REQUEST_ID: key, headers.CONTENT_TYPE: headers.JSON}

    message_id = f"message-{uuid4()}"
    problem, carried = await caller.raw(
        subjects.DEPLOY_GET, json.dumps({"deployment_id": str(uuid4())}).encode(), Nats_Msg_Id=message_id
    )
    assert carried == {
        headers.REQUEST_ID: message_id,
        headers.CONTENT_TYPE: headers.PROBLEM_JSON,
        headers.ERROR_CODE: "404",
        headers.ERROR: "deployment_not_found",
    }
    assert problem == {
        "type": "urn:library:problem:deployment_not_found",
        "title": problem["title"],
        "status": 404,
        "detail": problem["detail"],
        "code": "deployment_not_found",
        "request_id": message_id,
    }


async def test_each_request_without_a_key_gets_an_id_of_its_own(caller):
    ids = {(await caller.raw(subjects.ENVIRONMENT_LIST))[1][headers.REQUEST_ID] for _ in range(3)}

    assert len(ids) == 3


async def test_events_carry_the_requests_id_and_trace(system, caller, connection):
    entity = await caller.create()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    key = f"key-{uuid4()}"

    await caller.raw(
        subjects.DEPLOY_REQUEST, json.dumps(body).encode(), Idempotency_Key=key, traceparent=trace
    )

    *_, completed = await events_of(system, connection, entity)
    assert (completed["correlationid"], completed["traceparent"]) == (key, trace)


async def test_the_trace_of_a_request_is_carried_on_to_its_events(system, caller, connection):
    parent, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "congo=t61rcWkgMzE,rojo=1"
    entity = await caller.create()

    deploy = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    await caller.ask(subjects.DEPLOY_REQUEST, {"traceparent": parent, "tracestate": state}, **deploy)
    await caller.ask(subjects.DEPLOY_REQUEST, {"tracestate": state}, **deploy)

    traces = [
        (event.get("traceparent"), event.get("tracestate"))
        for event in await events_of(system, connection, entity)
    ]
    untraced = (None, None)
    assert traces == [untraced, (parent, state), untraced, untraced]
