"""What a bucket shows of all places of an environment, or of one, with a single consumer."""

import logging
from collections import deque
from typing import NamedTuple, Self
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts import subjects
from contracts.environments import EnvironmentName
from contracts.ordered import OrderedMessages

_log = logging.getLogger(__name__)

_DELETIONS = ("KV-Operation", "Nats-Marker-Reason")  # NATS ADR-8, ADR-43; a value has neither


class Shown(NamedTuple):
    """What a bucket shows for an entity; None for nothing.

    ``is_said`` is whether the bucket says so, by a deletion. It does not where a key went without one: the
    bucket was made anew or emptied, or has forgotten an old deletion.
    """

    entity_id: UUID
    value: bytes | None
    is_said: bool = True


class PlacesWatch(OrderedMessages):
    """Iterates over what ``bucket`` shows in an environment: what is there now first, then each change.

    None says that all that is there has been given: whatever was not named shows nothing. That is said anew
    each time the connection was lost or the bucket was made anew; a value can be given again then, and one
    that went without a word is given as that.
    """

    def __init__(
        self, connection: Client, bucket: str, environment: EnvironmentName, entity_id: UUID | None = None
    ) -> None:
        key = subjects.active_key(environment, entity_id or "*")
        super().__init__(connection, subjects.bucket_stream(bucket), subjects.bucket_subject(bucket, key))
        self._present: set[UUID] = set()
        self._missing: set[UUID] = set()
        self._last = 0
        self._catches_up = True
        self._ready: deque[Shown | None] = deque()

    async def _begin(self) -> ConsumerConfig:
        self._last = (await self._jetstream.stream_info(self._stream)).state.last_seq
        self._missing = self._present.copy()
        self._catches_up = True
        return ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Shown | None:
        while not self._ready:
            self._take(await self._next())
        return self._ready.popleft()

    def _take(self, message: Msg | None) -> None:
        if message is not None:
            shown = _read(message)
            if shown is not None:
                self._missing.discard(shown.entity_id)
                (self._present.discard if shown.value is None else self._present.add)(shown.entity_id)
                self._ready.append(shown)
        if self._catches_up and self._is_last_of_what_is_there(message):
            self._catches_up = False
            self._miss()
            self._ready.append(None)

    def _miss(self) -> None:
        if self._missing:
            _log.warning("keys_missing stream=%s places=%d", self._stream, len(self._missing))
            self._present -= self._missing
            self._ready.extend(Shown(entity_id, None, is_said=False) for entity_id in self._missing)

    def _is_last_of_what_is_there(self, message: Msg | None) -> bool:
        if message is None:
            return True
        return message.metadata.num_pending == 0 or message.metadata.sequence.stream >= self._last


def _read(message: Msg) -> Shown | None:
    """Whose value it is; None for a key that is no place's."""
    try:
        entity_id = UUID(message.subject.rpartition(".")[2])
    except ValueError:
        return None
    is_deletion = any(name in (message.headers or {}) for name in _DELETIONS)
    return Shown(entity_id, None if is_deletion else message.data)
