"""Who is behind: what agents say that they run, beside what is active."""

import json

import pytest

from contracts import subjects
from contracts.client import LibraryClient, pages
from contracts.convergence import Convergence, ConvergenceRequest
from contracts.limits import MAX_PAGE_BYTES
from tests.conftest import Refused
from worker.messaging.live_state import batched
from worker.messaging.stream_writer import MAX_MESSAGES, Message, StreamWriter

PLACE = "development"


async def say(connection, entity, agent, value, environment=PLACE, *, headers=None):
    """What an agent of any language writes."""
    key = subjects.applied_key(environment, entity["entity_id"], agent)
    subject = subjects.bucket_subject(subjects.APPLIED_BUCKET, key)
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    await connection.jetstream().publish(subject, body, headers=headers)


def running(deployment, sequence):
    identity = deployment and deployment["deployment_id"]
    return {"deployment_id": identity, "sequence": sequence, "applied_at": "2026-01-01T00:00:00.000000Z"}


async def of(caller, entity):
    found = await caller.ask(subjects.DEPLOY_CONVERGENCE, environment=PLACE)
    assert Convergence.model_validate(found)
    return {each["agent"]: each for each in found["consumers"] if each["entity_id"] == entity["entity_id"]}


async def test_it_tells_who_runs_what_is_active_and_who_does_not_since_when(caller, connection):
    entity = await caller.create()
    first = await caller.deploy(entity, PLACE)
    second = await caller.deploy(entity, PLACE)
    third = await caller.deploy(entity, PLACE)
    await say(connection, entity, "current", running(third, "6"))
    await say(connection, entity, "late", running(first, "2"))
    await say(connection, entity, "idle", running(None, None))

    found = await of(caller, entity)

    assert {each["active_sequence"] for each in found.values()} == {"6"}
    assert found["current"]["behind_since"] is None
    assert (found["late"]["applied_sequence"], found["late"]["behind_since"]) == ("2", second["deployed_at"])
    assert (found["idle"]["applied_sequence"], found["idle"]["behind_since"]) == (None, third["deployed_at"])

    retired = await caller.retire(third)
    found = await of(caller, entity)
    assert found["current"]["behind_since"] == retired["updated_at"]
    assert found["current"]["active_sequence"] is None
    assert found["idle"]["behind_since"] is None


@pytest.mark.parametrize("status", ["7", "100", "404", "503"])
async def test_a_status_among_an_agents_headers_holds_nobody_up(caller, connection, status):
    entity = await caller.create()
    active = await caller.deploy(entity, PLACE)
    await say(connection, entity, "with-a-status", running(active, "2"), headers={"Status": status})
    await say(connection, entity, "without", running(active, "2"))

    assert (await of(caller, entity)).keys() == {"with-a-status", "without"}


async def test_what_a_rollback_brings_back_is_what_the_agent_runs(caller, connection):
    entity = await caller.create()
    first = await caller.deploy(entity, PLACE)
    await say(connection, entity, "slow", running(first, "2"))
    second = await caller.deploy(entity, PLACE)
    assert (await of(caller, entity))["slow"]["behind_since"] == second["deployed_at"]

    await caller.rollback(second)

    assert (await of(caller, entity))["slow"]["behind_since"] is None


async def test_what_cannot_be_read_in_the_bucket_is_left_out(caller, connection):
    entity = await caller.create()
    deployed = await caller.deploy(entity, PLACE)
    await say(connection, entity, "good", running(deployed, "2"))
    for agent, value in {"torn": b"{", "wrong": {"sequence": "x"}, "a" * 65: running(deployed, "2")}.items():
        await say(connection, entity, agent, value)
    for agent, sequence in {"beyond": "1" * 20, "endless": "1" * 5_000_000, "arabic": "\u0661"}.items():
        await say(connection, entity, agent, running(None, sequence))
    stranger = {"entity_id": entity["entity_id"].upper()}
    await say(connection, stranger, "shouting", running(deployed, "2"))
    await say(connection, entity, "elsewhere", running(deployed, "2"), environment="testing")

    assert list(await of(caller, entity)) == ["good"]
    await connection.jetstream().purge_stream(
        subjects.bucket_stream(subjects.APPLIED_BUCKET),
        subject=subjects.bucket_subject(
            subjects.APPLIED_BUCKET, subjects.applied_key(PLACE, entity["entity_id"], "endless")
        ),
    )


async def test_its_http_twin_says_the_same(system, caller, connection):
    entity = await caller.create()
    deployed = await caller.deploy(entity, PLACE)
    await say(connection, entity, "one", running(deployed, "2"))

    status, body = system.get(f"/api/v1/environments/{PLACE}/convergence")

    assert status == 200
    found = [each for each in json.loads(body)["consumers"] if each["entity_id"] == entity["entity_id"]]
    assert [each["agent"] for each in found] == ["one"]


async def test_a_page_holds_as_many_as_are_asked_for_and_its_cursor_goes_on(caller, connection):
    entities = sorted([await caller.create() for _ in range(2)], key=lambda entity: entity["entity_id"])
    told = [(entity["entity_id"], agent) for entity in entities for agent in ("A", "a", "b")]
    for entity in entities:
        for agent in ("b", "a", "A"):
            await say(connection, entity, agent, running(None, None))

    found, sizes, cursor = [], [], None
    while True:
        page = await caller.ask(subjects.DEPLOY_CONVERGENCE, environment=PLACE, page_size=2, cursor=cursor)
        found += [(each["entity_id"], each["agent"]) for each in page["consumers"]]
        sizes.append(len(page["consumers"]))
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert found == sorted(set(found))
    assert [each for each in found if each in told] == told
    assert set(sizes[:-1]) <= {2}
    assert 1 <= sizes[-1] <= 2


async def test_a_page_ends_with_the_last_agent_and_says_so(system, caller, connection):
    entity = await caller.create()
    await say(connection, entity, "only", running(None, None), environment="production")
    before = f"{entity['entity_id']}.onl"

    status, body = system.get(f"/api/v1/environments/production/convergence?page_size=1000&cursor={before}")

    assert status == 200
    assert json.loads(body)["consumers"][0]["agent"] == "only"
    assert json.loads(body)["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "MjAyNg", "00000000-0000-0000-0000-000000000001.a b", "1.a"])
async def test_what_is_no_cursor_is_refused(caller, cursor):
    with pytest.raises(Refused) as refused:
        await caller.ask(subjects.DEPLOY_CONVERGENCE, environment=PLACE, cursor=cursor)
    assert [each["field"] for each in refused.value.problem["errors"]] == ["cursor"]


async def test_more_agents_than_a_reply_holds_come_in_pages_of_4_mib(system, caller, connection):
    entity = await caller.create()
    deployed = await caller.deploy(entity, "testing")
    agents = [f"{number:064}" for number in range(2 * MAX_PAGE_BYTES // 340)]
    key = subjects.applied_key("testing", entity["entity_id"], "{}")
    subject = subjects.bucket_subject(subjects.APPLIED_BUCKET, key)
    stream = subjects.bucket_stream(subjects.APPLIED_BUCKET)
    writer = StreamWriter(connection, stream)
    await writer.synchronize()
    value = json.dumps(running(deployed, "2")).encode()
    try:
        for some in batched(agents, MAX_MESSAGES):
            await writer.publish([Message(subject.format(agent), value, {}) for agent in some])

        async with await LibraryClient.connect(system.nats_url, timeout=60) as client:
            request = ConvergenceRequest(environment="testing")
            body = request.model_dump_json().encode()
            first = await connection.request(subjects.DEPLOY_CONVERGENCE, body, timeout=60)
            found = [page.consumers async for page in pages(client.convergence, request)]
    finally:
        await connection.jetstream().purge_stream(stream, subject=subject.format("*"))

    assert 0.9 * MAX_PAGE_BYTES < len(first.data) <= MAX_PAGE_BYTES
    assert len(found) > 1
    of_entity = [each for page in found for each in page if str(each.entity_id) == entity["entity_id"]]
    assert [each.agent for each in of_entity] == agents
    assert {each.behind_since for each in of_entity} == {None}
