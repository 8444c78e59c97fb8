"""A caller's HTTP headers: what goes on to NATS, how long to wait, and which revision is expected."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from contracts.headers import DEADLINE, IDEMPOTENCY_KEY, MESSAGE_ID, TRACEPARENT, TRACESTATE
from contracts.ids import new_id
from contracts.limits import MAX_KEY_CHARACTERS
from contracts.values import timestamp
from worker.domain.trace import Trace

IF_MATCH = "If-Match"
LONGEST_WAIT = 60.0
"""Seconds: however far away a caller's deadline is, a connection is not held longer."""

OUTCOME_WAIT = 30.2
"""Seconds to the deadline of a request that waits for its outcome: it is answered 0.2 s before that."""

MARGIN = 0.5
"""Seconds past the deadline in which a worker's own word on it is still awaited."""

Fault = tuple[str, str]
RawHeaders = Sequence[tuple[bytes, bytes]]

_READ = {name.lower().encode(): name for name in (IDEMPOTENCY_KEY, MESSAGE_ID, DEADLINE, IF_MATCH)}
_PARENT, _STATE = TRACEPARENT.encode(), TRACESTATE.encode()
_PRINTABLE = re.compile(rb"[\x20-\x7e]*")
_ETAG = re.compile(r'(?:"(?P<quoted>\d{1,19})"|(?P<bare>\d{1,19}))', re.ASCII)
_KEYS = (IDEMPOTENCY_KEY.lower().encode(), MESSAGE_ID.lower().encode())


class Read(NamedTuple):
    """The headers that concern us: those for NATS, and what ``If-Match`` holds."""

    forwarded: dict[str, str]
    if_match: str | None


def read(raw: RawHeaders, faults: list[Fault]) -> Read:
    """The known headers; ``faults`` gets what could not stand in a NATS header or is ambiguous.

    A wrong trace context is no fault: it goes no further, and what the caller asked for is done (W3C Trace
    Context 4.3).
    """
    begun = trace(raw)
    given = dict(begun.headers) if begun else {}
    for lowered, value in raw:
        name = _READ.get(lowered)
        if name is None:
            continue
        if not _PRINTABLE.fullmatch(value):
            faults.append((name, "must be printable ASCII"))
            continue
        text = value.decode("ascii").strip()
        if name not in given:
            given[name] = text
        else:
            faults.append((name, "must be given once"))
    return Read(if_match=given.pop(IF_MATCH, None), forwarded=given)


def seconds_to_wait(forwarded: dict[str, str], default: float) -> float:
    """How long to wait for the reply; ``forwarded`` gets the deadline that the worker must know.

    A deadline that is none goes on untouched, so that the worker says so.
    """
    given = forwarded.get(DEADLINE)
    seconds = default if given is None else _seconds_until(given)
    if seconds is None:
        return default + MARGIN
    longest = max(LONGEST_WAIT, default)
    if given is None or seconds > longest:
        seconds = min(seconds, longest)
        deadline = datetime.now(UTC) + timedelta(seconds=seconds)
        forwarded[DEADLINE] = str(timestamp(deadline))
    return max(seconds, 0.0) + MARGIN


def _seconds_until(text: str) -> float | None:
    try:
        time_given = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time_given.tzinfo is None:
        return None
    return (time_given - datetime.now(UTC)).total_seconds()


def expected_revision(if_match: str | None, faults: list[Fault]) -> int | None:
    """The revision in ``If-Match``; None where any will do."""
    if if_match is None or if_match == "*":
        return None
    found = _ETAG.fullmatch(if_match)
    if found is None:
        faults.append((IF_MATCH, 'must be one revision, such as "3" or 3, or *'))
        return None
    return int(found["quoted"] or found["bare"])


def trace(raw: RawHeaders) -> Trace | None:
    """The trace that a request is a part of; two parents are none, several states are one list (3.2, 3.3)."""
    parents = [value.decode("latin-1").strip() for name, value in raw if name == _PARENT]
    if len(parents) != 1:
        return None
    states = [value.decode("latin-1").strip() for name, value in raw if name == _STATE]
    return Trace.read(parents[0], ",".join(states))


def request_id(raw: RawHeaders) -> str:
    """The id of a request that no worker answered: its key, else its message id, else a generated one."""
    given: dict[bytes, str] = {}
    for name, value in raw:
        if name in _KEYS and 0 < len(value) <= MAX_KEY_CHARACTERS and _PRINTABLE.fullmatch(value):
            given.setdefault(name, value.decode("ascii"))
    return next((given[name] for name in _KEYS if name in given), None) or str(new_id())
