"""A fault upon a load: what callers were told, what is there afterwards, and how long nobody was served."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import cast

from contracts.client import LibraryClient
from tests.faults import evidence
from tests.faults.checker import check
from tests.faults.fault import Fault, Wrong
from tests.faults.load import Load
from tests.faults.observed import Evidence, Finding, Kind
from tests.faults.plant import Plant

_CONNECTIONS = 4
_RECOVERED_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table."""

    fault: str
    requests: int
    acknowledged: int
    refused: int
    findings: tuple[Finding, ...]
    longest_gap: float
    codes: dict[str, int]
    events: dict[str, int]

    def count(self, kind: Kind) -> int:
        """How many findings are of a kind."""
        return sum(finding.kind == kind for finding in self.findings)


async def trial(fault: Fault, plant: Plant, seconds: float) -> Row:
    """Strike the plant for so many seconds beneath a load, let it settle, and look."""
    await fault.arrange(plant)
    try:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(await LibraryClient.connect(plant.nats_url))
                for _ in range(_CONNECTIONS)
            ]
            load = fault.load(clients)
            await load.prepare()
            blow = asyncio.create_task(fault.strike(plant, seconds))
            await load.run(seconds)
            findings = await _outcome(blow)
            await load.ask_again()
        seen = await evidence.settled(plant, load)
        findings += [*load.findings, *check(seen), *await plant.differences()]
        return _row(fault, load, findings, seen)
    finally:
        await plant.clear()


async def _outcome(blow: asyncio.Task[None]) -> list[Finding]:
    try:
        async with asyncio.timeout(_RECOVERED_WITHIN):
            await blow
    except Wrong as wrong:
        return [wrong.finding]
    return []


def _row(fault: Fault, load: Load, findings: list[Finding], seen: Evidence) -> Row:
    last = Counter(
        cast(bool, asked.answers[-1].refusal is None) for asked in load.asked.values() if asked.answers
    )
    return Row(
        fault.name,
        len(load.asked),
        last[True],
        last[False],
        tuple(findings),
        load.longest_gap,
        dict(load.codes),
        dict(Counter(event.name for event in seen.events)),
    )
