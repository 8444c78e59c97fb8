"""Everything on this machine: nats-server, PostgreSQL, worker and gateway, kept alive until a signal."""

import contextlib
import http.client
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import worker
from worker.embedded.data_directory import DataDirectory
from worker.embedded.errors import EmbeddedServerError
from worker.embedded.nats_server import NatsServer
from worker.embedded.ports import LOOPBACK, free_port, require_free
from worker.embedded.postgres import PostgresServer
from worker.embedded.process_ledger import ProcessLedger
from worker.embedded.processes import STANDARD_ERROR, STANDARD_OUTPUT, describe_exit, spawn
from worker.embedded.server import EmbeddedServer
from worker.embedded.supervisor import ChildSpec, StopRequested, Supervisor

DEFAULT_DATA_DIR = Path(".library")
DEFAULT_NATS_PORT = 4222
DEFAULT_HTTP_PORT = 8350

_SERVERS_READY_S = 300.0  # a PostgreSQL that was killed reads its log first
_ALL_READY_S = 60.0
_PROBE_TIMEOUT_S = 2.0
_SERVER_STOP_S = 10.0
_WORKER_STOP_S = 10.0
_GATEWAY_STOP_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Addresses:
    nats_url: str
    database_url: str
    http_port: int

    @property
    def http_url(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    def as_environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "LIBRARY_NATS_URL": self.nats_url,
            "LIBRARY_DATABASE_URL": self.database_url,
            "LIBRARY_HTTP_PORT": str(self.http_port),
        }

    def as_ready_line(self) -> str:
        return f"ready nats={self.nats_url} http={self.http_url} database={_plain(self.database_url)}"


def up(
    *,
    data_dir: Path,
    nats_port: int,
    http_port: int,
    nats_url: str | None,
    database_url: str | None,
    program: Sequence[str] | None = None,
) -> int:
    """Runs everything until SIGINT or SIGTERM, and gives the exit status: 0 when stopped, 1 on a fault.

    Prints one line on standard output when all of it answers. Port 0 is a free one; a URL stands in for the
    embedded server of its kind. `program` is the command line that `migrate`, `worker` and `gateway` are
    appended to, by default this very package.
    """
    try:
        with DataDirectory(data_dir) as directory:
            ledger = ProcessLedger(directory.path / "processes.json")
            for survivor in ledger.end_survivors():
                _log(f"survivor_ended name={survivor.name} pid={survivor.pid}")
            with Supervisor(ledger=ledger, log=_log) as supervisor:
                if http_port != 0:
                    require_free(http_port, owner="the gateway", option="--http-port")
                nats = None if nats_url else NatsServer(directory.path, port=nats_port)
                postgres = None if database_url else PostgresServer(directory.path)
                _start_servers(supervisor, nats, postgres)
                addresses = _Addresses(
                    nats_url=(nats.url if nats else nats_url or "").rstrip("/"),
                    database_url=postgres.url if postgres else database_url or "",
                    http_port=http_port or free_port(),
                )
                _start_services(supervisor, addresses, program or _own_program())
                _say_ready(addresses)
                supervisor.watch()
    except StopRequested:
        return 0
    except EmbeddedServerError as fault:
        _to_standard_error(f"library up: {fault}")
        return 1
    except OSError as fault:
        place = f": {fault.filename}" if fault.filename else ""
        _to_standard_error(f"library up: {fault.strerror or fault}{place}")
        return 1
    return 0


def _start_servers(supervisor: Supervisor, nats: NatsServer | None, postgres: PostgresServer | None) -> None:
    # The cheap one first: a port that is taken is said before a data folder is made.
    servers: list[EmbeddedServer] = [server for server in (nats, postgres) if server is not None]
    for server in servers:
        server.prepare()
    for server in reversed(servers):
        supervisor.start(
            ChildSpec(
                name=server.name,
                spawn=server.spawn,
                stop_signal=server.stop_signal,
                stop_timeout_s=_SERVER_STOP_S,
            )
        )
    try:
        supervisor.watch(
            until=lambda: all(server.is_ready() for server in servers), timeout_s=_SERVERS_READY_S
        )
    except TimeoutError as fault:
        late = " and ".join(server.name for server in servers if not server.is_ready())
        raise EmbeddedServerError(f"{late} not ready within {_SERVERS_READY_S:g} s: see above") from fault
    if postgres is not None:
        postgres.ensure_database()


def _start_services(supervisor: Supervisor, addresses: _Addresses, program: Sequence[str]) -> None:
    environment = addresses.as_environment()
    _migrate(supervisor, [*program, "migrate"], environment)
    for name, stop_timeout_s in (("worker", _WORKER_STOP_S), ("gateway", _GATEWAY_STOP_S)):

        def start(command: Sequence[str] = (*program, name)) -> subprocess.Popen[bytes]:
            return spawn(command, environment=environment)

        supervisor.start(ChildSpec(name=name, spawn=start, stop_timeout_s=stop_timeout_s))
    probe = _ReadinessProbe(f"{addresses.http_url}/health/ready")
    try:
        supervisor.watch(until=probe, timeout_s=_ALL_READY_S)
    except TimeoutError as fault:
        raise EmbeddedServerError(
            f"worker and gateway not ready within {_ALL_READY_S:g} s ({probe.last}): see their messages above"
        ) from fault


def _migrate(supervisor: Supervisor, command: Sequence[str], environment: dict[str, str]) -> None:
    with tempfile.TemporaryFile() as output:
        status = supervisor.run(
            ChildSpec(
                name="migrate",
                spawn=lambda: spawn(command, environment=environment, output=output.fileno()),
            )
        )
        output.seek(0)
        lines = output.read().decode(errors="replace").rstrip().splitlines()
    last = lines.pop() if status != 0 and lines else "it said nothing"
    for line in lines:
        _to_standard_error(line)
    if status != 0:
        raise EmbeddedServerError(f"the database could not be migrated ({describe_exit(status)}): {last}")


class _ReadinessProbe:
    """True when the gateway says that everything answers; `last` is what it said otherwise."""

    def __init__(self, url: str) -> None:
        self._url = url
        # Without the proxies of the environment: this is our own machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.last = "no answer"

    def __call__(self) -> bool:
        try:
            with self._opener.open(self._url, timeout=_PROBE_TIMEOUT_S):
                return True
        except urllib.error.HTTPError as refusal:
            self.last = f"HTTP {refusal.code}"
            refusal.close()
        except (OSError, http.client.HTTPException):
            self.last = "no answer"
        return False


def _own_program() -> list[str]:
    """Our package as a program; a folder `worker` where the caller stands must not come in its place."""
    parent = Path(worker.__file__ or "").resolve().parents[1]
    safe_path = [] if Path.cwd() == parent else ["-P"]
    return [sys.executable, *safe_path, "-m", "worker"]


def _plain(database_url: str) -> str:
    """The URL as any program reads it: without SQLAlchemy's driver, without spaces."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", database_url).replace(" ", "%20")


def _say_ready(addresses: _Addresses) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop
        os.write(STANDARD_OUTPUT, f"{addresses.as_ready_line()}\n".encode())


def _log(event: str) -> None:
    _to_standard_error(f"library up: {event}")


def _to_standard_error(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(STANDARD_ERROR, f"{line}\n".encode(errors="replace"))
