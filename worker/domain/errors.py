"""What can stand in the way of a command: one tree, each carrying the data that a caller is told."""

from collections.abc import Iterable
from typing import Any

from contracts.ids import Id
from contracts.problems import ProblemError


class Refusal(ProblemError):
    """A command that the rules refuse."""


class EntityNotFound(Refusal):
    """The entity is absent or deleted."""

    def __init__(self, entity_id: Id) -> None:
        super().__init__("entity_not_found", f"There is no entity {entity_id}.")


class DeploymentNotFound(Refusal):
    """The deployment is absent."""

    def __init__(self, deployment_id: Id) -> None:
        super().__init__("deployment_not_found", f"There is no deployment {deployment_id}.")


class DeploymentNotActive(Refusal):
    """Only what is active can be rolled back or retired."""

    def __init__(self, deployment_id: Id, status: str) -> None:
        super().__init__(
            "deployment_not_active",
            f"Deployment {deployment_id} is {status}, not active.",
            current_status=status,
        )


class DeploymentNotDeploying(Refusal):
    """Only what is deploying can be confirmed, and only in time."""

    def __init__(self, deployment_id: Id, status: str, *, late: bool = False) -> None:
        state = "was not confirmed in time" if late else f"is {status}, not deploying"
        super().__init__(
            "deployment_not_active", f"Deployment {deployment_id} {state}.", current_status=status
        )


class DeploymentInProgress(Refusal):
    """Another deployment of the entity waits there to be confirmed."""

    def __init__(self, deployment_id: Id, environment: str, advice: str) -> None:
        super().__init__(
            "deployment_in_progress",
            f"Deployment {deployment_id} is in progress in {environment}; {advice}.",
            deployment_id=deployment_id,
        )


class InQuarantine(Refusal):
    """The same version with the same snapshot went back there for its health."""

    def __init__(self, quarantine_id: Id, reason: str) -> None:
        super().__init__("quarantined", reason, quarantine_id=quarantine_id)


class QuarantineNotFound(Refusal):
    """The quarantine is absent."""

    def __init__(self, quarantine_id: Id) -> None:
        super().__init__("not_found", f"There is no quarantine {quarantine_id}.")


class NoRollbackTarget(Refusal):
    """Nothing was active before this one that could come back."""

    def __init__(self, deployment_id: Id) -> None:
        super().__init__(
            "no_rollback_target",
            f"Nothing was active before deployment {deployment_id} that could come back; "
            "name a target_deployment_id, or retire it.",
        )


class InvalidRollbackTarget(Refusal):
    """The named target cannot take the place of the current one."""

    def __init__(self, target_id: Id, reason: str) -> None:
        super().__init__(
            "invalid_rollback_target", f"Deployment {target_id} is no rollback target: {reason}."
        )


class VersionMismatch(Refusal):
    """The caller expected another version."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(
            "version_mismatch",
            f"The entity's version is {actual}, not {expected}.",
            expected_version=expected,
            actual_version=actual,
        )


class ValidationFailed(Refusal):
    """Pre-deployment validation failed; ``validation`` holds every fault."""

    def __init__(self, validation: dict[str, Any]) -> None:
        super().__init__("validation_failed", " ".join(validation["errors"]), validation=validation)


class RevisionConflict(Refusal):
    """Somebody else changed the entity first."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(
            "revision_conflict",
            f"The entity's revision is {actual}, not {expected}; get it again and repeat the change.",
            expected_revision=expected,
            actual_revision=actual,
        )


class EntityNameTaken(Refusal):
    """Another entity that is not deleted has the name."""

    def __init__(self, name: str) -> None:
        super().__init__("entity_name_taken", f"Another entity is called {name!r}.")


class EntityInUse(Refusal):
    """The entity runs somewhere."""

    def __init__(self, entity_id: Id, environments: Iterable[str]) -> None:
        where = sorted(environments)
        super().__init__(
            "entity_in_use",
            f"Entity {entity_id} is in use in {', '.join(where)}; retire it there first, "
            "or let what waits there be decided.",
            environments=where,
        )


class DependencyInUse(Refusal):
    """Others in the same environment depend on it."""

    def __init__(self, environment: str, dependents: Iterable[str]) -> None:
        names = sorted(dependents)
        super().__init__(
            "dependency_in_use",
            f"In {environment}, {', '.join(names)} depend on it; retire them first, or use force.",
            dependents=names,
        )


class KeyReused(Refusal):
    """The idempotency key stands for another request."""

    def __init__(self) -> None:
        super().__init__(
            "idempotency_key_reused", "The idempotency key was used for another request; use a new one."
        )


class DeadlineExceeded(Refusal):
    """The caller no longer waits, so nothing was done."""

    def __init__(self) -> None:
        super().__init__("deadline_exceeded", "The deadline passed before the request was carried out.")
