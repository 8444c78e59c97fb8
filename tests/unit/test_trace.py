import logging

import pytest
from opentelemetry.trace import TraceState

from worker.domain.trace import Trace

IDS = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PARENT = f"00-{IDS}"


@pytest.mark.parametrize("parent", [PARENT, PARENT[:-2] + "ff", f"cc-{IDS}", f"cc-{IDS}-what-comes-later"])
def test_a_traceparent_is_handed_on_as_it_came(parent):
    assert Trace.read(parent) == Trace(parent)
    assert Trace.read(parent).headers == {"traceparent": parent}


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "none",
        f"ff-{IDS}",
        f"{PARENT}-",
        f"{PARENT}-suffix",
        f"{PARENT}\n",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        PARENT.upper(),
        PARENT.replace("0af7", "\u0660af7"),
        f"cc-{IDS}-two words",
        f"cc-{IDS}-" + "x" * 201,
        f"{PARENT}-" + "x" * 8_000_000,
        f"cc-{IDS}-" + "x" * 8_000_000,
    ],
)
def test_what_is_no_traceparent_is_no_trace_however_long_it_is(parent):
    assert Trace.read(parent, "us=1") is None


@pytest.mark.parametrize(
    "state",
    [
        "us=1",
        "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
        " us=1 ,\tfw529a3039@dt=FfeA ,,",
        'us=with space and "quotes"',
        ",".join(f"m{number}=1" for number in range(32)),
    ],
)
def test_a_tracestate_is_handed_on_as_it_came(state):
    assert Trace.read(PARENT, state).headers == {"traceparent": PARENT, "tracestate": state}


NO_STATES = [
    "",
    ",,,",
    "=",
    "us",
    "us=",
    "us=1,us=2",
    "US=1",
    "us=1=2",
    "us=\u00e9",
    "us=1\n",
    "x" * 512,
    "us=" + "x" * 257,
    ",".join(f"m{number}=1" for number in range(33)),
    ",".join(f"member{number}={'x' * 100}" for number in range(6)),
]


@pytest.mark.parametrize("state", NO_STATES)
def test_what_is_no_tracestate_is_left_out_and_the_trace_goes_on(state):
    assert Trace.read(PARENT, state) == Trace(PARENT)


@pytest.mark.parametrize("state", ["us=1", "1@a=1", *NO_STATES])
def test_the_sdk_has_nothing_to_say_to_the_log_about_a_state_that_is_let_through(state, caplog):
    trace = Trace.read(PARENT, state)
    with caplog.at_level(logging.DEBUG):
        if trace.tracestate is not None:
            assert TraceState.from_header([trace.tracestate])
    assert caplog.records == []
