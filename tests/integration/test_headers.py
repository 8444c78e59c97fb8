"""Headers that are wrong: named as faults where they can be read, survived where they cannot."""

import asyncio
import json
import socket
from contextlib import closing
from uuid import uuid4

import nats
import pytest

from contracts import headers, subjects
from contracts.endpoints import ENDPOINTS
from contracts.examples import example
from tests.conftest import Caller
from tests.events import announced
from tests.inbox import ANSWERED_WITHIN, Inbox, fields, problem_of
from tests.system import System

WRONG_KEYS = {
    "empty": "",
    "not ASCII": "schlüssel",
    "a tab inside": "a\tb",
    "256 characters": "k" * 256,
    "a NUL": "a\0b",
    "DEL": "\x7f",
}
WRONG_DEADLINES = {
    "empty": "",
    "a word": "tomorrow",
    "a date": "2999-01-01",
    "no zone": "2999-01-01T00:00:00",
    "a number": "32472144000",
    "month 13": "2999-13-01T00:00:00Z",
    "hour 25": "2999-01-01T25:00:00Z",
    "a space for the T": "2999-01-01 00:00:00Z",
    "a fullwidth digit": "\uff12999-01-01T00:00:00Z",
    "year 10000": "10000-01-01T00:00:00Z",
    "something behind it": "2999-01-01T00:00:00Z, please",
    "very long": "2999-01-01T00:00:00." + "0" * 50_000 + "Z",
}
WRITING = [endpoint for endpoint in ENDPOINTS if endpoint.writes]
BLOCKS = {
    "no header at all": b"NATS/1.0\r\n\r\n",
    "the first line alone": b"NATS/1.0",
    "half the first line": b"NATS",
    "one byte": b"X",
    "something else": b"GET / HTTP/1.1\r\nHost: library\r\n\r\n",
    "zeros": b"\0" * 64,
    "a status of no digits": b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    "a status with a text that is no UTF-8": b"NATS/1.0 503 \xff\r\n\r\n",
    "a status": b"NATS/1.0 503\r\n\r\n",
    "a status with headers": b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: x\r\n\r\n",
    "no colon": b"NATS/1.0\r\nIdempotency-Key\r\n\r\n",
    "no name": b"NATS/1.0\r\n: value\r\n\r\n",
    "no end": b"NATS/1.0\r\nIdempotency-Key: a",
    "a folded line": b"NATS/1.0\r\nIdempotency-Key: a\r\n b\r\n\r\n",
    "bare line feeds": b"NATS/1.0\nIdempotency-Key: a\n\n",
    "a name that is no UTF-8": b"NATS/1.0\r\n\xff\xfe: a\r\n\r\n",
    "a value that is no UTF-8": b"NATS/1.0\r\nIdempotency-Key: \xff\xfe\r\n\r\n",
    "a thousand headers": b"NATS/1.0\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
    "a header twice": b"NATS/1.0\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n",
}


def by_subject(endpoint):
    return endpoint.subject


@pytest.fixture
async def inbox(connection):
    async with Inbox(connection) as opened:
        yield opened


@pytest.mark.parametrize("name", [headers.IDEMPOTENCY_KEY, headers.MESSAGE_ID])
@pytest.mark.parametrize("value", WRONG_KEYS.values(), ids=WRONG_KEYS)
async def test_a_wrong_key_is_a_fault_of_every_request_that_writes(inbox, name, value):
    for endpoint in WRITING:
        body = json.dumps(example(endpoint.request)).encode()
        problem = problem_of(await inbox.only_reply(endpoint.subject, body, {name: value}))
        assert fields(problem) == {name}
        assert problem["request_id"] != value


@pytest.mark.parametrize("value", WRONG_DEADLINES.values(), ids=WRONG_DEADLINES)
async def test_a_wrong_deadline_is_a_fault_of_every_request(inbox, value):
    for endpoint in ENDPOINTS:
        body = json.dumps(example(endpoint.request)).encode()
        reply = await inbox.only_reply(endpoint.subject, body, {headers.DEADLINE: value})
        assert fields(problem_of(reply)) == {headers.DEADLINE}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=by_subject)
async def test_a_passed_deadline_is_refused_on_every_subject(inbox, endpoint):
    body = json.dumps(example(endpoint.request)).encode()

    reply = await inbox.only_reply(endpoint.subject, body, {headers.DEADLINE: "2000-01-01T00:00:00Z"})

    assert problem_of(reply)["code"] == "deadline_exceeded"


async def test_faults_of_headers_and_body_are_named_together(inbox):
    wrong = {headers.IDEMPOTENCY_KEY: "", headers.DEADLINE: "soon"}

    reply = await inbox.only_reply(subjects.ENTITY_DELETE, b"{}", wrong)

    assert fields(problem_of(reply)) == {*wrong, "entity_id", "deleted_by"}


async def test_a_wrong_key_is_not_made_good_by_the_messages_id(inbox):
    wrong = {headers.IDEMPOTENCY_KEY: "schlüssel", headers.MESSAGE_ID: str(uuid4())}
    body = json.dumps(example(next(each.request for each in WRITING))).encode()

    reply = await inbox.only_reply(WRITING[0].subject, body, wrong)

    assert fields(problem_of(reply)) == {headers.IDEMPOTENCY_KEY}


async def test_a_wrong_trace_context_is_no_fault(inbox):
    for trace in ("", "00-xyz", "ü" * 500):
        reply = await inbox.only_reply(subjects.ENVIRONMENT_LIST, b"", {headers.TRACEPARENT: trace})
        assert headers.ERROR not in reply.headers


async def test_a_trace_of_megabytes_is_none_and_no_event_waits_behind_it(caller, connection):
    entity = await caller.create()
    heard = await connection.subscribe(f"library.events.deployment.completed.*.{entity['entity_id']}")
    deploy = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    parent = f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"
    endless = "x" * (connection.max_payload - 10_000)

    await caller.ask(subjects.DEPLOY_REQUEST, {headers.TRACEPARENT: f"{parent}-{endless}"}, **deploy)
    await caller.ask(
        subjects.DEPLOY_REQUEST, {headers.TRACEPARENT: parent, headers.TRACESTATE: f"a={endless}"}, **deploy
    )

    first, second = [json.loads((await heard.next_msg(timeout=ANSWERED_WITHIN)).data) for _ in range(2)]
    assert "traceparent" not in first
    assert (second["traceparent"], "tracestate" in second) == (parent, False)


@pytest.fixture(scope="module")
def exposed():
    """A product of its own: what is sent here may silence a worker."""
    product = System()
    try:
        product.start_servers()
        product.start_worker().wait_for_line("worker_ready")
        yield product
    finally:
        product.stop()


class Wire:
    """A client that writes whatever bytes it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_WITHIN)
        self.file = self.socket.makefile("rwb")
        self.file.readline()
        self.inbox = f"_INBOX.{uuid4().hex}".encode()
        self.write(b'CONNECT {"verbose":false,"headers":true}\r\nSUB %s 1\r\n' % self.inbox)

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.file.flush()

    def request(self, subject: str, block: bytes, body: bytes) -> bytes:
        """The first line of what comes back for a request with these very header bytes."""
        size = (len(block), len(block) + len(body))
        self.write(b"HPUB %s %s %d %d\r\n%s%s\r\n" % (subject.encode(), self.inbox, *size, block, body))
        while (line := self.file.readline()).startswith((b"PING", b"PONG")):
            self.write(b"PONG\r\n")
        return line

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
async def test_a_worker_answers_and_outlives_any_block_of_header_bytes(exposed, block):
    connection = await nats.connect(exposed.nats_url)
    with closing(Wire(exposed.nats.port)) as wire:
        answered = asyncio.to_thread(wire.request, subjects.ENVIRONMENT_LIST, block, b"{}")
        try:
            first = await answered
        except TimeoutError:
            first = b"no answer"
        async with Inbox(connection) as inbox:
            await inbox.nothing_before_the_next_answer()
    await connection.close()

    assert first.startswith(b"HMSG " + wire.inbox)


NO_NAMES = {
    "no UTF-8": b"_INBOX.\xff\xfe",
    "a form feed": b"_INBOX.a\x0cb",
    "a vertical tab": b"_INBOX.a\x0bb",
    "a no-break space": "_INBOX.a\xa0b".encode(),
    "half a surrogate pair": b"_INBOX.\xed\xa0\x80",
}


@pytest.mark.parametrize("name", NO_NAMES.values(), ids=NO_NAMES)
async def test_a_worker_and_its_relay_outlive_any_bytes_in_a_reply_subject(exposed, name):
    connection = await nats.connect(exposed.nats_url)
    with closing(Wire(exposed.nats.port)) as wire:
        for subject in (subjects.ENVIRONMENT_LIST, subjects.OUTBOX_WAKE):
            wire.write(b"PUB %s %s 2\r\n{}\r\n" % (subject.encode(), name))
        wire.write(b"PING\r\n")
        assert await asyncio.to_thread(wire.file.readline) == b"PONG\r\n"
    async with Inbox(connection) as inbox:
        await inbox.only_reply(subjects.ENVIRONMENT_SET, json.dumps({"environment": "testing"}).encode())
    await connection.close()

    announced(exposed, ANSWERED_WITHIN)
    assert not [line for line in exposed.workers[0].lines if "nats_disconnected" in line]


@pytest.mark.parametrize("status", [b"404", b"100", b"500", b"7", b"\xff"])
async def test_a_stored_command_is_carried_out_whatever_status_its_headers_tell(exposed, status):
    connection = await nats.connect(exposed.nats_url)
    entity = await Caller(connection).create()
    heard = await connection.subscribe(f"library.events.deployment.completed.*.{entity['entity_id']}")
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "tests"}
    for block in (
        b"NATS/1.0 %s\r\nNats-Msg-Id: %s\r\n\r\n",
        b"NATS/1.0\r\nStatus: %s\r\nNats-Msg-Id: %s\r\n\r\n",
    ):
        with closing(Wire(exposed.nats.port)) as wire:
            told = block % (status, uuid4().hex.encode())
            stored = await asyncio.to_thread(
                wire.request, subjects.COMMAND_DEPLOY, told, json.dumps(body).encode()
            )
            assert stored.startswith(b"MSG ")
        await heard.next_msg(timeout=ANSWERED_WITHIN)
    await connection.close()


async def test_the_relay_outlives_any_block_of_header_bytes(exposed):
    with closing(Wire(exposed.nats.port)) as wire:
        for block in BLOCKS.values():
            size = len(block)
            wire.write(b"HPUB %s %d %d\r\n%s\r\n" % (subjects.OUTBOX_WAKE.encode(), size, size, block))
        wire.write(b"PING\r\n")
        assert await asyncio.to_thread(wire.file.readline) == b"PONG\r\n"
    connection = await nats.connect(exposed.nats_url)
    async with Inbox(connection) as inbox:
        await inbox.only_reply(subjects.ENVIRONMENT_SET, json.dumps({"environment": "testing"}).encode())
    await connection.close()

    announced(exposed, ANSWERED_WITHIN)
