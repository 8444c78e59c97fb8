"""Most faults for a few seconds; ``make faults`` strikes longer and prints what came of it."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.faults import confirmed
from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault, Unavailable
from tests.faults.load import CALLERS
from tests.faults.plant import Plant
from tests.faults.trial import trial

SECONDS = 2.0
LONGER = {
    "worker-stopped": 5.0,
    "nats-away": 4.0,
    "stream-leader": 4.0,
    "everything": 3.0,
    "postgres-cut": 3.0,
    "postgres-silent": 5.0,
    "nats-cut": 3.0,
    "nats-silent": 5.0,
}
SHORT = [fault for fault in FAULTS if fault not in confirmed.FAULTS or fault.name == "confirmed-worker"]
"""Of confirmed environments one is enough here."""
SERVED = CALLERS
BACK_WITHIN = 20.0


class Plants:
    """One plant of a kind, for as long as it is whole."""

    def __init__(self) -> None:
        self._running: dict[type[Plant], Plant] = {}

    async def of(self, kind: type[Plant]) -> Plant:
        """The running one; a new one where there is none."""
        if kind not in self._running:
            plant = kind()
            await plant.start()
            self._running[kind] = plant
        return self._running[kind]

    async def discard(self, kind: type[Plant]) -> None:
        """Stop one that may be broken."""
        if kind in self._running:
            await self._running.pop(kind).stop()

    async def stop(self) -> None:
        """Stop all."""
        for kind in list(self._running):
            await self.discard(kind)


@pytest.fixture(scope="module")
def plants() -> Iterator[Plants]:
    found = Plants()
    yield found
    asyncio.run(found.stop())


@pytest.mark.parametrize("fault", SHORT, ids=[fault.name for fault in SHORT])
async def test_nothing_is_lost_doubled_or_out_of_order(fault: Fault, plants: Plants):
    try:
        plant = await plants.of(fault.plant)
    except Unavailable as why:
        pytest.skip(str(why))
    try:
        row = await trial(fault, plant, LONGER.get(fault.name, SECONDS))
    except BaseException:
        await plants.discard(fault.plant)
        raise
    assert row.findings == ()
    assert row.acknowledged > SERVED
    assert row.longest_gap < BACK_WITHIN
