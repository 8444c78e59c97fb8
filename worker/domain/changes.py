"""What a rule gives back: records as they shall be, the events that say so, and what the caller is shown."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from contracts.events import DeploymentEventName, EntityEventName
from contracts.ids import Id
from worker.domain.facts import Deployment, Document, Entity, Environment, Record

_NO_DATA: Mapping[str, Document | str] = MappingProxyType({})


class Moment(NamedTuple):
    """When and as what a command is decided: a rule takes these, it does not fetch them.

    ``now`` is the database's time, later than any earlier change of the entity; ``new_id`` a fresh id in its
    order; ``elapsed_ms`` the time since the command was taken.
    """

    now: datetime
    new_id: Id
    elapsed_ms: int


class Event(NamedTuple):
    """A transition to announce. Its place in the entity's sequence is given where it is written.

    ``data`` are members of the event's data beside those that every event has.
    """

    name: DeploymentEventName | EntityEventName
    about: Deployment | Entity | Environment
    actor: str | None
    reason: str | None = None
    target_deployment_id: Id | None = None
    data: Mapping[str, Document | str] = _NO_DATA


class Decision(NamedTuple):
    """The outcome of a command that was not refused: all of it is written in one transaction."""

    reply: Record
    records: tuple[Record, ...] = ()
    events: tuple[Event, ...] = ()


class WaitingEvent(NamedTuple):
    """A written event that is not published yet.

    ``outbox_id`` names its transaction's row, ``left_behind`` counts the events that come after it there, and
    ``waited`` is how long ago that was, in seconds, when it was read.
    """

    outbox_id: int
    left_behind: int
    event_id: str
    nats_subject: str
    body: bytes
    waited: float
