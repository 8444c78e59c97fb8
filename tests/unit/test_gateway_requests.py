import asyncio
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request as HttpRequest

from contracts import subjects
from contracts.deployments import DeploymentListRequest, DeployRequest
from contracts.endpoints import BY_SUBJECT, ENDPOINTS
from contracts.headers import DEADLINE, IDEMPOTENCY_KEY, TRACEPARENT, TRACESTATE
from contracts.problems import ProblemError
from worker.entrypoints.gateway import message_bodies, request_headers
from worker.entrypoints.gateway.twins import Twin

PATH = {"deployment_id": "0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41"}
PLAIN_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PADDING = st.sampled_from(["", " ", "\r\n", "\t \n"])


def with_fields(body, path=PATH, revision=None):
    faults = []
    return message_bodies.with_fields(body, path, revision, faults), faults


def from_query(query, path=None, model=DeploymentListRequest):
    faults = []
    body = message_bodies.from_query(query, path or {}, message_bodies.kinds(model), faults)
    return json.loads(body), faults


def read(*headers):
    faults = []
    return request_headers.read(headers, faults), faults


@given(st.dictionaries(st.text(), PLAIN_JSON, max_size=4), PADDING, PADDING)
def test_whatever_object_a_body_is_the_path_fields_join_it_and_the_rest_stays(document, before, after):
    document.pop("deployment_id", None)
    body = f"{before}{json.dumps(document)}{after}".encode()
    message, faults = with_fields(body)
    assert json.loads(message) == document | PATH
    assert faults == []


@pytest.mark.parametrize(
    "body", [b"[]", b"3", b"{", b'{"a":1}x', b"\xff", b'{"a":"\xff"}', b" ", b"null", b"[" * 999]
)
def test_what_is_no_object_goes_on_whole_so_that_the_worker_says_what_is_wrong(body):
    assert with_fields(body) == (body, [])


def test_no_body_is_an_object_of_the_path_fields_alone():
    message, faults = with_fields(b"")
    assert json.loads(message) == PATH
    assert faults == []


@pytest.mark.parametrize("body", [b"", b" {} ", b"not json", b'{"b":1.50,"b":2}'])
def test_a_body_goes_on_untouched_where_nothing_joins_it(body):
    assert with_fields(body, {}) == (body, [])


def test_what_the_caller_wrote_is_not_written_anew():
    message, _ = with_fields(b'{ "a": 1.10, "b": 1e400, "c": NaN }\n')
    assert message.startswith(b'{ "a": 1.10, "b": 1e400, "c": NaN ,"deployment_id":')


def test_the_path_field_may_stand_in_the_body_as_well():
    body = json.dumps({"reason": "r"} | PATH).encode()
    assert with_fields(body) == (body, [])


@pytest.mark.parametrize("other", ["another", None, 7, {}])
def test_another_value_of_a_path_field_in_the_body_is_a_fault_of_that_field(other):
    _, faults = with_fields(json.dumps({"deployment_id": other}).encode())
    assert [field for field, _ in faults] == ["deployment_id"]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"version":"2"}', b'{"expected_revision":3}', b'{"expected_revision":null}']
)
def test_if_match_is_the_expected_revision(body):
    message, faults = with_fields(body, {}, 3)
    assert json.loads(message)["expected_revision"] == 3
    assert faults == []


def test_if_match_and_another_expected_revision_contradict_each_other():
    _, faults = with_fields(b'{"expected_revision":4}', {}, 3)
    assert [field for field, _ in faults] == ["If-Match"]


@pytest.mark.parametrize(
    ("text", "revision"), [('"3"', 3), ("3", 3), ("*", None), (None, None), ('"12345"', 12345)]
)
def test_if_match_takes_one_revision_quoted_or_bare_or_any(text, revision):
    faults = []
    assert request_headers.expected_revision(text, faults) == revision
    assert faults == []


@pytest.mark.parametrize("text", ["", "three", 'W/"3"', '"3", "4"', '"3', "-3", "3.0", "٣", '""'])
def test_any_other_if_match_is_a_fault_of_that_header(text):
    faults = []
    request_headers.expected_revision(text, faults)
    assert [field for field, _ in faults] == ["If-Match"]


def test_numbers_in_a_query_become_numbers_and_the_rest_stays_text():
    assert from_query(b"page=2&page_size=050&status=active&cursor=7") == (
        {"page": 2, "page_size": 50, "status": "active", "cursor": "7"},
        [],
    )


def test_truth_in_a_query_becomes_truth():
    assert from_query(b"wait=true&override_quarantine=false&supersede_pending=1", model=DeployRequest) == (
        {"wait": True, "override_quarantine": False, "supersede_pending": "1"},
        [],
    )


@pytest.mark.parametrize("text", ["", "two", "1.5", "1e3", "9" * 30, "٣", "true"])
def test_what_is_no_number_goes_on_as_text_so_that_the_worker_names_its_field(text):
    asked, faults = from_query(f"page={quote(text)}".encode())
    assert asked == {"page": text}
    assert faults == []


def test_unknown_parameters_go_on_so_that_the_worker_refuses_them():
    assert from_query(b"colour=red") == ({"colour": "red"}, [])


def test_a_parameter_that_is_repeated_is_a_fault_of_it():
    _, faults = from_query(b"page=1&status=active&page=1&status=failed")
    assert sorted({field for field, _ in faults}) == ["page", "status"]


def test_a_parameter_that_is_another_one_in_the_path_is_a_fault_of_it():
    assert from_query(b"entity_id=a", {"entity_id": "a"}) == ({"entity_id": "a"}, [])
    _, faults = from_query(b"entity_id=b", {"entity_id": "a"})
    assert [field for field, _ in faults] == ["entity_id"]


def test_a_query_of_very_many_parameters_is_refused_in_one_line():
    _, faults = from_query(b"&".join(b"a%d=1" % number for number in range(5000)))
    assert len(faults) == 1


def test_known_headers_are_read_in_any_spelling_that_the_server_gives_and_others_left_out():
    given, faults = read((b"idempotency-key", b"k 1"), (b"library-transport", b"nats"), (b"x-other", b"1"))
    assert given.forwarded == {IDEMPOTENCY_KEY: "k 1"}
    assert given.if_match is None
    assert faults == []


NOT_FOR_NATS = [
    *(b"a\r\nNats-Msg-Id: b", b"a\nb", b"a\rb", b"a\x00", b"\x7f", b"caf\xe9"),
    "ключ".encode(),
]


@pytest.mark.parametrize("value", NOT_FOR_NATS)
def test_a_header_that_could_not_stand_in_nats_is_a_fault_of_it(value):
    given, faults = read((b"idempotency-key", value))
    assert given.forwarded == {}
    assert [field for field, _ in faults] == [IDEMPOTENCY_KEY]


def test_a_header_given_twice_is_a_fault():
    given, faults = read((b"if-match", b"1"), (b"if-match", b"1"))
    assert given.forwarded == {}
    assert [field for field, _ in faults] == ["If-Match"]


PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_goes_on_and_its_states_are_one_list():
    given, faults = read((b"traceparent", PARENT), (b"tracestate", b"a=1"), (b"tracestate", b" b=2"))
    assert given.forwarded == {TRACEPARENT: PARENT.decode(), TRACESTATE: "a=1,b=2"}
    assert faults == []


@pytest.mark.parametrize("value", [*NOT_FOR_NATS, b"", b"none", PARENT + b"-" + b"x" * 60_000])
def test_what_is_no_trace_goes_no_further_and_is_no_fault(value):
    assert read((b"traceparent", value), (b"tracestate", b"a=1")) == (({}, None), [])
    given, faults = read((b"traceparent", PARENT), (b"tracestate", value))
    assert (given.forwarded, faults) == ({TRACEPARENT: PARENT.decode()}, [])


def test_a_trace_with_two_parents_or_none_is_none():
    state = (b"tracestate", b"a=1")
    assert read((b"traceparent", PARENT), (b"traceparent", PARENT), state) == (({}, None), [])
    assert read(state) == (({}, None), [])


def seconds_left(forwarded):
    return (datetime.fromisoformat(forwarded[DEADLINE]) - datetime.now(UTC)).total_seconds()


def test_without_a_deadline_one_is_made_of_the_gateways_own_patience():
    forwarded = {}
    within = request_headers.seconds_to_wait(forwarded, 10)
    assert within == 10 + request_headers.MARGIN
    assert 9 < seconds_left(forwarded) <= 10
    assert forwarded[DEADLINE].endswith("Z")


def test_a_callers_deadline_goes_on_as_it_is_and_bounds_the_wait():
    given = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    forwarded = {DEADLINE: given}
    assert 2 < request_headers.seconds_to_wait(forwarded, 10) <= 3 + request_headers.MARGIN
    assert forwarded[DEADLINE] == given


def test_a_deadline_further_than_the_longest_wait_is_brought_nearer_for_the_worker_too():
    forwarded = {DEADLINE: "9999-12-31T23:59:59-23:59"}
    within = request_headers.seconds_to_wait(forwarded, 10)
    assert within == request_headers.LONGEST_WAIT + request_headers.MARGIN
    assert seconds_left(forwarded) <= request_headers.LONGEST_WAIT


def test_a_deadline_that_has_passed_still_leaves_time_for_the_workers_refusal():
    forwarded = {DEADLINE: "0001-01-01T00:00:00+23:59"}
    assert request_headers.seconds_to_wait(forwarded, 10) == request_headers.MARGIN
    assert forwarded[DEADLINE] == "0001-01-01T00:00:00+23:59"


@pytest.mark.parametrize("text", ["", "soon", "2030-01-01T00:00:00", "1e9"])
def test_a_deadline_that_is_none_goes_on_so_that_the_worker_says_so(text):
    forwarded = {DEADLINE: text}
    assert request_headers.seconds_to_wait(forwarded, 10) == 10 + request_headers.MARGIN
    assert forwarded[DEADLINE] == text


def twin(subject):
    return Twin.of(BY_SUBJECT[subject], BY_SUBJECT[subject].routes[0])


@pytest.mark.parametrize(
    "body", [b'{"wait":true}', b' { "wait" : true , "reason":"x"}', b'{"wait":false,"wait":true}']
)
def test_a_deploy_that_waits_is_answered_30_seconds_later_at_most(body):
    forwarded = {}
    within = request_headers.seconds_to_wait(forwarded, twin(subjects.DEPLOY_REQUEST).patience(body, 10))
    assert within == 30.2 + request_headers.MARGIN
    assert 30 < seconds_left(forwarded) <= 30.2


def test_a_gateway_that_is_more_patient_than_that_stays_so():
    assert twin(subjects.DEPLOY_REQUEST).patience(b'{"wait":true}', 45) == 45


def test_a_deploy_that_waits_has_no_more_time_than_its_caller_gave():
    given = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    forwarded = {DEADLINE: given}
    patience = twin(subjects.DEPLOY_REQUEST).patience(b'{"wait":true}', 10)
    assert request_headers.seconds_to_wait(forwarded, patience) <= 3 + request_headers.MARGIN
    assert forwarded[DEADLINE] == given


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"wait":false}',
        b'{"wait":null}',
        b'{"wait":1}',
        b'{"wait":"true"}',
        b'{"wait":true,"wait":false}',
        b'{"reason":"\\"wait\\":true"}',
        b'{"config_override":{"wait":true}}',
        b'["wait",true]',
        b'{"wait":true',
        b'{"wait":true,"a":' + b"[" * 100_000,
    ],
)
def test_what_does_not_wait_has_the_gateways_own_patience(body):
    assert twin(subjects.DEPLOY_REQUEST).patience(body, 10) == 10


def test_nothing_but_a_deploy_can_wait():
    waiting = [
        endpoint.subject
        for endpoint in ENDPOINTS
        for route in endpoint.routes
        if Twin.of(endpoint, route).patience(b'{"wait":true}', 10) > 10
    ]
    assert waiting == [subjects.DEPLOY_REQUEST]


def test_a_refusal_is_known_by_the_key_else_the_message_id_else_an_id_of_its_own():
    key, message_id = (b"idempotency-key", b"key"), (b"nats-msg-id", b"id")
    assert request_headers.request_id([message_id, key]) == "key"
    assert request_headers.request_id([message_id]) == "id"
    assert request_headers.request_id([message_id, (b"idempotency-key", b"caf\xe9")]) == "id"
    assert request_headers.request_id([(b"nats-msg-id", b"x" * 256)]) != request_headers.request_id([])


async def test_a_body_that_does_not_come_is_not_waited_for():
    async def nothing_comes():
        await asyncio.Event().wait()

    request = HttpRequest({"type": "http", "method": "POST", "headers": []}, nothing_comes)
    with pytest.raises(ProblemError) as refused:
        await message_bodies.read(request, within=0.01)
    assert refused.value.code == "deadline_exceeded"
