"""Health: every report is kept; enough bad ones in a row take a deployment back, but never in a circle."""

import json
from typing import Any

from contracts.deployments import KEPT_REPORTS, HealthReport
from contracts.ids import Id, id_of
from contracts.values import timestamp
from worker.domain.changes import Decision, Moment
from worker.domain.command import Command
from worker.domain.errors import DeploymentNotFound
from worker.domain.facts import Deployment, Document, Environment, Facts, Quarantine
from worker.domain.quarantine import quarantine_of
from worker.domain.snapshot import digest
from worker.operations.operation import Needs
from worker.operations.place import SYSTEM, PlaceUnderChange
from worker.operations.rollback import what_no_longer_fits


def needs(command: Command[HealthReport]) -> Needs:
    """The deployment and what is active and waiting where it is; of a bad one, what it would go back to."""
    may_go_back = command.request.status == "unhealthy"
    return Needs(
        deployment_id=id_of(command.request.deployment_id),
        neighbours=True,
        fallback=may_go_back,
        dependents=may_go_back,
    )


def decide(command: Command[HealthReport], facts: Facts, moment: Moment) -> Decision:
    """Append the report; roll back where it is the last straw."""
    request = command.request
    deployment = facts.deployments.get(id_of(request.deployment_id))
    if deployment is None:
        raise DeploymentNotFound(id_of(request.deployment_id))
    report = {
        "reported_by": request.reported_by,
        "status": request.status,
        "details": request.details,
        "reported_at": timestamp(moment.now),
    }
    reported, reports = _appended(deployment, report, moment)
    place = PlaceUnderChange.of(deployment, facts, moment)
    target = _target(reported, place.environment, facts)
    place.tell(
        "health",
        reported,
        actor=request.reported_by,
        reason=None,
        report=Document.of(report),
        action="none" if target is None else "rollback",
    )
    if target is None:
        return place.decision(reported)

    place.active = reported
    in_row = reported.unhealthy_reports
    reason = f"Unhealthy: {in_row} {'reports' if in_row > 1 else 'report'} in a row."
    of_them = Document.of(reports[-min(in_row, len(reports)) :])
    rolled_back = place.go_back(
        target, actor=SYSTEM, reason=reason, warnings=what_no_longer_fits(target, facts), reports=of_them
    )
    if quarantine_of(rolled_back, facts) is None:
        place.keep(_quarantine(rolled_back, moment.new_id, reason))
    return place.decision(rolled_back)


def _appended(
    deployment: Deployment, report: dict[str, Any], moment: Moment
) -> tuple[Deployment, list[dict[str, Any]]]:
    """The deployment with its report. What is not active any more is not counted against."""
    reports = [*json.loads(deployment.health_checks.text), report][-KEPT_REPORTS:]
    in_row = deployment.unhealthy_reports
    if deployment.status == "active":
        in_row = in_row + 1 if report["status"] == "unhealthy" else 0
    reported = deployment._replace(
        health_checks=Document.of(reports),
        last_health_check=moment.now,
        unhealthy_reports=in_row,
        updated_at=moment.now,
    )
    return reported, reports


def _target(deployment: Deployment, environment: Environment, facts: Facts) -> Deployment | None:
    """What takes its place; None where it stays: the last straw is not there yet, or nothing better is."""
    if (
        deployment.status != "active"
        or not environment.auto_rollback
        or deployment.unhealthy_reports < environment.unhealthy_after
        or deployment.came_back_for_health
    ):
        return None
    fallback = facts.fallbacks.get(deployment.deployment_id)
    return None if fallback is None else facts.deployments[fallback]


def _quarantine(gone: Deployment, quarantine_id: Id, reason: str) -> Quarantine:
    """What keeps the same version with the same snapshot from coming again."""
    return Quarantine(
        quarantine_id=quarantine_id,
        entity_id=gone.entity_id,
        environment=gone.environment,
        version=gone.version,
        snapshot_digest=digest(gone.config_snapshot, gone.parameters_snapshot),
        deployment_id=gone.deployment_id,
        since=gone.updated_at,
        reason=reason,
    )
