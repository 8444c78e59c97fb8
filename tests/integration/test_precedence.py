"""Where several refusals fit, the first in the contract's order is given; keys and deadlines among them."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from contracts import headers, subjects
from contracts.limits import MAX_BODY_BYTES, MAX_DOCUMENT_BYTES
from tests.refusals import refusal

LONG_AGO = "2000-01-01T00:00:00Z"


def body_for(entity, **fields):
    return {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests", **fields}


async def ask(caller, body, subject=subjects.DEPLOY_REQUEST, **carried):
    """The reply's body and headers, whatever it is."""
    return await caller.raw(
        subject, body if isinstance(body, bytes) else json.dumps(body).encode(), **carried
    )


async def test_too_large_comes_before_invalid(caller):
    oversized = b"{" * (MAX_BODY_BYTES + 1)
    problem, _ = await ask(caller, oversized, Library_Deadline="never")
    assert problem["code"] == "payload_too_large"

    entity = await caller.create()
    document = {"a": "x" * MAX_DOCUMENT_BYTES}
    problem, _ = await ask(caller, body_for(entity, config_override=document, surplus=1))
    assert problem["code"] == "payload_too_large"


async def test_invalid_comes_before_a_passed_deadline(caller):
    problem, _ = await ask(caller, {}, Library_Deadline=LONG_AGO)

    assert problem["code"] == "invalid_request"


async def test_a_passed_deadline_comes_before_a_stored_outcome(caller):
    entity = await caller.create()
    key = str(uuid4())
    first, _ = await ask(caller, body_for(entity), Idempotency_Key=key)

    problem, carried = await ask(caller, body_for(entity), Idempotency_Key=key, Library_Deadline=LONG_AGO)
    again, replayed = await ask(caller, body_for(entity), Idempotency_Key=key)

    assert problem["code"] == "deadline_exceeded"
    assert carried[headers.ERROR_CODE] == "504"
    assert again == first
    assert replayed[headers.REPLAYED] == "true"


async def test_a_passed_deadline_comes_before_what_is_absent(caller):
    nowhere = {"entity_id": str(uuid4())}

    for subject, body in (
        (subjects.DEPLOY_REQUEST, body_for(nowhere)),
        (subjects.DEPLOY_VALIDATE, body_for(nowhere)),
        (subjects.ENTITY_GET, nowhere),
    ):
        problem, _ = await ask(caller, body, subject, Library_Deadline=LONG_AGO)
        assert problem["code"] == "deadline_exceeded"


async def test_a_request_past_its_deadline_is_not_carried_out(caller):
    entity = await caller.create()

    await ask(caller, body_for(entity), Library_Deadline=LONG_AGO)

    listed = await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=entity["entity_id"])
    assert listed["total"] == 0


async def test_a_stored_outcome_comes_before_what_is_absent_now(caller):
    entity = await caller.create()
    key = str(uuid4())
    first, _ = await ask(caller, body_for(entity), Idempotency_Key=key)
    await caller.retire(first)
    await caller.ask(subjects.ENTITY_DELETE, entity_id=entity["entity_id"], deleted_by="tests")

    again, carried = await ask(caller, body_for(entity), Idempotency_Key=key)

    assert again == first
    assert carried[headers.REPLAYED] == "true"
    problem, _ = await ask(caller, body_for(entity), Idempotency_Key=str(uuid4()))
    assert problem["code"] == "entity_not_found"


async def test_absence_comes_before_the_version_and_the_version_before_validation(caller):
    nowhere = {"entity_id": str(uuid4())}
    assert (await refusal(caller.deploy(nowhere, expected_version="2")))["code"] == "entity_not_found"

    entity = await caller.create(version="1", health_status="unhealthy")
    problem = await refusal(caller.deploy(entity, expected_version="2"))
    assert (problem["code"], problem["expected_version"], problem["actual_version"]) == (
        "version_mismatch",
        "2",
        "1",
    )
    assert (await refusal(caller.deploy(entity, expected_version="1")))["code"] == "validation_failed"


async def test_the_expected_version_is_deployed(caller):
    assert (await caller.deploy(await caller.create(version="1.0"), expected_version="1.0"))[
        "version"
    ] == "1.0"


@pytest.mark.parametrize("name", ["Idempotency_Key", "Nats_Msg_Id"])
async def test_a_refusal_is_an_outcome_too_and_stays_one(caller, name):
    entity = await caller.create(health_status="unhealthy")
    key = {name: str(uuid4())}
    first, _ = await ask(caller, body_for(entity), **key)
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], health_status="healthy")

    again, carried = await ask(caller, body_for(entity), **key)

    assert first["code"] == "validation_failed"
    assert again == first
    assert (carried[headers.REPLAYED], carried[headers.ERROR_CODE]) == ("true", "400")
    assert carried[headers.CONTENT_TYPE] == headers.PROBLEM_JSON


async def test_the_idempotency_key_wins_over_the_messages_id(caller):
    entity = await caller.create()
    key, message_id = str(uuid4()), str(uuid4())

    first, carried = await ask(caller, body_for(entity), Idempotency_Key=key, Nats_Msg_Id=message_id)
    other, _ = await ask(caller, body_for(entity), Idempotency_Key=message_id)
    again, _ = await ask(caller, body_for(entity), Idempotency_Key=key)

    assert carried[headers.REQUEST_ID] == key
    assert other["deployment_id"] != first["deployment_id"]
    assert again == first


async def test_a_key_stands_for_one_body_with_its_defaults(caller):
    entity = await caller.create()
    key = str(uuid4())
    first, _ = await ask(caller, body_for(entity), Idempotency_Key=key)

    defaults = {"override_strategy": "replace", "config_override": None, "wait": False}
    for method in (None, "nats"):
        spelled_out = body_for(entity, deployment_method=method, **defaults)
        again, carried = await ask(caller, spelled_out, Idempotency_Key=key)
        assert again == first
        assert carried[headers.REPLAYED] == "true"

    for change in ({"deployed_by": "bob"}, {"reason": "x"}, {"deployment_method": "api"}):
        problem, carried = await ask(caller, body_for(entity, **change), Idempotency_Key=key)
        assert (problem["code"], problem["status"]) == ("idempotency_key_reused", 422)
        assert headers.REPLAYED not in carried
    again, _ = await ask(caller, body_for(entity), Idempotency_Key=key)
    assert again == first


async def test_a_key_is_scoped_to_its_operation(caller):
    entity = await caller.create()
    key = str(uuid4())
    first, _ = await ask(caller, body_for(entity), Idempotency_Key=key)
    retire = {"deployment_id": first["deployment_id"], "retired_by": "tests", "reason": "tests"}

    retired, carried = await ask(caller, retire, subjects.DEPLOY_RETIRE, Idempotency_Key=key)

    assert retired["status"] == "inactive"
    assert headers.REPLAYED not in carried


async def test_a_faulty_request_uses_no_key_up(caller):
    entity = await caller.create()
    key = str(uuid4())
    for body, carried in (({}, {}), (body_for(entity), {"Library_Deadline": LONG_AGO})):
        problem, _ = await ask(caller, body, Idempotency_Key=key, **carried)
        assert problem["code"] in {"invalid_request", "deadline_exceeded"}

    deployed, carried = await ask(caller, body_for(entity), Idempotency_Key=key)

    assert deployed["status"] == "active"
    assert headers.REPLAYED not in carried


async def test_a_stored_outcome_is_kept_for_a_day_and_then_forgotten(system, caller):
    entity = await caller.create()
    key = str(uuid4())
    first, _ = await ask(caller, body_for(entity), Idempotency_Key=key)
    ((hours,),) = system.sql(
        "SELECT extract(epoch FROM expires_at - clock_timestamp()) / 3600 FROM idempotency WHERE key = %s",
        (key,),
    )
    assert 23.9 < hours <= 24

    system.sql("UPDATE idempotency SET expires_at = clock_timestamp() WHERE key = %s", (key,))
    second, carried = await ask(caller, body_for(entity), Idempotency_Key=key)
    assert second["deployment_id"] != first["deployment_id"]
    assert headers.REPLAYED not in carried

    third, carried = await ask(caller, body_for(entity), Idempotency_Key=key)
    assert third == second
    assert carried[headers.REPLAYED] == "true"


async def test_a_deadline_ahead_holds_nothing_up(caller):
    entity = await caller.create()
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()

    for deadline in (
        soon,
        "2999-12-31T23:59:59Z",
        "2999-12-31t23:59:59.123456789z",
        "9999-12-31T00:00:00+23:59",
    ):
        deployed, _ = await ask(caller, body_for(entity), Library_Deadline=deadline)
        assert deployed["status"] == "active", deadline
