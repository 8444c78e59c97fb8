"""What a rule is given: records as they stand, frozen, and the facts of a batch that hold them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from contracts.deployments import DeploymentStatus
from contracts.entities import HealthStatus
from contracts.environments import Activation, Concurrency, EntityStatus, EnvironmentName
from contracts.ids import Id
from contracts.values import compact


class Document(NamedTuple):
    """A JSON value kept as its text: most are stored, copied and sent without ever being parsed."""

    text: str

    @classmethod
    def of(cls, value: Any) -> "Document":
        """The document that holds ``value``."""
        return cls(compact(value))

    @property
    def value(self) -> Any:
        """The JSON value, parsed."""
        return json.loads(self.text)

    @property
    def is_empty(self) -> bool:
        """Whether it is the empty object."""
        return self.text == "{}"


WAITING: frozenset[DeploymentStatus] = frozenset(("pending", "deploying"))
EMPTY = Document("{}")
NO_CHECKS = Document("[]")


class Dependency(NamedTuple):
    """A dependency on another entity by name; ``specifier`` is PEP 440's, None for any version."""

    name: str
    specifier: str | None = None


class Entity(NamedTuple):
    """An entity's record. Records are tuples, of which a changed copy costs little."""

    entity_id: Id
    name: str
    type: str
    version: str
    created_by: str | None
    description: str | None
    config: Document
    parameters: Document
    status: EntityStatus
    declared_status: EntityStatus
    health_status: HealthStatus
    tags: tuple[str, ...]
    dependencies: tuple[Dependency, ...]
    revision: int
    event_sequence: int
    deployed_at: datetime | None
    deployed_by: str | None
    deployment_config: Document | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class Deployment(NamedTuple):
    """A deployment's record. ``activated_at`` is None for what never was active.

    ``unhealthy_reports`` counts those in a row since it was last activated; ``came_back_for_health`` says
    that this activation was a rollback for health.
    """

    deployment_id: Id
    entity_id: Id
    entity_name: str
    version: str
    environment: EnvironmentName
    config_snapshot: Document
    parameters_snapshot: Document
    status: DeploymentStatus
    deployed_at: datetime
    deployed_by: str
    deployment_method: str
    reason: str | None
    rolled_back_at: datetime | None
    rolled_back_by: str | None
    rollback_reason: str | None
    previous_deployment_id: Id | None
    health_checks: Document
    last_health_check: datetime | None
    error_logs: str | None
    deployment_duration_ms: int | None
    validation_results: Document
    warnings: Document
    confirm_by: datetime | None
    created_at: datetime
    updated_at: datetime
    activated_at: datetime | None
    deactivated_at: datetime | None
    unhealthy_reports: int = 0
    came_back_for_health: bool = False


class Environment(NamedTuple):
    """An environment's settings; times in seconds."""

    environment: EnvironmentName
    activation: Activation
    confirm_timeout_s: int
    auto_rollback: bool
    unhealthy_after: int
    concurrency: Concurrency
    require_status: tuple[EntityStatus, ...]


class Quarantine(NamedTuple):
    """A version with a snapshot that went back for its health in an environment."""

    quarantine_id: Id
    entity_id: Id
    environment: EnvironmentName
    version: str
    snapshot_digest: str
    deployment_id: Id
    since: datetime
    reason: str
    lifted_at: datetime | None = None
    lifted_by: str | None = None
    lift_reason: str | None = None


Record = Entity | Deployment | Environment | Quarantine
Place = tuple[Id, EnvironmentName]
"""An entity and an environment."""


class Running(NamedTuple):
    """What is active of an entity in an environment, in short."""

    deployment_id: Id
    version: str


class Dependent(NamedTuple):
    """An entity that names another as its dependency."""

    entity_id: Id
    name: str
    dependencies: tuple[Dependency, ...]


@dataclass(slots=True, kw_only=True)
class Facts:
    """The rows that a batch of commands needs, as the database held them once they were locked.

    ``running`` says, in short, what is active of every entity here and of its dependents; ``deployments``
    holds whole records of those that a rule may change or return; ``waiting`` has what is ``deploying`` in a
    place and, behind it, what is ``pending``, in the order of arrival. ``fallbacks`` gives the rollback
    target of a deployment when none is named.
    """

    now: datetime
    environments: dict[EnvironmentName, Environment] = field(default_factory=dict)
    entities: dict[Id, Entity] = field(default_factory=dict)
    ids_by_name: dict[str, Id] = field(default_factory=dict)
    dependents: dict[Id, Dependent] = field(default_factory=dict)
    deployments: dict[Id, Deployment] = field(default_factory=dict)
    running: dict[Place, Running] = field(default_factory=dict)
    waiting: dict[Place, list[Id]] = field(default_factory=dict)
    quarantines: dict[Id, Quarantine] = field(default_factory=dict)
    fallbacks: dict[Id, Id] = field(default_factory=dict)

    def active(self, entity_id: Id, environment: EnvironmentName) -> Deployment | None:
        """The whole record of what is active there."""
        running = self.running.get((entity_id, environment))
        return self.deployments[running.deployment_id] if running else None

    def waiting_in(self, entity_id: Id, environment: EnvironmentName) -> list[Deployment]:
        """What is deploying there, then what is pending, in its order."""
        return [self.deployments[each] for each in self.waiting.get((entity_id, environment), ())]

    def quarantined_in(self, entity_id: Id, environment: EnvironmentName) -> Iterator[Quarantine]:
        """The quarantines that are in force there."""
        for each in self.quarantines.values():
            if (each.entity_id, each.environment) == (entity_id, environment) and each.lifted_at is None:
                yield each

    def running_by_name(self, name: str, environment: EnvironmentName) -> Running | None:
        """What is active, in short, of the entity that has this name."""
        entity_id = self.ids_by_name.get(name)
        return self.running.get((entity_id, environment)) if entity_id else None

    def active_dependents(self, entity: Entity, environment: EnvironmentName) -> Iterator[Dependent]:
        """Those that are active in the environment and name the entity as a dependency."""
        for dependent in self.dependents.values():
            names = (dependency.name for dependency in dependent.dependencies)
            if entity.name in names and (dependent.entity_id, environment) in self.running:
                yield dependent

    def absorb(self, records: Iterable[Record]) -> None:
        """Take in what a command changed, so that the next one of the batch decides on it."""
        for record in records:
            match record:
                case Entity():
                    self._absorb_entity(record)
                case Deployment():
                    self._absorb_deployment(record)
                case Environment():
                    self.environments[record.environment] = record
                case Quarantine():
                    self.quarantines[record.quarantine_id] = record

    def _absorb_entity(self, entity: Entity) -> None:
        before = self.entities.get(entity.entity_id)
        if before is not None and self.ids_by_name.get(before.name) == entity.entity_id:
            del self.ids_by_name[before.name]
        self.entities[entity.entity_id] = entity
        self.dependents.pop(entity.entity_id, None)
        if entity.deleted_at is None:
            self.ids_by_name[entity.name] = entity.entity_id
            self.dependents[entity.entity_id] = Dependent(entity.entity_id, entity.name, entity.dependencies)

    def _absorb_deployment(self, deployment: Deployment) -> None:
        place = (deployment.entity_id, deployment.environment)
        self.deployments[deployment.deployment_id] = deployment
        if deployment.status == "active":
            self.running[place] = Running(deployment.deployment_id, deployment.version)
        elif (held := self.running.get(place)) and held.deployment_id == deployment.deployment_id:
            del self.running[place]
        self._keep_in_line(deployment, place)

    def _keep_in_line(self, deployment: Deployment, place: Place) -> None:
        line = self.waiting.get(place)
        if deployment.status in WAITING:
            if line is None:
                self.waiting[place] = [deployment.deployment_id]
            elif deployment.deployment_id not in line:
                line.append(deployment.deployment_id)
        elif line and deployment.deployment_id in line:
            line.remove(deployment.deployment_id)
