"""Traces by OpenTelemetry, sent by OTLP over HTTP; names and attributes by its semantic conventions.

A request's span is its caller's child. A batch is a child of its first request's span and linked to the
spans of the others, and they to it, so that from each of them there is a way to the statements and the
commit. An event carries the span of the request that it came from; its publishing is that one's child.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from importlib.metadata import version
from uuid import uuid4
from weakref import WeakValueDictionary

from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
)

from contracts.problems import PROBLEMS, ProblemError
from worker.domain.trace import Trace
from worker.tracing import NO_SPAN, Attributes, Kind, Span, of_subject

_KINDS: dict[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "producer": SpanKind.PRODUCER,
    "internal": SpanKind.INTERNAL,
}
_NOTHING: Attributes = {}
_FAULTS = ("internal_error", "unavailable", "no_answer")
"""The codes that are a fault of ours; others are answers."""
_CLOSE_SECONDS = 2.0
_PART = re.compile(r"\b(\w+) AS (?:MATERIALIZED )?\(")
_ABOUT = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM|FROM)\s+(\w+)\b(?!\()", re.IGNORECASE)


class OpenTelemetry:
    """The tracer of a process that sends its spans."""

    is_on = True

    def __init__(self, service: str) -> None:
        resource = Resource.create(
            {
                "service.name": service,
                "service.version": version("library-worker"),
                "service.instance.id": str(uuid4()),
            }
        ).merge(OTELResourceDetector().detect())  # what the environment says overrules
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("library", version("library-worker"))
        self._requests: WeakValueDictionary[int, _Span] = WeakValueDictionary()

    def begin(self, kind: Kind, name: str, attributes: Attributes, parent: Trace | None) -> Span:
        """A span that somebody ends, in another thread perhaps."""
        span = _Span(
            self._tracer.start_span(name, _around(parent), _KINDS[kind], attributes, record_exception=False)
        )
        self._requests[span.context.span_id] = span
        return span

    def within(self, trace: Trace | None) -> AbstractContextManager[object]:
        """What this thread or task does meanwhile is a part of that span."""
        return _entered(_around(trace))

    @contextmanager
    def asking(self, subject: str) -> Iterator[Span]:
        """A request over NATS as a part of the span that this task is within, if it is in one."""
        if not api.get_current_span().get_span_context().is_valid:
            yield NO_SPAN
            return
        with self._current(f"send {subject}", SpanKind.CLIENT, of_subject("send", subject)) as span:
            yield _Span(span)

    @contextmanager
    def batch(self, traces: Iterable[Trace | None]) -> Iterator[object]:
        """What this thread does meanwhile, it does for all of those that are recorded."""
        sampled = [each for each in map(_context, traces) if each and each.trace_flags.sampled]
        if not sampled:
            yield None
            return
        first, *others = sampled
        with self._current(
            "batch",
            SpanKind.INTERNAL,
            {"messaging.batch.message_count": len(sampled)},
            around=api.set_span_in_context(NonRecordingSpan(first), Context()),
            links=[Link(each) for each in others],
        ) as span:
            for each in others:
                if request := self._requests.get(each.span_id):
                    request.link(span.get_span_context())
            yield None

    @contextmanager
    def statement(self, text: str, ahead: Sequence[str] = ()) -> Iterator[object]:
        """A round trip of SQL, as a part of the span that this thread is within, if it is in one."""
        if not api.get_current_span().get_span_context().trace_flags.sampled:
            yield None
            return
        attributes = {"db.system.name": "postgresql", "db.query.text": ";\n".join((*ahead, text))}
        with self._current(_summary(text), SpanKind.CLIENT, attributes):
            yield None

    def close(self) -> None:
        """Send what is not sent yet; a collector that is away holds nobody up."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    @contextmanager
    def _current(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        around: Context | None = None,
        links: Iterable[Link] = (),
    ) -> Iterator[api.Span]:
        """A span that what this thread or task does meanwhile is a part of."""
        with self._tracer.start_as_current_span(
            name,
            around,
            kind,
            attributes,
            tuple(links),
            record_exception=False,  # its text may hold what callers sent
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", _error_type(error))
                span.set_status(StatusCode.ERROR)
                raise


class _Span:
    """A span that is under way; it knows what is handed on."""

    def __init__(self, span: api.Span) -> None:
        self._span = span
        self.context = span.get_span_context()

    @property
    def trace(self) -> Trace | None:
        of = self.context
        state = of.trace_state.to_header() if of.trace_state else None
        return Trace(f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags:02x}", state or None)

    def link(self, other: SpanContext) -> None:
        """Name another span that this one has to do with."""
        self._span.add_link(other)

    def end(self, code: str | None = None, *, name: str = "", attributes: Attributes = _NOTHING) -> None:
        """It is over; a refusal is the caller's matter, a fault is ours."""
        if code:
            self._span.set_attribute("error.type", code)
            if code not in PROBLEMS or code in _FAULTS:
                self._span.set_status(StatusCode.ERROR)
        if name:
            self._span.update_name(name)
        self._span.set_attributes(attributes)
        self._span.end()


def _error_type(error: BaseException) -> str:
    """A problem's code, PostgreSQL's SQLSTATE, or the kind of exception."""
    if isinstance(error, ProblemError):
        return error.code
    return getattr(getattr(error, "orig", None), "pgcode", None) or type(error).__name__


@contextmanager
def _entered(around: Context) -> Iterator[object]:
    token = contexts.attach(around)
    try:
        yield None
    finally:
        contexts.detach(token)


def _around(parent: Trace | None) -> Context:
    """The context in which a span is the child of that one, or of none."""
    known = _context(parent)
    return api.set_span_in_context(NonRecordingSpan(known), Context()) if known else Context()


def _context(trace: Trace | None) -> SpanContext | None:
    if trace is None:
        return None
    _, trace_id, span_id, flags, *_ = trace.traceparent.split("-", 4)
    known = SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
        trace_state=TraceState.from_header([trace.tracestate]) if trace.tracestate else None,
    )
    return known if known.is_valid else None


@lru_cache(maxsize=512)
def _summary(text: str) -> str:
    """What a statement does to what, such as ``INSERT INTO deployments``: few, to be grouped by."""
    parts = set(_PART.findall(text))
    for verb, name in _ABOUT.findall(text):
        if name not in parts:
            return f"{'SELECT' if verb.upper() == 'FROM' else verb.upper()} {name.lower()}"
    return text.split(maxsplit=1)[0].upper().rstrip(";")
