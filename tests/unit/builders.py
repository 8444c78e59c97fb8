"""Records, facts and commands for the rules: what a test does not name is ordinary."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from contracts import subjects
from contracts.endpoints import BY_SUBJECT
from contracts.environments import ENVIRONMENTS
from contracts.ids import Id, id_of
from contracts.parsing import parse
from contracts.values import compact
from worker.domain.changes import Decision, Moment
from worker.domain.command import Command
from worker.domain.facts import (
    EMPTY,
    NO_CHECKS,
    Dependency,
    Deployment,
    Document,
    Entity,
    Environment,
    Facts,
    Quarantine,
    Record,
)
from worker.domain.snapshot import digest
from worker.operations import OPERATIONS
from worker.operations.expiry import Expiry

LONG_AGO = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def an_id() -> Id:
    """An id that nothing else has."""
    return id_of(uuid4())


def document(**members: Any) -> Document:
    return Document.of(members)


def needing(*specifiers: str) -> tuple[Dependency, ...]:
    """Dependencies from names and specifiers, such as ``"cache>=2"`` or ``"cache"``."""
    found = []
    for each in specifiers:
        start = next((place for place, letter in enumerate(each) if letter in "<>=!~"), len(each))
        found.append(Dependency(name=each[:start], specifier=each[start:] or None))
    return tuple(found)


def an_entity(name: str = "invoices", **fields: Any) -> Entity:
    """A registered entity that was never deployed."""
    ordinary = Entity(
        entity_id=an_id(),
        name=name,
        type="service",
        version="1.0.0",
        created_by="carol",
        description="Sends invoices.",
        config=document(replicas=1),
        parameters=document(region="eu"),
        status="registered",
        declared_status="registered",
        health_status="unknown",
        tags=("billing",),
        dependencies=(),
        revision=1,
        event_sequence=1,
        deployed_at=None,
        deployed_by=None,
        deployment_config=None,
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
        deleted_at=None,
    )
    return ordinary._replace(**fields)


def a_deployment(entity: Entity, **fields: Any) -> Deployment:
    """An active deployment of the entity in staging."""
    ordinary = Deployment(
        deployment_id=an_id(),
        entity_id=entity.entity_id,
        entity_name=entity.name,
        version=entity.version,
        environment="staging",
        config_snapshot=entity.config,
        parameters_snapshot=entity.parameters,
        status="active",
        deployed_at=LONG_AGO,
        deployed_by="dave",
        deployment_method="nats",
        reason=None,
        rolled_back_at=None,
        rolled_back_by=None,
        rollback_reason=None,
        previous_deployment_id=None,
        health_checks=NO_CHECKS,
        last_health_check=None,
        error_logs=None,
        deployment_duration_ms=12,
        validation_results=EMPTY,
        warnings=Document("[]"),
        confirm_by=None,
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
        activated_at=LONG_AGO,
        deactivated_at=None,
    )
    return ordinary._replace(**fields)


def a_former(entity: Entity, **fields: Any) -> Deployment:
    """A deployment that was active and was superseded."""
    return a_deployment(entity, **{"status": "inactive", "deactivated_at": LONG_AGO + SECOND, **fields})


def a_deploying(entity: Entity, **fields: Any) -> Deployment:
    """A deployment that an agent has 10 seconds left to confirm."""
    ordinary = {
        "status": "deploying",
        "deployed_at": NOW - 20 * SECOND,
        "deployed_by": "erin",
        "deployment_duration_ms": None,
        "validation_results": Document.of(_PRE),
        "confirm_by": NOW + 10 * SECOND,
        "activated_at": None,
    }
    return a_deployment(entity, **{**ordinary, **fields})


def a_pending(entity: Entity, **fields: Any) -> Deployment:
    """A deployment in line behind one that is deploying."""
    ordinary = {
        "status": "pending",
        "deployed_at": NOW - 5 * SECOND,
        "deployed_by": "fred",
        "confirm_by": None,
    }
    return a_deploying(entity, **{**ordinary, **fields})


_PRE = {
    "passed": True,
    "pre": {"passed": True, "checks": {"as_of": "arrival"}, "errors": [], "warnings": []},
    "post": None,
}


def a_quarantine(of: Deployment, **fields: Any) -> Quarantine:
    """The quarantine of a deployment that went back for its health."""
    ordinary = Quarantine(
        quarantine_id=an_id(),
        entity_id=of.entity_id,
        environment=of.environment,
        version=of.version,
        snapshot_digest=digest(of.config_snapshot, of.parameters_snapshot),
        deployment_id=of.deployment_id,
        since=LONG_AGO,
        reason="Unhealthy: 3 reports in a row.",
    )
    return ordinary._replace(**fields)


def deployed(entity: Entity, **fields: Any) -> Entity:
    """The entity as a deploy leaves it."""
    activation = {
        "status": "deployed",
        "deployed_at": LONG_AGO,
        "deployed_by": "dave",
        "deployment_config": entity.config,
    }
    return entity._replace(**{**activation, **fields})


def an_environment(environment: str = "staging", **settings: Any) -> Environment:
    """An environment as it is from the start."""
    ordinary = Environment(
        environment=environment,
        activation="instant",
        confirm_timeout_s=300,
        auto_rollback=False,
        unhealthy_after=3,
        concurrency="reject",
        require_status=("registered", "validated", "deployed", "active"),
    )
    return ordinary._replace(**settings)


def confirmed(environment: str = "staging", **settings: Any) -> Environment:
    """An environment where an agent has 60 seconds to confirm."""
    return an_environment(environment, **{"activation": "confirmed", "confirm_timeout_s": 60, **settings})


def facts_of(
    *records: Record,
    fallbacks: Iterable[tuple[Deployment, Deployment]] = (),
    now: datetime = NOW,
) -> Facts:
    """Facts that hold these records beside all environments; ``fallbacks`` pairs current and target.

    What waits in a place is in line as the records come.
    """
    facts = Facts(now=now, environments={name: an_environment(name) for name in ENVIRONMENTS})
    facts.absorb(records)
    facts.fallbacks = {current.deployment_id: target.deployment_id for current, target in fallbacks}
    return facts


def a_moment(**fields: Any) -> Moment:
    return Moment(NOW, an_id(), 7)._replace(**fields)


def a_command(operation: str, envelope: dict[str, Any] | None = None, /, **body: Any) -> Command[Any]:
    """A command that came with this body; ``envelope`` is what stands around it, such as its key."""
    request = parse(BY_SUBJECT[operation].request, compact(_plain(body)).encode())
    ordinary = Command(operation=operation, request=request, request_id=str(uuid4()), taken_at=0.0)
    return ordinary._replace(**(envelope or {}))


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in body.items()}


def a_deploy(entity: Entity, envelope: dict[str, Any] | None = None, /, **body: Any) -> Command[Any]:
    """Alice deploys the entity to staging."""
    ordinary = {"entity_id": entity.entity_id, "environment": "staging", "deployed_by": "alice"}
    return a_command(subjects.DEPLOY_REQUEST, envelope, **{**ordinary, **body})


def a_rollback(
    deployment: Deployment, envelope: dict[str, Any] | None = None, /, **body: Any
) -> Command[Any]:
    """Bob rolls the deployment back."""
    ordinary = {"deployment_id": deployment.deployment_id, "reason": "errors", "rolled_back_by": "bob"}
    return a_command(subjects.DEPLOY_ROLLBACK, envelope, **{**ordinary, **body})


def a_retirement(
    deployment: Deployment, envelope: dict[str, Any] | None = None, /, **body: Any
) -> Command[Any]:
    """Bob retires the deployment."""
    ordinary = {"deployment_id": deployment.deployment_id, "reason": "over", "retired_by": "bob"}
    return a_command(subjects.DEPLOY_RETIRE, envelope, **{**ordinary, **body})


def a_confirmation(
    deployment: Deployment, envelope: dict[str, Any] | None = None, /, **body: Any
) -> Command[Any]:
    """Agent seven says that the deployment runs."""
    ordinary = {"deployment_id": deployment.deployment_id, "agent": "agent-7", "outcome": "active"}
    return a_command(subjects.DEPLOY_CONFIRM, envelope, **{**ordinary, **body})


def a_report(deployment: Deployment, envelope: dict[str, Any] | None = None, /, **body: Any) -> Command[Any]:
    """A probe says that the deployment is unhealthy."""
    ordinary = {"deployment_id": deployment.deployment_id, "reported_by": "probe", "status": "unhealthy"}
    return a_command(subjects.DEPLOY_HEALTH, envelope, **{**ordinary, **body})


def an_expiry(deployment: Deployment) -> Command[Any]:
    """The worker's timer says that the deployment's time is over."""
    request = Expiry(deployment_id=UUID(deployment.deployment_id))
    return Command(operation=subjects.EXPIRY, request=request, request_id=str(uuid4()), taken_at=0.0)


def a_lift(quarantine: Quarantine, envelope: dict[str, Any] | None = None, /, **body: Any) -> Command[Any]:
    """Lena lifts the quarantine."""
    ordinary = {"quarantine_id": quarantine.quarantine_id, "lifted_by": "lena", "reason": "fixed"}
    return a_command(subjects.QUARANTINE_LIFT, envelope, **{**ordinary, **body})


def a_setting(environment: str = "staging", **body: Any) -> Command[Any]:
    """Somebody changes an environment."""
    return a_command(subjects.ENVIRONMENT_SET, environment=environment, **body)


def an_update(entity: Entity, envelope: dict[str, Any] | None = None, /, **body: Any) -> Command[Any]:
    """Somebody changes the entity."""
    return a_command(subjects.ENTITY_UPDATE, envelope, **{"entity_id": entity.entity_id, **body})


def decided(command: Command[Any], facts: Facts, moment: Moment | None = None) -> Decision:
    """What the rule of the command's operation decides; raises its ``Refusal``."""
    return OPERATIONS[command.operation].decide(command, facts, moment or a_moment())


def record_of(decision: Decision, record: Record) -> Any:
    """The same thing's record as the decision leaves it."""
    found = [each for each in decision.records if _identity(each) == _identity(record)]
    assert len(found) == 1, f"{len(found)} of {len(decision.records)} records are of it"
    return found[0]


def left_by(decision: Decision, record: Record) -> Any:
    """The same thing's record as the last step of several leaves it."""
    return [each for each in decision.records if _identity(each) == _identity(record)][-1]


def told(decision: Decision) -> list[tuple[str, Id, str | None]]:
    """The events of deployments: what happened to which, and who did it."""
    return [(event.name, event.about.deployment_id, event.actor) for event in decision.events]


def _identity(record: Record) -> tuple[type, Any]:
    match record:
        case Deployment():
            return Deployment, record.deployment_id
        case Entity():
            return Entity, record.entity_id
        case Quarantine():
            return Quarantine, record.quarantine_id
    return Environment, record.environment


def changed_fields(before: Any, after: Any) -> set[str]:
    """The fields in which two records differ."""
    return {name for name in before._fields if getattr(before, name) != getattr(after, name)}
