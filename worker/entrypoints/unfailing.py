"""A tracer whose faults are the log's matter: they cost nobody an answer, a change or an event."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

import structlog

from worker.domain.trace import Trace
from worker.tracing import NO_SPAN, Attributes, Kind, PassedOn, Span, Tracer

log = structlog.get_logger()
_QUIET_SECONDS = 60.0
_NOTHING: Attributes = {}

T = TypeVar("T")


class Unfailing:
    """Does what ``tracer`` does; where that raises, it goes on as if nobody traced."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._faults = _Faults()
        self.is_on = tracer.is_on

    def begin(self, kind: Kind, name: str, attributes: Attributes, parent: Trace | None) -> Span:
        """A span that somebody ends, in another thread perhaps."""
        instead: Span = PassedOn(parent)
        begun = self._faults.kept(lambda: self._tracer.begin(kind, name, attributes, parent), instead)
        return _Span(begun, instead, self._faults)

    def within(self, trace: Trace | None) -> AbstractContextManager[object]:
        """What this thread or task does meanwhile is a part of that span."""
        return _Entered(lambda: self._tracer.within(trace), lambda _: None, None, self._faults)

    def asking(self, subject: str) -> AbstractContextManager[Span]:
        """A request over NATS as a part of the span that this task is within, if it is in one."""

        def guarded(span: Span) -> Span:
            return _Span(span, NO_SPAN, self._faults)

        return _Entered(lambda: self._tracer.asking(subject), guarded, NO_SPAN, self._faults)

    def batch(self, traces: Iterable[Trace | None]) -> AbstractContextManager[object]:
        """What this thread does meanwhile, it does for all of those."""
        return _Entered(lambda: self._tracer.batch(traces), lambda _: None, None, self._faults)

    def statement(self, text: str, ahead: Sequence[str] = ()) -> AbstractContextManager[object]:
        """A round trip of SQL, as a part of the span that this thread is within, if it is in one."""
        return _Entered(lambda: self._tracer.statement(text, ahead), lambda _: None, None, self._faults)

    def close(self) -> None:
        """Send what is not sent yet, for a few seconds at most."""
        self._faults.kept(self._tracer.close, None)


class _Faults:
    """What went wrong: a line in the log, and no further one for a while."""

    def __init__(self) -> None:
        self._quiet_until = 0.0
        self._lock = threading.Lock()

    def kept(self, act: Callable[[], T], instead: T) -> T:
        """What ``act`` gives, or ``instead`` where it raises."""
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - of whatever kind
            self.note(error)
            return instead

    def note(self, error: Exception) -> None:
        """Log it, unless one was logged just now. Its text may hold what callers sent."""
        with self._lock:
            now = time.monotonic()
            if now < self._quiet_until:
                return
            self._quiet_until = now + _QUIET_SECONDS
        log.warning("tracing_failed", because=type(error).__name__)


class _Span:
    """A span; ``instead`` says what is handed on where it cannot."""

    def __init__(self, span: Span, instead: Span, faults: _Faults) -> None:
        self._span, self._instead, self._faults = span, instead, faults

    @property
    def trace(self) -> Trace | None:
        """What is handed on to whoever does a part of it."""
        return self._faults.kept(lambda: self._span.trace, self._instead.trace)

    def end(self, code: str | None = None, *, name: str = "", attributes: Attributes = _NOTHING) -> None:
        """It is over."""
        self._faults.kept(lambda: self._span.end(code, name=name, attributes=attributes), None)


class _Entered(Generic[T]):
    """A context of the tracer's: what is raised within goes its way; faults of its own do not."""

    def __init__(
        self,
        make: Callable[[], AbstractContextManager[T]],
        guarded: Callable[[T], T],
        instead: T,
        faults: _Faults,
    ) -> None:
        self._make, self._guarded, self._instead, self._faults = make, guarded, instead, faults
        self._inner: AbstractContextManager[T] | None = None

    def __enter__(self) -> T:
        try:
            inner = self._make()
            entered = self._guarded(inner.__enter__())
        except Exception as error:  # noqa: BLE001 - of whatever kind
            self._faults.note(error)
            return self._instead
        self._inner = inner
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._inner is None:
            return
        try:
            self._inner.__exit__(kind, raised, at)
        except Exception as error:  # noqa: BLE001 - of whatever kind
            if error is not raised:
                self._faults.note(error)
