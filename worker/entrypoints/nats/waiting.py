"""``wait: true``: a reply that is held until the deployment is decided.

While it waits there is a subscription to the events of its place, and nothing else: no thread, no connection
to the database, no batch. An event is a hint to look again, and there is a look now and then without one.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import subjects
from contracts.deployments import DeploymentGet
from worker.dispatch.answer import Answer
from worker.dispatch.dispatcher import Ticket
from worker.domain.command import Command
from worker.domain.facts import WAITING

log = structlog.get_logger()

LONGEST_SECONDS = 30.0
"""For so long a reply is held whose caller named no deadline."""
MOST = 10_000
"""So many replies are held at once; beyond, the answer is what is."""
_MARGIN_SECONDS = 0.2
_LOOK_AGAIN_SECONDS = (4.0, 6.0)


@dataclass(frozen=True, slots=True)
class _Place:
    deployment_id: UUID
    events: str


class HeldReplies:
    """The replies that wait; ``stop`` lets all of them go with what is."""

    def __init__(self, connection: Client, submit: Callable[[Ticket], None]) -> None:
        self._connection, self._submit = connection, submit
        self._changes: set[asyncio.Event] = set()
        self._stopping = False

    def stop(self) -> None:
        """Hold nothing any more."""
        self._stopping = True
        for changed in self._changes:
            changed.set()

    def wants(self, command: Command[Any], answer: Answer) -> bool:
        """Whether the reply is one to hold; where that cannot be told it is not."""
        if (
            self._stopping
            or len(self._changes) >= MOST
            or command.operation != subjects.DEPLOY_REQUEST
            or not command.request.wait
            or answer.code is not None
        ):
            return False
        try:
            return _undecided(answer) is not None
        except Exception:
            log.exception("reply_not_held", **command.names)
            return False

    async def outcome(self, command: Command[Any], answer: Answer) -> Answer:
        """The answer with the deployment as it is once it is decided, or when the time is over."""
        place = _undecided(answer)
        if place is None:
            return answer
        loop = asyncio.get_running_loop()
        until = loop.time() + _seconds(command.deadline)
        changed = asyncio.Event()

        async def hint(_: Msg) -> None:
            changed.set()

        subscription = await self._connection.subscribe(place.events, cb=hint)
        self._changes.add(changed)
        try:
            while True:
                changed.clear()
                latest = await self._look(command, place)
                if latest.code is None:
                    answer = answer._replace(body=latest.body)
                    if _undecided(answer) is None:
                        return answer
                left = until - loop.time()
                if left <= 0 or self._stopping:
                    return answer
                again = random.uniform(*_LOOK_AGAIN_SECONDS)  # noqa: S311 - spreads thousands of looks
                await _set_within(changed, min(left, again))
        finally:
            self._changes.discard(changed)
            if not self._connection.is_closed:
                await subscription.unsubscribe()

    async def _look(self, command: Command[Any], place: _Place) -> Answer:
        """The deployment as it is now, read like any other request."""
        found: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def take(_: Command[Any], answer: Answer) -> None:
            if not found.done():
                found.set_result(answer)

        look = command._replace(
            operation=subjects.DEPLOY_GET,
            request=DeploymentGet(deployment_id=place.deployment_id),
            key=None,
            deadline=None,
        )
        self._submit(Ticket(look, take))
        return await found


def _undecided(answer: Answer) -> _Place | None:
    """The deployment that an answer shows, if it is not decided yet; numbers may have any length."""
    shown = json.loads(answer.body, parse_int=str, parse_float=str)
    if shown["status"] not in WAITING:
        return None
    events = subjects.watched_events(shown["entity_id"], shown["environment"])
    return _Place(UUID(shown["deployment_id"]), events)


def _seconds(deadline: datetime | None) -> float:
    if deadline is None:
        return LONGEST_SECONDS
    return (deadline - datetime.now(UTC)).total_seconds() - _MARGIN_SECONDS


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
