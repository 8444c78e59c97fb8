import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import psycopg2

from worker.embedded.accounts import Account, account_for
from worker.embedded.data_directory import write_durably
from worker.embedded.errors import EmbeddedServerError
from worker.embedded.ports import LOOPBACK, free_port, is_free
from worker.embedded.postgres_cluster import (
    DATABASE,
    ENVIRONMENT,
    ROLE,
    create_cluster,
    draft_of,
    find_programs,
    require_passable,
)
from worker.embedded.processes import STANDARD_ERROR, spawn
from worker.embedded.server import EmbeddedServer

_DURABLE: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a path of a socket has at most 107 bytes; the data folder may be deeper
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m postgres[%p] ",
    "log_checkpoints": "off",
    # A refused statement is its caller's to report; here it would put documents into the log.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_STRAYS_GRACE_S = 2.0
_POLL_S = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class _Access:
    """What is kept beside the data: who gets in, and where."""

    port: int
    password: str


class PostgresServer(EmbeddedServer):
    """A PostgreSQL with durable settings; its state is in `directory`/postgres, its address kept there.

    It listens on 127.0.0.1 and asks for a password, which `url` holds: whoever can read `directory` gets in.
    Started by root it runs as another account, for which `directory` (and no folder above it) is made
    passable. What it logs goes to the file descriptor `output`.
    """

    name: ClassVar[str] = "postgres"
    settings: ClassVar[Mapping[str, str]] = _DURABLE
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends sessions, writes a checkpoint

    def __init__(self, directory: Path, *, output: int = STANDARD_ERROR) -> None:
        super().__init__(output=output)
        self._directory = directory.absolute()
        self.data = self._directory / "postgres"
        self._access_file = self._directory / "postgres.json"
        self._programs: Path | None = None
        self._account: Account | None = None
        self._access: _Access | None = None

    @property
    def url(self) -> str:
        """`postgresql://library:…@127.0.0.1:PORT/library`, for a role that may create databases."""
        return self._url_of(DATABASE)

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Prepares and starts it, waits until it is ready and sees that its database is there."""
        super().start(timeout_s=timeout_s)
        self.ensure_database()

    def prepare(self) -> None:
        """Makes the data folder where it is missing, and settles account and address."""
        try:
            self._programs = find_programs(self.data)
            self._account = account_for(self.data)
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._account is not None:
                require_passable(self._directory, self._programs, self._account)
            for folder in (self.data, draft_of(self.data)):
                _end_strays(folder)
            self._access = self._settle_access()
            if not self.data.exists():
                create_cluster(
                    self.data,
                    programs=self._programs,
                    account=self._account,
                    password=self._access.password,
                )
        except OSError as fault:
            raise EmbeddedServerError(
                f"PostgreSQL's files in {self._directory} cannot be made ({fault.strerror}):"
                " make the folder yours, or choose another with --data-dir"
            ) from fault

    def spawn(self) -> subprocess.Popen[bytes]:
        """Ends what is left of an earlier process, and starts a new one at the same address."""
        if self._programs is None or self._access is None:
            raise EmbeddedServerError("PostgreSQL is started before it is prepared")
        _end_strays(self.data)
        settings = {**self.settings, "port": str(self._access.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = spawn(
            [str(self._programs / "postgres"), "-D", str(self.data), *options],
            environment=ENVIRONMENT,
            account=self._account,
            output=self._output,
            folder="/",
            death_signal=self.stop_signal,
        )
        return self.process

    def is_ready(self) -> bool:
        """Whether it has said so in its postmaster.pid, where pg_ctl looks too: no refused connections."""
        if self.process is None or self.process.poll() is not None:
            return False
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return lines[:1] == [str(self.process.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]

    def ensure_database(self) -> None:
        """Creates the database where it is missing."""
        try:
            connection = psycopg2.connect(self._url_of("postgres"), connect_timeout=10)
        except psycopg2.OperationalError as fault:
            raise EmbeddedServerError(
                f"PostgreSQL does not let us in with what {self._access_file} holds:"
                " restore that file, or choose another folder with --data-dir"
            ) from fault
        with contextlib.closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")

    def _url_of(self, database: str) -> str:
        if self._access is None:
            raise EmbeddedServerError("PostgreSQL has no address before it is prepared")
        return f"postgresql://{ROLE}:{self._access.password}@{LOOPBACK}:{self._access.port}/{database}"

    def _settle_access(self) -> _Access:
        kept = self._read_access()
        if kept is None and self.data.exists():
            raise EmbeddedServerError(
                f"{self._access_file}, which holds the password of {self.data}, is missing or damaged:"
                " restore it, or choose another folder with --data-dir"
            )
        if kept is not None and is_free(kept.port):
            return kept
        access = _Access(port=free_port(), password=kept.password if kept else secrets.token_hex(24))
        write_durably(self._access_file, json.dumps(asdict(access)))
        return access

    def _read_access(self) -> _Access | None:
        try:
            return _Access(**json.loads(self._access_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def _end_strays(data: Path) -> None:
    """Ends what still runs of a PostgreSQL on `data` and removes its pid file.

    After a kill -9 of the main process its sessions may go on for a while, and a new one refuses to start
    beside them; and it refuses where the pid in the file belongs by now to something else. Linux shows what
    runs there: a postgres process works in its data folder. Elsewhere this is left to PostgreSQL's own check.
    """
    if sys.platform != "linux":
        return
    for stray_signal in (signal.SIGQUIT, signal.SIGKILL):  # SIGQUIT: at once, leaving shared memory tidy
        strays = _processes_in(data)
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, stray_signal)
        give_up = time.monotonic() + _STRAYS_GRACE_S
        while strays and time.monotonic() < give_up:
            time.sleep(_POLL_S)
            strays = _processes_in(data)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _processes_in(data: Path) -> list[int]:
    found = []
    place = str(data.resolve())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            named = (entry / "comm").read_text().strip()
            if named == "postgres" and str((entry / "cwd").readlink()) == place:
                found.append(int(entry.name))
    return found
