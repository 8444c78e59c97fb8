"""What happens, as it happens: the events of deployments, and what is active or deploying in one place."""

from datetime import datetime
from typing import ClassVar, Generic, Self, TypeVar
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts import subjects
from contracts.environments import EnvironmentName
from contracts.events import CloudEvent, LiveConfiguration, PendingConfiguration
from contracts.ordered import OrderedMessages
from contracts.problems import ProblemError
from contracts.values import Reply

ValueT = TypeVar("ValueT", bound=Reply)

_DELETIONS = ("KV-Operation", "Nats-Marker-Reason")  # NATS ADR-8, ADR-43; a value has neither


class EventWatch(OrderedMessages):
    """Iterates ``(stream sequence, event)`` over the deployment events of an entity, an environment, or all.

    ``sequence`` is the stream sequence it goes on with; 0 until it has opened, where no number was given.
    """

    def __init__(
        self,
        connection: Client,
        entity_id: UUID | None,
        environment: EnvironmentName | None,
        start: int | datetime | None,
    ) -> None:
        subject = subjects.watched_events(entity_id or "*", environment or "*")
        super().__init__(connection, subjects.EVENTS_STREAM, subject)
        self._since = start if isinstance(start, datetime) else None
        self.sequence = start if isinstance(start, int) else 0

    async def _begin(self) -> ConsumerConfig:
        if self._since is not None:
            return ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=self._since.astimezone()
            )
        last = (await self._jetstream.stream_info(self._stream)).state.last_seq
        self.sequence = self.sequence or last + 1
        if self.sequence > last + 1:
            raise ProblemError(
                "invalid_request",
                f"The stream {self._stream} ends at {last}, so there is no sequence {self.sequence} to go on "
                "with; has the stream been made anew?",
            )
        return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self.sequence)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, CloudEvent]:
        while (message := await self._next()) is None:
            pass
        sequence = message.metadata.sequence.stream
        self._since = None
        self.sequence = sequence + 1
        try:
            return sequence, CloudEvent.model_validate_json(message.data)
        except ValueError:
            raise ProblemError(
                "internal_error", f"Event {sequence} of {self._stream} is none that this client can read."
            ) from None


class _KeyWatch(OrderedMessages, Generic[ValueT]):
    """Iterates over the values of a key of ``bucket``: the one there now first, None for nothing.

    None is given where nothing is there at first, and for a deletion. A bucket that was made anew and has no
    such key says neither: what was given last holds until another value comes.
    """

    bucket: ClassVar[str]
    value: type[ValueT]

    def __init__(self, connection: Client, environment: EnvironmentName, entity_id: UUID) -> None:
        key = subjects.active_key(environment, entity_id)
        subject = subjects.bucket_subject(self.bucket, key)
        super().__init__(connection, subjects.bucket_stream(self.bucket), subject)
        self._seen: tuple[int, datetime] | tuple[()] | None = None

    async def _begin(self) -> ConsumerConfig:
        return ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ValueT | None:
        while True:
            message = await self._next()
            if self._is_new(message):
                return self._read(message)

    def _is_new(self, message: Msg | None) -> bool:
        """Whether it was not seen: a consumer made again begins with what was, a bucket made anew at 1."""
        before = self._seen
        if message is None:
            self._seen = before or ()
            return before is None
        self._seen = (message.metadata.sequence.stream, message.metadata.timestamp)
        return self._seen != before

    def _read(self, message: Msg | None) -> ValueT | None:
        if message is None or any(name in (message.headers or {}) for name in _DELETIONS):
            return None
        try:
            return self.value.model_validate_json(message.data)
        except ValueError:
            raise ProblemError(
                "internal_error", f"The value of {message.subject} is none that this client can read."
            ) from None


class LiveWatch(_KeyWatch[LiveConfiguration]):
    """Iterates over what is active in a place, the present one first; None while nothing is."""

    bucket = subjects.ACTIVE_BUCKET
    value = LiveConfiguration


class PendingWatch(_KeyWatch[PendingConfiguration]):
    """Iterates over what is deploying in a place, the present one first; None while nothing is."""

    bucket = subjects.PENDING_BUCKET
    value = PendingConfiguration
