"""A TCP proxy that breaks a connection at a chosen moment, or keeps it open and says nothing."""

import asyncio
from enum import Enum
from typing import Self

COMMIT = b"COMMIT\x00"
"""The end of a simple query of PostgreSQL's protocol that commits, alone or behind all that is written."""
ANSWER = b"PUB _INBOX."
"""A reply of the worker's, of NATS's protocol; HPUB with headers."""
BATCH = b"Nats-Batch-Commit"
"""What ends an atomic batch of the relay's."""

_PIECE = 65536


class Moment(Enum):
    """When it happens, seen from what the mark stands in."""

    BEFORE = "before"
    AFTER = "after"


class Way(Enum):
    """What happens: the connection is cut, or everything falls silent until ``heal``."""

    CUT = "cut"
    SILENCE = "silence"


class Proxy:
    """Listens on a port of its own and passes on to ``upstream``, a port of this machine.

    After ``arm``, the next client that sends the mark meets the fault: before what holds it is passed on, or
    after that and before what answers it. What is held back in a silence is passed on when that ends, as it
    is after a partition.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._passes = asyncio.Event()
        self._passes.set()
        self._armed: tuple[bytes, Moment, Way] | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.struck = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.heal()
        for link in tuple(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def arm(self, mark: bytes, moment: Moment, way: Way) -> None:
        """Strike once, where the mark passes next; ``struck`` is set then."""
        self.struck.clear()
        self._armed = mark, moment, way

    def silence(self) -> None:
        """Pass nothing on, either way, and accept whoever comes."""
        self._passes.clear()

    def heal(self) -> None:
        """Pass on again, what was held back first."""
        self._armed = None
        self._passes.set()

    def cut(self) -> None:
        """Cut every connection."""
        for link in self._links:
            link.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        ends = [writer]
        try:
            answers, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
            ends.append(upstream)
            await self._carry(reader, writer, answers, upstream)
            for end in ends:
                end.close()  # what was written still arrives
        except (OSError, asyncio.CancelledError):
            pass  # one end went away, or the connection was cut
        finally:
            for end in ends:
                if not end.is_closing():
                    end.transport.abort()
            self._links.discard(link)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        """Pass on both ways until one end closes; raises ``ConnectionAbortedError`` where a cut is due."""
        condemned = asyncio.Event()

        async def requests() -> None:
            while piece := await reader.read(_PIECE):
                before, after = self._strike(piece)
                if before is Way.CUT:
                    raise ConnectionAbortedError
                await self._pass(piece, upstream)
                if after is Way.CUT:
                    condemned.set()
                elif after is Way.SILENCE:
                    self.silence()
            await self._passes.wait()

        async def replies() -> None:
            while piece := await answers.read(_PIECE):
                if condemned.is_set():
                    raise ConnectionAbortedError
                await self._pass(piece, writer)

        both = [asyncio.create_task(requests()), asyncio.create_task(replies())]
        try:
            await next(asyncio.as_completed(both))
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _pass(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        await self._passes.wait()
        writer.write(piece)
        await writer.drain()

    def _strike(self, piece: bytes) -> tuple[Way | None, Way | None]:
        """What is due before the piece is passed on, and after, if it is the one that the fault waits for."""
        if self._armed is None or self._armed[0] not in piece:
            return None, None
        _, moment, way = self._armed
        self._armed = None
        self.struck.set()
        if moment is Moment.AFTER:
            return None, way
        if way is Way.SILENCE:
            self.silence()
        return way, None
