"""Live pages: a stream to each (Server-Sent Events, WHATWG HTML 9.2), told when to fetch themselves again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from contracts.problems import ProblemError
from contracts.subjects import EVENTS_WILDCARD
from worker.entrypoints.gateway import responses
from worker.entrypoints.gateway.nats_connection import NatsConnection
from worker.entrypoints.gateway.request_headers import request_id

_TOGETHER = 0.5
"""Seconds: what changes within them is told at once."""
_QUIET = 30.0
"""Seconds: a page is told this often though nothing changes, for the ages that it shows."""
_HEARTBEAT = 15.0
_MOST_STREAMS = 1000
_MOST_PAGES = 256


class Changes:
    """Tells the open pages that something changed, by one subscription for all of them.

    While events come without end, NATS sends one of them every half a second, and the rest nowhere.
    ``number`` grows with each telling.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self.number = 0
        self._connection = connection
        self._open: set[asyncio.Event] = set()
        self._follower: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def are_followed(self) -> bool:
        """Whether a page is open and ``number`` says when anything changed."""
        return bool(self._open)

    def close(self) -> None:
        """End all streams: the process is stopping."""
        self._closed = True
        for told in self._open:
            told.set()

    async def serve(self, request: Request) -> Response:
        """Answer ``GET /live``."""
        if self._closed or len(self._open) >= _MOST_STREAMS:
            busy = ProblemError(
                "busy", "Too many pages are live; this one shows what was when it was loaded."
            )
            return responses.problem(busy, request_id(request.scope["headers"]))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[bytes]:
        told = asyncio.Event()
        told.set()  # something may have changed since the page was loaded
        self._open.add(told)
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow())
        try:
            yield b"retry: 2000\n\n"
            while not self._closed:
                try:
                    await asyncio.wait_for(told.wait(), _HEARTBEAT)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                told.clear()
                if not self._closed:
                    yield b"event: changed\ndata: %d\n\n" % self.number
        finally:
            self._open.discard(told)
            if not self._open and self._follower is not None:
                self._follower.cancel()
                self._follower = None

    async def _follow(self) -> None:
        while True:
            # Listening comes before telling: what changes after the pages looked is heard.
            await self._connection.hear(EVENTS_WILDCARD, listening=self._tell, within=_QUIET)
            await asyncio.sleep(_TOGETHER)

    def _tell(self) -> None:
        self.number += 1
        for told in self._open:
            told.set()


class Refreshes:
    """What open pages fetch anew, made once for all who show the same."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._number = 0
        self._made: dict[str, asyncio.Task[Response]] = {}

    async def get(self, url: str, make: Callable[[], Awaitable[Response]]) -> Response:
        """The page, as it was made since the last telling."""
        if self._number != self._changes.number:
            self._number = self._changes.number
            self._made.clear()
        if not self._changes.are_followed or (url not in self._made and len(self._made) >= _MOST_PAGES):
            return await make()
        if url not in self._made:
            self._made[url] = asyncio.ensure_future(make())
        return await asyncio.shield(self._made[url])
