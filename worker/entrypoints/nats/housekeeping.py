"""What one worker of all does now and then, the one whose relay leads: it removes expired outcomes."""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy import Engine

from worker.store import idempotency, unit_of_work

log = structlog.get_logger()

_EVERY = 60.0
_LEADER_SOUGHT_EVERY = 1.0
_BETWEEN_STEPS = 0.05
"""Removing is done in small steps with a pause between, so that requests hardly notice."""


async def keep_house(engine: Engine, leads: Callable[[], bool]) -> None:
    """Remove what has expired, every minute while this worker leads, for ever."""
    while True:
        if not leads():
            await asyncio.sleep(_LEADER_SOUGHT_EVERY)
            continue
        try:
            await _remove_expired(engine)
        except Exception as error:  # noqa: BLE001 - there is another time in a minute
            log.warning("housekeeping_failed", because=type(error).__name__)
        await asyncio.sleep(_EVERY)


async def _remove_expired(engine: Engine) -> None:
    removed = 0
    while step := await asyncio.to_thread(unit_of_work.run, engine, idempotency.remove_expired):
        removed += step
        await asyncio.sleep(_BETWEEN_STEPS)
    if removed:
        log.info("expired_outcomes_removed", outcomes=removed)
