"""The end to waiting for a PostgreSQL that says nothing, on sockets of its kind."""

import os
import socket
import struct
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from worker.store.silence import SilenceWatch


@contextmanager
def silent_server():
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield listening.getsockname()[1]


def a_connection(waiting, port):
    """What SQLAlchemy knows of a psycopg2 connection on this socket."""
    info = SimpleNamespace(host="127.0.0.1", port=port)
    driver = SimpleNamespace(info=info, fileno=waiting.fileno)
    return SimpleNamespace(connection=SimpleNamespace(dbapi_connection=driver))


def was_shut(watch, port):
    """Whether the watch ends the wait of a connection to a silent server."""
    address = ("127.0.0.1", port)
    with socket.create_connection(address, timeout=10) as waiting, watch.over(a_connection(waiting, port)):
        return waiting.recv(1) == b""


def test_who_waits_for_a_silent_server_waits_no_longer():
    with silent_server() as port:
        assert was_shut(SilenceWatch(), port)


def test_a_connection_that_is_reset_meanwhile_does_not_end_the_watch():
    watch = SilenceWatch()
    with silent_server() as port, socket.create_server(("127.0.0.1", 0)) as resetting:
        waiting = socket.create_connection(resetting.getsockname())
        other, _ = resetting.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
        with watch.over(a_connection(waiting, port)):
            assert was_shut(watch, port)
            assert was_shut(watch, port)  # whichever of the first two it saw to first
        waiting.close()


def test_the_number_of_a_closed_connection_may_be_another_sockets_by_then():
    watch = SilenceWatch()
    ours, theirs = socket.socketpair()
    with silent_server() as port, theirs, ours:
        waiting = socket.create_connection(("127.0.0.1", port))
        number = waiting.fileno()
        with watch.over(a_connection(waiting, port)):
            waiting.detach()
            os.dup2(ours.fileno(), number)  # closes ours, and has another in its place
            assert was_shut(watch, port)
        theirs.sendall(b"x")
        assert os.read(number, 1) == b"x"
        os.close(number)
