"""Spans: what a process does for a request and how long that takes, for those who follow it through them.

Nobody does unless it was switched on, and then nothing is measured and a caller's trace goes on as it came.
``worker/entrypoints/opentelemetry.py`` is the tracer that there is besides.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, Protocol

from worker.domain.trace import Trace

Kind = Literal["server", "client", "consumer", "producer", "internal"]
"""OpenTelemetry's: who takes a request or asks for an answer, takes a message or sends one; or neither."""

Attributes = Mapping[str, str | int]
_NOTHING: Attributes = {}


class Span(Protocol):
    """Something that takes time."""

    @property
    def trace(self) -> Trace | None:
        """What is handed on to whoever does a part of it."""

    def end(self, code: str | None = None, *, name: str = "", attributes: Attributes = _NOTHING) -> None:
        """It is over; ``code`` of a problem if it was refused, a better name, what is known only now."""


class Tracer(Protocol):
    """Makes spans; for any threads."""

    is_on: bool

    def begin(self, kind: Kind, name: str, attributes: Attributes, parent: Trace | None) -> Span:
        """A span that somebody ends, in another thread perhaps."""

    def within(self, trace: Trace | None) -> AbstractContextManager[object]:
        """What this thread or task does meanwhile is a part of that span."""

    def asking(self, subject: str) -> AbstractContextManager[Span]:
        """A request over NATS as a part of the span that this task is within, if it is in one."""

    def batch(self, traces: Iterable[Trace | None]) -> AbstractContextManager[object]:
        """What this thread does meanwhile, it does for all of those."""

    def statement(self, text: str, ahead: Sequence[str] = ()) -> AbstractContextManager[object]:
        """A statement of SQL and those that go ahead of it in the same round trip.

        They are a part of the span that this thread is within, if it is in one.
        """

    def close(self) -> None:
        """Send what is not sent yet, for a few seconds at most."""


class PassedOn(NamedTuple):
    """No span: what came goes on."""

    trace: Trace | None

    def end(self, code: str | None = None, *, name: str = "", attributes: Attributes = _NOTHING) -> None:
        """Nothing was measured."""


NO_SPAN = PassedOn(None)
_UNMEASURED = nullcontext(NO_SPAN)


class Off:
    """Makes none."""

    is_on = False

    def begin(self, kind: Kind, name: str, attributes: Attributes, parent: Trace | None) -> Span:  # noqa: ARG002
        """Nothing that is measured."""
        return PassedOn(parent)

    def within(self, trace: Trace | None) -> AbstractContextManager[object]:  # noqa: ARG002
        """Nothing."""
        return _UNMEASURED

    def asking(self, subject: str) -> AbstractContextManager[Span]:  # noqa: ARG002
        """Nothing that is measured."""
        return _UNMEASURED

    def batch(self, traces: Iterable[Trace | None]) -> AbstractContextManager[object]:  # noqa: ARG002
        """Nothing."""
        return _UNMEASURED

    def statement(self, text: str, ahead: Sequence[str] = ()) -> AbstractContextManager[object]:  # noqa: ARG002
        """Nothing."""
        return _UNMEASURED

    def close(self) -> None:
        """There is nothing to send."""


_tracer: Tracer = Off()


def tracer() -> Tracer:
    """The tracer of this process."""
    return _tracer


def install(tracer: Tracer) -> None:
    """Have this process measure, before it takes anything."""
    global _tracer  # noqa: PLW0603 - one a process, like its log
    _tracer = tracer


def taken(kind: Kind, subject: str, identity: str, trace: Trace | None) -> Span:
    """The span of a message that was taken, to be ended when it is done."""
    if not _tracer.is_on:
        return PassedOn(trace)
    return _tracer.begin(kind, f"process {subject}", of_message("process", subject, identity), trace)


def own(name: str) -> Span:
    """The span of what this process does of itself, for no caller; a trace begins with it."""
    if not _tracer.is_on:
        return NO_SPAN
    return _tracer.begin("internal", name, _NOTHING, None)


def of_message(operation: str, subject: str, identity: str) -> dict[str, str]:
    """The attributes of a message by OpenTelemetry's conventions; it is to ``process`` or to ``send``."""
    return {**of_subject(operation, subject), "messaging.message.id": identity}


def of_subject(operation: str, subject: str) -> dict[str, str]:
    """The same where the message has no id."""
    return {
        "messaging.system": "nats",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": subject,
    }
