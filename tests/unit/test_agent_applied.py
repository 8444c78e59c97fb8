"""What an agent says that it runs, where the bucket is lost in the middle of saying it."""

import asyncio
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from nats.js.errors import NotFoundError

from contracts.convergence import Applied
from contracts.hotswap import applied as module
from contracts.hotswap.applied import AppliedReports

ENTITY_ID = UUID(int=1)


class Bucket:
    """Takes down the sequences that are published; each is acknowledged once ``acknowledges`` is set."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.acknowledges = asyncio.Event()
        self.acknowledges.set()
        self.is_lost = False
        self._changed = asyncio.Condition()

    def jetstream(self, **_: Any) -> "Bucket":
        return self

    async def publish(self, _: str, payload: bytes) -> None:
        async with self._changed:
            self.published.append(json.loads(payload)["sequence"])
            self._changed.notify_all()
        await self.acknowledges.wait()

    async def get_last_msg(self, *_: Any, **__: Any) -> SimpleNamespace:
        if self.is_lost:
            self.is_lost = False
            raise NotFoundError
        return SimpleNamespace()

    async def has(self, number: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.published) >= number)


def runs(sequence: int) -> Applied:
    now = datetime.now(UTC)
    return Applied(deployment_id=UUID(int=sequence), sequence=str(sequence), applied_at=now)


async def test_a_bucket_lost_while_a_value_is_under_way_ends_with_that_value(monkeypatch, caplog):
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    bucket: Any = Bucket()
    reports = AppliedReports(bucket, "staging", "runner-1")
    tasks = [asyncio.create_task(each) for each in (reports.run(), reports.watch_over())]
    try:
        reports.put(ENTITY_ID, runs(1))
        await bucket.has(1)
        bucket.acknowledges.clear()
        reports.put(ENTITY_ID, runs(2))
        await bucket.has(2)
        bucket.is_lost = True
        async with asyncio.timeout(10):
            while "applied_lost" not in caplog.text:
                await asyncio.sleep(0.001)
        bucket.acknowledges.set()
        await bucket.has(3)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    assert bucket.published == ["1", "2", "2"]
