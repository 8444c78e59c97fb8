"""Events on their way to the stream: whatever they hold, they are announced, and traced if that can be."""

import json
from types import SimpleNamespace
from uuid import uuid4

import pytest

from contracts import headers
from worker import tracing
from worker.domain.changes import WaitingEvent
from worker.domain.trace import Trace
from worker.messaging.announcement import announcing
from worker.messaging.audit import identity
from worker.tracing import PassedOn

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN = Trace("00-0af7651916cd43dd8448eb211c80319c-" + "c" * 16 + "-01")
HUGE = ["1" * 4300, "-" + "9" * 400, "1e400", "[" * 200 + "1e999" + "]" * 200]


class Tracer(tracing.Off):
    """Begins spans, and keeps their names."""

    is_on = True

    def __init__(self):
        self.begun = []

    def begin(self, kind, name, attributes, parent):
        self.begun.append((name, parent))
        return PassedOn(OWN)


@pytest.fixture
def tracer():
    before, made = tracing.tracer(), Tracer()
    tracing.install(made)
    yield made
    tracing.install(before)


def an_event(data, **extensions):
    envelope = {"id": str(uuid4()), "type": "library.entity.updated.v1", **extensions}
    body = json.dumps(envelope, separators=(",", ":"))[:-1] + f',"data":{data}}}'
    return WaitingEvent(1, 0, envelope["id"], "library.events.entity.x.updated", body.encode(), 0.1)


@pytest.mark.parametrize("number", HUGE)
def test_an_event_is_traced_whatever_numbers_its_data_hold(tracer, number):
    event = an_event(f'{{"entity":{{"config":{{"n":{number}}}}}}}', traceparent=PARENT, tracestate="us=1")

    with announcing([event]) as messages:
        (message,) = messages

    assert tracer.begun == [("send library.entity.updated.v1", Trace(PARENT, "us=1"))]
    assert message.headers[headers.TRACEPARENT] == OWN.traceparent
    assert message.body == event.body


def test_what_stands_in_a_string_is_not_taken_for_the_data(tracer):
    with announcing([an_event("{}", correlationid='a","data":"b', traceparent=PARENT)]):
        pass

    assert tracer.begun == [("send library.entity.updated.v1", Trace(PARENT))]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1e400", b'{"traceparent":1,"data":{}}', b'"\\ud800"'])
def test_an_event_that_cannot_be_read_is_announced_all_the_same(tracer, body):
    with announcing([an_event("{}")._replace(body=body)]) as messages:
        (message,) = messages

    assert (tracer.begun, message.body) == ([], body)


def stored(body, position=7):
    """A message of the stream, as nats-py gives it."""
    metadata = SimpleNamespace(sequence=SimpleNamespace(stream=position))
    return SimpleNamespace(headers={}, subject="library.events.x", data=body, metadata=metadata)


@pytest.mark.parametrize("number", HUGE)
def test_the_audit_reads_an_events_id_whatever_numbers_its_data_hold(number):
    event = an_event(f'{{"n":{number}}}')

    assert identity(stored(event.body))[:2] == (7, event.event_id)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"id":1}'])
def test_the_audit_takes_a_message_that_is_no_event_for_none(body):
    assert identity(stored(body))[1] is None
