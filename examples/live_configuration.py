# ruff: noqa: INP001, T201 - a script that prints what it sees
"""A program that is configured by the library: it runs with whatever is active for it, from then on at once.

``python examples/live_configuration.py ENTITY ENVIRONMENT``, with nats-server's address in
``LIBRARY_NATS_URL``. A line each time something else is active, until it is interrupted.
"""

import asyncio
import contextlib
import json
import os
import sys
from datetime import UTC, datetime

from contracts.client import LibraryClient
from contracts.environments import ENVIRONMENTS


async def run(url: str, name: str, environment: str) -> None:
    """Print what is active there, and whatever takes its place."""
    where = next(each for each in ENVIRONMENTS if each == environment)
    async with await LibraryClient.connect(url) as client:
        (entity,) = (await client.list_entities(name=name)).entities
        async with client.live(where, entity.entity_id) as configurations:
            async for live in configurations:
                if live is None:
                    print(f"{name}: nothing is active in {where}", flush=True)
                    continue
                delay = (datetime.now(UTC) - live.activated_at).total_seconds() * 1000
                print(
                    f"{name}: {live.version} with {json.dumps(live.config)}, seen after {delay:.0f} ms",
                    flush=True,
                )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            run(os.environ.get("LIBRARY_NATS_URL", "nats://127.0.0.1:4222"), sys.argv[1], sys.argv[2])
        )
