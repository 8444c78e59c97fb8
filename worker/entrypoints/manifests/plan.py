"""What has to be done so that there is what the manifests say: computed whole before anything is written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.client import LibraryClient
from contracts.deployments import Deployment, DeploymentStatus
from contracts.entities import Entity, EntityCreate
from contracts.environments import ENVIRONMENTS, EnvironmentName
from contracts.manifest import ManifestDeployment
from worker.entrypoints.manifests.files import Wanted, order, require_no_faults

_LEFT_ALONE = {"name", "created_by", "health_status"}
_DOCUMENTS = ("config", "parameters")
_CONTENT = ("version", *_DOCUMENTS)
_LATEST_FIRST: tuple[DeploymentStatus, ...] = ("pending", "deploying", "active")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A step; ``changes`` are ``{field: (what is, what shall be)}``, ``dependencies`` names of entities."""

    action: Literal["create", "update", "deploy", "retire"]
    entity: str
    environment: EnvironmentName | None = None
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    present: Entity | None = None
    deployment: Deployment | None = None
    wanted: EntityCreate | ManifestDeployment | None = None
    version: str | None = None
    dependencies: frozenset[str] = frozenset()

    def shown(self) -> dict[str, Any]:
        """As JSON shows it."""
        changes = {name: {"from": was, "to": will} for name, (was, will) in self.changes.items()}
        where = {} if self.environment is None else {"environment": self.environment}
        return {"action": self.action, "entity": self.entity, **where, "changes": changes}


@dataclass(slots=True)
class Plan:
    """The steps in their order, and how much is as it shall be already, or is about to be (``under_way``)."""

    actions: list[Action] = field(default_factory=list)
    unchanged: int = 0
    under_way: list[Deployment] = field(default_factory=list)


def _nobody(_doing: str, _done: int, _of: int) -> None:
    """Nobody wants to know how far it is."""


async def make(
    client: LibraryClient, wanted: Wanted, *, prune: bool, says: Callable[[str, int, int], None] = _nobody
) -> Plan:
    """The plan; ``says`` is told how far it is. Raises ``ProblemError`` with every fault that shows."""
    plan = Plan()
    entities = order(wanted)
    others = sorted({name for name, _ in wanted.deployments} - set(entities))
    total = len(entities) + len(others) + len(wanted.deployments)
    present: dict[str, Entity | None] = {}
    for name in [*entities, *others]:
        says("Comparing", len(present), total)
        present[name] = await _entity(client, name)
    for name in entities:
        _compare_entity(plan, wanted.entities[name], present[name])
    names = [*others, *entities]
    compared = len(present)
    for environment in ENVIRONMENTS:
        for name in names:
            deployment = wanted.deployments.get((name, environment))
            if deployment is not None:
                says("Comparing", compared, total)
                compared += 1
                await _compare_deployment(client, plan, wanted, deployment, present[name])
    if prune:
        await _prune(client, plan, wanted, [entity for name in reversed(names) if (entity := present[name])])
    require_no_faults(wanted)
    return plan


async def _entity(client: LibraryClient, name: str) -> Entity | None:
    found = (await client.list_entities(name=name)).entities
    return found[0] if found else None


def _compare_entity(plan: Plan, wanted: EntityCreate, present: Entity | None) -> None:
    fields = _fields(wanted)
    if present is None:
        changes = {name: (None, value) for name, value in fields.items()}
        plan.actions.append(Action(action="create", entity=wanted.name, changes=changes, wanted=wanted))
        return
    is_now = _fields(present) | {"status": present.declared_status}
    changes = {
        name: (is_now[name], value)
        for name, value in fields.items()
        if name in wanted.model_fields_set - _LEFT_ALONE
        and value is not None
        and not same(is_now[name], value)
    }
    if changes:
        plan.actions.append(
            Action(action="update", entity=wanted.name, changes=changes, present=present, wanted=wanted)
        )
    else:
        plan.unchanged += 1


def _fields(entity: Entity | EntityCreate) -> dict[str, Any]:
    names = EntityCreate.model_fields.keys() - _LEFT_ALONE
    return {name: value for name, value in entity.model_dump(mode="json").items() if name in names}


async def _compare_deployment(
    client: LibraryClient, plan: Plan, wanted: Wanted, deployment: ManifestDeployment, present: Entity | None
) -> None:
    place = wanted.places[deployment.entity, deployment.environment]
    will_be = _content(wanted.entities.get(deployment.entity), present)
    if will_be is None:
        wanted.faults.append((f"{place}: entity", f"there is no entity {deployment.entity}"))
        return
    shall: dict[str, Any] = {
        "version": deployment.version or will_be["version"],
        "config": deployment.config or will_be["config"],
        "parameters": deployment.parameters or will_be["parameters"],
    }
    there = await _there(client, deployment.environment, present)
    was = _snapshot(there) if there else dict.fromkeys(_CONTENT)
    # An empty override is none to a deploy, and yet what is active may be empty, as an export then says.
    literally = {name: value for name in _DOCUMENTS if (value := getattr(deployment, name)) is not None}
    if same(was, shall) or same(was, shall | literally):
        plan.unchanged += 1
        plan.under_way += [there] if there and there.status in ("pending", "deploying") else []
        return
    if shall["version"] != will_be["version"]:
        wanted.faults.append(
            (f"{place}: version", f"the entity is at {will_be['version']}; only that can be deployed")
        )
        return
    changes = {name: (was[name], shall[name]) for name in _CONTENT if not same(was[name], shall[name])}
    plan.actions.append(
        Action(
            action="deploy",
            entity=deployment.entity,
            environment=deployment.environment,
            changes=changes,
            present=present,
            wanted=deployment,
            version=shall["version"],
            dependencies=_dependencies(wanted.entities.get(deployment.entity), present),
        )
    )


def _content(wanted: EntityCreate | None, present: Entity | None) -> dict[str, Any] | None:
    """Version, config and parameters that the entity will have."""
    if present is None:
        return None if wanted is None else {name: getattr(wanted, name) for name in _CONTENT}
    named = wanted.model_fields_set if wanted else set()
    return {name: getattr(wanted if name in named else present, name) for name in _CONTENT}


def _dependencies(wanted: EntityCreate | None, present: Entity | None) -> frozenset[str]:
    """The names of what the entity will depend on."""
    of = wanted if wanted and (present is None or "dependencies" in wanted.model_fields_set) else present
    return frozenset(each.name for each in of.dependencies) if of else frozenset()


async def _there(
    client: LibraryClient, environment: EnvironmentName, present: Entity | None
) -> Deployment | None:
    """What will be active there: the last of what is on its way, or what is active."""
    if present is None:
        return None
    for status in _LATEST_FIRST:
        found = await client.list(
            entity_id=present.entity_id, environment=environment, status=status, page_size=1
        )
        if found.deployments:
            return found.deployments[0]
    return None


def _snapshot(deployment: Deployment) -> dict[str, Any]:
    return {
        "version": deployment.version,
        "config": deployment.config_snapshot,
        "parameters": deployment.parameters_snapshot,
    }


async def _prune(client: LibraryClient, plan: Plan, wanted: Wanted, entities: list[Entity]) -> None:
    """What is active, in environments and of entities that the manifests name, and not in them."""
    named = {environment for _, environment in wanted.deployments}
    for environment in (each for each in ENVIRONMENTS if each in named):
        for entity in entities:
            if (entity.name, environment) in wanted.deployments:
                continue
            found = await client.list(entity_id=entity.entity_id, environment=environment, status="active")
            plan.actions += [
                Action(action="retire", entity=entity.name, environment=environment, deployment=each)
                for each in found.deployments
            ]


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, and no boolean is a number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
