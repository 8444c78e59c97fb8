"""A bucket of live configurations beside the database: which keys differ, and how one is put right.

The relay is the bucket's writer. What is written from here names the revision of the key that it means to
replace, so that nothing newer is overwritten.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts import subjects
from contracts.environments import ENVIRONMENTS
from worker.domain.audit import live_value
from worker.messaging.audit import StoredMessages

CHUNK = 500
"""So many keys are asked for at once; the server answers for 1,024 at most."""
_ANSWER_SECONDS = 5.0
_DELETED = ("KV-Operation", "Nats-Marker-Reason")  # NATS ADR-8, ADR-43
_WRONG_LAST_SEQUENCE = 10071
_NO_RESULTS, _END = "404", "204"

T = TypeVar("T")
Place = tuple[str, str]


class Blocking(Protocol):
    """Runs what blocks beside the event loop."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What ``work`` gives."""


class Source(Protocol):
    """What the database says that a bucket should hold; methods block."""

    def places(self, after: Place | None, limit: int) -> Sequence[Place]:
        """Environment and entity of what should be there, in an order of its own, behind a place."""

    def values(self, places: Sequence[Place]) -> Sequence[tuple[str, bytes | None]]:
        """Key and value of what should be there for each place, None for nothing."""


class Kept(NamedTuple):
    """What the bucket keeps under a key: the revision, 0 for none yet, and the value, None for none."""

    revision: int
    value: bytes | None


class Difference(NamedTuple):
    """A key that is not as the database has it."""

    key: str
    kept: Kept
    expected: bytes | None


class Compared(NamedTuple):
    """A part of the comparison: how many keys were looked at, and those of them that differ."""

    looked_at: int
    differing: Sequence[Difference]


class LiveBucket:
    """A bucket of live configurations."""

    def __init__(self, connection: Client, bucket: str) -> None:
        self._connection = connection
        self._stream = subjects.bucket_stream(bucket)
        self._prefix = subjects.bucket_subject(bucket, "")

    async def kept(self, keys: Sequence[str]) -> dict[str, Kept]:
        """What is kept under these keys, at most 1,000. Raises nats-py's errors."""
        found = dict.fromkeys(keys, Kept(0, None))
        inbox = self._connection.new_inbox()
        subscription = await self._connection.subscribe(inbox)
        try:
            wanted = [self._prefix + key for key in keys]
            request = json.dumps({"multi_last": wanted, "batch": len(wanted)})  # NATS ADR-31
            await self._connection.publish(f"$JS.API.DIRECT.GET.{self._stream}", request.encode(), inbox)
            while True:
                message = await subscription.next_msg(timeout=_ANSWER_SECONDS)
                headers = message.headers or {}
                status = headers.get("Status")
                if status in (_NO_RESULTS, _END):
                    return found
                if status is not None:
                    raise NatsError(f"the bucket does not answer ({status})")
                found[headers["Nats-Subject"].removeprefix(self._prefix)] = Kept(
                    int(headers["Nats-Sequence"]), _value(message)
                )
        finally:
            await subscription.unsubscribe()

    async def last_revision(self) -> int:
        """The bucket's newest. Raises ``nats.js.errors.NotFoundError`` where there is no such bucket."""
        return (await self._connection.jetstream().stream_info(self._stream)).state.last_seq

    async def keys(self, last: int) -> AsyncIterator[Sequence[str]]:
        """All keys that have a value, up to a revision, some at a time."""
        async for chunk in _Headers(self._connection, self._stream, first=1, last=last).chunks():
            keys = [message.subject.removeprefix(self._prefix) for message in chunk if _has_value(message)]
            for some in batched(keys, CHUNK):
                yield some

    async def put(self, key: str, value: bytes | None, *, instead_of: Kept) -> bool:
        """Put or, for None, delete; False where the key is no longer as it was. Raises nats-py's errors."""
        carried = {"Nats-Expected-Last-Subject-Sequence": str(instead_of.revision)}
        if value is None:
            carried["KV-Operation"] = "DEL"
        reply = await self._connection.request(
            self._prefix + key, value or b"", timeout=_ANSWER_SECONDS, headers=carried
        )
        refusal = json.loads(reply.data).get("error")
        if refusal and refusal.get("err_code") != _WRONG_LAST_SEQUENCE:
            raise NatsError(f"the bucket refuses {key}: {refusal.get('description')}")
        return not refusal


class _Headers(StoredMessages):
    async def _begin(self) -> ConsumerConfig:
        return ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._at, headers_only=True
        )


def _has_value(message: Msg) -> bool:
    return not any(name in (message.headers or {}) for name in _DELETED)


def _value(message: Msg) -> bytes | None:
    return message.data if _has_value(message) else None


def batched(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The keys, so many at a time."""
    return (keys[start : start + size] for start in range(0, len(keys), size))


def place_of(key: str) -> Place | None:
    """The environment and the entity's id that a key is about; None for a key that is about none."""
    environment, _, entity_id = key.partition(".")
    try:
        known = environment in ENVIRONMENTS and str(UUID(entity_id)) == entity_id
    except ValueError:
        return None
    return (environment, entity_id) if known else None


async def differences(bucket: LiveBucket, source: Source, blocking: Blocking) -> AsyncIterator[Compared]:
    """Every key, some at a time: first those that should be there, then those that should not be there.

    ``blocking`` runs a call of ``source``. Where work goes on, some will be right a moment later.
    """
    last = await bucket.last_revision()
    after: Place | None = None
    while places := await blocking(lambda: source.places(after, CHUNK)):  # noqa: B023 - awaited at once
        after = places[-1]
        keys = [subjects.active_key(*place) for place in places]
        yield Compared(len(keys), await compare(bucket, source, blocking, keys))
    async for present in bucket.keys(last):
        absent = [key for key, value in await _expected(source, blocking, present) if value is None]
        if absent:
            yield Compared(len(absent), await compare(bucket, source, blocking, absent))


async def compare(
    bucket: LiveBucket, source: Source, blocking: Blocking, keys: Sequence[str]
) -> list[Difference]:
    """Those of the keys that differ. The bucket is read first: see ``repair``."""
    kept = await bucket.kept(keys)
    return [
        Difference(key, kept[key], expected)
        for key, expected in await _expected(source, blocking, keys)
        if live_value(key, expected, kept[key].value)
    ]


async def _expected(
    source: Source, blocking: Blocking, keys: Sequence[str]
) -> list[tuple[str, bytes | None]]:
    places = {key: place for key in keys if (place := place_of(key))}
    found = dict(await blocking(lambda: source.values(list(places.values())))) if places else {}
    return [(key, found.get(key)) for key in keys]


async def repair(
    bucket: LiveBucket, source: Source, blocking: Blocking, differing: Iterable[Difference]
) -> list[Difference]:
    """Put right what differs, unless somebody else did; gives what was written here.

    A key's revision is read before the database is, and the write names it: whoever wrote the key meanwhile
    knew something newer, and then both are read again.
    """
    written: list[Difference] = []
    left = list(differing)
    while left:
        done = await asyncio.gather(
            *(bucket.put(each.key, each.expected, instead_of=each.kept) for each in left)
        )
        written += [each for each, was_put in zip(left, done, strict=True) if was_put]
        refused = [each.key for each, was_put in zip(left, done, strict=True) if not was_put]
        left = await compare(bucket, source, blocking, refused) if refused else []
    return written
