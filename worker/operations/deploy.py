"""Deploy an entity: what is active there is superseded, the new one takes its place."""

from contracts.deployments import DeployRequest
from contracts.environments import Activation
from contracts.ids import id_of
from worker.domain.changes import Decision, Event, Moment
from worker.domain.command import Command
from worker.domain.errors import ValidationFailed, VersionMismatch
from worker.domain.facts import NO_CHECKS, Deployment, Document, Entity, Facts
from worker.domain.states import moved
from worker.domain.validation import as_decided
from worker.operations.operation import Needs
from worker.operations.plan import Plan, entity_of, plan

_NOT_YET_CONFIRMED = "The environment asks for confirmation, which this release does not wait for."


def needs(command: Command[DeployRequest]) -> Needs:
    """The entity and what is active there."""
    return Needs(entity_id=id_of(command.request.entity_id), environment=command.request.environment)


def decide(command: Command[DeployRequest], facts: Facts, moment: Moment) -> Decision:
    """Refuse, or replace what is active there by a snapshot of the entity as it is now."""
    request = command.request
    entity = entity_of(id_of(request.entity_id), facts)
    if request.expected_version not in (None, entity.version):
        raise VersionMismatch(str(request.expected_version), entity.version)
    planned = plan(request, entity, facts)
    if not planned.validation.passed:
        raise ValidationFailed(planned.validation.body())

    activation = facts.environments[request.environment].activation
    deployment = _deployment(command, entity, planned, activation, moment)
    deployed = entity._replace(
        status="deployed",
        deployed_at=moment.now,
        deployed_by=request.deployed_by,
        deployment_config=planned.config,
        updated_at=moment.now,
    )
    completed = Event(name="completed", about=deployment, actor=request.deployed_by, reason=request.reason)
    if planned.replaces is None:
        return Decision(reply=deployment, records=(deployment, deployed), events=(completed,))
    superseded = moved(planned.replaces, "inactive", moment.now)
    return Decision(
        reply=deployment,
        records=(superseded, deployment, deployed),
        events=(
            Event(name="superseded", about=superseded, actor=request.deployed_by, reason=request.reason),
            completed,
        ),
    )


def _deployment(
    command: Command[DeployRequest], entity: Entity, planned: Plan, activation: Activation, moment: Moment
) -> Deployment:
    request = command.request
    before, after = planned.validation, as_decided(planned.config)
    warnings = list(dict.fromkeys(before.warnings + after.warnings))
    if activation == "confirmed":
        warnings.append(_NOT_YET_CONFIRMED)
    return Deployment(
        deployment_id=moment.new_id,
        entity_id=entity.entity_id,
        entity_name=entity.name,
        version=entity.version,
        environment=request.environment,
        config_snapshot=planned.config,
        parameters_snapshot=planned.parameters,
        status="active",
        deployed_at=moment.now,
        deployed_by=request.deployed_by,
        deployment_method=request.deployment_method or command.default_method,
        reason=request.reason,
        rolled_back_at=None,
        rolled_back_by=None,
        rollback_reason=None,
        previous_deployment_id=planned.replaces.deployment_id if planned.replaces else None,
        health_checks=NO_CHECKS,
        last_health_check=None,
        error_logs=None,
        deployment_duration_ms=moment.elapsed_ms,
        validation_results=Document.of({"passed": True, "pre": before.body(), "post": after.body()}),
        warnings=Document.of(warnings),
        confirm_by=None,
        created_at=moment.now,
        updated_at=moment.now,
        activated_at=moment.now,
        deactivated_at=None,
    )
