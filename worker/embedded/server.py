import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self

from worker.embedded.errors import EmbeddedServerError
from worker.embedded.processes import STANDARD_ERROR, describe_exit

_POLL_S = 0.005


class EmbeddedServer(ABC):
    """A server of this machine that keeps its address and its state from one process of it to the next.

    `start` and `stop` are all that a test needs. A supervisor calls `prepare` once, then `spawn` for each
    new process, and asks `is_ready`. Start it in the main thread: Linux ends the server with its thread.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, *, output: int = STANDARD_ERROR) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._output = output

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address, without a slash at the end."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes its folder, settings and address ready; raises EmbeddedServerError where it can't."""

    @abstractmethod
    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts a process of it, kept as `process`, and returns at once."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the present process takes requests."""

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Prepares and starts it and waits until it is ready; raises EmbeddedServerError where it isn't."""
        self.prepare()
        process = self.spawn()
        give_up = time.monotonic() + timeout_s
        while not self.is_ready():
            status = process.poll()
            if status is not None:
                raise EmbeddedServerError(
                    f"{self.name} ended during its start ({describe_exit(status)}): see its messages above"
                )
            if time.monotonic() > give_up:
                self.stop()
                raise EmbeddedServerError(f"{self.name} was not ready within {timeout_s:g} s")
            time.sleep(_POLL_S)

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Lets it finish and waits for its end; kills it after `timeout_s` seconds."""
        if self.process is None:
            return
        stop_process(self.process, self.stop_signal, timeout_s=timeout_s)
        self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def stop_process(process: subprocess.Popen[bytes], stop_signal: signal.Signals, *, timeout_s: float) -> bool:
    """Asks a child with a session of its own to end and waits; False where it had to be killed."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    return True
