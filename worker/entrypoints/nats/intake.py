"""A NATS message to a command, or a refusal that names every fault, of the headers, too."""

import contextlib
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from contracts import headers, subjects
from contracts.endpoints import BY_SUBJECT, Endpoint
from contracts.ids import id7
from contracts.limits import MAX_KEY_CHARACTERS
from contracts.parsing import parse
from contracts.problems import ProblemError
from contracts.values import RFC3339, Empty, Request
from worker.domain.command import Command, Durable
from worker.domain.trace import Trace

_PRINTABLE = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_CHARACTERS}}}")
_DEFAULT_METHODS = {"http": "api"}

Headers = Mapping[str, str]
Fault = tuple[str, str]


def request_id(carried: Headers) -> str:
    """The idempotency key, else the message's id, else a new one."""
    for name in (headers.IDEMPOTENCY_KEY, headers.MESSAGE_ID):
        value = carried.get(name)
        if value and _PRINTABLE.fullmatch(value):
            return value
    return id7(datetime.now(UTC), os.urandom(8))


def trace(carried: Headers) -> Trace | None:
    """The trace that a message is a part of."""
    return Trace.read(carried.get(headers.TRACEPARENT), carried.get(headers.TRACESTATE))


def command(
    endpoint: Endpoint, body: bytes, carried: Headers, identity: str, trace: Trace | None
) -> Command[Request]:
    """The command that a message holds. Raises ``ProblemError``."""
    faults: list[Fault] = []
    key = _key(carried, faults)
    deadline = _deadline(carried, faults)
    try:
        request = parse(endpoint.request, body)
    except ProblemError as problem:
        if problem.code == "invalid_request" and faults:
            faults += [(each["field"], each["message"]) for each in problem.extensions["errors"]]
            raise ProblemError.invalid(*faults) from None
        raise
    if faults:
        raise ProblemError.invalid(*faults)
    return Command(
        operation=endpoint.subject,
        request=request,
        request_id=identity,
        taken_at=time.monotonic(),
        key=key if endpoint.writes else None,
        deadline=deadline,
        trace=trace,
        default_method=_DEFAULT_METHODS.get(carried.get(headers.TRANSPORT, ""), "nats"),
    )


_OPERATIONS = {
    subjects.COMMAND_DEPLOY: BY_SUBJECT[subjects.DEPLOY_REQUEST],
    subjects.COMMAND_ROLLBACK: BY_SUBJECT[subjects.DEPLOY_ROLLBACK],
}


def durable(
    subject: str, body: bytes, carried: Headers, deliveries: int, trace: Trace | None
) -> Command[Request]:
    """The command that a message of the stream holds. Raises ``ProblemError`` where it holds none."""
    command_id = carried.get(headers.MESSAGE_ID, "")
    endpoint = _OPERATIONS.get(subject)
    if endpoint is None:
        raise ProblemError("invalid_request", f"{subjects.command_name(subject)} is no durable command.")
    if not _PRINTABLE.fullmatch(command_id):
        raise ProblemError.invalid((headers.MESSAGE_ID, "is required: the command's id, printable ASCII"))
    read = command(endpoint, body, carried, command_id, trace)
    return read._replace(
        durable=Durable(command_id=command_id, subject=subject, body=body, redelivered=deliveries > 1),
    )


def rejection(
    subject: str, body: bytes, carried: Headers, problem: ProblemError, trace: Trace | None
) -> Command[Request] | None:
    """The command that writes the refusal of one that cannot be done; None where it has no id to refuse."""
    command_id = carried.get(headers.MESSAGE_ID, "")
    if subject not in _OPERATIONS or not _PRINTABLE.fullmatch(command_id):
        return None
    endpoint = _OPERATIONS[subject]
    request: Request = Empty()
    with contextlib.suppress(ProblemError):
        request = parse(endpoint.request, body)
    return Command(
        operation=endpoint.subject,
        request=request,
        request_id=command_id,
        taken_at=time.monotonic(),
        trace=trace,
        durable=Durable(command_id=command_id, subject=subject, body=body, redelivered=True, refused=problem),
    )


def _key(carried: Headers, faults: list[Fault]) -> str | None:
    for name in (headers.IDEMPOTENCY_KEY, headers.MESSAGE_ID):
        value = carried.get(name)
        if value is not None:
            if _PRINTABLE.fullmatch(value):
                return value
            faults.append((name, f"is 1 to {MAX_KEY_CHARACTERS} printable ASCII characters"))
            return None
    return None


def _deadline(carried: Headers, faults: list[Fault]) -> datetime | None:
    value = carried.get(headers.DEADLINE)
    if value is None:
        return None
    try:
        if RFC3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    faults.append((headers.DEADLINE, "is an RFC 3339 time such as 2026-01-31T12:00:00Z"))
    return None
