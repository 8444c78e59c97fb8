"""A tracer that raises costs nobody anything."""

import asyncio
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from worker.domain.trace import Trace
from worker.entrypoints.unfailing import Unfailing

PARENT = Trace("00-" + "a" * 32 + "-" + "b" * 16 + "-01")
OWN = Trace("00-" + "a" * 32 + "-" + "c" * 16 + "-01")
WAYS = ("within", "asking", "batch", "statement")


class Broken:
    """Raises where it is told to; counts what was done."""

    is_on = True

    def __init__(self, *where):
        self.where, self.done = where, []

    def _do(self, what):
        self.done.append(what)
        if what in self.where:
            raise RuntimeError("a secret of the caller's")

    @property
    def trace(self):
        self._do("trace")
        return OWN

    def end(self, code=None, *, name="", attributes=()):
        self._do("end")

    def begin(self, kind, name, attributes, parent):
        self._do("begin")
        return self

    @contextmanager
    def _around(self, way):
        self._do(f"{way} entered")
        try:
            yield self
        finally:
            self._do(f"{way} left")

    def __getattr__(self, way):
        if way not in WAYS:
            raise AttributeError(way)

        def called(_, *_further):
            self._do(way)
            return self._around(way)

        return called

    def close(self):
        self._do("close")


def test_a_span_that_cannot_begin_hands_on_the_callers_trace():
    span = Unfailing(Broken("begin")).begin("server", "process", {}, PARENT)
    span.end("internal_error")
    assert span.trace == PARENT


def test_a_span_that_cannot_say_its_trace_hands_on_the_callers():
    broken = Broken("trace", "end")
    span = Unfailing(broken).begin("server", "process", {}, PARENT)
    span.end()
    assert span.trace == PARENT
    assert broken.done == ["begin", "end", "trace"]


def test_a_span_that_works_is_used():
    span = Unfailing(Broken()).begin("server", "process", {}, PARENT)
    assert span.trace == OWN


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["", " entered", " left"])
def test_what_is_done_meanwhile_is_done(way, when):
    done = False
    with capture_logs() as lines, getattr(Unfailing(Broken(way + when)), way)(None):
        done = True
    assert done
    assert [(line["event"], line["because"]) for line in lines] == [("tracing_failed", "RuntimeError")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["", " entered", " left", "nowhere"])
@pytest.mark.parametrize("raised", [KeyError, asyncio.CancelledError])
def test_what_is_raised_meanwhile_goes_its_way(way, when, raised):
    with pytest.raises(raised), getattr(Unfailing(Broken(way + when)), way)(None):
        raise raised


def test_a_request_in_a_span_of_its_own_carries_it():
    with Unfailing(Broken()).asking("library.deploy.get") as span:
        assert span.trace == OWN


def test_a_tracer_that_cannot_close_is_left():
    broken = Broken("close")
    Unfailing(broken).close()
    assert broken.done == ["close"]


def test_a_fault_that_lasts_is_a_line_and_tells_no_secret():
    tracer = Unfailing(Broken("begin"))
    with capture_logs() as lines:
        for _ in range(100):
            tracer.begin("server", "process", {}, None)
    assert [line["event"] for line in lines] == ["tracing_failed"]
    assert "secret" not in str(lines)
