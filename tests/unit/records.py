"""A store in memory: it loads facts and takes changes by the rules of the one in PostgreSQL."""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from contracts.environments import ENVIRONMENTS
from contracts.ids import Id
from tests.unit.builders import NOW, an_environment, changed_fields
from worker.dispatch import batch
from worker.dispatch.answer import Answer
from worker.domain.command import Command
from worker.domain.facts import (
    WAITING,
    Dependent,
    Deployment,
    Entity,
    Environment,
    Facts,
    Quarantine,
    Record,
    Running,
)
from worker.store.changes import Changes, EventRow, _is_supersession
from worker.store.facts import Wanted
from worker.store.idempotency import Outcome, OutcomeKey

# What the statements of the store write of a row that is there already.
ACTIVATION = {"status", "event_sequence", "deployed_at", "deployed_by", "deployment_config", "updated_at"}
SUPERSESSION = {"status", "updated_at", "deactivated_at"}
MOVE = SUPERSESSION | {
    *("rolled_back_at", "rolled_back_by", "rollback_reason", "previous_deployment_id", "health_checks"),
    *("last_health_check", "error_logs", "deployment_duration_ms", "validation_results", "warnings"),
    *("confirm_by", "activated_at", "unhealthy_reports", "came_back_for_health"),
}
LIFTING = {"lifted_at", "lifted_by", "lift_reason"}
IN_TURN = [("inactive", "rolled_back", "failed"), ("active",), ("deploying", "pending")]
"""By the status that it takes, when a row is written: places are freed before they are taken."""


class FormerActivation(NamedTuple):
    """A time for which a deployment was active before it came back."""

    deployment_id: Id
    activated_at: datetime | None
    deactivated_at: datetime | None


class Records:
    """All rows. ``now`` is the database's clock, which a test may set, back as well."""

    def __init__(self, *records: Record) -> None:
        self.now: datetime = NOW
        self.environments = {name: an_environment(name) for name in ENVIRONMENTS}
        self.entities: dict[Id, Entity] = {}
        self.deployments: dict[Id, Deployment] = {}
        self.former: list[FormerActivation] = []
        self.quarantines: dict[Id, Quarantine] = {}
        self.outcomes: dict[OutcomeKey, Outcome] = {}
        self.events: list[EventRow] = []
        for record in records:
            match record:
                case Entity():
                    self.entities[record.entity_id] = record
                case Deployment():
                    self.deployments[record.deployment_id] = record
                case Environment():
                    self.environments[record.environment] = record
                case Quarantine():
                    self.quarantines[record.quarantine_id] = record

    def answers(self, *commands: Command[Any]) -> list[Answer | None]:
        """One batch: an answer for each command, None for what is put off."""
        entries = [batch.Entry.of(command) for command in commands]
        facts, outcomes = self.facts(batch._wanted(entries)), dict(self.outcomes)
        decided = batch._Batch(facts, outcomes, self._rejected_before(commands))
        answers = [decided.answer(entry) for entry in entries]
        self._write(decided.ledger.changes())
        self.outcomes.update(decided.first_outcomes)
        return answers

    def answers_to_all(self, *commands: Command[Any]) -> list[Answer]:
        """As many batches as it takes: what is put off comes back to the front, in its order."""
        found: dict[int, Answer] = {}
        waiting = deque(enumerate(commands))
        while waiting:
            taken = list(waiting)
            waiting.clear()
            for (place, command), answer in zip(
                taken, self.answers(*(command for _, command in taken)), strict=True
            ):
                if answer is None:
                    waiting.append((place, command))
                else:
                    found[place] = answer
            assert len(waiting) < len(taken), "a batch that answers nothing would run for ever"
            self.now += timedelta(milliseconds=1)
        return [found[place] for place in range(len(commands))]

    def active(self, entity_id: Id, environment: str) -> Deployment | None:
        """What is active there; fails where there are several."""
        return self._only(entity_id, environment, "active")

    def deploying(self, entity_id: Id, environment: str) -> Deployment | None:
        """What is deploying there; fails where there are several."""
        return self._only(entity_id, environment, "deploying")

    def _only(self, entity_id: Id, environment: str, status: str) -> Deployment | None:
        found = [each for each in self._in(entity_id, environment) if each.status == status]
        assert len(found) <= 1, f"one_{status}"
        return found[0] if found else None

    def waiting(self, entity_id: Id, environment: str) -> list[Deployment]:
        """What waits there, by the time of its arrival."""
        found = [each for each in self._in(entity_id, environment) if each.status in WAITING]
        return sorted(found, key=attrgetter("deployed_at", "deployment_id"))

    def due(self) -> list[Deployment]:
        """What should have been confirmed by now."""
        deploying = (each for each in self.deployments.values() if each.status == "deploying")
        return [each for each in deploying if each.confirm_by and each.confirm_by < self.now]

    def _in(self, entity_id: Id, environment: str) -> Iterable[Deployment]:
        place = (entity_id, environment)
        return (each for each in self.deployments.values() if (each.entity_id, each.environment) == place)

    def facts(self, wanted: Wanted) -> Facts:
        """What ``worker.store.facts.load`` gives, and no more."""
        named = [self.deployments[each] for each in wanted.deployment_ids if each in self.deployments]
        asked = {*wanted.entity_ids, *(each.entity_id for each in named)}
        needed = {name for each in asked for name in self._dependency_names([each])}
        ids = asked | {each.entity_id for each in self._living() if each.name in needed}
        loaded = [entity for entity_id, entity in self.entities.items() if entity_id in ids]
        facts = Facts(now=self.now, environments=dict(self.environments))
        facts.absorb(loaded)
        names = {*wanted.names, *needed}
        told_of = {each.entity_id for each in self._living() if each.name in needed}
        told_of |= {each.entity_id for each in named}
        facts.ids_by_name |= {each.name: each.entity_id for each in self._living() if each.name in names}
        for dependent in self._dependents(wanted.dependents_of):
            facts.dependents.setdefault(dependent.entity_id, dependent)
            told_of.add(dependent.entity_id)
        for each in self.deployments.values():
            if each.status == "active" and each.entity_id in told_of:
                self._tell(facts, each)
        for each in (*wanted.deployment_ids, *wanted.target_ids):
            if each in self.deployments:
                facts.deployments[each] = self.deployments[each]
        self._load_places(facts, wanted)
        for each in wanted.quarantine_ids:
            if each in self.quarantines:
                facts.quarantines[each] = self.quarantines[each]
        for current_id in wanted.fallback_of:
            if target := self._fallback(current_id):
                facts.deployments[target.deployment_id] = target
                facts.fallbacks[current_id] = target.deployment_id
        return facts

    def _tell(self, facts: Facts, active: Deployment) -> None:
        facts.running[active.entity_id, active.environment] = Running(active.deployment_id, active.version)

    def _load_places(self, facts: Facts, wanted: Wanted) -> None:
        """What is active, waits and is in quarantine in these places, and beside these deployments."""
        known = [self.deployments[each] for each in wanted.neighbours_of if each in self.deployments]
        for place in {*wanted.places, *((each.entity_id, each.environment) for each in known)}:
            active = self.active(*place)
            if active:
                facts.deployments[active.deployment_id] = active
                self._tell(facts, active)
            for each in self.waiting(*place):
                facts.deployments[each.deployment_id] = each
            for quarantine in self.quarantines.values():
                if (quarantine.entity_id, quarantine.environment) == place and quarantine.lifted_at is None:
                    facts.quarantines[quarantine.quarantine_id] = quarantine
        line = (each for each in facts.deployments.values() if each.status in WAITING)
        for each in sorted(line, key=attrgetter("deployed_at", "deployment_id")):
            facts.waiting.setdefault((each.entity_id, each.environment), []).append(each.deployment_id)

    def _rejected_before(self, commands: Sequence[Command[Any]]) -> set[str]:
        again = {each.durable.command_id for each in commands if each.durable and each.durable.redelivered}
        return {row.subject for row in self.events if row.type.endswith(".rejected.v1")} & again

    def _living(self) -> Iterable[Entity]:
        return (entity for entity in self.entities.values() if entity.deleted_at is None)

    def _dependency_names(self, ids: Iterable[Id]) -> set[str]:
        entities = (self.entities[each] for each in ids if each in self.entities)
        return {dependency.name for entity in entities for dependency in entity.dependencies}

    def _dependents(self, deployment_ids: Sequence[Id]) -> Iterable[Dependent]:
        for each in deployment_ids:
            if deployment := self.deployments.get(each):
                depended = self.entities[deployment.entity_id].name
                for entity in self._living():
                    if depended in {dependency.name for dependency in entity.dependencies} and self.active(
                        entity.entity_id, deployment.environment
                    ):
                        yield Dependent(entity.entity_id, entity.name, entity.dependencies)

    def _fallback(self, deployment_id: Id) -> Deployment | None:
        current = self.deployments.get(deployment_id)
        if current is None:
            return None
        former = [
            each
            for each in self.deployments.values()
            if (each.entity_id, each.environment) == (current.entity_id, current.environment)
            and each.status == "inactive"
            and each.deployed_at < current.deployed_at
            and each.activated_at is not None
        ]
        return max(former, key=lambda each: (each.deactivated_at or NOW, each.deployed_at), default=None)

    def _write(self, changes: Changes) -> None:
        for before, after in changes.changed_entities:
            assert self.entities[after.entity_id] == before, "guard: the entity is as it was loaded"
            if before.revision == after.revision:
                assert changed_fields(before, after) <= ACTIVATION
            self.entities[after.entity_id] = after
        for entity in changes.new_entities:
            assert entity.entity_id not in self.entities
            self.entities[entity.entity_id] = entity
        for statuses in IN_TURN:
            for before, after in changes.changed_deployments:
                if after.status in statuses:
                    self._move(before, after)
        for deployment in changes.new_deployments:
            assert deployment.deployment_id not in self.deployments
            self._put(deployment)
        self._set(changes.environments)
        for quarantine in changes.new_quarantines:
            assert quarantine.quarantine_id not in self.quarantines
            self.quarantines[quarantine.quarantine_id] = quarantine
        for quarantine in changes.lifted_quarantines:
            before = self.quarantines[quarantine.quarantine_id]
            assert before.lifted_at is None, "guard: the quarantine is in force"
            assert changed_fields(before, quarantine) == LIFTING
            self.quarantines[quarantine.quarantine_id] = quarantine
        self.events += changes.events

    def _move(self, before: Deployment, after: Deployment) -> None:
        assert self.deployments[after.deployment_id] == before, "guard: the deployment is as it was loaded"
        changed = changed_fields(before, after)
        assert changed <= MOVE
        assert changed <= SUPERSESSION or not _is_supersession(before, after)
        if before.activated_at not in (None, after.activated_at):
            former = FormerActivation(before.deployment_id, before.activated_at, before.deactivated_at)
            assert former.deactivated_at is not None
            assert former[:2] not in {each[:2] for each in self.former}
            self.former.append(former)
        self._put(after)

    def _put(self, deployment: Deployment) -> None:
        """Write a row; the unique indexes are asked with each."""
        self.deployments[deployment.deployment_id] = deployment
        place = (deployment.entity_id, deployment.environment)
        self.active(*place)
        self.deploying(*place)

    def _set(self, environments: Sequence[tuple[Environment, Environment]]) -> None:
        for before, after in environments:
            assert self.environments[after.environment] == before, "guard: the environment is as it was read"
            self.environments[after.environment] = after
