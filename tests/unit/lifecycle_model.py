"""What wire.md says of deploying, confirming, going back and retiring, told once more and in other words.

It knows no times: it counts what happens, and is told when it is too late to confirm what has a short time to
it. A deployment is a row of what a caller can see of it.
"""

from dataclasses import dataclass, field
from typing import Any

from contracts.ids import Id

DEPLOYABLE = {"registered", "validated", "deployed", "active"}
SYSTEM = "system"
LONG = 86_400
"""A time to confirm that no test waits for."""


@dataclass
class ModelEnvironment:
    """An environment's settings, where something depends on them."""

    activation: str = "instant"
    confirm_timeout_s: int = LONG
    auto_rollback: bool = False
    unhealthy_after: int = 3
    concurrency: str = "reject"


@dataclass
class ModelEntity:
    """An entity as a caller sees it, and its events: what happened, to which deployment, and by whom."""

    entity_id: Id
    status: str
    config: dict[str, Any]
    declared: str = ""
    revision: int = 1
    deleted: bool = False
    deployed_by: str | None = None
    deployment_config: dict[str, Any] | None = None
    events: list[tuple[str, "ModelDeployment | None", str | None]] = field(
        default_factory=lambda: [("created", None, None)]
    )

    def __post_init__(self) -> None:
        self.declared = self.status

    def tell(self, event: str, deployment: "ModelDeployment | None", by: str | None) -> None:
        self.events.append((event, deployment, by))


@dataclass(eq=False)
class ModelDeployment:
    """A deployment as a caller sees it; ``place`` is its turn, ``left`` when it last ceased to be active.

    ``bad`` counts the unhealthy reports in a row since it became active, ``sent_back`` says that it did by a
    rollback for health; ``late`` that its time to be confirmed is over.
    """

    entity: ModelEntity
    environment: str
    config: dict[str, Any]
    by: str
    place: int
    status: str = "new"
    patience: int = LONG
    late: bool = False
    left: int = 0
    bad: int = 0
    sent_back: bool = False
    reports: list[str] = field(default_factory=list)
    has_error: bool = False
    deployment_id: Id | None = None
    previous: "ModelDeployment | None" = None
    rolled_back_by: str | None = None
    rollback_reason: str | None = None


@dataclass(eq=False)
class ModelQuarantine:
    """What went back for its health, and whether that is forgiven."""

    of: ModelDeployment
    lifted: bool = False


class Model:
    """Each method gives the code of the refusal, or None, and does what was asked."""

    def __init__(self) -> None:
        self.entities: list[ModelEntity] = []
        self.deployments: list[ModelDeployment] = []
        self.quarantines: list[ModelQuarantine] = []
        self.environments: dict[str, ModelEnvironment] = {}
        self.clock = 0

    def active(self, entity: ModelEntity, environment: str) -> ModelDeployment | None:
        for each in self.deployments:
            if (each.entity, each.environment, each.status) == (entity, environment, "active"):
                return each
        return None

    def line(self, entity: ModelEntity, environment: str) -> list[ModelDeployment]:
        """What is undecided there, in the order of arrival."""
        here = (entity, environment)
        return [
            each
            for each in self.deployments
            if (each.entity, each.environment) == here and each.status in ("deploying", "pending")
        ]

    def quarantine(self, entity: ModelEntity, environment: str, config: Any) -> ModelQuarantine | None:
        for each in self.quarantines:
            known = (each.of.entity, each.of.environment, each.of.config, each.lifted)
            if known == (entity, environment, config, False):
                return each
        return None

    def time_passes(self, seconds: int) -> None:
        """So much time, at once: what had less of it to be confirmed is late from now on."""
        for each in self.deployments:
            if each.status == "deploying" and each.patience < seconds:
                each.late = True

    def deploy(
        self,
        entity: ModelEntity,
        environment: str,
        override: dict[str, Any] | None,
        by: str,
        *,
        pushes: bool = False,
        insists: bool = False,
    ) -> str | None:
        """``pushes`` puts aside what is undecided there, ``insists`` overrides a quarantine."""
        config, settings = override or entity.config, self.environments[environment]
        if entity.deleted:
            return "entity_not_found"
        if self.quarantine(entity, environment, config) and not insists:
            return "quarantined"
        undecided, pushes = self.line(entity, environment), pushes or settings.concurrency == "supersede"
        if undecided and not pushes and settings.concurrency == "reject":
            return "deployment_in_progress"
        if entity.declared not in DEPLOYABLE:
            return "validation_failed"
        for each in undecided if pushes else ():
            self._fail(each, by)
        deployment = ModelDeployment(entity, environment, config, by, len(self.deployments))
        self.deployments.append(deployment)
        if undecided and not pushes:
            deployment.status = "pending"
            entity.tell("queued", deployment, by)
        elif settings.activation == "confirmed":
            self._start(deployment)
        else:
            self._activate(deployment, by)
        return None

    def confirm(self, deployment: ModelDeployment, outcome: str, agent: str) -> str | None:
        if deployment.status != "deploying" or deployment.late:
            return "deployment_not_active"
        if outcome == "active":
            self._activate(deployment, agent)
        else:
            self._fail(deployment, agent)
        self._go_on(deployment)
        return None

    def expire(self, deployment: ModelDeployment) -> str | None:
        if deployment.status == "deploying" and deployment.late:
            self._fail(deployment, SYSTEM)
            self._go_on(deployment)
        return None

    def report(self, deployment: ModelDeployment, health: str, by: str) -> str | None:
        settings = self.environments[deployment.environment]
        deployment.reports = [*deployment.reports, health][-50:]
        deployment.entity.tell("health", deployment, by)
        if deployment.status != "active":
            return None
        deployment.bad = deployment.bad + 1 if health == "unhealthy" else 0
        target = self._former(deployment)
        enough = settings.auto_rollback and deployment.bad >= settings.unhealthy_after
        if enough and target and not deployment.sent_back:
            reason = f"Unhealthy: {deployment.bad} report{'s' * (deployment.bad > 1)} in a row."
            self._exchange(deployment, target, SYSTEM, reason)
            target.sent_back = True
            if not self.quarantine(deployment.entity, deployment.environment, deployment.config):
                self.quarantines.append(ModelQuarantine(deployment))
        return None

    def lift(self, quarantine: ModelQuarantine) -> str | None:
        quarantine.lifted = True
        return None

    def rollback(
        self, current: ModelDeployment, target: ModelDeployment | None, by: str, reason: str
    ) -> str | None:
        if current.status != "active":
            return "deployment_not_active"
        if target is None:
            target = self._former(current)
            if target is None:
                return "no_rollback_target"
        elif (
            target.entity is not current.entity
            or target.environment != current.environment
            or target.status not in ("inactive", "rolled_back")
        ):
            return "invalid_rollback_target"
        self._exchange(current, target, by, reason)
        return None

    def retire(self, current: ModelDeployment) -> str | None:
        if current.status != "active":
            return "deployment_not_active"
        self._leave(current, "inactive", "retired", "bob")
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
        self._revise(entity, "updated", None)
        return None

    def delete(self, entity: ModelEntity) -> str | None:
        if entity.deleted:
            return "entity_not_found"
        alive = ("active", "deploying", "pending")
        if any(each.status in alive for each in self.deployments if each.entity is entity):
            return "entity_in_use"
        entity.deleted = True
        self._revise(entity, "deleted", "dora")
        return None

    def _former(self, current: ModelDeployment) -> ModelDeployment | None:
        """What was active last of those that were deployed before this one and simply made way."""
        before = [
            each
            for each in self.deployments[: current.place]
            if (each.entity, each.environment, each.status)
            == (current.entity, current.environment, "inactive")
        ]
        return max(before, key=lambda each: each.left, default=None)

    def _start(self, deployment: ModelDeployment) -> None:
        deployment.status = "deploying"
        deployment.patience = self.environments[deployment.environment].confirm_timeout_s
        deployment.entity.tell("started", deployment, deployment.by)

    def _activate(self, deployment: ModelDeployment, by: str) -> None:
        entity, former = deployment.entity, self.active(deployment.entity, deployment.environment)
        if former is not None:
            self._leave(former, "inactive", "superseded", deployment.by)
        deployment.status, deployment.previous = "active", former
        entity.tell("completed", deployment, by)
        entity.status, entity.deployed_by = "deployed", deployment.by
        entity.deployment_config = deployment.config

    def _fail(self, deployment: ModelDeployment, by: str) -> None:
        deployment.status, deployment.has_error = "failed", True
        deployment.entity.tell("failed", deployment, by)

    def _go_on(self, decided: ModelDeployment) -> None:
        """One is decided: those behind it move up until one has to be waited for."""
        entity, settings = decided.entity, self.environments[decided.environment]
        for each in self.line(entity, decided.environment):
            if entity.declared not in DEPLOYABLE:
                self._fail(each, SYSTEM)
            elif settings.activation == "instant":
                self._activate(each, each.by)
            else:
                self._start(each)
                break

    def _exchange(self, current: ModelDeployment, target: ModelDeployment, by: str, reason: str) -> None:
        """A rollback, whoever asks for it; what is undecided there is decided by it."""
        entity = current.entity
        for each in self.line(entity, current.environment):
            self._fail(each, by)
        self._leave(current, "rolled_back", "rolled_back", by)
        current.previous, current.rolled_back_by, current.rollback_reason = target, by, reason
        target.status, target.bad, target.sent_back = "active", 0, False
        entity.tell("reactivated", target, by)
        entity.deployed_by, entity.deployment_config = by, target.config

    def _leave(self, deployment: ModelDeployment, status: str, event: str, by: str) -> None:
        self.clock += 1
        deployment.status, deployment.left = status, self.clock
        deployment.entity.tell(event, deployment, by)

    @staticmethod
    def _revise(entity: ModelEntity, event: str, by: str | None) -> None:
        entity.revision += 1
        entity.tell(event, None, by)
