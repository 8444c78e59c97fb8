"""An end to waiting for a PostgreSQL that says nothing.

psycopg2 waits as long as TCP holds, and before a server or a proxy that is stopped TCP holds for ever. So a
thread looks after those who wait: where the server does not even answer the first words of its protocol, the
connection is shut, and psycopg2 raises ``OperationalError``. A server that answers is waited for: its own
time-outs end what takes too long.
"""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

_DOUBT_SECONDS = 1.0
_ANSWER_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What libpq says first (PostgreSQL's manual, section 54.7); any server has one byte to answer."""


@dataclass(slots=True, eq=False)
class _Wait:
    """Somebody who waits on a socket (number and inode), for a server there, in doubt from a moment on."""

    number: int
    inode: int
    server: tuple[str, int]
    doubted_at: float


class SilenceWatch:
    """Looks after the connections of one pool."""

    def __init__(self) -> None:
        self._waits: set[_Wait] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, name="silence", daemon=True).start()

    @contextmanager
    def over(self, connection: Connection) -> Iterator[None]:
        """Shut this connection if its server falls silent meanwhile."""
        driver = connection.connection.dbapi_connection
        assert driver is not None
        number, server = driver.fileno(), (driver.info.host, driver.info.port)
        wait = _Wait(number, os.fstat(number).st_ino, server, time.monotonic() + _DOUBT_SECONDS)
        with self._lock:
            self._waits.add(wait)
        try:
            yield
        finally:
            with self._lock:
                self._waits.discard(wait)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                late = [wait for wait in self._waits if time.monotonic() > wait.doubted_at]
            for wait in late:
                if _answers(*wait.server):
                    wait.doubted_at = time.monotonic() + _DOUBT_SECONDS
                else:
                    self._shut(wait)

    def _shut(self, wait: _Wait) -> None:
        with self._lock, contextlib.suppress(OSError):  # it may be closed by now, at either end
            if wait in self._waits:
                self._waits.discard(wait)
                with socket.socket(fileno=os.dup(wait.number)) as silent:
                    if os.fstat(silent.fileno()).st_ino == wait.inode:  # else the number is another's
                        silent.shutdown(socket.SHUT_RDWR)


def _answers(host: str, port: int) -> bool:
    try:
        with _connect(host, port) as asked:
            asked.sendall(_SSL_REQUEST)
            return bool(asked.recv(1))
    except OSError:
        return False


def _connect(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout=_ANSWER_SECONDS)
    asked = socket.socket(socket.AF_UNIX)
    asked.settimeout(_ANSWER_SECONDS)
    asked.connect(f"{host}/.s.PGSQL.{port}")
    return asked
