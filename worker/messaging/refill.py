"""The stream, made ready to be filled again from the event log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from nats.js import JetStreamContext

from contracts import subjects

_SHORTEST_WINDOW = 0.1
_FORGOTTEN = 0.3


async def empty(jetstream: JetStreamContext) -> None:
    """Remove all messages. Numbers go on where they were, so consumers see what comes as new."""
    await jetstream.purge_stream(subjects.EVENTS_STREAM)


@asynccontextmanager
async def ids_forgotten(jetstream: JetStreamContext) -> AsyncIterator[None]:
    """Have the stream take ids that it has seen of late.

    Within its duplicate window (two minutes) it remembers the ids of messages that are gone, purged ones too,
    and refuses them. Meanwhile the window is as short as the server admits.
    """
    configuration = (await jetstream.stream_info(subjects.EVENTS_STREAM)).config
    await jetstream.update_stream(replace(configuration, duplicate_window=_SHORTEST_WINDOW))
    try:
        await asyncio.sleep(_FORGOTTEN)
        yield
    finally:
        await jetstream.update_stream(configuration)
