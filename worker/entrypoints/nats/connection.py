"""Connections to NATS that never give up, and a process that ends when one is gone for good.

By default nats-py gives up after two minutes, and the subscribers stay, deaf. Here it tries for ever, and a
watchdog ends the process after a long time without a connection, so that its supervisor starts another.
"""

import asyncio
import os
import time
from typing import Any

import structlog
from faststream.nats import NatsBroker

log = structlog.get_logger()
_CLOSED, _CUT_OFF = 70, 71


class Connectivity:
    """What is known of a connection, from its callbacks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stopping = False
        self.reconnects = 0
        self._down_since: float | None = None

    def options(self) -> dict[str, Any]:
        """The options of nats-py that all connections of a worker share."""
        return {
            "name": self.name,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.5,
            "connect_timeout": 2,
            "ping_interval": 5,
            "max_outstanding_pings": 2,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "closed_cb": self._on_closed,
        }

    def broker(self, url: str) -> NatsBroker:
        """FastStream's broker on such a connection, without its logging and injection."""
        options = self.options()
        on_error = options.pop("error_cb")
        broker = NatsBroker(url.split(","), **options, logger=None, apply_types=False, graceful_timeout=10)
        # FastStream 0.7 wraps error_cb and raises authorization errors, which ends nats-py's reconnecting.
        broker._connection_kwargs["error_cb"] = on_error  # noqa: SLF001
        return broker

    async def watch(self, longest: float) -> None:
        """End the process after so many seconds without a connection."""
        while True:
            await asyncio.sleep(1)
            if self._down_since is not None and time.monotonic() - self._down_since > longest:
                log.critical("nats_cut_off", connection=self.name, seconds=longest)
                os._exit(_CUT_OFF)

    async def _on_error(self, error: Exception) -> None:
        log.warning("nats_error", connection=self.name, error=str(error) or type(error).__name__)

    async def _on_disconnected(self) -> None:
        self._down_since = self._down_since or time.monotonic()
        if not self.stopping:
            log.warning("nats_disconnected", connection=self.name)

    async def _on_reconnected(self) -> None:
        self._down_since = None
        self.reconnects += 1
        log.info("nats_reconnected", connection=self.name)

    async def _on_closed(self) -> None:
        if not self.stopping:
            log.critical("nats_closed", connection=self.name)
            os._exit(_CLOSED)
