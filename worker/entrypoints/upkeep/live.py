"""The live state, made anew from the database where it differs."""

from dataclasses import dataclass

from nats.aio.client import Client

from worker.entrypoints.upkeep.servers import LiveState, Progress, in_thread, live_state, patient_engine
from worker.messaging import live_state as live
from worker.settings import Settings
from worker.store import schema


@dataclass(slots=True)
class Rebuilt:
    """What was done: keys looked at, put because they were missing or wrong, deleted as nothing is active."""

    looked_at: int = 0
    put: int = 0
    deleted: int = 0


async def rebuild(settings: Settings, client: Client, progress: Progress) -> Rebuilt:
    """Put what is missing or wrong, delete what should not be there.

    The leading relay may go on meanwhile: it notices that somebody wrote, looks where the bucket stands, and
    writes what it had to again. Raises what the servers raise, and ``SchemaOutdated``.
    """
    engine = patient_engine(settings)
    try:
        await in_thread(lambda: schema.require(engine))
    finally:
        engine.dispose()
    rebuilt = Rebuilt()
    async with live_state(settings, client) as states:
        for state in states:
            await _rebuild(state, rebuilt, progress)
    return rebuilt


async def _rebuild(state: LiveState, rebuilt: Rebuilt, progress: Progress) -> None:
    parts = (state.bucket, state.source, state.blocking)
    async for compared in live.differences(*parts):
        rebuilt.looked_at += compared.looked_at
        for written in await live.repair(*parts, compared.differing):
            if written.expected is None:
                rebuilt.deleted += 1
            else:
                rebuilt.put += 1
        progress("keys", rebuilt.looked_at)
