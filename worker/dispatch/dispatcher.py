"""The dispatcher: commands in, answers out, every change through batches in two lanes that take turns."""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Engine

from contracts import subjects
from contracts.problems import ProblemError
from worker import tracing
from worker.dispatch import batch, reading
from worker.dispatch.answer import Answer
from worker.dispatch.batch import Entry
from worker.dispatch.figures import LaneFigures
from worker.dispatch.queue import CommandQueue, Taken, Ties
from worker.dispatch.transitions import log_transitions
from worker.domain.command import Command
from worker.domain.errors import EntityNameTaken
from worker.operations import OPERATIONS
from worker.store import unit_of_work
from worker.store.changes import EventRow
from worker.store.transaction import Transaction
from worker.store.unit_of_work import (
    DatabaseUnavailable,
    GuardFailed,
    OutcomeUnknown,
    Session,
    TooLate,
    UniqueViolation,
)

log = structlog.get_logger()
_TRIES_ALONE = 3
LANES = 2
"""While one waits for the database to write its batch, the other one decides on the next."""
_SOFTWARE_ERROR = 70
_UNKNOWN = "The database went away before it said whether this is done; ask again with the same key."


BUSY = ProblemError("busy", "Too many requests wait; try again a little later.")


class Ticket(NamedTuple):
    """A command and who takes its answer, in the event loop."""

    command: Command[Any]
    reply: Callable[[Command[Any], Answer], None]


class Waiting(NamedTuple):
    """A command that writes, and what it needs for that."""

    ticket: Ticket
    entry: Entry


Sink = Callable[[Sequence[tuple[Ticket, Answer]]], None]
"""Takes answers, in a thread of the dispatcher's."""


class Dispatcher:
    """Takes commands from any thread, answers each exactly once, in threads of its own."""

    def __init__(
        self,
        *,
        writes: Engine,
        reads: Engine,
        sink: Sink,
        committed: Callable[[Sequence[EventRow]], None],
        status: Callable[[Session], bytes],
        batch_size: int = 64,
        queue_size: int = 2048,
        readers: int = 4,
    ) -> None:
        self._sink, self._committed, self._status = sink, committed, status
        self._batch_size = batch_size
        self._reader = reading.Reader()
        self.figures = LaneFigures()
        self.write_queue = CommandQueue[Waiting](queue_size, lambda waiting: waiting.entry.claims)
        self.read_queue = CommandQueue[Ticket](queue_size)
        self._threads = [
            *(_lane(f"lane-{number}", partial(self._write_lane, Session(writes))) for number in range(LANES)),
            *(
                _lane(f"reader-{number}", partial(self._read_lane, Session(reads)))
                for number in range(readers)
            ),
        ]

    def start(self) -> None:
        """Start the lanes and the readers."""
        for thread in self._threads:
            thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Take a command; where too many wait its answer is ``busy``, at once."""
        try:
            if ticket.command.operation in OPERATIONS:
                is_in = self.write_queue.put(Waiting(ticket, Entry.of(ticket.command)))
            else:
                is_in = self.read_queue.put(ticket)
        except Exception as error:  # noqa: BLE001 - every request is answered
            self._sink([(ticket, _failure(ticket.command, error))])
            return
        if not is_in:
            self._sink([(ticket, Answer.of_problem(BUSY, ticket.command.request_id))])

    def is_full(self, operation: str) -> bool:
        """Whether a command would be refused as ``busy`` now."""
        return self.write_queue.is_full if operation in OPERATIONS else self.read_queue.is_full

    def drain(self, timeout: float) -> bool:
        """Wait until all that was taken is answered; whether it is, within so many seconds."""
        return self.write_queue.drain(timeout) and self.read_queue.drain(timeout)

    def close(self) -> None:
        """End the threads; what still waits is answered first."""
        self.write_queue.close()
        self.read_queue.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _write_lane(self, session: Session) -> None:
        while (taken := self.write_queue.take(self._batch_size)).items:
            result = self._result(session, taken)
            pairs = zip(taken.items, result.answers, strict=True)
            self._sink([(waiting.ticket, answer) for waiting, answer in pairs if answer])
            if result.events:
                self._committed(result.events)
            self.write_queue.settle(taken, result.put_off)
            self.figures.count(len(taken.items), result.announced)
            log_transitions(result.announced)
        session.close()

    def _read_lane(self, session: Session) -> None:
        while (taken := self.read_queue.take(1)).items:
            self.read_queue.decided(taken, frozenset())
            self._sink([(ticket, self._read(session, ticket.command)) for ticket in taken.items])
            self.read_queue.settle(taken)
        session.close()

    def _read(self, session: Session, command: Command[Any]) -> Answer:
        try:
            if command.operation == subjects.STATUS_GET:
                return self._read_status(session, command)
            with tracing.tracer().within(command.trace):
                body = unit_of_work.read(
                    session, lambda transaction: self._reader.answer(command, transaction)
                )
        except Exception as error:  # noqa: BLE001 - every request is answered
            return _failure(command, error)
        return Answer(body)

    def _read_status(self, session: Session, command: Command[Any]) -> Answer:
        """The status is told while the database is away, too; then nobody knows whether it is too late."""
        with contextlib.suppress(DatabaseUnavailable):
            unit_of_work.read(
                session, lambda transaction: self._reader.clock.require_time(command, transaction)
            )
        return Answer(self._status(session))

    def _result(self, session: Session, taken: Taken[Waiting]) -> batch.Result:
        """An answer for each: all in one transaction, or, where that fails, each in its own."""
        entries = [waiting.entry for waiting in taken.items]
        try:
            decided = partial(self.write_queue.decided, taken)
            return self._run(session, entries, taken.again, taken.held, decided)
        except Exception as error:  # noqa: BLE001 - every request is answered
            if isinstance(error, DatabaseUnavailable):
                return batch.Result([_failure(entry.command, error) for entry in entries])
            if len(entries) > 1:
                log.info("batch_split", commands=len(entries), because=type(error).__name__)
        return self._one_by_one(session, entries, taken.again, taken.held)

    def _one_by_one(self, session: Session, entries: Sequence[Entry], again: int, held: Ties) -> batch.Result:
        result = batch.Result([])
        held = set(held)
        for place, entry in enumerate(entries):
            alone = self._alone(session, entry, frozenset() if place < again else held)
            result.answers += alone.answers
            result.events += alone.events
            result.announced += alone.announced
            if ties := alone.put_off.get(0):
                result.put_off[place] = ties
                held |= ties
        return result

    def _alone(self, session: Session, entry: Entry, held: Ties) -> batch.Result:
        for tries_left in reversed(range(_TRIES_ALONE)):
            try:
                return self._run(session, [entry], 0, held)
            except (UniqueViolation, GuardFailed) as error:
                if not tries_left:  # on fresh facts the rules say the same in their own words
                    return batch.Result([_failure(entry.command, error)])
            except Exception as error:  # noqa: BLE001 - every request is answered
                return batch.Result([_failure(entry.command, error)])
        raise AssertionError("unreachable")

    def _run(
        self,
        session: Session,
        entries: Sequence[Entry],
        again: int,
        held: Ties,
        decided: Callable[[Ties], None] = batch.nobody_waits,
    ) -> batch.Result:
        work = partial(batch.run, entries=entries, again=again, held=held, decided=decided)
        with tracing.tracer().batch(entry.command.trace for entry in entries):
            return _in_time(session, work)


def _in_time(session: Session, work: Callable[[Transaction], batch.Result]) -> batch.Result:
    while True:
        try:
            return unit_of_work.run(session, work)
        except TooLate:
            continue  # the clock has moved on: those too late are refused now


def _lane(name: str, work: Callable[[], None]) -> threading.Thread:
    """A thread that does not die alone: without it requests would wait for ever, so the process ends."""

    def run() -> None:
        try:
            work()
        except BaseException:
            log.critical("lane_died", lane=name, exc_info=True)
            os._exit(_SOFTWARE_ERROR)

    return threading.Thread(target=run, name=name, daemon=True)


def _failure(command: Command[Any], error: Exception) -> Answer:
    """The answer for what the rules did not foresee; the reason goes to the log, not to the caller."""
    if isinstance(error, ProblemError):
        return Answer.of_problem(error, command.request_id)
    problem = ProblemError("internal_error", "Something went wrong; the log has it under the request's id.")
    if isinstance(error, OutcomeUnknown):
        problem = ProblemError("unavailable", _UNKNOWN)
    elif isinstance(error, DatabaseUnavailable):
        problem = ProblemError("unavailable", "The database is away; try again a little later.")
    elif isinstance(error, UniqueViolation) and error.constraint == "entity_name_taken":
        problem = EntityNameTaken(getattr(command.request, "name", ""))
    elif isinstance(error, UniqueViolation) and error.constraint == "one_deploying":
        problem = ProblemError("deployment_in_progress", "Another deployment is in progress there.")
    if problem.code in ("internal_error", "unavailable"):
        log.error(
            "request_failed",
            operation=command.operation,
            code=problem.code,
            exc_info=error if problem.code == "internal_error" else None,
            **command.names,
        )
    return Answer.of_problem(problem, command.request_id)
