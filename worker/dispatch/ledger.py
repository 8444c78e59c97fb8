"""The ledger of a batch: what was, what shall be, and the events between, numbered for each entity."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts import subjects
from contracts.environments import EnvironmentName
from contracts.ids import Id, id7, id_of
from contracts.limits import MAX_MESSAGE_BYTES
from contracts.problems import ProblemError
from worker import rendering
from worker.dispatch.transitions import Announced
from worker.domain.changes import Decision, Event
from worker.domain.command import Command
from worker.domain.facts import Deployment, Entity, Environment, Facts, Quarantine, Record
from worker.store.changes import Changes, EventRow


@dataclass(slots=True)
class Ledger:
    """Takes the decisions of a batch, one after the other; gives their net changes."""

    facts: Facts
    entities: dict[Id, Entity | None] = field(default_factory=dict)
    deployments: dict[Id, Deployment | None] = field(default_factory=dict)
    environments: dict[EnvironmentName, Environment] = field(default_factory=dict)
    quarantines: dict[Id, Quarantine | None] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    announced: list[Announced] = field(default_factory=list)
    _moved: set[Id] = field(default_factory=set)

    def enter(self, command: Command[Any], decision: Decision, now: datetime) -> bytes:
        """Enter a decision, and give the body of its reply.

        Raises ``ProblemError``, with nothing entered, where NATS might not carry an event or the reply.
        """
        bodies = {id(about): rendering.record(about) for about in _shown(decision)}
        reply = bodies[id(decision.reply)]
        rows = [
            self._row(command, event, _body(event, bodies), now, place)
            for place, event in enumerate(decision.events, 1)
        ]
        _require_room(reply, rows)
        records = list(decision.records)
        moves = any(event.name != "health" for event in decision.events)
        for position, record in enumerate(records):
            match record:
                case Entity():
                    self.entities.setdefault(record.entity_id, self.facts.entities.get(record.entity_id))
                    if moves:
                        self._moved.add(record.entity_id)
                    records[position] = record._replace(
                        event_sequence=record.event_sequence + len(decision.events)
                    )
                case Deployment():
                    known = self.facts.deployments.get(record.deployment_id)
                    self.deployments.setdefault(record.deployment_id, known)
                case Environment():
                    former = self.facts.environments[record.environment]
                    self.environments.setdefault(record.environment, former)
                case Quarantine():
                    before = self.facts.quarantines.get(record.quarantine_id)
                    self.quarantines.setdefault(record.quarantine_id, before)
        self.facts.absorb(records)
        self.events += rows
        self.announced += (Announced(event, command.names) for event in decision.events)
        return reply

    def _row(self, command: Command[Any], event: Event, body: bytes, now: datetime, place: int) -> EventRow:
        """The event that has this place, from 1, among those of its decision."""
        entity_id, about = _identity(event.about)
        sequence = None if entity_id is None else self._last_sequence(entity_id) + place
        event_id = id7(now, os.urandom(8))
        return EventRow(
            event_id=event_id,
            entity_id=entity_id,
            sequence=sequence,
            type=subjects.event_type(rendering.kind(event.about), event.name),
            subject=about,
            nats_subject=rendering.event_subject(event),
            body=rendering.event(
                event,
                body,
                event_id=event_id,
                about=about,
                now=now,
                sequence=sequence,
                request_id=command.request_id,
                trace=command.trace,
            ),
            created_at=now,
        )

    def _last_sequence(self, entity_id: Id) -> int:
        entity = self.facts.entities.get(entity_id)
        return entity.event_sequence if entity else 0

    def reject(self, command: Command[Any], problem: ProblemError, entity_id: Id | None) -> None:
        """Enter the refusal of a durable command, which is an event and changes nothing."""
        assert command.durable is not None
        now = self.facts.now
        event_id = id7(now, os.urandom(8))
        environment = getattr(command.request, "environment", None)
        if entity_id is None and (named := getattr(command.request, "entity_id", None)):
            entity_id = id_of(named)
        if named := getattr(command.request, "deployment_id", None):
            deployment = self.facts.deployments.get(id_of(named))
            environment = deployment.environment if deployment else environment
        self.events.append(
            EventRow(
                event_id=event_id,
                entity_id=None,
                sequence=None,
                type=subjects.event_type("deployment", "rejected"),
                subject=command.durable.command_id,
                nats_subject=subjects.rejected_event(environment, entity_id),
                body=rendering.rejected(
                    command.durable,
                    problem,
                    event_id=event_id,
                    now=now,
                    trace=command.trace,
                ),
                created_at=now,
            )
        )

    @property
    def changed(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.events or self.quarantines)

    def touched(self, entity_id: Id | None) -> bool:
        """Whether a command of this batch changed more of the entity than what reports of health change.

        Those leave everything in the facts up to date, so that a flood of them is decided together.
        """
        return entity_id in self._moved

    def depends_anew(self, entity_id: Id | None) -> bool:
        """Whether a command of this batch changed what the entity depends on: more than is loaded counts."""
        before = self.entities.get(entity_id) if entity_id else None
        return (
            before is not None and before.dependencies != self.facts.entities[before.entity_id].dependencies
        )

    def changes(self) -> Changes:
        """The net of it all."""
        facts = self.facts
        changes = Changes(events=self.events)
        for entity_id, entity in self.entities.items():
            if entity is None:
                changes.new_entities.append(facts.entities[entity_id])
            else:
                changes.changed_entities.append((entity, facts.entities[entity_id]))
        for deployment_id, deployment in self.deployments.items():
            if deployment is None:
                changes.new_deployments.append(facts.deployments[deployment_id])
            else:
                changes.changed_deployments.append((deployment, facts.deployments[deployment_id]))
        for quarantine_id, quarantine in self.quarantines.items():
            into = changes.new_quarantines if quarantine is None else changes.lifted_quarantines
            into.append(facts.quarantines[quarantine_id])
        changes.environments = [
            (before, facts.environments[environment]) for environment, before in self.environments.items()
        ]
        return changes


def _shown(decision: Decision) -> Iterable[Record]:
    shown: dict[int, Record] = {id(decision.reply): decision.reply}
    for event in decision.events:
        shown[id(event.about)] = event.about
    return shown.values()


def _body(event: Event, bodies: dict[int, bytes]) -> bytes:
    if event.name == "health" and isinstance(event.about, Deployment):
        return rendering.in_health_event(event.about)
    return bodies[id(event.about)]


def _require_room(reply: bytes, rows: Iterable[EventRow]) -> None:
    """Refuse what NATS might not carry: nothing would be announced behind such an event."""
    size = max([len(reply), *[len(row.body) for row in rows]])
    if size > MAX_MESSAGE_BYTES:
        raise ProblemError(
            "payload_too_large",
            f"The reply or an event would have {size} bytes; at most {MAX_MESSAGE_BYTES} are carried. "
            "Shorten the reason, the error or the documents.",
        )


def _identity(about: rendering.Announced) -> tuple[Id | None, str]:
    """The entity in whose sequence an event stands, and the CloudEvent's subject."""
    match about:
        case Deployment():
            return about.entity_id, str(about.deployment_id)
        case Entity():
            return about.entity_id, str(about.entity_id)
        case Environment():
            return None, about.environment
