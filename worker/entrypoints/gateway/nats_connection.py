"""The gateway's one connection to NATS: kept up in the background, and asked with a time limit."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    NoRespondersError,
    OutboundBufferLimitError,
)
from nats.errors import (
    Error as NatsError,
)
from nats.errors import TimeoutError as NoReplyError

from contracts.connection import sturdy
from contracts.problems import ProblemError
from worker import tracing

_FIRST_CONNECTION = 1.0
_RETRY = 1
_CLOSE = 1.0
_STALL = 0.05
_log = structlog.get_logger(__name__)


class NatsConnection:
    """A connection that is sought for as long as the context is open, whatever ends it.

    Entering waits a moment for NATS and goes on without it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._last_error = ""

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._connected.wait(), _FIRST_CONNECTION)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        if self._client is not None:
            with contextlib.suppress(Exception):  # it is over either way
                await asyncio.wait_for(self._client.close(), _CLOSE)

    @property
    def up(self) -> bool:
        """Whether a request can be sent now. While it cannot, nats-py would keep it and send it late."""
        return self._client is not None and self._client.is_connected

    async def ask(self, subject: str, body: bytes, headers: Mapping[str, str], *, within: float) -> Msg:
        """The reply, awaited for at most ``within`` seconds.

        Raises ``ProblemError``: ``unavailable`` at once where NATS or a worker is away, ``no_answer``, and
        ``payload_too_large`` where the server takes less than the contract says.
        """
        client = self._client
        if client is None or not client.is_connected:
            raise ProblemError("unavailable", "NATS is not reachable; nothing was done. Ask again shortly.")
        with tracing.tracer().asking(subject) as span:
            carried = {**headers, **(span.trace.headers if span.trace else {})}
            return await self._answer(client, subject, body, carried, within)

    @staticmethod
    async def _answer(
        client: Client, subject: str, body: bytes, headers: dict[str, str], within: float
    ) -> Msg:
        try:
            return await client.request(subject, body, timeout=within, headers=headers)
        except NoRespondersError:
            raise ProblemError(
                "unavailable", "No worker is running; nothing was done. Ask again shortly."
            ) from None
        except (ConnectionClosedError, ConnectionDrainingError, OutboundBufferLimitError):
            raise ProblemError(
                "unavailable", "NATS went away; nothing was done. Ask again shortly."
            ) from None
        except MaxPayloadError:
            raise ProblemError(
                "payload_too_large", "The NATS server takes no message as large as this."
            ) from None
        except NoReplyError:
            raise ProblemError(
                "no_answer",
                "No worker answered in time; the outcome is unknown."
                " Ask again with the same Idempotency-Key.",
            ) from None

    async def ask_all(self, subject: str, *, expected: int, within: float) -> list[bytes]:
        """What everyone answers who listens; nothing while NATS is away.

        Ends after ``within`` seconds, or when so many as are ``expected`` have answered and no further answer
        came for a moment (the "stall" of NATS ADR-47).
        """
        client = self._client
        if client is None or not client.is_connected:
            return []
        told: list[bytes] = []
        inbox = client.new_inbox()
        with contextlib.suppress(TimeoutError, NatsError):
            async with asyncio.timeout(within):
                replies = await client.subscribe(inbox)
                try:
                    await client.publish(subject, b"", reply=inbox)
                    while True:
                        patience = within if len(told) < max(expected, 1) else _STALL
                        told.append((await replies.next_msg(timeout=patience)).data)
                finally:
                    await replies.unsubscribe()
        return told

    async def hear(self, subject: str, *, listening: Callable[[], None], within: float) -> None:
        """Wait for one message on ``subject``, for so many seconds at most; ``listening`` is called before.

        Ends at once while NATS is away. Further messages are not even sent here.
        """
        client = self._client
        if client is None or not client.is_connected:
            return
        heard = asyncio.Event()

        async def hear(_: Msg) -> None:
            heard.set()

        with contextlib.suppress(TimeoutError, NatsError):
            subscription = await client.subscribe(subject, cb=hear)
            try:
                await client.flush()
                listening()
                await asyncio.wait_for(heard.wait(), within)
            finally:
                await subscription.unsubscribe()

    async def _keep(self) -> None:
        """Connect, and connect anew when nats-py gives up, as it does at an error that the server names."""
        while True:
            closed = asyncio.Event()
            try:
                self._client = await self._connect(closed)
                self._connected.set()
                await closed.wait()
                _log.warning("nats_closed", reason=str(self._client.last_error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the gateway goes on trying
                await self._note(error)
            await asyncio.sleep(_RETRY)

    async def _connect(self, closed: asyncio.Event) -> Client:
        async def on_closed() -> None:
            closed.set()

        client = sturdy(Client())
        await client.connect(
            servers=self._url.split(","),
            name="library-gateway",
            connect_timeout=2,
            reconnect_time_wait=_RETRY,
            max_reconnect_attempts=-1,
            ping_interval=10,
            error_cb=self._note,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected,
            closed_cb=on_closed,
        )
        await self._on_connected()
        return client

    async def _on_connected(self) -> None:
        self._last_error = ""
        _log.info("nats_connected")

    async def _on_disconnected(self) -> None:
        _log.warning("nats_disconnected")

    async def _note(self, error: Exception) -> None:
        """Log an error, once while it repeats itself at every attempt."""
        text = f"{type(error).__name__}: {error}"
        if text != self._last_error:
            self._last_error = text
            _log.warning("nats_error", error=text)
