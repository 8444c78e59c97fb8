"""Agents for tests: a program that takes down what it is told to do, and one that is a process of its own.

``python -m tests.agents ENTITY_ID ENVIRONMENT AGENT HOLD`` writes each call to standard error when it begins,
and never comes back from the one that HOLD names, such as ``activate 2``.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterable
from uuid import UUID

from contracts.agent import Agent, Configuration, Health
from contracts.client import LibraryClient

HELD_SECONDS = 30
"""So long at most, so that a test that fails ends: an agent waits for an ``activate``."""


class Recorder:
    """A program whose calls are known by the ``n`` in their config, such as ``prepare 1``.

    A call in ``failing`` raises, one in ``held`` lasts until it is let go.
    """

    def __init__(self, *, failing: Iterable[str] = (), held: Iterable[str] = ()) -> None:
        self.calls: list[str] = []
        self.failing = set(failing)
        self.held = {call: asyncio.Event() for call in held}
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.under_way = 0
        self._changed = asyncio.Condition()

    async def prepare(self, new: Configuration) -> None:
        await self._call("prepare", new)

    async def activate(self, new: Configuration) -> None:
        await self._call("activate", new)

    async def release(self, old: Configuration) -> None:
        await self._call("release", old)

    async def _call(self, do: str, what: Configuration) -> None:
        call = f"{do} {what.config['n']}"
        assert self.under_way == 0, "one coroutine at a time"
        self.under_way += 1
        try:
            await self._note(self.calls, call)
            if call in self.held:
                async with asyncio.timeout(HELD_SECONDS):
                    await self.held[call].wait()
            if call in self.failing:
                raise RuntimeError(f"{call} does not work")
        except asyncio.CancelledError:
            self.cancelled.append(call)
            raise
        finally:
            self.under_way -= 1
        await self._note(self.ended, call)

    async def _note(self, where: list[str], call: str) -> None:
        async with self._changed:
            where.append(call)
            self._changed.notify_all()

    async def began(self, *calls: str) -> None:
        """Wait until exactly these calls have begun, in this order, since the start."""
        await self._until(self.calls, calls)

    async def did(self, *calls: str) -> None:
        """Wait until exactly these calls have ended well, in this order, since the start."""
        await self._until(self.ended, calls)

    async def _until(self, where: list[str], calls: tuple[str, ...]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20), self._changed:
                await self._changed.wait_for(lambda: len(where) >= len(calls))
        assert tuple(where) == calls


class HealthyRecorder(Recorder):
    """A recorder that says how it is."""

    def __init__(self) -> None:
        super().__init__()
        self.error: str | None = None

    async def health(self) -> Health:
        if self.error:
            raise RuntimeError(self.error)
        return Health("healthy", {"calls": len(self.calls)})


class _Program:
    def __init__(self, hold: str) -> None:
        self._hold = hold

    async def prepare(self, new: Configuration) -> None:
        await self._call("prepare", new)

    async def activate(self, new: Configuration) -> None:
        await self._call("activate", new)

    async def release(self, old: Configuration) -> None:
        await self._call("release", old)

    async def _call(self, do: str, what: Configuration) -> None:
        sys.stderr.write(f"{do} {what.config['n']}\n")
        sys.stderr.flush()
        if f"{do} {what.config['n']}" == self._hold:
            await asyncio.Event().wait()


async def main(entity_id: str, environment: str, agent: str, hold: str) -> None:
    async with (
        await LibraryClient.connect(os.environ["LIBRARY_NATS_URL"]) as client,
        Agent(client, environment, UUID(entity_id), agent, _Program(hold)) as running,
    ):
        await running.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
