"""What agents say that they run: the bucket ``library-applied``, which they write and the product reads."""

import asyncio
from uuid import UUID

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts import convergence, subjects
from contracts.deployments import AGENT_NAME
from contracts.environments import EnvironmentName
from contracts.ids import Id, id_of
from contracts.ordered import OrderedMessages
from contracts.problems import ProblemError
from worker.domain.convergence import Applied

_TOKENS = 3
_PATIENCE = 15.0
_DELETED = ("KV-Operation", "Nats-Marker-Reason")  # NATS ADR-8, ADR-43


class _Latest(OrderedMessages):
    """The latest value of every key."""

    async def _begin(self) -> ConsumerConfig:
        return ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)

    async def all(self) -> list[Msg]:
        """All of them. Raises ``ProblemError`` where the bucket is away, or not read in time."""
        found: dict[str, Msg] = {}
        try:
            async with asyncio.timeout(_PATIENCE), self:
                while (message := await self._next()) is not None:
                    found[message.subject] = message  # a consumer that is made again begins again
                    if message.metadata.num_pending == 0:
                        break
        except TimeoutError:
            raise ProblemError("unavailable", "What the agents run was not read in time.") from None
        return [*found.values()]


async def applied(connection: Client, environment: EnvironmentName) -> tuple[Applied, ...]:
    """What is there for an environment; what agents wrote that cannot be read is left out.

    Raises ``ProblemError``.
    """
    bucket = subjects.APPLIED_BUCKET
    prefix = subjects.bucket_subject(bucket, "")
    wanted = f"{prefix}{environment}.*.*"
    messages = await _Latest(connection, subjects.bucket_stream(bucket), wanted).all()
    return tuple(found for each in messages if (found := _read(each, prefix)))


def _read(message: Msg, prefix: str) -> Applied | None:
    tokens = message.subject.removeprefix(prefix).split(".")
    if len(tokens) != _TOKENS or any(name in (message.headers or {}) for name in _DELETED):
        return None
    _, entity_id, agent = tokens
    try:
        if id_of(UUID(entity_id)) != entity_id or not AGENT_NAME.fullmatch(agent):
            return None
        value = convergence.Applied.model_validate_json(message.data)
    except ValueError:
        return None
    running = None if value.deployment_id is None else id_of(value.deployment_id)
    return Applied(Id(entity_id), agent, running, value.sequence)
