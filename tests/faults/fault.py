"""What a fault is: a product to strike, a blow while a load runs, and what it came to."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from contracts.client import LibraryClient
from tests.faults.load import Load
from tests.faults.observed import Finding
from tests.faults.plant import Plant


class Unavailable(Exception):
    """This machine does not let us do that; the message says why."""


class Wrong(Exception):
    """What a blow itself finds wrong."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


Strike = Callable[[Plant, float], Awaitable[None]]
"""Strikes a plant, again and again for so many seconds, and leaves it whole. Raises ``Wrong``."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table. ``plant`` makes the product; ``arrange`` starts its workers, before the load."""

    name: str
    what: str
    strike: Strike
    arrange: Callable[[Plant], Awaitable[None]]
    plant: type[Plant] = Plant
    load: Callable[[Sequence[LibraryClient]], Load] = Load
