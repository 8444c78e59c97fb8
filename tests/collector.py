"""A collector of traces: takes what OpenTelemetry's exporters send over HTTP, and lets tests wait for it."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

_WAIT_SECONDS = 15


class Span(NamedTuple):
    """A span as it was received; ids in hexadecimal digits, times in nanoseconds."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    failed: bool
    began: int
    ended: int
    state: str


class Collector:
    """Listens on a port of its own."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.received = b""
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, path: str, body: bytes) -> None:
        """Keep what was sent to the path of traces."""
        assert path == "/v1/traces"
        sent = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self.received += body
            for each in sent.resource_spans:
                known = {item.key: item.value.string_value for item in each.resource.attributes}
                for scope in each.scope_spans:
                    self.spans += (_span(known["service.name"], span) for span in scope.spans)
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[list[Span]], Any]) -> Any:
        """What ``wanted`` finds in the spans, once it finds anything."""
        with self._changed:
            found = self._changed.wait_for(lambda: wanted(self.spans), _WAIT_SECONDS)
        assert found, [(span.service, span.name) for span in self.spans]
        return found

    def of(self, trace_id: str, *names: str) -> list[Span]:
        """The spans of a trace, by their beginning, once it has spans of all these names."""

        def wanted(spans: list[Span]) -> list[Span] | None:
            found = sorted((each for each in spans if each.trace_id == trace_id), key=lambda each: each.began)
            return found if {each.name for each in found} >= set(names) else None

        return self.wait_for(wanted)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _span(service: str, sent: Sent) -> Span:
    return Span(
        service=service,
        name=sent.name,
        kind=Sent.SpanKind.Name(sent.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=sent.trace_id.hex(),
        span_id=sent.span_id.hex(),
        parent=sent.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in sent.links),
        attributes={
            item.key: getattr(item.value, item.value.WhichOneof("value")) for item in sent.attributes
        },
        failed=sent.status.code == 2,
        began=sent.start_time_unix_nano,
        ended=sent.end_time_unix_nano,
        state=sent.trace_state,
    )
