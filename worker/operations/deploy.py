"""Deploy an entity: what is active there is superseded, at once or when an agent confirms the new one."""

from contracts.deployments import MAX_WAITING, DeployRequest
from contracts.ids import id_of
from worker.domain.changes import Decision, Moment
from worker.domain.command import Command
from worker.domain.errors import DeploymentInProgress, InQuarantine, ValidationFailed, VersionMismatch
from worker.domain.facts import NO_CHECKS, Deployment, Document, Entity, Environment, Facts
from worker.domain.quarantine import told
from worker.domain.validation import as_decided
from worker.operations.operation import Needs
from worker.operations.place import PlaceUnderChange
from worker.operations.plan import Plan, entity_of, plan


def needs(command: Command[DeployRequest]) -> Needs:
    """The entity, and what is active and waiting there."""
    return Needs(entity_id=id_of(command.request.entity_id), environment=command.request.environment)


def decide(command: Command[DeployRequest], facts: Facts, moment: Moment) -> Decision:
    """Refuse, or have a snapshot of the entity as it is now take the place of what is active there."""
    request = command.request
    entity = entity_of(id_of(request.entity_id), facts)
    if request.expected_version not in (None, entity.version):
        raise VersionMismatch(str(request.expected_version), entity.version)
    planned = plan(request, entity, facts)
    if planned.quarantine is not None and not request.override_quarantine:
        raise InQuarantine(planned.quarantine.quarantine_id, told(planned.quarantine))
    place = PlaceUnderChange(entity, facts.environments[request.environment], facts, moment)
    if (obstacle := in_progress(request, place.environment, place.waiting)) is not None:
        raise obstacle
    if not planned.validation.passed:
        raise ValidationFailed(planned.validation.body())

    if place.waiting and _supersedes(request, place.environment):
        place.fail_all_waiting(
            actor=request.deployed_by, because=f"Superseded by deployment {moment.new_id} while it waited."
        )
    return place.decision(place.arrive(_deployment(command, entity, planned, place, moment)))


def in_progress(
    request: DeployRequest, environment: Environment, waiting: list[Deployment]
) -> DeploymentInProgress | None:
    """What refuses a deploy while another one waits there."""
    if not waiting or _supersedes(request, environment):
        return None
    if environment.concurrency == "reject":
        advice = "wait until it is decided, or use supersede_pending"
    elif len(waiting) > MAX_WAITING:
        advice = f"and {MAX_WAITING} wait behind it"
    else:
        return None
    return DeploymentInProgress(waiting[0].deployment_id, environment.environment, advice)


def _supersedes(request: DeployRequest, environment: Environment) -> bool:
    return request.supersede_pending or environment.concurrency == "supersede"


def _deployment(
    command: Command[DeployRequest], entity: Entity, planned: Plan, place: PlaceUnderChange, moment: Moment
) -> Deployment:
    """The new deployment before it takes its first state."""
    request = command.request
    at_once = place.environment.activation == "instant" and not place.waiting
    before, after = planned.validation, as_decided(planned.config) if at_once else None
    warnings = before.warnings + after.warnings if after else before.warnings
    results = {"passed": True, "pre": before.body(), "post": after.body() if after else None}
    return Deployment(
        deployment_id=moment.new_id,
        entity_id=entity.entity_id,
        entity_name=entity.name,
        version=entity.version,
        environment=request.environment,
        config_snapshot=planned.config,
        parameters_snapshot=planned.parameters,
        status="pending",
        deployed_at=moment.now,
        deployed_by=request.deployed_by,
        deployment_method=request.deployment_method or command.default_method,
        reason=request.reason,
        rolled_back_at=None,
        rolled_back_by=None,
        rollback_reason=None,
        previous_deployment_id=None,
        health_checks=NO_CHECKS,
        last_health_check=None,
        error_logs=None,
        deployment_duration_ms=moment.elapsed_ms if at_once else None,
        validation_results=Document.of(results),
        warnings=Document.of(list(dict.fromkeys(warnings))),
        confirm_by=None,
        created_at=moment.now,
        updated_at=moment.now,
        activated_at=None,
        deactivated_at=None,
    )
