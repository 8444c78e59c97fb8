"""Traces, as a collector receives them: from a caller over HTTP and NATS to the events' consumers."""

import asyncio
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import nats
import pytest

from contracts import headers, subjects
from tests.collector import Collector
from tests.conftest import Caller, Refused
from tests.events import events_of
from tests.system import System

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")
PROCESS_DEPLOY = f"process {subjects.DEPLOY_REQUEST}"
SEND_DEPLOY = f"send {subjects.DEPLOY_REQUEST}"
SEND_COMPLETED = "send library.deployment.completed.v1"


def a_trace(*, sampled=True):
    """A trace that somebody has begun: its id, its span's id, and the header that says so."""
    trace_id, span_id = uuid4().hex, uuid4().hex[:16]
    return trace_id, span_id, f"00-{trace_id}-{span_id}-0{int(sampled)}"


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(collector):
    product = System()
    try:
        yield product.start(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="50",
            LIBRARY_LOG_LEVEL="INFO",
        )
    finally:
        product.stop()


@pytest.fixture
async def connection(traced):
    client = await nats.connect(traced.nats_url)
    yield client
    await client.close()


@pytest.fixture
def caller(connection):
    return Caller(connection)


def post(system, path, body, **carried):
    """Status and body of a POST through the gateway."""
    request = urllib.request.Request(
        system.http_url + path,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **carried},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def posted(system, path, body, told):
    """The status of a POST whose headers may be given twice."""
    address = urllib.parse.urlsplit(system.http_url)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=10)) as connection:
        connection.putrequest("POST", path)
        for name, value in [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *told,
        ]:
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status


def a_deploy(entity, **fields):
    return {
        "entity_id": entity["entity_id"],
        "environment": "staging",
        "deployed_by": "tests",
        **fields,
    }


def said(program, environment):
    """What a program prints and logs."""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def only(spans, name):
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_one_trace_leads_from_an_http_caller_to_the_consumer_of_the_event(
    traced, collector, caller, connection
):
    entity = await caller.create()
    trace_id, span_id, traceparent = a_trace()
    heard = await connection.subscribe(f"library.events.deployment.completed.*.{entity['entity_id']}")
    await connection.flush()

    status, _ = await asyncio.to_thread(
        post, traced, "/api/v1/deployments", a_deploy(entity), traceparent=traceparent, tracestate="us=1"
    )
    event = await heard.next_msg(timeout=10)

    assert status == 201
    spans = collector.of(
        trace_id,
        "POST /api/v1/deployments",
        SEND_DEPLOY,
        PROCESS_DEPLOY,
        "batch",
        "COMMIT",
        SEND_COMPLETED,
    )
    http, asked = only(spans, "POST /api/v1/deployments"), only(spans, SEND_DEPLOY)
    process, batch = only(spans, PROCESS_DEPLOY), only(spans, "batch")
    sent = only(spans, SEND_COMPLETED)
    assert [(each.kind, each.parent) for each in (http, asked, process, batch, sent)] == [
        ("server", span_id),
        ("client", http.span_id),
        ("server", asked.span_id),
        ("internal", process.span_id),
        ("producer", process.span_id),
    ]
    assert {each.service for each in (http, asked)} == {"library-gateway"}
    assert {each.service for each in (process, batch, sent)} == {"library-worker"}
    assert {each.state for each in spans} == {"us=1"}
    assert not any(each.failed for each in spans)
    assert event.headers[headers.TRACEPARENT] == f"00-{trace_id}-{sent.span_id}-01"
    assert event.headers[headers.TRACESTATE] == "us=1"
    origin = json.loads(event.data)
    assert (origin["traceparent"], origin["tracestate"]) == (f"00-{trace_id}-{process.span_id}-01", "us=1")


async def test_the_statements_and_the_commit_are_parts_of_the_batch(collector, caller):
    entity = await caller.create()
    trace_id, _, traceparent = a_trace()
    await caller.ask(subjects.DEPLOY_REQUEST, {"traceparent": traceparent}, **a_deploy(entity))

    spans = collector.of(trace_id, PROCESS_DEPLOY, "batch", "COMMIT", SEND_COMPLETED)
    batch = only(spans, "batch")
    statements = [each for each in spans if each.parent == batch.span_id]
    assert all(each.kind == "client" for each in statements)
    assert all(each.attributes["db.system.name"] == "postgresql" for each in statements)
    assert all(batch.began <= each.began <= each.ended <= batch.ended for each in statements)
    asked, committed = [each for each in statements if each.name != "PREPARE"]
    assert committed.name == "COMMIT"
    assert "FOR UPDATE" in asked.attributes["db.query.text"]
    written = committed.attributes["db.query.text"]
    assert all(f"INSERT INTO {table}" in written for table in ("deployments", "events", "outbox"))
    assert entity["entity_id"] not in written
    process = only(spans, PROCESS_DEPLOY)
    assert process.began <= batch.began <= batch.ended <= process.ended


async def test_a_batch_is_linked_to_all_its_requests_and_they_to_it(collector, caller):
    entities = [await caller.create() for _ in range(40)]
    traces = {}
    for entity in entities:
        trace_id, _, traceparent = a_trace()
        traces[trace_id] = (entity, traceparent)
    await asyncio.gather(
        *(
            caller.ask(subjects.DEPLOY_REQUEST, {"traceparent": traceparent}, **a_deploy(entity))
            for entity, traceparent in traces.values()
        )
    )

    def all_there(spans):
        ours = [each for each in spans if each.trace_id in traces]
        process = {each.span_id: each for each in ours if each.name == PROCESS_DEPLOY}
        batches = [each for each in ours if each.name == "batch"]
        return (process, batches) if len(process) == len(traces) else None

    process, batches = collector.wait_for(all_there)
    large = [each for each in batches if each.links]
    assert large, "forty requests at once and every batch had one"
    for batch in large:
        assert batch.attributes["messaging.batch.message_count"] == len(batch.links) + 1
        assert set(batch.links) <= set(process)
        for span_id in batch.links:
            assert process[span_id].links == (batch.span_id,)
    covered = {each.parent for each in batches} | {link for each in batches for link in each.links}
    assert covered == set(process)


async def test_a_refusal_is_named_and_is_no_fault_of_the_worker(traced, collector, caller):
    entity = await caller.create()
    trace_id, _, traceparent = a_trace()

    status, problem = await asyncio.to_thread(
        post,
        traced,
        "/api/v1/deployments",
        a_deploy(entity, expected_version="9"),
        traceparent=traceparent,
    )

    assert (status, problem["code"]) == (409, "version_mismatch")
    spans = collector.of(trace_id, "POST /api/v1/deployments", PROCESS_DEPLOY)
    process, http = only(spans, PROCESS_DEPLOY), only(spans, "POST /api/v1/deployments")
    assert (process.attributes["error.type"], process.failed) == ("version_mismatch", False)
    assert (http.attributes["http.response.status_code"], http.failed) == (409, False)


async def test_a_request_that_cannot_be_read_has_a_span(collector, caller):
    trace_id, span_id, traceparent = a_trace()
    await caller.raw(subjects.DEPLOY_REQUEST, b"{", traceparent=traceparent)

    (process,) = collector.of(trace_id, PROCESS_DEPLOY)
    assert (process.parent, process.attributes["error.type"]) == (span_id, "invalid_request")


async def test_a_read_is_followed_to_its_statements(traced, collector, caller):
    entity = await caller.create()
    deployment = await caller.deploy(entity)
    trace_id, _, traceparent = a_trace()
    request = urllib.request.Request(
        f"{traced.http_url}/api/v1/deployments/{deployment['deployment_id']}",
        headers={"traceparent": traceparent},
    )
    with await asyncio.to_thread(urllib.request.urlopen, request, timeout=10) as response:
        assert response.status == 200

    process, http = f"process {subjects.DEPLOY_GET}", "GET /api/v1/deployments/{deployment_id}"
    spans = collector.of(trace_id, http, process)
    of_it = [each for each in spans if each.parent == only(spans, process).span_id]
    assert [each.name for each in of_it][-1:] == ["SELECT deployments"]


async def test_a_request_without_a_trace_begins_one(traced, collector, caller, connection):
    entity = await caller.create()
    await caller.deploy(entity)

    *_, completed = await events_of(traced, connection, entity)
    trace_id = completed["traceparent"].split("-")[1]
    assert not only(collector.of(trace_id, PROCESS_DEPLOY), PROCESS_DEPLOY).parent


@pytest.mark.parametrize("parents", [[], ["none"], [a_trace()[2], a_trace()[2]]])
async def test_an_http_request_with_a_state_and_no_parent_begins_a_trace_of_its_own(
    traced, collector, caller, connection, parents
):
    entity = await caller.create()
    body = json.dumps(a_deploy(entity)).encode()
    told = [*(("traceparent", parent) for parent in parents), ("tracestate", "us=1")]

    assert (await asyncio.to_thread(posted, traced, "/api/v1/deployments", body, told)) == 201

    *_, completed = await events_of(traced, connection, entity)
    assert "tracestate" not in completed
    trace_id = completed["traceparent"].split("-")[1]
    assert not any(trace_id in parent for parent in parents)
    spans = collector.of(trace_id, "POST /api/v1/deployments", SEND_DEPLOY, PROCESS_DEPLOY)
    assert not only(spans, "POST /api/v1/deployments").parent


async def test_two_lines_of_state_are_one_list_all_the_way_to_the_event(traced, caller, connection):
    entity = await caller.create()
    body = json.dumps(a_deploy(entity)).encode()
    told = [("traceparent", a_trace()[2]), ("tracestate", "us=1"), ("tracestate", "them=2")]

    assert (await asyncio.to_thread(posted, traced, "/api/v1/deployments", body, told)) == 201

    *_, completed = await events_of(traced, connection, entity)
    assert completed["tracestate"] == "us=1,them=2"


async def test_a_caller_that_leaves_in_the_middle_of_its_body_is_no_fault_of_ours(traced, collector):
    trace_id, _, traceparent = a_trace()

    with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(traced.http_url).port)) as leaving:
        leaving.sendall(
            b"POST /api/v1/deployments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\ntraceparent: %s\r\n\r\n{" % traceparent.encode()
        )

    span = only(collector.of(trace_id, "POST /api/v1/deployments"), "POST /api/v1/deployments")
    assert not span.failed
    assert not {"error.type", "http.response.status_code"} & span.attributes.keys()


async def test_a_trace_that_is_not_recorded_is_passed_on_and_nothing_of_it_is_sent(
    traced, collector, caller, connection
):
    entity = await caller.create()
    quiet, _, unsampled = a_trace(sampled=False)
    await caller.ask(subjects.DEPLOY_REQUEST, {"traceparent": unsampled}, **a_deploy(entity))
    loud, _, sampled = a_trace()
    await caller.ask(subjects.DEPLOY_REQUEST, {"traceparent": sampled}, **a_deploy(entity))

    collector.of(loud, PROCESS_DEPLOY, "batch", SEND_COMPLETED)
    assert not [each for each in collector.spans if each.trace_id == quiet]
    _, first, *_ = await events_of(traced, connection, entity)
    _, trace_id, _, flags = first["traceparent"].split("-")
    assert (trace_id, flags) == (quiet, "00")


@pytest.mark.parametrize(
    "traceparent",
    [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-later",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
        "00-\u0660af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "none",
        "-" * 4000,
    ],
)
@pytest.mark.parametrize(
    "tracestate",
    [
        "us=1",
        "us=1,us=2",
        ",,,=,=,",
        "=",
        "us",
        "x" * 512,
        "x" * 513,
        ",".join(f"m{number}=1" for number in range(60)),
        "\u00e9=1",
        'us="<script>"',
    ],
)
async def test_whatever_is_said_to_be_a_trace_the_request_is_done_and_announced(
    traced, caller, connection, traceparent, tracestate
):
    entity = await caller.create()
    heard = await connection.subscribe(f"library.events.deployment.completed.*.{entity['entity_id']}")
    said_to_be = {"traceparent": traceparent, "tracestate": tracestate}

    deployment = await caller.ask(subjects.DEPLOY_REQUEST, said_to_be, **a_deploy(entity))
    event = await heard.next_msg(timeout=10)

    assert deployment["status"] == "active"
    carried = json.loads(event.data)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", carried["traceparent"])
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", event.headers[headers.TRACEPARENT])


async def test_a_durable_command_is_part_of_its_senders_trace(collector, caller, connection):
    entity = await caller.create()
    trace_id, span_id, traceparent = a_trace()
    await connection.jetstream().publish(
        subjects.COMMAND_DEPLOY,
        json.dumps(a_deploy(entity)).encode(),
        headers={headers.MESSAGE_ID: f"order-{uuid4()}", headers.TRACEPARENT: traceparent},
    )

    spans = collector.of(trace_id, f"process {subjects.COMMAND_DEPLOY}", "batch", SEND_COMPLETED)
    process = only(spans, f"process {subjects.COMMAND_DEPLOY}")
    assert (process.kind, process.parent) == ("consumer", span_id)
    assert only(spans, SEND_COMPLETED).parent == process.span_id


async def test_an_event_with_a_number_that_no_float_holds_is_traced_and_hinders_no_other(
    collector, caller, connection
):
    entity = await caller.create()
    heard = await connection.subscribe(f"library.events.deployment.completed.*.{entity['entity_id']}")
    trace_id, _, traceparent = a_trace()

    deployed = await caller.ask(
        subjects.DEPLOY_REQUEST,
        {headers.TRACEPARENT: traceparent},
        **a_deploy(entity, config_override={"n": 10**400}),
    )

    event = json.loads((await heard.next_msg(timeout=10)).data)
    assert event["subject"] == deployed["deployment_id"]
    assert event["data"]["deployment"]["config_snapshot"]["n"] == 10**400
    collector.of(trace_id, PROCESS_DEPLOY, SEND_COMPLETED)


@pytest.mark.parametrize("body", [b"{}", b'{"x":1e400}'])
async def test_a_dead_letters_rejection_is_part_of_its_senders_trace(collector, connection, body):
    trace_id, _, traceparent = a_trace()
    await connection.jetstream().publish(
        subjects.COMMAND_DEPLOY,
        body,
        headers={headers.MESSAGE_ID: f"order-{uuid4()}", headers.TRACEPARENT: traceparent},
    )

    spans = collector.of(
        trace_id, f"process {subjects.COMMAND_DEPLOY}", "send library.deployment.rejected.v1"
    )
    process = only(spans, f"process {subjects.COMMAND_DEPLOY}")
    assert process.attributes["error.type"] == "invalid_request"


async def test_nothing_that_callers_send_is_in_a_span(collector, caller):
    secret = f"secret-{uuid4().hex}"
    entity = await caller.create(config={"password": secret}, description=secret)
    trace_id, _, traceparent = a_trace()
    deploy = a_deploy(entity, config_override={"token": secret}, deployed_by=secret)
    await caller.ask(subjects.DEPLOY_REQUEST, {"traceparent": traceparent}, **deploy)
    with pytest.raises(Refused):
        await caller.ask(
            subjects.DEPLOY_REQUEST, {"traceparent": traceparent}, **deploy, expected_version=secret
        )

    collector.of(trace_id, PROCESS_DEPLOY, "COMMIT", SEND_COMPLETED)
    assert secret.encode() not in collector.received


async def test_the_log_names_the_trace_beside_the_request(traced, caller):
    entity = await caller.create()
    trace_id, _, traceparent = a_trace()
    await caller.ask(
        subjects.DEPLOY_REQUEST,
        {"traceparent": traceparent, "Idempotency-Key": trace_id},
        **a_deploy(entity),
    )

    (worker,) = traced.workers
    line = json.loads(worker.wait_for_line(trace_id))
    assert (line["event"], line["trace_id"], line["request_id"]) == (
        "deployment_completed",
        trace_id,
        trace_id,
    )


FAULTY_SDK = """
from opentelemetry.sdk.trace import sampling


class Broken(sampling.Sampler):
    def should_sample(self, *_, **__):
        raise RuntimeError("no sample")

    def get_description(self):
        return "broken"


sampling._KNOWN_SAMPLERS["broken"] = Broken()
"""


@pytest.fixture(scope="module")
def badly_sampled(tmp_path_factory):
    """A product on an SDK whose sampler raises at every span."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "sitecustomize.py").write_text(FAULTY_SDK)
    product = System()
    try:
        yield product.start(
            OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
            OTEL_TRACES_SAMPLER="broken",
            PYTHONPATH=str(folder),
        )
    finally:
        product.stop()


async def test_a_tracer_that_raises_costs_nobody_an_answer_or_an_event(badly_sampled):
    system = badly_sampled
    client = await nats.connect(system.nats_url)
    caller = Caller(client)
    entity = await caller.create()
    heard = await client.subscribe(f"library.events.deployment.completed.*.{entity['entity_id']}")
    await client.flush()
    _, _, traceparent = a_trace()

    status, _ = await asyncio.to_thread(
        post, system, "/api/v1/deployments", a_deploy(entity), traceparent=traceparent
    )
    again = await caller.deploy(entity)
    first, second = [json.loads((await heard.next_msg(timeout=10)).data) for _ in range(2)]
    await client.close()

    assert status == 201
    assert again["status"] == "active"
    assert first["traceparent"] == traceparent
    assert second["subject"] == again["deployment_id"]
    for process in (system.workers[0], system.gateway):
        (line,) = [line for line in process.lines if "tracing_failed" in line]
        assert "RuntimeError" in line


async def test_what_nobody_confirmed_is_given_up_in_a_trace_of_its_own(collector, caller):
    entity = await caller.create()
    environment = {"environment": "testing", "updated_by": "tests"}
    await caller.ask(subjects.ENVIRONMENT_SET, **environment, activation="confirmed", confirm_timeout_s=1)
    try:
        deployment = await caller.ask(
            subjects.DEPLOY_REQUEST, **{**a_deploy(entity), "environment": "testing"}, wait=True
        )
    finally:
        await caller.ask(subjects.ENVIRONMENT_SET, **environment, activation="instant")

    assert deployment["status"] == "failed"
    own, sent = collector.wait_for(
        lambda spans: [
            (own, sent)
            for own in spans
            if own.name == subjects.EXPIRY
            for sent in spans
            if sent.name == "send library.deployment.failed.v1" and sent.parent == own.span_id
        ]
    )[0]
    assert (own.kind, own.parent, own.trace_id) == ("internal", "", sent.trace_id)


@pytest.fixture(scope="module")
def without_collector():
    """A product whose collector is away."""
    product = System()
    try:
        yield product.start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_BSP_SCHEDULE_DELAY="50")
    finally:
        product.stop()


async def test_without_the_collector_everything_works_and_stops_in_time(without_collector):
    system = without_collector
    client = await nats.connect(system.nats_url)
    caller = Caller(client)
    deployment = await caller.deploy(await caller.create())
    await client.close()

    assert deployment["status"] == "active"
    worker = system.start_worker(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    worker.wait_for_line("worker_ready")
    assert worker.stop(timeout=8) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "traces_on"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "traces_on"),
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER is 'jaeger'; there is otlp, or none"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; there is http/protobuf",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "Authorization Basic c2VjcmV0"},
            "OTEL_EXPORTER_OTLP_HEADERS is not NAME=VALUE",
        ),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_HEADERS": "a=b,Authorization=Basic%20c2VjcmV0",
            },
            "traces_on",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
            "a variable of OpenTelemetry",
        ),
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_the_environment_says_whether_a_process_traces(system, given, said):
    worker = system.start_worker(**given)
    try:
        worker.wait_for_line("worker_ready")
        about = [line for line in worker.lines if "traces_o" in line]
        assert len(about) == (said is not None)
        assert all(said in line for line in about)
        assert not any("c2VjcmV0" in line or "Traceback" in line for line in worker.lines)
    finally:
        worker.stop()
        system.workers.remove(worker)


def test_a_process_that_does_not_trace_does_not_even_load_what_would():
    program = (
        "import sys, worker.entrypoints.nats.worker, worker.entrypoints.gateway.server;"
        "from worker.entrypoints import telemetry; telemetry.start('x');"
        "print([each for each in sys.modules if each.startswith('opentelemetry.sdk')])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    assert said(program, environment) == "[]"


def test_where_opentelemetry_is_not_installed_the_log_says_what_to_install():
    program = (
        "import sys; sys.modules['opentelemetry'] = None;"
        "from worker import tracing; from worker.entrypoints import telemetry; telemetry.start('x');"
        "print(tracing.tracer().is_on)"
    )
    answer = said(program, {**os.environ, "OTEL_TRACES_EXPORTER": "otlp"})
    assert "pip install 'library-worker[telemetry]'" in answer
    assert answer.endswith("False")


def test_the_program_of_the_page_asks_within_its_own_trace(traced, collector):
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    begin = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider;"
        "trace.set_tracer_provider(TracerProvider())\n"
    )
    asked = f"process {subjects.DEPLOY_LIST}"
    before = {each.span_id for each in collector.spans}

    answer = said(begin + program, {**os.environ, "LIBRARY_NATS_URL": traced.nats_url})

    assert re.fullmatch(r"\d+ deployments", answer)
    (process,) = collector.wait_for(
        lambda spans: [each for each in spans if each.name == asked and each.span_id not in before]
    )
    assert process.parent


async def test_the_spans_that_the_page_draws_are_those_of_a_deploy(traced, collector, caller):
    drawn = {name.strip() for name in re.findall(r"[└├]─ (.+?)(?:  |$)", PAGE, re.MULTILINE)}
    drawn -= {"(your consumer)"}
    entity = await caller.create()
    await caller.deploy(entity)
    trace_id, _, traceparent = a_trace()

    await asyncio.to_thread(post, traced, "/api/v1/deployments", a_deploy(entity), traceparent=traceparent)

    assert {each.name for each in collector.of(trace_id, *drawn)} - {"PREPARE"} == drawn
