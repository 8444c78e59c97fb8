"""The product as separate processes on real servers, for tests to drive and to break."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg2

from worker.embedded.nats_server import NatsServer
from worker.embedded.ports import free_port
from worker.embedded.postgres import PostgresServer

READY_SECONDS = 20


class Process:
    """A process of the Procfile; its log lines are kept and can be awaited."""

    def __init__(
        self, command: str, environment: dict[str, str], program: Sequence[str] = ("-m", "worker")
    ) -> None:
        self.lines: deque[str] = deque(maxlen=5000)
        self._changed = threading.Condition()
        self.popen = subprocess.Popen(
            [sys.executable, *program, command],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for_line(self, text: str, timeout: float = READY_SECONDS) -> str:
        """The first line that holds the text; fails if the process ends before."""

        def found() -> str | None:
            return next((line for line in list(self.lines) if text in line), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self.popen.poll() is not None, timeout)
            line = found()
        assert line is not None, f"no line with {text!r}; the log ends with:\n" + "\n".join(
            list(self.lines)[-20:]
        )
        return line

    def stop(self, sig: signal.Signals = signal.SIGTERM, timeout: float = 15) -> int:
        """Send a signal and give the exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
        status = self.popen.wait(timeout)
        self._reader.join(timeout)
        return status


class System:
    """nats-server, PostgreSQL, one worker and one gateway; more workers on demand."""

    def __init__(self) -> None:
        # Not below pytest's own folder: that is its user's alone, and PostgreSQL runs as another.
        self.directory = Path(tempfile.mkdtemp(prefix="library-test-"))
        self._log = os.open(self.directory / "servers.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.nats = NatsServer(self.directory, output=self._log)
        self.postgres = PostgresServer(self.directory, output=self._log)
        self.http_port = free_port()
        self.workers: list[Process] = []
        self.gateway: Process | None = None

    @property
    def nats_url(self) -> str:
        return self.nats.url

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "LIBRARY_NATS_URL": self.nats_url,
            "LIBRARY_DATABASE_URL": self.database_url,
            "LIBRARY_HTTP_PORT": str(self.http_port),
        }

    def start_servers(self) -> None:
        self.nats.start()
        self.postgres.start()
        migrate = Process("migrate", self.environment)
        assert migrate.popen.wait(READY_SECONDS) == 0, "\n".join(migrate.lines)

    def start_worker(self, **settings: str) -> Process:
        worker = Process("worker", {**self.environment, **settings})
        self.workers.append(worker)
        return worker

    def start_gateway(self, **settings: str) -> Process:
        self.gateway = Process("gateway", {**self.environment, **settings})
        return self.gateway

    def start(self, **settings: str) -> "System":
        self.start_servers()
        gateway, worker = self.start_gateway(**settings), self.start_worker(**settings)
        worker.wait_for_line("worker_ready")
        gateway.wait_for_line("nats_connected")
        return self

    def stop(self) -> None:
        processes = [*self.workers, *([self.gateway] if self.gateway else [])]
        for process in processes:
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in processes:
            try:
                process.stop()
            except subprocess.TimeoutExpired:
                process.stop(signal.SIGKILL)
        self.postgres.stop()
        self.nats.stop()
        os.close(self._log)
        shutil.rmtree(self.directory, ignore_errors=True)

    def sql(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Rows of a statement, past the product: for looking and for planting faults."""
        with closing(psycopg2.connect(self.database_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET through the gateway."""
        try:
            with urllib.request.urlopen(self.http_url + path, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def eventually(condition, timeout: float = 10.0, interval: float = 0.02):
    """What ``condition`` gives once it is true: for states that announce themselves nowhere."""
    until = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"still {value!r} after {timeout} s"
        time.sleep(interval)
