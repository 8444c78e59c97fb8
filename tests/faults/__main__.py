"""``make faults``: every fault upon a running system under load, and a table of what came of it."""

import argparse
import asyncio
import sys

from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault, Unavailable
from tests.faults.trial import Row, trial

_HEADINGS = (
    "fault",
    "requests",
    "acknowledged",
    "refused",
    "lost",
    "doubled",
    "out of order",
    "longest gap in service (s)",
)
_SHOWN = 20


def main() -> int:
    """Run what was asked for, print the table, and give the exit status: 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=[fault.name for fault in FAULTS], help="just this"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each load runs")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if not options.only or fault.name in options.only]
    _say("| " + " | ".join(_HEADINGS) + " |")
    _say("|---|" + "--:|" * (len(_HEADINGS) - 1))
    whole = [asyncio.run(_run(fault, options.seconds)) for fault in chosen]
    return 0 if all(whole) else 1


async def _run(fault: Fault, seconds: float) -> bool:
    plant = fault.plant()
    try:
        await plant.start()
    except Unavailable as why:
        _say(f"| {fault.what} | not run: {why} |" + " |" * (len(_HEADINGS) - 2))
        return True
    try:
        row = await trial(fault, plant, seconds)
    finally:
        await plant.stop()
    _say(_line(fault, row))
    _note(f"{fault.name}: {row.codes}, events {row.events}")
    for finding in row.findings[:_SHOWN]:
        _note(f"{fault.name}: {finding.kind}: {finding.what}")
    return not row.findings


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _line(fault: Fault, row: Row) -> str:
    cells = (
        fault.what,
        f"{row.requests:,}",
        f"{row.acknowledged:,}",
        f"{row.refused:,}",
        str(row.count("lost")),
        str(row.count("doubled")),
        str(row.count("out of order")),
        f"{row.longest_gap:.1f}",
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
