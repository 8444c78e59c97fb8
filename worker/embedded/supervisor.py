import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Self

from worker.embedded.errors import EmbeddedServerError
from worker.embedded.process_ledger import ProcessLedger, ProcessRecord
from worker.embedded.processes import birth_of, describe_exit
from worker.embedded.server import stop_process

# A child that dies is started again at once, and only after five early deaths in a row ever more slowly.
EARLY_DEATH_S = 5.0
EARLY_DEATHS_BEFORE_SLOWING = 5
_RESTART_DELAY_S = 0.1
_LONGEST_DELAY_S = 30.0

_POLL_S = 0.02  # while something is awaited that no signal announces
_IDLE_S = 1.0


class StopRequested(Exception):
    """SIGINT, SIGTERM or SIGHUP came, or `request_stop` was called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildSpec:
    """A child to keep alive: `spawn` starts a process of it, in a session of its own, and returns at once."""

    name: str
    spawn: Callable[[], subprocess.Popen[bytes]]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 5.0


@dataclass(kw_only=True, slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes]
    record: ProcessRecord | None
    kept_alive: bool
    started_at: float = field(default_factory=time.monotonic)
    early_deaths: int = 0
    last_exit: str = ""
    due_at: float | None = None  # when it is started again; None while it runs


class Supervisor:
    """Starts children, starts again those that die, and stops them in the reverse order of their start.

    To be entered in the main thread, whose signals it takes over until it is left; leaving stops everything.
    `log` is given one line for each thing that happens. Which processes run is kept in `ledger`.
    """

    def __init__(self, *, ledger: ProcessLedger, log: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._log = log
        self._children: list[_Child] = []
        self._stop_requested = False
        self._wake_reader = self._wake_writer = -1
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            self._undo.callback(os.close, end)
            os.set_blocking(end, False)
        wakeup_before = signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._undo.callback(signal.set_wakeup_fd, wakeup_before)
        self._handle(signal.SIGINT, self._on_stop_signal)
        self._handle(signal.SIGTERM, self._on_stop_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
            self._handle(signal.SIGHUP, self._on_stop_signal)
        self._handle(signal.SIGCHLD, lambda *_: None)  # only what has a handler wakes us
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._undo.close()

    def request_stop(self) -> None:
        """Makes `watch` raise StopRequested."""
        self._stop_requested = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writer, b"\0")

    def start(self, spec: ChildSpec) -> None:
        """Starts a child that is to be kept alive."""
        self._add(spec, kept_alive=True)

    def run(self, spec: ChildSpec) -> int:
        """Runs a child once while watching the others, and gives its exit status as `subprocess` does."""
        child = self._add(spec, kept_alive=False)
        self.watch(until=lambda: child.process.poll() is not None)
        self._children.remove(child)
        self._write_ledger()
        return child.process.returncode

    def watch(self, *, until: Callable[[], bool] | None = None, timeout_s: float | None = None) -> None:
        """Keeps the children alive until `until()` is true, forever where it is None.

        Raises StopRequested as soon as a stop is asked for. With `until`, raises EmbeddedServerError where
        a child keeps dying early, and TimeoutError after `timeout_s` seconds.
        """
        give_up = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if self._stop_requested:
                raise StopRequested
            self._tend()
            if until is not None:
                if until():
                    return
                self._refuse_to_wait_for_the_dying()
                if give_up is not None and time.monotonic() > give_up:
                    raise TimeoutError
            self._sleep(_IDLE_S if until is None else _POLL_S)

    def stop(self) -> None:
        """Stops the children, the latest first, each only when the one after it has ended."""
        while self._children:
            child = self._children[-1]
            if child.due_at is None:
                asked_at = time.monotonic()
                in_time = stop_process(
                    child.process, child.spec.stop_signal, timeout_s=child.spec.stop_timeout_s
                )
                took_ms = round((time.monotonic() - asked_at) * 1000)
                event = "child_stopped" if in_time else "child_killed"
                self._log(f"{event} name={child.spec.name} took_ms={took_ms}")
            self._children.pop()
            self._write_ledger()

    def _add(self, spec: ChildSpec, *, kept_alive: bool) -> _Child:
        process = spec.spawn()
        record = _record_of(spec, process)
        child = _Child(spec=spec, process=process, record=record, kept_alive=kept_alive)
        self._children.append(child)
        self._write_ledger()
        self._log(f"child_started name={spec.name} pid={process.pid}")
        return child

    def _tend(self) -> None:
        for child in self._children:
            if not child.kept_alive:
                continue
            if child.due_at is None and child.process.poll() is not None:
                self._note_death(child)
            if child.due_at is not None and time.monotonic() >= child.due_at:
                self._start_again(child)

    def _note_death(self, child: _Child) -> None:
        now = time.monotonic()
        early = now - child.started_at <= EARLY_DEATH_S
        child.early_deaths = child.early_deaths + 1 if early else 0
        child.last_exit = describe_exit(child.process.returncode)
        delay = _delay_after(child.early_deaths)
        child.due_at = now + delay
        self._log(
            f"child_died name={child.spec.name} pid={child.process.pid} how={child.last_exit!r}"
            f" early_deaths={child.early_deaths} restart_in_ms={round(delay * 1000)}"
        )

    def _start_again(self, child: _Child) -> None:
        child.started_at = time.monotonic()
        try:
            child.process = child.spec.spawn()
        except EmbeddedServerError as fault:
            child.early_deaths += 1
            child.last_exit = str(fault)
            child.due_at = time.monotonic() + _delay_after(child.early_deaths)
            self._log(f"child_not_started name={child.spec.name} why={child.last_exit!r}")
            return
        child.due_at = None
        child.record = _record_of(child.spec, child.process)
        self._write_ledger()
        self._log(f"child_started name={child.spec.name} pid={child.process.pid}")

    def _refuse_to_wait_for_the_dying(self) -> None:
        for child in self._children:
            if child.early_deaths >= EARLY_DEATHS_BEFORE_SLOWING:
                raise EmbeddedServerError(
                    f"{child.spec.name} keeps ending ({child.last_exit}): see its messages above"
                )

    def _sleep(self, longest_s: float) -> None:
        due = [child.due_at for child in self._children if child.due_at is not None]
        wait_s = max(0.0, min([longest_s, *(moment - time.monotonic() for moment in due)]))
        if select.select([self._wake_reader], [], [], wait_s)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_reader, 4096)

    def _write_ledger(self) -> None:
        records = [child.record for child in self._children if child.record is not None]
        try:
            self._ledger.write(records)
        except OSError as fault:  # a full disk is no reason to leave the children alone
            self._log(f"ledger_not_written why={fault.strerror!r}")

    def _handle(self, number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> None:
        before = signal.signal(number, handler)
        self._undo.callback(signal.signal, number, before or signal.SIG_DFL)

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requested = True


def _record_of(spec: ChildSpec, process: subprocess.Popen[bytes]) -> ProcessRecord | None:
    birth = birth_of(process.pid)
    if birth is None:  # it has ended already
        return None
    return ProcessRecord(name=spec.name, pid=process.pid, birth=birth, stop_signal=int(spec.stop_signal))


def _delay_after(early_deaths: int) -> float:
    if early_deaths < EARLY_DEATHS_BEFORE_SLOWING:
        return _RESTART_DELAY_S
    return min(_LONGEST_DELAY_S, 2.0 ** (early_deaths - EARLY_DEATHS_BEFORE_SLOWING + 1))
