"""Sizes and depths: what is just within them is taken, what is just beyond is not, and all of it arrives."""

import json
from uuid import uuid4

import nats
import pytest

from contracts import headers, subjects
from contracts.deployments import KEPT_REPORTS
from contracts.limits import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_DETAILS_BYTES,
    MAX_DOCUMENT_BYTES,
    MAX_KEY_CHARACTERS,
    MIN_SERVER_PAYLOAD,
)
from tests.conftest import Caller
from tests.events import announced, events_of, in_stream, live, names, subjects_of
from tests.inbox import Inbox, problem_of
from tests.refusals import refusal

EMPTY_DOCUMENT_BYTES = len('{"a":""}')


def new_entity(**fields):
    return {"name": f"entity-{uuid4()}", "type": "strategy", "version": "1", **fields}


def nested(levels):
    """An object that holds objects, so many levels of them in all."""
    document = {}
    for _ in range(levels - 1):
        document = {"a": document}
    return document


@pytest.fixture
async def inbox(connection):
    async with Inbox(connection) as opened:
        yield opened


async def test_a_body_of_one_mebibyte_is_taken(inbox):
    body = json.dumps(new_entity()).encode()

    taken = await inbox.only_reply(subjects.ENTITY_CREATE, body.ljust(MAX_BODY_BYTES))

    assert json.loads(taken.data)["revision"] == 1


@pytest.mark.parametrize("character", ["x", "ä", "😀", '"', "\n"])
async def test_documents_are_measured_as_compact_utf_8(caller, character):
    each = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    room, rest = divmod(MAX_DOCUMENT_BYTES - EMPTY_DOCUMENT_BYTES, each)
    largest = {"a": character * room + "x" * rest}

    entity = await caller.create(config=largest)
    problem = await refusal(caller.create(config={"a": largest["a"] + "x"}))

    assert entity["config"] == largest
    assert problem["code"] == "payload_too_large"
    assert "config" in problem["detail"]


async def test_the_largest_documents_are_deployed_listed_and_announced(system, caller, connection):
    largest = {"a": "x" * (MAX_DOCUMENT_BYTES - EMPTY_DOCUMENT_BYTES)}
    entity = await caller.create(config=largest, parameters=largest)

    deployed = await caller.deploy(entity)

    assert (await caller.get(deployed))["parameters_snapshot"] == largest
    value = await live(connection, "staging", entity, lambda value: value is not None)
    assert (value["config"], value["parameters"]) == (largest, largest)
    announced(system)
    assert len(await in_stream(connection, *subjects_of(entity))) == 2


async def test_a_rollback_whose_event_nats_might_not_carry_is_refused_and_with_a_shorter_reason_it_is_done(
    system, caller, connection
):
    largest = {"a": "x" * (MAX_DOCUMENT_BYTES - EMPTY_DOCUMENT_BYTES)}
    long = "x" * (MAX_BODY_BYTES - 1024)
    entity = await caller.create(config=largest, parameters=largest)
    former = await caller.deploy(entity)
    active = await caller.deploy(entity, reason=long)
    report = {"deployment_id": active["deployment_id"], "reported_by": "tests", "status": "healthy"}
    details = {"a": "x" * (MAX_DETAILS_BYTES - EMPTY_DOCUMENT_BYTES)}
    for _ in range(KEPT_REPORTS):
        await caller.ask(subjects.DEPLOY_HEALTH, **report, details=details)
    before = await caller.get(active), await caller.get(former), await caller.entity(entity)

    problem = await refusal(caller.rollback(active, reason=long))

    assert problem["code"] == "payload_too_large"
    assert "Shorten the reason" in problem["detail"]
    assert (await caller.get(active), await caller.get(former), await caller.entity(entity)) == before
    assert (await caller.rollback(active, reason="it smokes"))["status"] == "rolled_back"
    *_, undone, again = await events_of(system, connection, entity)
    assert names([undone, again]) == ["rolled_back", "reactivated"]
    in_bytes = [len(message.data) for message in await in_stream(connection, *subjects_of(entity))]
    assert max(in_bytes) < MIN_SERVER_PAYLOAD


async def test_white_space_and_escapes_of_the_sender_do_not_count(inbox):
    document = json.dumps({"a": "ä" * (MAX_DOCUMENT_BYTES // 8)}, indent=9).encode()
    assert len(document) > MAX_DOCUMENT_BYTES / 2
    members = json.dumps(new_entity()).encode().removesuffix(b"}")

    taken = await inbox.only_reply(
        subjects.ENTITY_CREATE, members + b', "config":' + b" " * MAX_DOCUMENT_BYTES + document + b"}"
    )

    assert headers.ERROR not in taken.headers


@pytest.mark.parametrize("field", ["config", "parameters"])
async def test_sixty_four_levels_are_taken_and_one_more_is_not(caller, field):
    deepest = nested(MAX_DEPTH - 1)  # the body is the first level

    entity = await caller.create(**{field: deepest})
    deployed = await caller.deploy(entity)
    problem = await refusal(caller.create(**{field: {"a": deepest}}))

    assert entity[field] == deployed[f"{field}_snapshot"] == deepest
    assert problem["code"] == "invalid_request"
    assert [each["field"] for each in problem["errors"]] == [field]


async def test_keys_of_255_printable_characters_are_taken(caller):
    entity = await caller.create()
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    key = f"{uuid4()} !~".ljust(MAX_KEY_CHARACTERS, "k")

    _, carried = await caller.raw(subjects.DEPLOY_REQUEST, json.dumps(body).encode(), Idempotency_Key=key)

    assert carried[headers.REQUEST_ID] == key


@pytest.mark.parametrize("number", [1e300, 1e-300, -5e-324])
async def test_numbers_count_with_all_the_digits_that_they_are_kept_with(caller, number):
    problem = await refusal(caller.create(config={"a": [number] * 900}))

    assert problem["code"] == "payload_too_large"
    assert (await caller.create(config={"a": [number] * 300}))["config"] == {"a": [number] * 300}


async def test_documents_that_grow_where_they_are_kept_stop_nobody_elses_news(own_system):
    own_system.start_servers()
    own_system.start_worker().wait_for_line("worker_ready")
    connection = await nats.connect(own_system.nats_url)
    caller = Caller(connection)
    async with Inbox(connection) as inbox:
        for document in ({"a": [1e300] * 30_000}, {"a": [1e-300] * 30_000}, {"a": [0] * 131_000}):
            created = await inbox.only_reply(
                subjects.ENTITY_CREATE, json.dumps(new_entity(config=document, parameters=document)).encode()
            )
            if headers.ERROR in created.headers:
                assert problem_of(created)["code"] == "payload_too_large"
                continue
            wish = {
                "entity_id": json.loads(created.data)["entity_id"],
                "environment": "staging",
                "deployed_by": "tests",
            }
            deployed = await inbox.only_reply(subjects.DEPLOY_REQUEST, json.dumps(wish).encode())
            assert json.loads(deployed.data)["config_snapshot"] == document

    other = await caller.create()
    await caller.deploy(other)
    await live(connection, "staging", other, lambda value: value is not None)
    announced(own_system)
    await connection.close()


async def test_a_refusal_with_very_many_reasons_still_arrives(caller, inbox):
    database = await caller.create(name="q", version="1." + "0" * 48)
    await caller.deploy(database, "development")
    needs = [{"name": "q", "version": "<1"}] * 37_000
    body = json.dumps(new_entity(dependencies=needs), separators=(",", ":")).encode()
    assert len(body) < MAX_BODY_BYTES
    created = await inbox.only_reply(subjects.ENTITY_CREATE, body)
    if headers.ERROR in created.headers:
        assert problem_of(created)["code"] in {"invalid_request", "payload_too_large"}
        return
    wish = {
        "entity_id": json.loads(created.data)["entity_id"],
        "environment": "development",
        "deployed_by": "tests",
    }

    refused = await inbox.only_reply(subjects.DEPLOY_REQUEST, json.dumps(wish).encode())

    assert problem_of(refused)["code"] == "validation_failed"
