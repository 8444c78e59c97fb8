"""The timers: what is not confirmed in time is put before the rules, by every worker; one of them decides it.

There is nothing to remember: the index of what is deploying, by its time, is asked four times a second.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Engine

from contracts import subjects
from contracts.ids import Id, new_id
from worker import tracing
from worker.dispatch.answer import Answer
from worker.dispatch.dispatcher import Ticket
from worker.domain.command import Command
from worker.operations.expiry import Expiry
from worker.store import due, unit_of_work

log = structlog.get_logger()
_EVERY_SECONDS = 0.25
_AGAIN_SECONDS = 0.02
"""A pause where as many were due as are asked for at once."""


async def expire_unconfirmed(engine: Engine, submit: Callable[[Ticket], None]) -> None:
    """Have the rules decide what is overdue, for ever."""
    under_way: set[Id] = set()
    while True:
        overdue: list[Id] = []
        try:
            overdue = await asyncio.to_thread(unit_of_work.read, engine, due.unconfirmed)
        except Exception as error:  # noqa: BLE001 - there is another time soon
            log.warning("timers_failed", because=type(error).__name__)
        for deployment_id in overdue:
            if deployment_id not in under_way:
                under_way.add(deployment_id)
                submit(_ticket(deployment_id, under_way))
        await asyncio.sleep(_AGAIN_SECONDS if len(overdue) == due.AT_ONCE else _EVERY_SECONDS)


def _ticket(deployment_id: Id, under_way: set[Id]) -> Ticket:
    span = tracing.own(subjects.EXPIRY)

    def done(_: Command[Any], answer: Answer) -> None:
        under_way.discard(deployment_id)
        span.end(answer.code)

    command = Command(
        operation=subjects.EXPIRY,
        request=Expiry(deployment_id=UUID(deployment_id)),
        request_id=str(new_id()),
        taken_at=time.monotonic(),
        trace=span.trace,
    )
    return Ticket(command, done)
