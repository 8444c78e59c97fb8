"""Events that this process has written of late, so that its relay need not read them back."""

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from worker.store.changes import EventRow

_MOST_BYTES = 8 * 1024 * 1024


class Recent(NamedTuple):
    """What the relay needs of an event."""

    nats_subject: str
    body: bytes


class RecentEvents:
    """The latest, at most 8 MiB; for any threads. What is missing is in the database all the same."""

    def __init__(self) -> None:
        self._events: dict[str, Recent] = {}
        self._size = 0
        self._lock = threading.Lock()

    def keep(self, events: Sequence[EventRow]) -> None:
        """Keep committed events, and let go of the oldest where there are too many."""
        with self._lock:
            for event in events:
                self._events[event.event_id] = Recent(event.nats_subject, event.body)
                self._size += len(event.body)
            while self._size > _MOST_BYTES:
                self._forget(next(iter(self._events)))

    def get(self, event_id: str) -> Recent | None:
        """The event with this id."""
        return self._events.get(event_id)

    def forget(self, event_ids: Iterable[str]) -> None:
        """Let these go: nobody will ask for them again."""
        with self._lock:
            for event_id in event_ids:
                self._forget(event_id)

    def _forget(self, event_id: str) -> None:
        if event := self._events.pop(event_id, None):
            self._size -= len(event.body)
