"""The NATS service protocol (ADR-32): who is there, what can be asked, and how it goes."""

import asyncio
import json
from datetime import datetime
from importlib.metadata import version
from uuid import uuid4

import pytest
from nats.errors import NoRespondersError

from contracts import subjects
from contracts.endpoints import ENDPOINTS
from tests.refusals import refusal


async def ask(connection, verb, *path):
    """The answer of the one worker there is."""
    reply = await connection.request(".".join(("$SRV", verb, *path)), b"", timeout=3)
    return json.loads(reply.data)


async def all_answers(connection, verb, count):
    """So many answers to a broadcast."""
    inbox = connection.new_inbox()
    replies = await connection.subscribe(inbox)
    await connection.publish(f"$SRV.{verb}", b"", reply=inbox)
    return [json.loads((await replies.next_msg(timeout=3)).data) for _ in range(count)]


async def stats_of(connection, subject):
    stats = await ask(connection, "STATS", subjects.SERVICE)
    return next(each for each in stats["endpoints"] if each["subject"] == subject)


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_each_question_is_answered_for_all_by_name_and_by_id(connection, verb):
    identifier = (await ask(connection, "PING"))["id"]

    for path in ((), (subjects.SERVICE,), (subjects.SERVICE, identifier)):
        answer = await ask(connection, verb, *path)
        assert answer["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
        assert (answer["name"], answer["id"]) == (subjects.SERVICE, identifier)
        assert answer["version"] == version("library-worker")
        assert answer["metadata"] == {}


@pytest.mark.parametrize("path", [("another",), (subjects.SERVICE, "nobody")], ids=str)
async def test_questions_to_others_are_not_answered(connection, path):
    with pytest.raises(NoRespondersError):
        await ask(connection, "PING", *path)


async def test_there_is_one_endpoint_a_subject(connection):
    info = await ask(connection, "INFO")

    assert [each["subject"] for each in info["endpoints"]] == [each.subject for each in ENDPOINTS]
    assert len({each["name"] for each in info["endpoints"]}) == len(ENDPOINTS)
    assert {each["queue_group"] for each in info["endpoints"]} == {subjects.QUEUE_GROUP}
    assert info["description"]
    for each in info["endpoints"]:
        assert each["metadata"]["description"]
        assert all(character.isalnum() or character in "-_" for character in each["name"])


async def test_every_endpoint_counts(connection):
    stats = await ask(connection, "STATS")

    assert datetime.fromisoformat(stats["started"]).utcoffset().total_seconds() == 0
    assert [each["subject"] for each in stats["endpoints"]] == [each.subject for each in ENDPOINTS]
    for each in stats["endpoints"]:
        for figure in ("num_requests", "num_errors", "processing_time", "average_processing_time"):
            assert isinstance(each[figure], int)
        assert isinstance(each["last_error"], str)


async def test_the_counters_move_with_requests_and_refusals(caller, connection):
    before = await stats_of(connection, subjects.DEPLOY_REQUEST)
    entity = await caller.create()

    for _ in range(3):
        await caller.deploy(entity)
    await refusal(caller.deploy({"entity_id": str(uuid4())}))
    await refusal(caller.ask(subjects.DEPLOY_REQUEST))

    after = await stats_of(connection, subjects.DEPLOY_REQUEST)
    assert after["num_requests"] == before["num_requests"] + 5
    assert after["num_errors"] == before["num_errors"] + 2
    assert "invalid_request" in after["last_error"]
    assert after["processing_time"] > before["processing_time"]
    assert after["average_processing_time"] == after["processing_time"] // after["num_requests"]


async def test_each_worker_answers_for_itself(system, connection):
    worker = await asyncio.to_thread(system.start_worker)
    try:
        await asyncio.to_thread(worker.wait_for_line, "worker_ready")
        pings = await all_answers(connection, "PING", 2)
        ids = {each["id"] for each in pings}
        assert len(ids) == 2
        for identifier in ids:
            assert (await ask(connection, "PING", subjects.SERVICE, identifier))["id"] == identifier
    finally:
        assert worker.stop() == 0
        system.workers.remove(worker)
