import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import nats
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from contracts import headers, subjects
from contracts.endpoints import ENDPOINTS
from contracts.examples import VALUES, example
from contracts.limits import MAX_BODY_BYTES
from contracts.parsing import parse
from worker.embedded.nats_server import NatsServer
from worker.embedded.ports import free_port
from worker.entrypoints.gateway.app import create_app
from worker.entrypoints.gateway.server import http_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENTITY = "/api/v1/entities/0197f3a1-52b0-7e0f-8c44-6f2d9e5b7a10"
DEPLOYMENT = "/api/v1/deployments/0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41"
ROUTES = [
    pytest.param(endpoint, route, id=f"{route.method} {route.path}")
    for endpoint in ENDPOINTS
    for route in endpoint.routes
]
UP = {"nats": "up", "database": "up", "worker": "up", "outbox": "up"}


@dataclass
class Answer:
    """What the peer says: a reply, or with a status a problem."""

    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {headers.REQUEST_ID: "from-the-worker"})


@dataclass
class Peer:
    """A NATS client in the worker's place, which keeps what it is asked and says what it is told to."""

    answer: Answer | None = field(default_factory=Answer)
    asked: list = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, message):
        self.asked.append(message)
        self.arrived.set()
        if self.answer is not None:
            await message._client.publish(message.reply, self.answer.body, headers=self.answer.headers)

    @property
    def body(self):
        return json.loads(self.asked[-1].data)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with NatsServer(tmp_path_factory.mktemp("nats"), output=subprocess.DEVNULL) as running:
        yield running


@contextlib.asynccontextmanager
async def listening(url, peer):
    client = await nats.connect(url)
    subscription = await client.subscribe(f"{subjects.SERVICE}.>", cb=peer.hear)
    await settled(client)
    try:
        yield
    finally:
        await subscription.unsubscribe()
        await settled(client)  # so that the next test finds nobody there
        await client.close()


async def settled(client):
    """Until the server has read everything: nats-py lets a flush overtake what was sent just before it."""
    await client.flush()
    await client.flush()


@contextlib.asynccontextmanager
async def serving(nats_url, *, request_timeout=5.0):
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    gateway = http_server(create_app(nats_url=nats_url, request_timeout=request_timeout), grace=2)
    running = asyncio.create_task(gateway.serve(sockets=[listener]))
    try:
        async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as caller:
            yield caller
    finally:
        gateway.should_exit = True
        await running


@pytest_asyncio.fixture(loop_scope="module")
async def peer(server):
    answering = Peer()
    async with listening(server.url, answering):
        yield answering


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(server):
    async with serving(server.url) as caller:
        yield caller


def is_problem(response, code, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["request_id"] == response.headers[headers.REQUEST_ID]
    return problem


def faulty_fields(response):
    return [fault["field"] for fault in is_problem(response, "invalid_request", 422)["errors"]]


async def eventually(check, *, within=15):
    """For the state of another process, which nobody announces."""
    async with asyncio.timeout(within):
        while True:
            if await check():
                return
            await asyncio.sleep(0.02)


# Requests


@pytest.mark.parametrize(("endpoint", "route"), ROUTES)
async def test_every_route_asks_its_subject_for_what_its_body_query_and_path_say(
    gateway, peer, endpoint, route
):
    whole = example(endpoint.request)
    rest = {name: value for name, value in whole.items() if f"{{{name}}}" not in route.path}
    peer.answer.body = b'{"anything": 1}'
    sent = {"json": rest} if route.takes_body else {"params": rest}
    response = await gateway.request(route.method, route.path.format(**VALUES), **sent)
    assert response.status_code == route.status, response.text
    assert response.content == b'{"anything": 1}'
    assert [message.subject for message in peer.asked] == [endpoint.subject]
    assert peer.asked[0].headers[headers.TRANSPORT] == "http"
    assert parse(endpoint.request, peer.asked[0].data) == parse(endpoint.request, json.dumps(whole).encode())


async def test_a_post_without_path_fields_reaches_the_worker_byte_for_byte(gateway, peer):
    body = b'\t{ "entity_id" :1.0e0, "x": "\xc3\xa9", "x": NaN ]'
    await gateway.post("/api/v1/deployments", content=body)
    assert peer.asked[0].data == body


async def test_a_rollback_without_a_body_names_its_deployment_so_that_only_the_rest_is_missing(gateway, peer):
    await gateway.post(f"{DEPLOYMENT}/rollback")
    assert peer.body == {"deployment_id": VALUES["deployment_id"]}


async def test_a_body_that_contradicts_the_path_is_refused_before_a_worker_is_asked(gateway, peer):
    response = await gateway.post(f"{DEPLOYMENT}/rollback", json={"deployment_id": VALUES["entity_id"]})
    assert faulty_fields(response) == ["deployment_id"]
    assert peer.asked == []


async def test_a_query_gives_numbers_as_numbers_and_unknown_fields_as_they_are(gateway, peer):
    await gateway.get("/api/v1/entities", params={"page": 2, "page_size": "x", "name": "7", "colour": "red"})
    assert peer.body == {"page": 2, "page_size": "x", "name": "7", "colour": "red"}


async def test_a_field_of_the_body_in_the_query_is_refused(gateway, peer):
    response = await gateway.post("/api/v1/deployments?wait=true", json=example(ENDPOINTS[0].request))
    assert faulty_fields(response) == ["wait"]
    assert peer.asked == []


async def test_an_id_that_is_none_is_the_workers_to_refuse(gateway, peer):
    await gateway.get("/api/v1/entities/no%20id%22")
    assert peer.body == {"entity_id": 'no id"'}


async def test_all_faults_of_what_the_gateway_reads_are_named_at_once(gateway, peer):
    response = await gateway.get(
        "/api/v1/entities?page=1&page=2", headers=[(headers.DEADLINE, "a"), (headers.DEADLINE, "b")]
    )
    assert faulty_fields(response) == [headers.DEADLINE, "page"]
    assert peer.asked == []


# Headers


async def test_the_headers_of_the_contract_are_passed_on_and_no_others(gateway, peer):
    deadline = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    known = {
        headers.IDEMPOTENCY_KEY: "key 1",
        headers.MESSAGE_ID: "id-1",
        headers.DEADLINE: deadline,
        headers.TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        headers.TRACESTATE: "congo=t61rcWkgMzE",
    }
    forged = {
        headers.TRANSPORT: "nats",
        headers.ERROR_CODE: "500",
        "Nats-Expected-Stream": "x",
        "Cookie": "c",
    }
    await gateway.get(ENTITY, headers=known | forged)
    assert peer.asked[0].headers == known | {headers.TRANSPORT: "http"}


async def test_a_deadline_is_made_where_the_caller_has_none(gateway, peer):
    before = datetime.now(UTC)
    await gateway.get(ENTITY)
    deadline = datetime.fromisoformat(peer.asked[0].headers[headers.DEADLINE])
    assert before + timedelta(seconds=5) <= deadline <= datetime.now(UTC) + timedelta(seconds=5)


@pytest.mark.parametrize("name", [headers.IDEMPOTENCY_KEY, headers.MESSAGE_ID, headers.DEADLINE])
async def test_a_header_beyond_ascii_is_refused_by_its_name(gateway, peer, name):
    response = await gateway.get(ENTITY, headers={name: "clé".encode()})
    assert faulty_fields(response) == [name]
    assert peer.asked == []


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n", b"\r\n "])
async def test_no_end_of_line_smuggles_a_header_into_nats(gateway, peer, ending):
    request = (
        b"GET %s HTTP/1.1\r\nHost: [::]\r\nConnection: close\r\nIdempotency-Key: a%sNats-Smuggled: b\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.base_url.port)
    writer.write(request % (ENTITY.encode(), ending))
    assert (await reader.read()).startswith(b"HTTP/1.1 ")
    writer.close()
    assert all("Nats-Smuggled" not in message.headers for message in peer.asked)


@pytest.mark.parametrize("revision", ['"3"', "3"])
async def test_if_match_carries_the_revision(gateway, peer, revision):
    await gateway.patch(ENTITY, json={"version": "2"}, headers={"If-Match": revision})
    assert peer.body == {"entity_id": VALUES["entity_id"], "version": "2", "expected_revision": 3}


async def test_if_match_of_anything_expects_nothing(gateway, peer):
    await gateway.patch(ENTITY, json={"version": "2"}, headers={"If-Match": "*"})
    assert peer.body == {"entity_id": VALUES["entity_id"], "version": "2"}


@pytest.mark.parametrize("given", ['W/"3"', "three", '"4"'])
async def test_if_match_that_says_no_revision_or_another_one_than_the_body_is_refused(gateway, peer, given):
    response = await gateway.patch(ENTITY, json={"expected_revision": 3}, headers={"If-Match": given})
    assert faulty_fields(response) == ["If-Match"]
    assert peer.asked == []


# Replies


async def test_a_reply_keeps_its_bytes_and_the_headers_that_concern_the_caller(gateway, peer):
    peer.answer = Answer(
        b'{ "revision": 1.0, "x": "\xc3\xa9" }\n',
        {headers.REQUEST_ID: "r", headers.REPLAYED: "true", headers.RETRY_AFTER: "7", "Nats-Internal": "no"},
    )
    response = await gateway.get(DEPLOYMENT)
    assert response.content == peer.answer.body
    assert response.headers["content-type"] == "application/json"
    assert response.headers[headers.REQUEST_ID] == "r"
    assert response.headers[headers.REPLAYED] == "true"
    assert response.headers[headers.RETRY_AFTER] == "7"
    assert "nats-internal" not in response.headers


@pytest.mark.parametrize("status", [400, 404, 409, 422, 503])
async def test_a_problem_has_the_status_of_its_code_and_the_bytes_of_the_worker(gateway, peer, status):
    peer.answer = Answer(b'{"code": "x" }', {headers.ERROR_CODE: str(status), headers.REQUEST_ID: "r"})
    response = await gateway.post("/api/v1/entities", json={})
    assert response.status_code == status
    assert response.content == b'{"code": "x" }'
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers[headers.REQUEST_ID] == "r"
    assert "etag" not in response.headers


@pytest.mark.parametrize("status", ["ok", "", "200", "99999"])
async def test_an_error_code_that_is_no_status_is_an_internal_error(gateway, peer, status):
    peer.answer = Answer(b"secret", {headers.ERROR_CODE: status})
    with capture_logs() as logs:
        response = await gateway.get(ENTITY, headers={headers.IDEMPOTENCY_KEY: "k"})
    problem = is_problem(response, "internal_error", 500)
    assert problem["request_id"] == "k"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert [log["request_id"] for log in logs if log["event"] == "request_failed"] == ["k"]


async def test_an_entity_has_its_revision_as_etag(gateway, peer):
    peer.answer.body = b'{"config": {"revision": 9}, "revision": 12, "tags": ["revision"]}'
    assert (await gateway.get(ENTITY)).headers["etag"] == '"12"'
    assert (await gateway.post("/api/v1/entities", json={})).headers["etag"] == '"12"'
    assert "etag" not in (await gateway.get("/api/v1/entities")).headers
    assert "etag" not in (await gateway.get(DEPLOYMENT)).headers


async def test_head_is_get_without_the_body(gateway, peer):
    peer.answer.body = b'{"revision": 3}'
    response = await gateway.head(ENTITY)
    assert response.status_code == 200
    assert response.headers["etag"] == '"3"'
    assert response.content == b""


# Limits


async def test_a_body_of_the_largest_size_goes_through(gateway, peer):
    await gateway.post("/api/v1/entities", content=b"x" * MAX_BODY_BYTES)
    assert len(peer.asked[0].data) == MAX_BODY_BYTES


async def test_a_body_that_says_it_is_too_large_is_refused_and_the_connection_goes_on(gateway, peer):
    response = await gateway.post("/api/v1/entities", content=b"x" * (MAX_BODY_BYTES + 1))
    is_problem(response, "payload_too_large", 413)
    assert (await gateway.get(ENTITY)).status_code == 200
    assert [message.subject for message in peer.asked] == [subjects.ENTITY_GET]


async def test_a_length_beyond_the_limit_is_refused_before_a_byte_of_the_body_is_there(gateway):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.base_url.port)
    writer.write(b"POST /api/v1/entities HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n")
    async with asyncio.timeout(2):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_a_body_without_an_end_is_refused_once_it_is_too_large(gateway, peer):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.base_url.port)
    writer.write(b"POST /api/v1/entities HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(MAX_BODY_BYTES // 65536 + 1):
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    writer.close()
    assert peer.asked == []


async def test_a_body_that_never_comes_ends_at_the_gateways_patience(server, peer):
    async with serving(server.url, request_timeout=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.base_url.port)
        writer.write(b"POST /api/v1/entities HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{")
        async with asyncio.timeout(2):
            answer = await reader.readuntil(b"}")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b'"deadline_exceeded"' in answer
    assert peer.asked == []


# Nobody answers


async def test_where_no_worker_is_the_refusal_is_immediate_and_says_when_to_ask_again(gateway):
    asked_at = time.monotonic()
    response = await gateway.get(ENTITY, headers={headers.IDEMPOTENCY_KEY: "k"})
    assert time.monotonic() - asked_at < 2
    assert is_problem(response, "unavailable", 503)["request_id"] == "k"
    assert response.headers[headers.RETRY_AFTER] == "1"


async def test_where_no_worker_answers_in_time_the_outcome_is_unknown(server, peer):
    peer.answer = None
    async with serving(server.url, request_timeout=0.2) as gateway:
        is_problem(await gateway.get(ENTITY), "no_answer", 504)
    assert len(peer.asked) == 1


async def test_a_callers_deadline_ends_the_wait(gateway, peer):
    peer.answer = None
    asked_at = time.monotonic()
    deadline = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    is_problem(await gateway.get(ENTITY, headers={headers.DEADLINE: deadline}), "no_answer", 504)
    assert time.monotonic() - asked_at < 3


async def test_without_nats_it_starts_refuses_and_serves_as_soon_as_nats_is_there(tmp_path):
    nats_server = NatsServer(tmp_path, port=free_port(), output=subprocess.DEVNULL)
    async with serving(nats_server.url) as gateway:
        assert (await gateway.get("/health")).json() == {"status": "up"}
        assert (await gateway.get("/health/ready")).status_code == 503
        response = await gateway.get(ENTITY)
        is_problem(response, "unavailable", 503)
        assert response.headers[headers.RETRY_AFTER] == "1"
        known = (await gateway.get("/health/detailed")).json()
        assert known["nats"] == {"status": "down"}
        assert {part["status"] for part in (known["database"], known["worker"], known["outbox"])} == {
            "unknown"
        }
        with nats_server:
            await serves_again(gateway, nats_server.url)


async def test_after_an_outage_of_nats_it_serves_again(tmp_path):
    with NatsServer(tmp_path, output=subprocess.DEVNULL) as nats_server:
        async with serving(nats_server.url) as gateway:
            await serves_again(gateway, nats_server.url)
            port = nats_server.port
            nats_server.stop()
            await eventually(lambda: refuses(gateway, "NATS is not reachable"))
            with NatsServer(tmp_path, port=port, output=subprocess.DEVNULL):
                await serves_again(gateway, nats_server.url)


async def test_it_comes_back_after_an_error_at_which_its_client_would_stay_closed(tmp_path):
    port = free_port()
    url = f"nats://127.0.0.1:{port}"
    configuration = tmp_path / "nats.conf"
    configuration.write_text("max_payload: 1024")  # with the headers, a body just below is a violation
    async with nats_process(port, "-c", configuration), serving(url, request_timeout=0.2) as gateway:
        with capture_logs() as logs:
            is_problem(await gateway.post("/api/v1/entities", content=b"x" * 1000), "no_answer", 504)
        closed = [log["reason"] for log in logs if log["event"] == "nats_closed"]
        assert closed == ["nats: maximum payload violation"]
        await serves_again(gateway, url)


@contextlib.asynccontextmanager
async def nats_process(port, *options):
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    process = await asyncio.create_subprocess_exec(
        program, "-a", "127.0.0.1", "-p", str(port), *options, stderr=subprocess.DEVNULL
    )
    try:
        await eventually(lambda: accepts(port))
        yield
    finally:
        process.terminate()
        await process.wait()


async def accepts(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def refuses(gateway, text):
    return text in (await gateway.get(ENTITY)).text


async def serves_again(gateway, url):
    peer = Peer()
    async with listening(url, peer):
        await eventually(lambda: succeeds(gateway))


async def succeeds(gateway):
    return (await gateway.get(ENTITY)).status_code == 200


# HTTP's own


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/api/v1/nothing", "/api/v1/entities/", "/static-offline-docs/nothing", "/static/nothing"],
)
async def test_a_path_that_nothing_is_at_is_a_problem(gateway, path):
    is_problem(await gateway.get(path), "not_found", 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", ENTITY, {"GET", "HEAD", "PATCH", "DELETE"}),
        ("DELETE", "/api/v1/entities", {"GET", "HEAD", "POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("OPTIONS", "/api/v1/environments/staging", {"PUT"}),
    ],
)
async def test_a_method_that_a_path_has_not_is_a_problem_that_says_which_it_has(
    gateway, method, path, allowed
):
    response = await gateway.request(method, path)
    is_problem(response, "method_not_allowed", 405)
    assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/health/ready",
        "/health/detailed",
        "/docs",
        "/openapi.json",
        "/asyncapi",
        ENTITY,
        "/nothing",
    ],
)
async def test_every_response_has_a_request_id(gateway, path):
    assert (await gateway.get(path)).headers[headers.REQUEST_ID]
    named = await gateway.get(path, headers={headers.MESSAGE_ID: "id-7"})
    assert named.headers[headers.REQUEST_ID] == "id-7"


# Health


def status_of(**changed):
    return json.dumps({name: {"status": status} for name, status in (UP | changed).items()}).encode()


@pytest.mark.parametrize("changed", [{}, {"outbox": "down"}, {"worker": "degraded"}])
async def test_it_is_ready_when_nats_the_database_and_a_worker_answer(gateway, peer, changed):
    peer.answer.body = status_of(**changed)
    response = await gateway.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["status"] == "up"
    assert [message.subject for message in peer.asked] == [subjects.STATUS_GET]


@pytest.mark.parametrize("part", ["nats", "database", "worker"])
async def test_it_is_not_ready_when_one_of_them_does_not(gateway, peer, part):
    peer.answer.body = status_of(**{part: "down"})
    response = await gateway.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "down"} | {
        name: "down" if name == part else "up" for name in ("nats", "database", "worker")
    }


@pytest.mark.parametrize(
    "answer", [Answer(b"{}", {headers.ERROR_CODE: "503"}), Answer(b"not json"), Answer(b'{"nats": 1}')]
)
async def test_it_is_not_ready_when_the_worker_cannot_tell(gateway, peer, answer):
    peer.answer = answer
    assert (await gateway.get("/health/ready")).status_code == 503


async def test_the_detailed_state_is_the_workers(gateway, peer):
    peer.answer.body = b'{"nats": {"status": "up", "rtt_ms": 0.2}}'
    response = await gateway.get("/health/detailed")
    assert response.status_code == 200
    assert response.content == peer.answer.body


async def test_without_a_worker_the_detailed_state_says_what_is_known(gateway):
    response = await gateway.get("/health/detailed")
    assert response.status_code == 503
    assert response.json() == {
        "nats": {"status": "up"},
        "database": {"status": "unknown"},
        "worker": {"status": "down"},
        "outbox": {"status": "unknown"},
    }


async def test_a_worker_that_refuses_to_tell_is_degraded(gateway, peer):
    peer.answer = Answer(b'{"code": "busy"}', {headers.ERROR_CODE: "503", headers.REQUEST_ID: "r"})
    response = await gateway.get("/health/detailed")
    assert response.status_code == 503
    assert response.json()["worker"] == {"status": "degraded"}


# Documents


async def test_the_pages_load_nothing_from_elsewhere(gateway):
    for path in ("/docs", "/asyncapi"):
        page = await gateway.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        for target in re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text):
            assert target.startswith(("/", "#"))
            assert not target.startswith("//")
            assert (await gateway.get(target if target.startswith("/") else path)).status_code == 200
        assert "https://" not in page.text.replace("https://www.apache.org", "")


async def test_the_documents_are_those_of_the_reference(gateway):
    reference = Path(__file__).parents[2] / "docs" / "reference"
    for path, name in (("/openapi.json", "openapi.json"), ("/asyncapi", "asyncapi.json")):
        response = await gateway.get(path)
        assert response.headers["content-type"] == "application/json"
        assert response.json() == json.loads((reference / name).read_text(encoding="utf-8"))


# The process

SERVE = """import sys
from worker.entrypoints.gateway.server import serve
sys.exit(serve(nats_url=sys.argv[1], port=int(sys.argv[2]), grace=int(sys.argv[3]), request_timeout=30))
"""


@contextlib.asynccontextmanager
async def process(nats_url, *, grace=8):
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, nats_url, str(port), str(grace), stdout=subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False
        ) as caller:
            await eventually(lambda: accepts(port))
            yield child, caller
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_answers_what_is_in_flight_and_exits_with_0(server, number):
    peer = Peer(answer=None)
    async with listening(server.url, peer), process(server.url) as (child, caller):
        in_flight = asyncio.create_task(caller.get(ENTITY))
        await peer.arrived.wait()
        child.send_signal(number)
        await eventually(lambda: refused_connection(caller.base_url.port))
        asked = peer.asked[0]
        await asked._client.publish(asked.reply, b'{"revision": 3}')
        assert (await in_flight).content == b'{"revision": 3}'
        assert await child.wait() == 0


async def refused_connection(port):
    return not await accepts(port)


async def test_told_to_stop_it_tells_who_waits_too_long_that_the_outcome_is_unknown(server):
    peer = Peer(answer=None)
    async with listening(server.url, peer), process(server.url, grace=1) as (child, caller):
        in_flight = asyncio.create_task(caller.get(ENTITY))
        await peer.arrived.wait()
        child.terminate()
        is_problem(await in_flight, "no_answer", 504)
        assert await child.wait() == 0


async def test_told_to_stop_it_tells_whose_body_is_not_there_yet_that_nothing_was_done(server):
    async with process(server.url, grace=1) as (child, caller):
        reader, writer = await asyncio.open_connection("127.0.0.1", caller.base_url.port)
        writer.write(
            b"POST /api/v1/entities HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        )
        await reader.readuntil(b"100 Continue\r\n\r\n")
        child.terminate()
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        assert await child.wait() == 0
        writer.close()


async def test_a_port_that_is_taken_ends_it_with_a_line_that_says_so(server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVE, server.url, str(taken.getsockname()[1]), "1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await child.communicate()
    assert child.returncode == 1
    assert b"gateway_cannot_listen" in output
    assert b"Traceback" not in output
