"""``library`` as a program beside the running product, the way a shell script uses it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.system import System

_PROGRAM = (sys.executable, "-m", "worker")
_PATIENCE = 60


def library(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended, whatever became of it."""
    return subprocess.run(
        [*_PROGRAM, *arguments],
        env=system.environment,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )


def answered(system: System, *arguments: str) -> dict[str, Any]:
    """The one JSON value on standard output of a command that is done and has nothing else to say."""
    done = library(system, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@contextmanager
def running(system: System, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command at work; it is ended, and with it the reading of lines that never come, after a while."""
    process = subprocess.Popen(
        [*_PROGRAM, *arguments],
        env=system.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = threading.Timer(_PATIENCE, process.kill)
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        process.communicate()


@contextmanager
def watching(system: System, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A watch that has begun."""
    with running(system, "watch", *arguments) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("watching from ")
        yield process
