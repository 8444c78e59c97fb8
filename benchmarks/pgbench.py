"""Driving PostgreSQL alone: pgbench, one prepared call a deploy."""

import asyncio
import math
import os
import re
import tempfile
from pathlib import Path

from benchmarks.measures import Run
from worker.embedded.postgres_cluster import find_programs

SCRIPT = Path(__file__).parent / "peers" / "postgresql.pgbench"


class PgbenchError(Exception):
    """pgbench did not run, or the database refused a call."""


async def drive(url: str, *, entities: int, with_events: bool, callers: int, seconds: float) -> Run:
    """So many connections for so many seconds, rounded up to whole ones; calls that fail end it."""
    with tempfile.TemporaryDirectory(prefix="library-bench-") as folder:
        process = await asyncio.create_subprocess_exec(
            str(find_programs(Path(folder) / "none") / "pgbench"),
            "--no-vacuum",
            "--protocol=prepared",
            f"--file={SCRIPT}",
            f"--define=entities={entities}",
            f"--define=with_events={str(with_events).lower()}",
            f"--client={callers}",
            f"--jobs={min(callers, os.cpu_count() or 1)}",
            f"--time={math.ceil(seconds)}",
            "--log",
            f"--log-prefix={folder}/log",
            url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode:
            lines = errors.decode().strip().splitlines() or ["it said nothing"]
            raise PgbenchError(f"pgbench ended with status {process.returncode}: {lines[-1]}")
        logs = _read_all(Path(folder))
    return read(output.decode(), logs)


def read(report: str, logs: str) -> Run:
    """What it measured; a line of a log is a transaction, its third word the time it took in microseconds.

    Raises ``PgbenchError`` where report and logs disagree on how many there were.
    """
    latencies = [int(line.split()[2]) / 1e6 for line in logs.splitlines()]
    processed = re.search(r"transactions actually processed: (\d+)", report)
    rate = re.search(r"^tps = ([\d.]+) \(without initial connection time\)", report, re.MULTILINE)
    if not processed or not rate or int(processed[1]) != len(latencies):
        raise PgbenchError("pgbench's report is not as expected")
    return Run(latencies, len(latencies) / float(rate[1]))


def _read_all(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in folder.glob("log*"))
