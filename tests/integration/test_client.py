"""The client against a real nats-server; its peer is a plain subscriber that answers as told."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import headers, subjects
from contracts.client import LibraryClient, pages
from contracts.connection import NoAnswerError, connect
from contracts.deployments import DeployRequest
from contracts.endpoints import BY_SUBJECT
from contracts.entities import EntityListRequest
from contracts.problems import ProblemError
from worker.embedded.nats_server import NatsServer
from worker.embedded.ports import free_port

ENTITY_ID = UUID("0197f3a1-52b0-7e0f-8c44-6f2d9e5b7a10")
NOW = "2026-01-02T03:04:05.000006Z"

ENTITY = {
    "entity_id": str(ENTITY_ID),
    "name": "prices",
    "type": "service",
    "version": "1.0.0",
    "created_by": None,
    "description": None,
    "config": {},
    "parameters": {},
    "status": "registered",
    "declared_status": "registered",
    "health_status": "unknown",
    "tags": [],
    "dependencies": [],
    "revision": 1,
    "deployed_at": None,
    "deployed_by": None,
    "deployment_config": None,
    "created_at": NOW,
    "updated_at": NOW,
    "deleted_at": None,
}
NEW_ENTITY = {"name": "prices", "type": "service", "version": "1.0.0"}


def answer(body: object, **more: str) -> dict:
    return {"data": json.dumps(body).encode(), "headers": more or None}


def refusal(code: str, detail: str = "no", *, retry_after: str | None = None) -> dict:
    problem = ProblemError(code, detail)
    more = {headers.ERROR: code, headers.ERROR_CODE: str(problem.status)}
    if retry_after is not None:
        more[headers.RETRY_AFTER] = retry_after
    return {"data": json.dumps(problem.body("r-1")).encode(), "headers": more}


SILENCE = None


class Peer:
    """Takes requests down and gives each the next of its answers, the last one for ever."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection
        self.requests: list[Msg] = []
        self.arrived = asyncio.Condition()

    async def answers(self, subject: str, *answers: dict | None):
        left = list(answers)

        async def take(request: Msg) -> None:
            async with self.arrived:
                self.requests.append(request)
                self.arrived.notify_all()
            told = left.pop(0) if len(left) > 1 else left[0]
            if told is not SILENCE:
                await self.connection.publish(request.reply, told["data"], headers=told["headers"])

        subscription = await self.connection.subscribe(subject, cb=take)
        await self.connection.flush()
        return subscription

    async def has_taken(self, number: int) -> None:
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= number)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path, output=subprocess.DEVNULL) as running:
        yield running


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[LibraryClient]:
    async with await LibraryClient.connect(server.url, timeout=5) as connected:
        yield connected


@pytest.fixture
async def peer(server: NatsServer) -> AsyncIterator[Peer]:
    async with await nats.connect(server.url) as connection:
        yield Peer(connection)


async def test_a_change_goes_out_with_a_key_and_a_deadline_and_without_what_was_left_out(client, peer):
    await peer.answers(subjects.ENTITY_CREATE, answer(ENTITY))

    entity = await client.create_entity(**NEW_ENTITY, config={"debug": None, "replicas": 2})

    assert (entity.entity_id, entity.revision) == (ENTITY_ID, 1)
    (request,) = peer.requests
    assert json.loads(request.data) == {
        **NEW_ENTITY,
        "config": {"debug": None, "replicas": 2},  # a null in a document means something to a merge
        "parameters": {},
        "status": "registered",
        "health_status": "unknown",
        "tags": [],
        "dependencies": [],
    }
    assert UUID(request.headers[headers.IDEMPOTENCY_KEY])
    left = datetime.fromisoformat(request.headers[headers.DEADLINE]) - datetime.now(UTC)
    assert timedelta(seconds=4) < left < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("option", "given", "key"),
    [
        (None, {"Nats-Msg-Id": "release-7"}, "release-7"),
        (None, {"nats-msg-id": "release-7"}, "release-7"),
        (None, {"idempotency-key": "release-8", "Nats-Msg-Id": "release-7"}, "release-8"),
        ("release-9", {"idempotency-key": "release-8", "Nats-Msg-Id": "release-7"}, "release-9"),
    ],
)
async def test_a_key_among_the_headers_is_the_key_of_a_change(client, peer, option, given, key):
    await peer.answers(subjects.ENTITY_CREATE, answer(ENTITY))

    await client.create_entity(**NEW_ENTITY, idempotency_key=option, headers=given)

    (request,) = peer.requests
    assert [
        value for name, value in request.headers.items() if name.lower() == headers.IDEMPOTENCY_KEY.lower()
    ] == [key]


async def test_a_question_carries_no_key_but_the_headers_that_were_given(client, peer):
    await peer.answers(subjects.ENTITY_GET, answer(ENTITY))
    trace = {headers.TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

    await client.get_entity(entity_id=ENTITY_ID, headers=trace)

    (request,) = peer.requests
    assert headers.IDEMPOTENCY_KEY not in request.headers
    assert request.headers[headers.TRACEPARENT] == trace[headers.TRACEPARENT]


async def test_a_refusal_is_raised_with_all_that_it_says(client, peer):
    problem = ProblemError("validation_failed", "Two checks failed.", validation={"passed": False})
    await peer.answers(
        subjects.DEPLOY_REQUEST,
        answer(problem.body("r-9"), **{headers.ERROR_CODE: "400", headers.ERROR: "validation_failed"}),
    )

    with pytest.raises(ProblemError) as raised:
        await client.deploy(
            DeployRequest(entity_id=ENTITY_ID, environment="staging", deployed_by="alice"),
            idempotency_key="release-7",
        )

    assert not isinstance(raised.value, NoAnswerError)
    assert (raised.value.code, raised.value.request_id) == ("validation_failed", "r-9")
    assert raised.value.extensions == {"validation": {"passed": False}}
    assert peer.requests[0].headers[headers.IDEMPOTENCY_KEY] == "release-7"


async def test_what_is_no_request_is_refused_before_it_is_sent(client, peer):
    await peer.answers(subjects.ENTITY_CREATE, answer(ENTITY))

    with pytest.raises(ProblemError) as raised:
        await client.create_entity(name="", type="service", version="1", config={"x": float("nan")})

    assert raised.value.code == "invalid_request"
    assert {fault["field"] for fault in raised.value.extensions["errors"]} == {"name", "config"}
    assert peer.requests == []


@pytest.mark.parametrize(
    "garbage",
    [
        answer({"entity_id": "x"}),
        {"data": b"", "headers": None},
        {"data": b"no", "headers": {headers.ERROR_CODE: "500"}},
        answer({"code": "of_tomorrow"}, **{headers.ERROR_CODE: "500"}),
    ],
    ids=["another body", "nothing", "no JSON", "an unknown problem"],
)
async def test_an_answer_that_cannot_be_read_is_a_problem_and_no_crash(client, peer, garbage):
    await peer.answers(subjects.ENTITY_GET, garbage)

    with pytest.raises(ProblemError) as raised:
        await client.get_entity(entity_id=ENTITY_ID)

    assert raised.value.code == "internal_error"


async def test_without_a_worker_it_says_unavailable_when_its_time_is_over(client):
    began = asyncio.get_running_loop().time()

    with pytest.raises(NoAnswerError) as raised:
        await client.status(timeout=0.6)

    assert raised.value.code == "unavailable"
    assert 0.45 < asyncio.get_running_loop().time() - began < 2


async def test_a_worker_that_comes_within_the_time_still_answers(client, peer):
    asked = asyncio.create_task(client.get_entity(entity_id=ENTITY_ID))
    for _ in range(2):  # what the server says to the request comes before its answer to the second
        await client.connection.flush()

    await peer.answers(subjects.ENTITY_GET, answer(ENTITY))

    assert (await asked).name == "prices"


async def test_a_request_that_stays_unanswered_is_asked_again_with_the_same_key(client, peer):
    await peer.answers(subjects.ENTITY_CREATE, SILENCE, answer(ENTITY))

    await client.create_entity(**NEW_ENTITY, timeout=2)

    first, second = peer.requests
    assert first.headers == second.headers
    assert first.data == second.data
    assert first.reply != second.reply


async def test_a_late_answer_to_an_earlier_try_counts(client, peer):
    await peer.answers(subjects.ENTITY_CREATE, SILENCE)
    asked = asyncio.create_task(client.create_entity(**NEW_ENTITY, timeout=5))

    await peer.has_taken(2)
    await peer.connection.publish(peer.requests[0].reply, json.dumps(ENTITY).encode())

    assert (await asked).name == "prices"


async def test_silence_to_the_end_is_no_answer_and_names_the_key_to_ask_again_with(client, peer):
    await peer.answers(subjects.ENTITY_CREATE, SILENCE)

    with pytest.raises(NoAnswerError) as raised:
        await client.create_entity(**NEW_ENTITY, timeout=0.4, idempotency_key="k-1")

    assert (raised.value.code, raised.value.request_id) == ("no_answer", "k-1")


async def test_a_try_that_may_have_been_heard_leaves_the_outcome_open_though_nobody_listens_now(client, peer):
    listening = await peer.answers(subjects.ENTITY_CREATE, SILENCE)
    asked = asyncio.create_task(client.create_entity(**NEW_ENTITY, timeout=1.2))
    await peer.has_taken(1)
    await listening.unsubscribe()

    with pytest.raises(NoAnswerError) as raised:
        await asked

    assert raised.value.code == "no_answer"


@pytest.mark.parametrize("code", ["busy", "unavailable"])
async def test_a_worker_that_cannot_now_is_asked_again(client, peer, code):
    later = refusal(code, retry_after="0")
    await peer.answers(subjects.ENTITY_CREATE, later, later, answer(ENTITY))

    await client.create_entity(**NEW_ENTITY)

    assert len({request.headers[headers.IDEMPOTENCY_KEY] for request in peer.requests}) == 1
    assert len(peer.requests) == 3


async def test_it_waits_as_long_as_the_refusal_says(client, peer):
    await peer.answers(subjects.ENTITY_CREATE, refusal("busy", retry_after="1"), answer(ENTITY))
    began = asyncio.get_running_loop().time()

    await client.create_entity(**NEW_ENTITY)

    assert asyncio.get_running_loop().time() - began >= 1


async def test_a_worker_that_cannot_to_the_end_has_refused(client, peer):
    await peer.answers(subjects.ENTITY_CREATE, refusal("busy", "Too much.", retry_after="1"))

    with pytest.raises(ProblemError) as raised:
        await client.create_entity(**NEW_ENTITY, timeout=0.5)

    assert not isinstance(raised.value, NoAnswerError)
    assert (raised.value.code, raised.value.detail) == ("busy", "Too much.")


async def test_a_request_made_while_the_server_is_away_is_answered_when_it_is_back(server, client, peer):
    await peer.answers(subjects.ENTITY_GET, answer(ENTITY))
    server.stop()
    asked = asyncio.create_task(client.get_entity(entity_id=ENTITY_ID, timeout=20))

    server.start()

    assert (await asked).name == "prices"


async def test_a_closed_connection_is_said_at_once(server):
    client = await LibraryClient.connect(server.url)
    await client.close()

    with pytest.raises(NoAnswerError, match="closed"):
        await client.status(timeout=60)
    with pytest.raises(NoAnswerError, match="closed"):
        await anext(client.watch())


async def test_a_server_that_is_not_there_is_named_without_the_password():
    with pytest.raises(NoAnswerError) as raised:
        await connect(f"nats://alice:secret@127.0.0.1:{free_port()}", within=0.3)

    assert raised.value.code == "unavailable"
    assert "nats://127.0.0.1:" in str(raised.value)
    assert "refused" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["", "nats://", "nats://here:port", "nats://[::1"])
async def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="no NATS address"):
        await connect(url, within=1)


async def test_a_list_is_paged_to_its_end(client, peer):
    page = {"entities": [ENTITY], "total": 3, "total_exact": True, "page": 1, "page_size": 1}
    await peer.answers(
        subjects.ENTITY_LIST,
        *(answer({**page, "next_cursor": cursor}) for cursor in ("c1", "c2", None)),
    )

    found = [got async for got in pages(client.list_entities, EntityListRequest(page_size=1))]

    assert len(found) == 3
    assert [json.loads(request.data).get("cursor") for request in peer.requests] == [None, "c1", "c2"]


def test_every_endpoint_has_its_method():
    methods = {name: getattr(LibraryClient(Client()), name) for name in vars(LibraryClient)}
    subjects_of_methods = {
        method._endpoint.subject for method in methods.values() if hasattr(method, "_endpoint")
    }
    assert subjects_of_methods == set(BY_SUBJECT)
