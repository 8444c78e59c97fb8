import contextlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.embedded.processes import birth_of

_POLL_S = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessRecord:
    """A running child: `birth` tells it from a later process that got the same pid."""

    name: str
    pid: int
    birth: str
    stop_signal: int

    def runs(self) -> bool:
        """Whether this very process still runs."""
        return birth_of(self.pid) == self.birth


class ProcessLedger:
    """Which children run, in a file, so that the next start can end what a kill -9 has left behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, records: Sequence[ProcessRecord]) -> None:
        """Replaces what is recorded; a reader sees the old or the new, never half of it."""
        draft = self._path.with_name(self._path.name + ".new")
        draft.write_text(json.dumps([asdict(record) for record in records]))
        draft.replace(self._path)

    def end_survivors(self, *, grace_s: float = 3.0) -> list[ProcessRecord]:
        """Ends the recorded processes that still run, and gives those it found.

        They are asked to stop, and killed where they have not after `grace_s` seconds.
        """
        survivors = [record for record in self._read() if record.runs()]
        for record in reversed(survivors):
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, record.stop_signal)
        stubborn = _still_running_after(grace_s, survivors)
        for record in stubborn:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(record.pid, signal.SIGKILL)
        _still_running_after(grace_s, stubborn)
        self.write([])
        return survivors

    def _read(self) -> list[ProcessRecord]:
        try:
            return [ProcessRecord(**entry) for entry in json.loads(self._path.read_text())]
        except (FileNotFoundError, ValueError, TypeError):
            return []


def _still_running_after(limit_s: float, records: Sequence[ProcessRecord]) -> list[ProcessRecord]:
    give_up = time.monotonic() + limit_s
    running = [record for record in records if record.runs()]
    while running and time.monotonic() < give_up:
        time.sleep(_POLL_S)
        running = [record for record in running if record.runs()]
    return running
