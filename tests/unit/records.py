"""A store in memory: it loads facts and takes changes by the rules of the one in PostgreSQL."""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from contracts.environments import ENVIRONMENTS
from contracts.ids import Id
from tests.unit.builders import NOW, an_environment, changed_fields
from worker.dispatch import batch
from worker.dispatch.answer import Answer
from worker.domain.command import Command
from worker.domain.facts import Dependent, Deployment, Entity, Environment, Facts, Running
from worker.store.changes import Changes, EventRow
from worker.store.facts import Wanted
from worker.store.idempotency import Outcome, OutcomeKey

# What the statements of the store write of a row that is there already.
ACTIVATION = {"status", "event_sequence", "deployed_at", "deployed_by", "deployment_config", "updated_at"}
TRANSITION = {
    *("status", "rolled_back_at", "rolled_back_by", "rollback_reason", "previous_deployment_id"),
    *("warnings", "updated_at", "activated_at", "deactivated_at"),
}


class Records:
    """All rows. ``now`` is the database's clock, which a test may set, back as well."""

    def __init__(self, *records: Entity | Deployment | Environment) -> None:
        self.now: datetime = NOW
        self.environments = {name: an_environment(name) for name in ENVIRONMENTS}
        self.entities: dict[Id, Entity] = {}
        self.deployments: dict[Id, Deployment] = {}
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

    def answers(self, *commands: Command[Any]) -> list[Answer | None]:
        """One batch: an answer for each command, None for what is put off."""
        entries = [batch._entry(command) for command in commands]
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
        found = [
            each
            for each in self.deployments.values()
            if (each.entity_id, each.environment, each.status) == (entity_id, environment, "active")
        ]
        assert len(found) <= 1, "one_active"
        return found[0] if found else None

    def facts(self, wanted: Wanted) -> Facts:
        """What ``worker.store.facts.load`` gives, and no more."""
        named = [self.deployments[each] for each in wanted.deployment_ids if each in self.deployments]
        asked = {*wanted.entity_ids, *(each.entity_id for each in named)}
        needed = {name for each in asked for name in self._dependency_names([each])}
        ids = asked | {each.entity_id for each in self._living() if each.name in needed}
        loaded = [entity for entity_id, entity in self.entities.items() if entity_id in ids]
        facts = Facts(now=self.now, environments=dict(self.environments))
        facts.absorb(loaded)
        names = {*wanted.names, *self._dependency_names(entity.entity_id for entity in loaded)}
        facts.ids_by_name |= {each.name: each.entity_id for each in self._living() if each.name in names}
        for dependent in self._dependents(wanted.dependents_of):
            facts.dependents.setdefault(dependent.entity_id, dependent)
            ids.add(dependent.entity_id)
        for each in self.deployments.values():
            if each.status == "active" and each.entity_id in ids:
                facts.running[each.entity_id, each.environment] = Running(each.deployment_id, each.version)
        for each in (*wanted.deployment_ids, *wanted.target_ids):
            if each in self.deployments:
                facts.deployments[each] = self.deployments[each]
        for place in wanted.places:
            if active := self.active(*place):
                facts.deployments[active.deployment_id] = active
        for current_id in wanted.fallback_of:
            if target := self._fallback(current_id):
                facts.deployments[target.deployment_id] = target
                facts.fallbacks[current_id] = target.deployment_id
        return facts

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
        ]
        return max(former, key=lambda each: each.deactivated_at or NOW, default=None)

    def _write(self, changes: Changes) -> None:
        for before, after in changes.changed_entities:
            assert self.entities[after.entity_id] == before, "guard: the entity is as it was loaded"
            if before.revision == after.revision:
                assert changed_fields(before, after) <= ACTIVATION
            self.entities[after.entity_id] = after
        for entity in changes.new_entities:
            assert entity.entity_id not in self.entities
            self.entities[entity.entity_id] = entity
        for before, after in changes.changed_deployments:
            assert self.deployments[after.deployment_id] == before, (
                "guard: the deployment is as it was loaded"
            )
            assert changed_fields(before, after) <= TRANSITION
            self.deployments[after.deployment_id] = after
        for deployment in changes.new_deployments:
            assert deployment.deployment_id not in self.deployments
            self.deployments[deployment.deployment_id] = deployment
        self.environments |= {each.environment: each for each in changes.environments}
        self.events += changes.events
        for entity_id in self.entities:
            for environment in ENVIRONMENTS:
                self.active(entity_id, environment)
