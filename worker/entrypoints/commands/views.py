"""What people are shown of a reply."""

from collections.abc import Sequence
from typing import Any

from contracts.convergence import Consumer
from contracts.deployments import Deployment, DeploymentPlan
from contracts.entities import Entity
from contracts.environments import Environment
from contracts.events import CloudEvent, EventData
from contracts.quarantine import Quarantined
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
            ("health", _health(shown)),
            ("errors", shown.error_logs or ""),
            ("warnings", "; ".join(shown.warnings)),
            ("config", _document(shown.config_snapshot)),
            ("parameters", _document(shown.parameters_snapshot)),
        )
    )


def _health(shown: Deployment) -> str:
    """The latest report, and how many there are."""
    if not shown.health_checks:
        return ""
    latest, count = shown.health_checks[-1], len(shown.health_checks)
    reported = _act(latest.get("reported_by"), moment(shown.last_health_check))
    details = _document(latest.get("details"))
    of_how_many = f"the latest of {count} reports" if count > 1 else "the only report"
    return " ".join(part for part in (f"{latest.get('status')} {reported},", of_how_many, details) if part)


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


def quarantine(shown: Quarantined) -> Record:
    """A quarantine, whole."""
    return Record(
        (
            ("quarantine", str(shown.quarantine_id)),
            ("entity", f"{shown.entity_id} {shown.version}"),
            ("environment", shown.environment),
            ("snapshot", shown.snapshot_digest),
            ("deployment", str(shown.deployment_id)),
            ("since", moment(shown.since)),
            ("reason", shown.reason),
            ("lifted", _act(shown.lifted_by, moment(shown.lifted_at)) if shown.lifted_at else ""),
            ("because", shown.lift_reason or ""),
        )
    )


def quarantines(shown: Sequence[Quarantined]) -> Table:
    """Quarantines, a row each."""
    return Table(
        ("QUARANTINE", "ENTITY", "VERSION", "ENVIRONMENT", "SINCE", "LIFTED", "REASON"),
        [
            (
                str(each.quarantine_id),
                str(each.entity_id),
                each.version,
                each.environment,
                moment(each.since),
                moment(each.lifted_at),
                each.reason,
            )
            for each in shown
        ],
    )


def consumers(shown: Sequence[Consumer]) -> Table:
    """Agents beside what is active, a row each."""
    return Table(
        ("ENTITY", "AGENT", "BEHIND SINCE", "APPLIED", "ACTIVE", "RUNS"),
        [
            (
                str(each.entity_id),
                each.agent,
                moment(each.behind_since),
                each.applied_sequence or "-",
                each.active_sequence or "-",
                str(each.deployment_id or "nothing"),
            )
            for each in shown
        ],
    )


def environments(shown: Sequence[Environment]) -> Table:
    """Environments and their settings, a row each."""
    return Table(
        (
            "ENVIRONMENT",
            "ACTIVATION",
            "CONFIRM WITHIN",
            "CONCURRENCY",
            "AUTO ROLLBACK",
            "UNHEALTHY AFTER",
            "REQUIRED STATUS",
        ),
        [
            (
                each.environment,
                each.activation,
                f"{each.confirm_timeout_s} s",
                each.concurrency,
                "yes" if each.auto_rollback else "no",
                f"{each.unhealthy_after} in a row",
                ",".join(each.require_status) or "none fits",
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
    at, name, entity_version, environment, actor, note = _event(shown)
    words = (
        at,
        name,
        entity_version,
        environment,
        actor and f"by {actor}",
        note and f"({note})",
        shown.subject,
    )
    return printable("  ".join(word for word in words if word))


def events(shown: Sequence[CloudEvent]) -> Table:
    """A history, a row each."""
    return Table(
        ("SEQUENCE", "TIME", "EVENT", "ENTITY", "ENVIRONMENT", "BY", "NOTE"),
        [(each.sequence or "", *_event(each)) for each in shown],
    )


def _event(shown: CloudEvent) -> tuple[str, str, str, str, str, str]:
    """When, what (``completed`` of ``library.deployment.completed.v1``), to whom, where, by whom, a note."""
    about, name = shown.data.deployment, shown.type.removesuffix(".v1").rpartition(".")[2]
    return (
        moment(shown.time),
        name,
        f"{about.entity_name} {about.version}" if about else "",
        about.environment if about else "",
        shown.data.actor or "",
        _note(name, shown.data),
    )


def _note(name: str, data: EventData) -> str:
    """What is particular to an event; of most, why it happened."""
    about = data.deployment
    match name:
        case "health":
            return _reported(data)
        case "started" if isinstance(about, Deployment) and about.confirm_by is not None:
            return "; ".join(part for part in (f"confirm by {moment(about.confirm_by)}", data.reason) if part)
        case "failed" if isinstance(about, Deployment):
            return data.reason or about.error_logs or ""
        case "rejected" if data.problem is not None:
            return str(data.problem.get("detail", ""))
        case _:
            return data.reason or ""


def _reported(data: EventData) -> str:
    """The status that was reported, what it led to, and what else was said."""
    report = data.report or {}
    said = f"{report.get('status')}, action: {data.action or 'none'}"
    return " ".join(part for part in (said, _document(report.get("details"))) if part)
