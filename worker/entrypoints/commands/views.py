"""What people are shown of a reply."""

from collections.abc import Sequence
from typing import Any

from contracts.deployments import Deployment, DeploymentPlan
from contracts.entities import Entity
from contracts.environments import Environment
from contracts.events import CloudEvent
from contracts.status import Status
from contracts.values import compact
from worker.entrypoints.commands.output import Record, Table, moment, printable


def _document(value: dict[str, Any] | None) -> str:
    return compact(value) if value else ""


def _act(who: str | None, at: str) -> str:
    return " ".join(part for part in (at, f"by {who}" if who else "") if part)


def entity(shown: Entity) -> Record:
    """An entity, whole."""
    return Record(
        (
            ("entity", shown.name),
            ("id", str(shown.entity_id)),
            ("type", shown.type),
            ("version", shown.version),
            ("status", f"{shown.status} (declared {shown.declared_status})"),
            ("health", shown.health_status),
            ("revision", str(shown.revision)),
            ("description", shown.description or ""),
            ("tags", ", ".join(shown.tags)),
            ("depends on", ", ".join(f"{each.name}{each.version or ''}" for each in shown.dependencies)),
            ("config", _document(shown.config)),
            ("parameters", _document(shown.parameters)),
            ("created", _act(shown.created_by, moment(shown.created_at))),
            ("updated", moment(shown.updated_at)),
            ("deployed", _act(shown.deployed_by, moment(shown.deployed_at))),
            ("deleted", moment(shown.deleted_at)),
        )
    )


def entities(shown: Sequence[Entity]) -> Table:
    """Entities, a row each."""
    return Table(
        ("NAME", "TYPE", "VERSION", "STATUS", "HEALTH", "REVISION", "ID"),
        [
            (
                each.name,
                each.type,
                each.version,
                each.status,
                each.health_status,
                str(each.revision),
                str(each.entity_id),
            )
            for each in shown
        ],
    )


def deployment(shown: Deployment) -> Record:
    """A deployment, whole."""
    health = f"{len(shown.health_checks)} reports, the last {moment(shown.last_health_check)}"
    return Record(
        (
            ("deployment", str(shown.deployment_id)),
            ("entity", f"{shown.entity_name} {shown.version}"),
            ("environment", shown.environment),
            ("status", shown.status),
            ("deployed", _act(shown.deployed_by, moment(shown.deployed_at))),
            ("method", shown.deployment_method),
            ("reason", shown.reason or ""),
            ("previous", str(shown.previous_deployment_id or "")),
            ("confirm by", moment(shown.confirm_by)),
            ("rolled back", _act(shown.rolled_back_by, moment(shown.rolled_back_at))),
            ("because", shown.rollback_reason or ""),
            ("health", health if shown.health_checks else ""),
            ("errors", shown.error_logs or ""),
            ("warnings", "; ".join(shown.warnings)),
            ("config", _document(shown.config_snapshot)),
            ("parameters", _document(shown.parameters_snapshot)),
        )
    )


def deployments(shown: Sequence[Deployment]) -> Table:
    """Deployments, a row each."""
    return Table(
        ("ENTITY", "VERSION", "ENVIRONMENT", "STATUS", "DEPLOYED", "BY", "ID"),
        [
            (
                each.entity_name,
                each.version,
                each.environment,
                each.status,
                moment(each.deployed_at),
                each.deployed_by,
                str(each.deployment_id),
            )
            for each in shown
        ],
    )


def plan(shown: DeploymentPlan) -> Record:
    """What a deploy would do."""
    verdict = shown.validation
    return Record(
        (
            ("would be", "deployed" if verdict.passed else "refused"),
            ("version", shown.version),
            ("replaces", str(shown.replaces or "nothing")),
            ("errors", "; ".join(verdict.errors)),
            ("warnings", "; ".join(verdict.warnings)),
            *(
                ("change", f"{each['op']} {each['path']} {compact(each['value']) if 'value' in each else ''}")
                for each in shown.changes
            ),
            ("config", _document(shown.config_snapshot)),
            ("parameters", _document(shown.parameters_snapshot)),
        )
    )


def environments(shown: Sequence[Environment]) -> Table:
    """Environments and their settings, a row each."""
    return Table(
        ("ENVIRONMENT", "ACTIVATION", "CONFIRM", "AUTO ROLLBACK", "UNHEALTHY AFTER", "CONCURRENCY", "STATUS"),
        [
            (
                each.environment,
                each.activation,
                f"{each.confirm_timeout_s} s",
                "yes" if each.auto_rollback else "no",
                str(each.unhealthy_after),
                each.concurrency,
                ",".join(each.require_status),
            )
            for each in shown
        ],
    )


def status(shown: Status) -> Table:
    """The parts and their figures."""
    parts = {name: getattr(shown, name) for name in type(shown).model_fields}
    return Table(
        ("PART", "STATUS", "FIGURES"),
        [
            (name, part.status, ", ".join(f"{figure}={value}" for figure, value in part.model_extra.items()))
            for name, part in parts.items()
        ],
    )


def event(shown: CloudEvent) -> str:
    """An event on a line."""
    at, name, entity_version, environment, actor, reason = _event(shown)
    words = (
        at,
        name,
        entity_version,
        environment,
        actor and f"by {actor}",
        reason and f"({reason})",
        shown.subject,
    )
    return printable("  ".join(word for word in words if word))


def events(shown: Sequence[CloudEvent]) -> Table:
    """A history, a row each."""
    return Table(
        ("SEQUENCE", "TIME", "EVENT", "ENTITY", "ENVIRONMENT", "BY", "REASON"),
        [(each.sequence or "", *_event(each)) for each in shown],
    )


def _event(shown: CloudEvent) -> tuple[str, str, str, str, str, str]:
    """When, what (``completed`` of ``library.deployment.completed.v1``), to whom, where, by whom and why."""
    about = shown.data.deployment
    return (
        moment(shown.time),
        shown.type.removesuffix(".v1").rpartition(".")[2],
        f"{about.entity_name} {about.version}" if about else "",
        about.environment if about else "",
        shown.data.actor or "",
        shown.data.reason or "",
    )
