"""What a benchmark's processes spend of the processor's time, by what they are."""

import contextlib

import psutil

GENERATOR = "generator"


def spent() -> dict[str, float]:
    """CPU seconds so far of this process, which is the generator, and of all processes below it, by kind.

    What an ended process spent is its parent's, which waited for it: a finished pgbench is the generator's, a
    closed session of PostgreSQL is PostgreSQL's.
    """
    here = psutil.Process()
    total: dict[str, float] = {}
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            kind = GENERATOR if process == here else _kind(process.name(), process.cmdline())
            total[kind] = total.get(kind, 0.0) + sum(process.cpu_times()[:4])
    return total


def each(before: dict[str, float], after: dict[str, float], deploys: int) -> dict[str, float]:
    """Microseconds a deploy, by kind, of what was spent in between; those that spent the most come first."""
    found = {kind: (value - before.get(kind, 0.0)) * 1e6 / deploys for kind, value in after.items()}
    descending = sorted(found.items(), key=lambda item: -item[1])
    return {kind: round(value, 1) for kind, value in descending if value > 0}


def _kind(name: str, command: list[str]) -> str:
    for server in ("postgres", "nats-server"):
        if name.startswith(server):
            return server
    if "benchmarks.peers" in " ".join(command) or "multiprocessing" in " ".join(command):
        return "service"
    return next((word for word in ("gateway", "worker", "pgbench") if command[-1:] == [word]), "supervisor")
