import random
import socket
from pathlib import Path

from worker.embedded.errors import EmbeddedServerError

LOOPBACK = "127.0.0.1"

_FIRST_CHOICE = 20_000
_FIRST_EPHEMERAL = 32_768  # where outgoing ports begin on Linux, and below where they do elsewhere
_TRIES = 100
_system = random.SystemRandom()  # two programs with the same seed must not choose the same ports


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing uses now.

    It lies below the ports that the kernel gives to outgoing connections: one of those could take it while
    its server is being restarted, and the server could not come back on its old address.
    """
    last = min(_first_ephemeral(), _FIRST_EPHEMERAL) - 1
    if last > _FIRST_CHOICE:
        for _ in range(_TRIES):
            port = _system.randint(_FIRST_CHOICE, last)
            if is_free(port):
                return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    return _fault_of_binding(port) is None


def require_free(port: int, *, owner: str, option: str) -> None:
    """Raises EmbeddedServerError where `owner` could not listen on this port; `option` is what sets it."""
    fault = _fault_of_binding(port)
    if fault is not None:
        raise EmbeddedServerError(
            f"{owner} cannot listen on port {port} of {LOOPBACK} ({fault}):"
            f" end what uses it, or choose another with {option} (0 picks a free one)"
        )


def _fault_of_binding(port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is free
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except (OSError, OverflowError) as fault:
            return getattr(fault, "strerror", None) or "not a port"
    return None


def _first_ephemeral() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _FIRST_EPHEMERAL
