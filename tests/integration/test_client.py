"""The client against a real nats-server; its peer is a plain subscriber that answers as told."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

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


# Watching


def event(name: str = "completed", environment: str = "staging", entity_id: UUID = ENTITY_ID) -> dict:
    return {
        "subject": subjects.deployment_event(name, environment, entity_id),
        "payload": json.dumps(
            {
                "specversion": "1.0",
                "id": str(uuid4()),
                "source": subjects.EVENT_SOURCE,
                "type": subjects.event_type("deployment", name),
                "subject": str(uuid4()),
                "time": NOW,
                "datacontenttype": headers.JSON,
                "correlationid": "r-1",
                "sequence": "1",
                "data": {"actor": "alice", "reason": None},
            }
        ).encode(),
    }


@pytest.fixture
async def stream(peer: Peer):
    jetstream = peer.connection.jetstream()
    await jetstream.add_stream(name=subjects.EVENTS_STREAM, subjects=[subjects.EVENTS_WILDCARD])
    return jetstream


@pytest.fixture
async def bucket(peer: Peer):
    return await peer.connection.jetstream().create_key_value(bucket=subjects.ACTIVE_BUCKET)


@asynccontextmanager
async def collected(watch, found: list):
    """Gathers what a watch gives, beside what the test does."""

    async def gather() -> None:
        async for each in watch:
            found.append(each)
            more.set()

    async def has(number: int) -> list:
        async with asyncio.timeout(20):
            while len(found) < number:
                more.clear()
                await more.wait()
        return found

    more = asyncio.Event()
    async with watch:
        task = asyncio.create_task(gather())
        try:
            yield has
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def publish_again(stream, **message) -> None:
    """Publish as a relay does: until it is stored, and stored once."""
    identified = {"Nats-Msg-Id": str(uuid4())}
    async with asyncio.timeout(20):
        while True:
            try:
                await stream.publish(**message, headers=identified, timeout=1)
            except nats.errors.Error:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_watch_gives_what_comes_after_it_opened(client, stream):
    await stream.publish(**event("completed"))

    async with client.watch() as watch:
        await stream.publish(**event("rolled_back"))
        sequence, seen = await anext(watch)

    assert (sequence, seen.type) == (2, subjects.event_type("deployment", "rolled_back"))
    assert watch.sequence == 3


async def test_a_watch_goes_on_where_another_one_ended(client, stream):
    for _ in range(5):
        await stream.publish(**event())

    async with client.watch(start=1) as watch:
        assert [(await anext(watch))[0], (await anext(watch))[0]] == [1, 2]
    async with client.watch(start=watch.sequence) as watch:
        assert [(await anext(watch))[0] for _ in range(3)] == [3, 4, 5]


async def test_a_watch_from_a_time_begins_there(client, stream):
    await stream.publish(**event())
    stored = (await stream.get_msg(subjects.EVENTS_STREAM, seq=1)).time
    await stream.publish(**event())

    async with client.watch(start=stored + timedelta(microseconds=1)) as watch:
        assert (await anext(watch))[0] == 2
    async with client.watch(start=stored - timedelta(hours=1)) as watch:
        assert (await anext(watch))[0] == 1


async def test_a_watch_of_one_entity_in_one_environment_sees_no_other(client, stream):
    other = uuid4()
    await stream.publish(**event(entity_id=other))
    await stream.publish(**event(environment="production"))
    await stream.publish(**event(environment="staging"))
    await stream.publish(subjects.entity_event("updated", ENTITY_ID), b"{}")
    await stream.publish(**event(environment="staging", entity_id=other))
    await stream.publish(**event(environment="staging"))

    async with client.watch(ENTITY_ID, "staging", start=1) as watch:
        assert [(await anext(watch))[0] for _ in range(2)] == [3, 6]


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_a_watch_misses_and_repeats_nothing_when_the_server_restarts(server, client, stream, kill):
    found: list = []
    async with collected(client.watch(), found) as has:
        for _ in range(3):
            await publish_again(stream, **event())
        await has(3)
        if kill:
            server.process.kill()
        server.stop()
        server.start()
        for _ in range(3):
            await publish_again(stream, **event())
        await has(6)

    assert [sequence for sequence, _ in found] == [1, 2, 3, 4, 5, 6]


async def test_a_watch_that_has_seen_nothing_stays_where_it_was_over_a_restart(server, client, stream):
    await publish_again(stream, **event())
    found: list = []
    async with collected(client.watch(), found) as has:
        server.stop()
        server.start()
        await publish_again(stream, **event())
        await has(1)

    assert [sequence for sequence, _ in found] == [2]


async def test_a_watch_whose_consumer_is_deleted_makes_another_one(client, stream):
    found: list = []
    async with collected(client.watch(), found) as has:
        await stream.publish(**event())
        await has(1)
        for consumer in await stream.consumers_info(subjects.EVENTS_STREAM):
            await stream.delete_consumer(subjects.EVENTS_STREAM, consumer.name)
        await stream.publish(**event())
        await has(2)

    assert [sequence for sequence, _ in found] == [1, 2]


async def test_a_long_stream_comes_whole_and_in_order(client, stream):
    for _ in range(20):
        await asyncio.gather(*(stream.publish(**event()) for _ in range(250)))

    async with client.watch(start=1) as watch:
        assert [(await anext(watch))[0] for _ in range(5000)] == list(range(1, 5001))


async def test_a_watch_cannot_go_on_behind_the_end_of_the_stream(client, stream):
    await stream.publish(**event())

    with pytest.raises(ProblemError, match="ends at 1") as raised:
        await anext(client.watch(start=9))

    assert raised.value.code == "invalid_request"


async def test_an_event_that_cannot_be_read_is_named_and_can_be_passed_over(client, stream):
    await stream.publish(subjects.deployment_event("completed", "staging", ENTITY_ID), b"no")
    await stream.publish(**event())

    async with client.watch(start=1) as watch:
        with pytest.raises(ProblemError, match="Event 1"):
            await anext(watch)
        assert (await anext(watch))[0] == 2


async def test_without_its_stream_a_watch_is_refused(client, peer):
    with pytest.raises(ProblemError, match=subjects.EVENTS_STREAM) as raised:
        await anext(client.watch())
    assert raised.value.code == "unavailable"
    with pytest.raises(ProblemError, match="KV_"):
        await anext(client.live("staging", ENTITY_ID))


def live_value(version: str) -> bytes:
    return json.dumps(
        {
            "deployment_id": str(uuid4()),
            "entity_id": str(ENTITY_ID),
            "entity_name": "prices",
            "environment": "staging",
            "version": version,
            "config": {"replicas": 2},
            "parameters": {},
            "sequence": "3",
            "activated_at": NOW,
        }
    ).encode()


KEY = subjects.active_key("staging", ENTITY_ID)


async def test_live_gives_nothing_then_what_is_deployed_replaced_and_retired(client, bucket):
    async with client.live("staging", ENTITY_ID) as live:
        assert await anext(live) is None
        await bucket.put(KEY, live_value("1.0.0"))
        assert (await anext(live)).version == "1.0.0"
        await bucket.put(subjects.active_key("production", ENTITY_ID), live_value("9.9.9"))
        await bucket.put(KEY, live_value("1.1.0"))
        assert (await anext(live)).version == "1.1.0"
        await bucket.delete(KEY)
        assert await anext(live) is None
        await bucket.put(KEY, live_value("1.2.0"))
        assert (await anext(live)).version == "1.2.0"
        await bucket.purge(KEY)
        assert await anext(live) is None


async def test_live_begins_with_the_value_there(client, bucket):
    await bucket.put(KEY, live_value("1.0.0"))
    await bucket.put(KEY, live_value("1.1.0"))

    async with client.live("staging", ENTITY_ID) as live:
        assert (await anext(live)).version == "1.1.0"


async def test_live_says_a_value_once_though_the_server_restarts(server, client, bucket):
    await bucket.put(KEY, live_value("1.0.0"))
    found: list = []
    async with collected(client.live("staging", ENTITY_ID), found) as has:
        await has(1)
        server.stop()
        server.start()
        subject = subjects.bucket_subject(subjects.ACTIVE_BUCKET, KEY)
        await publish_again(bucket._js, subject=subject, payload=live_value("2.0.0"))
        await has(2)

    assert [each.version for each in found] == ["1.0.0", "2.0.0"]


async def test_watching_leaves_no_subscription_behind(client, stream):
    await stream.publish(**event())
    counts = []
    for _ in range(2):
        async with client.watch(start=1) as watch:
            await anext(watch)
        counts.append(len(client.connection._subs))

    assert counts[0] == counts[1]
