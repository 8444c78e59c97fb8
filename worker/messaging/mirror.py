"""A bucket that follows the database: the latest of each key, a moment behind the events."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from nats.aio.client import Client

from contracts import subjects
from worker.messaging import live_state
from worker.messaging.live_state import Place
from worker.messaging.stream_writer import MAX_MESSAGES, Message, StreamWriter

_GATHERED_SECONDS = 0.5
_DECIDES_NOTHING = ("health", "queued")


class Views(Protocol):
    """What the database says that the buckets should hold."""

    @property
    def active(self) -> live_state.Source:
        """What is active."""

    @property
    def deploying(self) -> live_state.Source:
        """What waits to be confirmed."""


class Mirror:
    """Remembers which places events were about, and writes what is there now; fenced, as the stream is."""

    follows: frozenset[str]
    """The events that change what is there."""

    def __init__(self, connection: Client, bucket: str, view: Callable[[Views], live_state.Source]) -> None:
        self.bucket = live_state.LiveBucket(connection, bucket)
        self.name, self.view = bucket, view
        self._writer = StreamWriter(connection, subjects.bucket_stream(bucket))
        self._stale: dict[Place, None] = {}
        self._refreshed_at = 0.0

    async def synchronize(self) -> None:
        """Ask the bucket where it stands: first of all under a lead, and after every failure."""
        await self._writer.synchronize()

    def remember(self, places: Iterable[Place]) -> None:
        """These places may be out of date."""
        self._stale.update(dict.fromkeys(places))

    def remember_events(self, event_subjects: Iterable[str]) -> None:
        """Events were published that may have changed what is there."""
        self._stale.update(dict.fromkeys(self.concerned(event_subjects)))

    def concerned(self, event_subjects: Iterable[str]) -> list[Place]:
        """Where these events may have changed what is there."""
        return [
            place
            for subject in event_subjects
            if (place := subjects.place_of(subject)) and self._concerns(subject, place)
        ]

    def _concerns(self, subject: str, _: Place) -> bool:
        return subjects.event_name(subject) in self.follows

    def due(self, *, idle: bool) -> list[Place]:
        """What to bring up to date now: at once in idle times, under a load now and then.

        So many changes of a place are one.
        """
        gathered = time.monotonic() - self._refreshed_at >= _GATHERED_SECONDS
        if idle or gathered or len(self._stale) >= MAX_MESSAGES:
            return list(self._stale)[:MAX_MESSAGES]
        return []

    async def write(self, places: Sequence[Place], values: Sequence[tuple[str, bytes | None]]) -> None:
        """Write what the database holds for these places."""
        if values:
            await self._writer.publish([_put(self.name, key, value) for key, value in values])
            self._refreshed_at = time.monotonic()
        for place in places:
            self._stale.pop(place, None)


class ActiveMirror(Mirror):
    """The bucket of live configurations."""

    follows = frozenset(("completed", "superseded", "rolled_back", "reactivated", "retired"))

    def __init__(self, connection: Client) -> None:
        super().__init__(connection, subjects.ACTIVE_BUCKET, lambda views: views.active)


class PendingMirror(Mirror):
    """The bucket of what waits to be confirmed: few events touch it, and it knows which places it holds."""

    follows = frozenset(("started",))

    def __init__(self, connection: Client) -> None:
        super().__init__(connection, subjects.PENDING_BUCKET, lambda views: views.deploying)
        self._held: set[Place] = set()

    async def synchronize(self) -> None:
        """As any; and ask which places are held, or may be by what is still on its way."""
        await super().synchronize()
        self._held = set(self._stale)
        async for keys in self.bucket.keys(await self.bucket.last_revision()):
            self._held.update(place for key in keys if (place := live_state.place_of(key)))

    def remember(self, places: Iterable[Place]) -> None:
        """As any; a put of a former leader may still be on its way, until something is written behind it."""
        places = list(places)
        super().remember(places)
        self._held.update(places)

    def _concerns(self, subject: str, place: Place) -> bool:
        decides = place in self._held and subjects.event_name(subject) not in _DECIDES_NOTHING
        return decides or super()._concerns(subject, place)

    async def write(self, places: Sequence[Place], values: Sequence[tuple[str, bytes | None]]) -> None:
        """As any; what is not there needs no deletion."""
        held = {place for key, value in values if value and (place := live_state.place_of(key))}
        needed = [(key, value) for key, value in values if value or live_state.place_of(key) in self._held]
        await super().write(places, needed)
        self._held.difference_update(places)
        self._held |= held


def _put(bucket: str, key: str, value: bytes | None) -> Message:
    """A put or a delete of a key (ADR-8)."""
    subject = subjects.bucket_subject(bucket, key)
    if value is None:
        return Message(subject, b"", {"KV-Operation": "DEL"})
    return Message(subject, value, {})
