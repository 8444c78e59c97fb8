"""What a run leaves behind, as the checker takes it: what was told, tables, stream and live state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["lost", "doubled", "out of order"]
Place = tuple[str, str]
"""An entity's id and an environment."""
Span = tuple[float, float]
"""From when until when, in seconds since 1970."""


class Finding(NamedTuple):
    """Something that must not be."""

    kind: Kind
    what: str


class Answer(NamedTuple):
    """A definite answer: a deployment's id, or the code of a refusal."""

    deployment_id: str | None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller asked under a key and was told, each time it asked; nothing where that is open.

    ``confirm`` and ``refuse`` are an agent's two words, ``about`` a deployment.
    """

    operation: Literal["deploy", "rollback", "confirm", "refuse", "report"]
    answers: tuple[Answer, ...] = ()
    about: str | None = None


class DeploymentRow(NamedTuple):
    """A row of the table ``deployments``; times in seconds since 1970, by the database."""

    deployment_id: str
    entity_id: str
    environment: str
    status: str
    deployed_at: float = 0.0
    confirm_by: float | None = None


class EventRow(NamedTuple):
    """An event, of the table or of the stream; ``name`` is short, ``subject`` and ``key`` as in its body.

    ``confirm_by`` is the deployment's; ``report`` and ``action`` stand in those of health.
    """

    event_id: str
    entity_id: str
    sequence: int
    name: str
    environment: str
    subject: str
    key: str
    time: float = 0.0
    actor: str | None = None
    confirm_by: float | None = None
    report: str | None = None
    action: str | None = None


class LiveValue(NamedTuple):
    """A value of a bucket."""

    deployment_id: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was read once the system had settled; ``stream`` in the stream's order.

    ``began`` and ``ended`` are the true times of the run, in seconds since 1970, ``outages`` those in which
    nobody could decide anything. ``shown`` are deployments and the status that a caller saw them in.
    ``unhealthy_after`` says, by environment, after how many bad reports in a row a deployment goes back.
    """

    told: dict[str, Told] = field(default_factory=dict)
    shown: Sequence[tuple[str, str]] = ()
    deployments: Sequence[DeploymentRow] = ()
    events: Sequence[EventRow] = ()
    stream: Sequence[EventRow] = ()
    live: dict[Place, LiveValue] = field(default_factory=dict)
    waiting: dict[Place, LiveValue] = field(default_factory=dict)
    unannounced: int = 0
    began: float = 0.0
    ended: float = float("inf")
    outages: Sequence[Span] = ()
    unhealthy_after: Mapping[str, int] = field(default_factory=dict)
