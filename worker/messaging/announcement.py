"""An event on its way to the stream: its message, and the span of its sending where anybody follows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import orjson

from contracts import headers
from worker import tracing
from worker.domain.changes import WaitingEvent
from worker.domain.trace import Trace
from worker.messaging.stream_writer import Message
from worker.tracing import NO_SPAN, Span

_DATA = b',"data":'
"""What comes last of an event. No string holds it, for quotation marks are escaped there."""


@contextmanager
def announcing(events: Sequence[WaitingEvent]) -> Iterator[list[Message]]:
    """The messages that announce these; they are sent when this ends, unless it ends with an error.

    A message carries the span of its sending, its body that of the request, as the CloudEvents extension for
    distributed tracing has it: the one says where it was last, the other where it came from.
    """
    if not tracing.tracer().is_on:
        yield [_message(event, None) for event in events]
        return
    spans = [_span(event) for event in events]
    try:
        yield [_message(event, span.trace) for event, span in zip(events, spans, strict=True)]
    except BaseException:
        for span in spans:
            span.end("unavailable")
        raise
    for span in spans:
        span.end()


def _span(event: WaitingEvent) -> Span:
    """The span of its sending, beneath that of the request that it came from, if that had one."""
    try:
        envelope = orjson.loads(event.body.partition(_DATA)[0] + b"}")
        trace = Trace.read(envelope.get(headers.TRACEPARENT), envelope.get(headers.TRACESTATE))
        name = f"send {envelope['type']}"
    except Exception:  # noqa: BLE001 - an event that cannot be traced is announced all the same
        return NO_SPAN
    if trace is None:
        return NO_SPAN
    attributes = tracing.of_message("send", event.nats_subject, event.event_id)
    return tracing.tracer().begin("producer", name, attributes, trace)


def _message(event: WaitingEvent, trace: Trace | None) -> Message:
    carried = {headers.MESSAGE_ID: event.event_id, headers.CONTENT_TYPE: headers.CLOUDEVENT_JSON}
    return Message(event.nats_subject, event.body, carried | trace.headers if trace else carried)
