"""Child processes in sessions of their own, and how to tell one from a later process with its pid."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from worker.embedded.accounts import Account
from worker.embedded.errors import EmbeddedServerError

STANDARD_OUTPUT = 1
STANDARD_ERROR = 2

_PR_SET_PDEATHSIG = 1


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    output: int = STANDARD_ERROR,
    folder: str | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, so that a Ctrl-C in the terminal reaches only its parent.

    What it prints goes to the file descriptor `output`. On Linux it gets `death_signal` when this process
    ends without having stopped it; elsewhere the process ledger is what finds it again.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - our own commands, no shell
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment) if environment is not None else None,
            cwd=folder,
            start_new_session=True,
            preexec_fn=tie_to_parent(death_signal),  # noqa: PLW1509 - system calls only
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.SubprocessError) as fault:
        raise EmbeddedServerError(_why_not_started(command, account, fault)) from fault


def tie_to_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before its program, so that Linux signals it when its parent dies; None elsewhere.

    None, too, outside the main thread: to Linux the parent is the thread, which may end long before us.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return tie


def birth_of(pid: int) -> str | None:
    """When the process with this pid was started, as text to compare; None when there is none.

    One that has ended and waits for its parent to take notice (a zombie) counts as none.
    """
    if sys.platform == "linux":
        return _birth_in_proc(pid)
    listed = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return None if not listed or listed[0].startswith("Z") else listed[1].strip()


def describe_exit(status: int) -> str:
    """An exit status as `subprocess` gives it, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _birth_in_proc(pid: int) -> str | None:
    try:
        # The name stands in parentheses and may hold anything; the fields after it begin with the state.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else f"{boot}/{fields[19]}"


def _why_not_started(command: Sequence[str], account: Account | None, fault: Exception) -> str:
    program = Path(command[0]).name
    if account is None:
        return f"{program} cannot be started ({fault}): install it again"
    return (
        f"{program} cannot be started as '{account.name}' ({fault}):"
        " run this as an ordinary user, or use a running server with --database-url"
    )
