"""The peers' processes, for as long as a benchmark drives them."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

START_S = 30.0
STOP_S = 15.0
PROCESSES = 2
_POLL_S = 0.02


class ServiceError(Exception):
    """A peer did not start, or did not stop."""


@asynccontextmanager
async def running(
    *commands: Sequence[str], database: str, nats: str, ready: str, ready_times: int = PROCESSES
) -> AsyncIterator[None]:
    """Python modules with their arguments; ready once that text stands in their output so many times."""
    environment = {
        **os.environ,
        "PEER_DATABASE_URL": database,
        "PEER_NATS_URL": nats,
        "PYTHONUNBUFFERED": "1",
    }
    with tempfile.NamedTemporaryFile(prefix="library-bench-", suffix=".log") as log:
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *command,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            for command in commands
        ]
        try:
            await _ready(processes, Path(log.name), ready, ready_times)
            yield
        finally:
            await asyncio.gather(*map(_stop, processes))


async def _ready(processes: Sequence[asyncio.subprocess.Process], log: Path, wanted: str, times: int) -> None:
    try:
        async with asyncio.timeout(START_S):
            while _text_of(log).count(wanted) < times:
                if any(process.returncode is not None for process in processes):
                    raise ServiceError(f"a peer ended: {_text_of(log)[-2000:]}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise ServiceError(f"a peer did not start: {_text_of(log)[-2000:]}") from None


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _text_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
