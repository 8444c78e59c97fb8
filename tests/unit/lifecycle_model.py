"""What wire.md says of deploys, rollbacks and retirements, told once more and in other words.

It knows no times: it counts what happens. A deployment is a row of what a caller can see of it.
"""

from dataclasses import dataclass, field
from typing import Any

from contracts.ids import Id

DEPLOYABLE = {"registered", "validated", "deployed", "active"}


@dataclass
class ModelEntity:
    """An entity as a caller sees it, and the names of its events so far."""

    entity_id: Id
    status: str
    config: dict[str, Any]
    declared: str = ""
    revision: int = 1
    deleted: bool = False
    deployed_by: str | None = None
    deployment_config: dict[str, Any] | None = None
    events: list[str] = field(default_factory=lambda: ["created"])

    def __post_init__(self) -> None:
        self.declared = self.status


@dataclass(eq=False)
class ModelDeployment:
    """A deployment as a caller sees it; ``place`` is its turn, ``left`` when it last ceased to be active."""

    entity: ModelEntity
    environment: str
    config: dict[str, Any]
    place: int
    status: str = "active"
    left: int = 0
    deployment_id: Id | None = None
    previous: "ModelDeployment | None" = None
    rolled_back_by: str | None = None
    rollback_reason: str | None = None


class Model:
    """Each method gives the code of the refusal, or None, and does what was asked."""

    def __init__(self) -> None:
        self.entities: list[ModelEntity] = []
        self.deployments: list[ModelDeployment] = []
        self.clock = 0

    def active(self, entity: ModelEntity, environment: str) -> ModelDeployment | None:
        for each in self.deployments:
            if (each.entity, each.environment, each.status) == (entity, environment, "active"):
                return each
        return None

    def deploy(
        self, entity: ModelEntity, environment: str, override: dict[str, Any] | None, by: str
    ) -> str | None:
        if entity.deleted:
            return "entity_not_found"
        if entity.declared not in DEPLOYABLE:
            return "validation_failed"
        former = self.active(entity, environment)
        if former is not None:
            self._leave(former, "inactive", "superseded")
        config = override or entity.config
        place = len(self.deployments)
        self.deployments.append(ModelDeployment(entity, environment, config, place, previous=former))
        entity.status, entity.deployed_by, entity.deployment_config = "deployed", by, config
        entity.events.append("completed")
        return None

    def rollback(
        self, current: ModelDeployment, target: ModelDeployment | None, by: str, reason: str
    ) -> str | None:
        if current.status != "active":
            return "deployment_not_active"
        if target is None:
            former = [
                each
                for each in self.deployments[: current.place]
                if each.entity is current.entity
                and each.environment == current.environment
                and each.status == "inactive"
            ]
            if not former:
                return "no_rollback_target"
            target = max(former, key=lambda each: each.left)
        elif (
            target is current
            or target.entity is not current.entity
            or target.environment != current.environment
        ):
            return "invalid_rollback_target"
        self._leave(current, "rolled_back", "rolled_back")
        current.previous, current.rolled_back_by, current.rollback_reason = target, by, reason
        target.status = "active"
        current.entity.events.append("reactivated")
        current.entity.deployed_by, current.entity.deployment_config = by, target.config
        return None

    def retire(self, current: ModelDeployment) -> str | None:
        if current.status != "active":
            return "deployment_not_active"
        self._leave(current, "inactive", "retired")
        entity = current.entity
        if not any(each.status == "active" for each in self.deployments if each.entity is entity):
            entity.status, entity.deployment_config = entity.declared, None
        return None

    def update(self, entity: ModelEntity, status: str | None, config: dict[str, Any] | None) -> str | None:
        if entity.deleted:
            return "entity_not_found"
        if status is not None:
            entity.status = entity.declared = status
        if config is not None:
            entity.config = config
        self._revise(entity, "updated")
        return None

    def delete(self, entity: ModelEntity) -> str | None:
        if entity.deleted:
            return "entity_not_found"
        if any(each.status == "active" for each in self.deployments if each.entity is entity):
            return "entity_in_use"
        entity.deleted = True
        self._revise(entity, "deleted")
        return None

    def _leave(self, deployment: ModelDeployment, status: str, event: str) -> None:
        self.clock += 1
        deployment.status, deployment.left = status, self.clock
        deployment.entity.events.append(event)

    @staticmethod
    def _revise(entity: ModelEntity, event: str) -> None:
        entity.revision += 1
        entity.events.append(event)
