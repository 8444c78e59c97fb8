"""``library up`` as a child process, for as long as a benchmark drives it."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Product(NamedTuple):
    """Where it answers, and its process."""

    nats: str
    http: str
    database: str
    process: subprocess.Popen[str]


@contextmanager
def running() -> Iterator[Product]:
    """The product with its default configuration, on free ports and a new data directory."""
    with tempfile.TemporaryDirectory(prefix="library-bench-") as directory:
        data, log = Path(directory) / "data", Path(directory) / "log"
        Path(directory).chmod(0o711)  # as root, PostgreSQL runs as another user
        command = [
            sys.executable,
            "-m",
            "worker",
            "up",
            "--data-dir",
            str(data),
            "--nats-port",
            "0",
            "--http-port",
            "0",
        ]
        with (
            log.open("w") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
        ):
            try:
                assert process.stdout is not None
                words = process.stdout.readline().split()
                assert words[:1] == ["ready"], log.read_text()[-2000:]
                addresses = dict(word.split("=", 1) for word in words[1:])
                yield Product(**addresses, process=process)
            finally:
                process.terminate()
                process.wait(60)
