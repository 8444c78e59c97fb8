"""Requests that write nothing: each one statement or two, on connections of their own."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from contracts import subjects
from contracts.deployments import (
    AsOfRequest,
    DeploymentGet,
    DeploymentListRequest,
    DeployRequest,
    EntityDeploymentsRequest,
    HistoryRequest,
)
from contracts.entities import EntityGet, EntityListRequest
from contracts.ids import id_of
from contracts.limits import MAX_PAGE_BYTES
from contracts.matrix import MatrixRequest
from contracts.problems import ProblemError
from contracts.quarantine import QuarantineListRequest
from worker import rendering
from worker.dispatch import convergence
from worker.dispatch.delivery import DeliveryFigures
from worker.domain.command import Command
from worker.domain.errors import DeadlineExceeded, DeploymentNotFound, EntityNotFound
from worker.operations import validate
from worker.store import as_of, facts, matrix, queries
from worker.store.facts import Wanted
from worker.store.queries import Page, Which
from worker.store.transaction import Transaction

Read = Callable[[Command[Any], Transaction], bytes]
_REPLY_OVERHEAD = 4096


class DatabaseClock:
    """The database's time without a question each time: asked once a second, carried on in between."""

    def __init__(self) -> None:
        self._known: tuple[datetime, float] | None = None

    def now(self, transaction: Transaction) -> datetime:
        """The database's time, to a few milliseconds."""
        known, moment = self._known, time.monotonic()
        if known is None or moment - known[1] > 1:
            known = self._known = facts.clock(transaction), moment
        return known[0] + timedelta(seconds=moment - known[1])

    def require_time(self, command: Command[Any], transaction: Transaction) -> None:
        """Raise ``DeadlineExceeded`` for a command whose caller waits no longer."""
        if command.deadline is not None and self.now(transaction) > command.deadline:
            raise DeadlineExceeded


class Reader:
    """Answers what is read; for any threads. What it keeps is for the sake of the database."""

    def __init__(self) -> None:
        self.clock = DatabaseClock()
        self._delivery = DeliveryFigures()

    def answer(self, command: Command[Any], transaction: Transaction) -> bytes:
        """The body that answers. Raises ``ProblemError``."""
        self.clock.require_time(command, transaction)
        if command.operation == subjects.DELIVERY_GET:
            return self._delivery.answer(transaction)
        return READS[command.operation](command, transaction)


def _validate(command: Command[DeployRequest], transaction: Transaction) -> bytes:
    needs = validate.needs(command)
    assert needs.entity_id is not None
    assert needs.environment is not None
    wanted = Wanted(entity_ids=[needs.entity_id], places=[(needs.entity_id, needs.environment)])
    return rendering.plan(validate.preview(command, facts.load(transaction, wanted, lock=False).facts))


def _deployment(command: Command[DeploymentGet], transaction: Transaction) -> bytes:
    found = queries.deployment(transaction, id_of(command.request.deployment_id))
    if found is None:
        raise DeploymentNotFound(id_of(command.request.deployment_id))
    return rendering.deployment(found)


def _entity(command: Command[EntityGet], transaction: Transaction) -> bytes:
    found = queries.entity(transaction, id_of(command.request.entity_id))
    if found is None:
        raise EntityNotFound(id_of(command.request.entity_id))
    return rendering.entity(found)


def _environments(_: Command[Any], transaction: Transaction) -> bytes:
    found = queries.environments(transaction)
    return rendering.listing("environments", map(rendering.environment, found))


def _deployments(
    command: Command[DeploymentListRequest] | Command[EntityDeploymentsRequest], transaction: Transaction
) -> bytes:
    request = command.request
    conditions = {
        "entity_id": request.entity_id,
        "environment": request.environment,
        "status": request.status,
    }
    which = Which(
        conditions=conditions, page=request.page, page_size=request.page_size, cursor=request.cursor
    )
    page = queries.deployments(transaction, which)
    return _listing("deployments", page, rendering.deployment, page=request.page, page_size=request.page_size)


def _entity_deployments(command: Command[EntityDeploymentsRequest], transaction: Transaction) -> bytes:
    if queries.entity(transaction, id_of(command.request.entity_id)) is None:
        raise EntityNotFound(id_of(command.request.entity_id))
    return _deployments(command, transaction)


def _entities(command: Command[EntityListRequest], transaction: Transaction) -> bytes:
    request = command.request
    conditions = {
        "entity_id": request.entity_id,
        "active_in": request.environment,
        "type": request.type,
        "status": request.status,
        "name": request.name,
    }
    which = Which(
        conditions=conditions, page=request.page, page_size=request.page_size, cursor=request.cursor
    )
    page = queries.entities(transaction, which)
    return _listing("entities", page, rendering.entity, page=request.page, page_size=request.page_size)


def _history(command: Command[HistoryRequest], transaction: Transaction) -> bytes:
    request = command.request
    page = queries.history(transaction, id_of(request.deployment_id), request.page_size, request.cursor)
    if not page.items and queries.deployment(transaction, id_of(request.deployment_id)) is None:
        raise DeploymentNotFound(id_of(request.deployment_id))
    return _listing("events", page, lambda item: item[1].encode())


def _as_of(command: Command[AsOfRequest], transaction: Transaction) -> bytes:
    request = command.request
    if request.at > facts.clock(transaction):
        raise ProblemError.invalid(("at", "is in the future"))
    which = Which(conditions={}, page=request.page, page_size=request.page_size, cursor=request.cursor)
    entity_id = None if request.entity_id is None else id_of(request.entity_id)
    page = as_of.active_at(
        transaction, request.at, which, environment=request.environment, entity_id=entity_id
    )
    return _listing("deployments", page, rendering.deployment, page=request.page, page_size=request.page_size)


def _quarantined(command: Command[QuarantineListRequest], transaction: Transaction) -> bytes:
    request = command.request
    conditions = {
        "entity_id": None if request.entity_id is None else id_of(request.entity_id),
        "environment": request.environment,
        "in_force": request.status == "in_force",
    }
    which = Which(
        conditions=conditions, page=request.page, page_size=request.page_size, cursor=request.cursor
    )
    page = queries.quarantined(transaction, which)
    return _listing("quarantined", page, rendering.quarantine, page=request.page, page_size=request.page_size)


def _matrix(command: Command[MatrixRequest], transaction: Transaction) -> bytes:
    request = command.request
    rows, next_cursor = matrix.page(
        transaction, from_name=request.from_name, cursor=request.cursor, page_size=request.page_size
    )
    return rendering.matrix(rows, next_cursor)


def _listing(name: str, found: Page[Any], render: Callable[[Any], bytes], **rest: Any) -> bytes:
    """A page, ended early where its reply would grow beyond 4 MiB."""
    shown: list[bytes] = []
    size = _REPLY_OVERHEAD
    for item in found.items:
        body = render(item)
        size += len(body) + 1
        if shown and size > MAX_PAGE_BYTES:
            break
        shown.append(body)
    more = found.more or len(shown) < len(found.items)
    return rendering.listing(
        name,
        shown,
        total=found.total,
        total_exact=found.total_exact,
        **rest,
        next_cursor=found.cursor_after(found.items[len(shown) - 1]) if more and shown else None,
    )


READS: Mapping[str, Read] = {
    subjects.DEPLOY_VALIDATE: _validate,
    subjects.DEPLOY_GET: _deployment,
    subjects.DEPLOY_LIST: _deployments,
    subjects.DEPLOY_HISTORY: _history,
    subjects.DEPLOY_AS_OF: _as_of,
    subjects.DEPLOY_MATRIX: _matrix,
    subjects.DEPLOY_CONVERGENCE: convergence.answer,
    subjects.QUARANTINE_LIST: _quarantined,
    subjects.ENVIRONMENT_LIST: _environments,
    subjects.ENTITY_GET: _entity,
    subjects.ENTITY_LIST: _entities,
    subjects.ENTITY_DEPLOYMENTS: _entity_deployments,
}
