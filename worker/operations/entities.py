"""Create, update and delete entities."""

from collections.abc import Callable
from typing import Any

from contracts.entities import Dependency as DependencyRequest
from contracts.entities import EntityCreate, EntityDelete, EntityUpdate
from contracts.environments import ENVIRONMENTS
from contracts.ids import id_of
from worker.domain.changes import Decision, Event, Moment
from worker.domain.command import Command
from worker.domain.errors import EntityInUse, EntityNameTaken, RevisionConflict
from worker.domain.facts import Dependency, Document, Entity, Facts
from worker.operations.operation import Needs
from worker.operations.plan import entity_of


def needs_to_create(command: Command[EntityCreate]) -> Needs:
    """Who has the name."""
    return Needs(name=command.request.name)


def create(command: Command[EntityCreate], facts: Facts, moment: Moment) -> Decision:
    """Refuse a name that is taken, or register the entity."""
    request = command.request
    if request.name in facts.ids_by_name:
        raise EntityNameTaken(request.name)
    entity = Entity(
        entity_id=moment.new_id,
        name=request.name,
        type=request.type,
        version=request.version,
        created_by=request.created_by,
        description=request.description,
        config=Document.of(request.config),
        parameters=Document.of(request.parameters),
        status=request.status,
        declared_status=request.status,
        health_status=request.health_status,
        tags=tuple(request.tags),
        dependencies=_dependencies(request.dependencies),
        revision=1,
        event_sequence=0,
        deployed_at=None,
        deployed_by=None,
        deployment_config=None,
        created_at=moment.now,
        updated_at=moment.now,
        deleted_at=None,
    )
    created = Event(name="created", about=entity, actor=request.created_by)
    return Decision(reply=entity, records=(entity,), events=(created,))


def needs_to_update(command: Command[EntityUpdate]) -> Needs:
    """The entity, and who has its new name."""
    return Needs(entity_id=id_of(command.request.entity_id), name=command.request.name)


def update(command: Command[EntityUpdate], facts: Facts, moment: Moment) -> Decision:
    """Refuse a stale revision or a name that is taken, or change what the request names."""
    request = command.request
    entity = entity_of(id_of(request.entity_id), facts)
    if request.expected_revision not in (None, entity.revision):
        raise RevisionConflict(request.expected_revision or 0, entity.revision)
    if request.name is not None and facts.ids_by_name.get(request.name, entity.entity_id) != entity.entity_id:
        raise EntityNameTaken(request.name)
    changed = entity._replace(revision=entity.revision + 1, updated_at=moment.now, **_changes(request))
    updated = Event(name="updated", about=changed, actor=request.updated_by)
    return Decision(reply=changed, records=(changed,), events=(updated,))


def needs_to_delete(command: Command[EntityDelete]) -> Needs:
    """The entity, where it runs and where it is about to."""
    return Needs(entity_id=id_of(command.request.entity_id), everywhere=True)


def delete(command: Command[EntityDelete], facts: Facts, moment: Moment) -> Decision:
    """Refuse while it runs somewhere, or delete it; its history stays."""
    request = command.request
    entity = entity_of(id_of(request.entity_id), facts)
    places = [
        place
        for place in ENVIRONMENTS
        if (entity.entity_id, place) in facts.running or facts.waiting.get((entity.entity_id, place))
    ]
    if places:
        raise EntityInUse(entity.entity_id, places)
    gone = entity._replace(revision=entity.revision + 1, updated_at=moment.now, deleted_at=moment.now)
    deleted = Event(name="deleted", about=gone, actor=request.deleted_by)
    return Decision(reply=gone, records=(gone,), events=(deleted,))


def _dependencies(dependencies: list[DependencyRequest]) -> tuple[Dependency, ...]:
    return tuple(Dependency(name=each.name, specifier=each.version) for each in dependencies)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "config": Document.of,
    "parameters": Document.of,
    "tags": tuple,
    "dependencies": _dependencies,
}
_CHANGEABLE = (
    "name",
    "type",
    "version",
    "description",
    "config",
    "parameters",
    "status",
    "health_status",
    "tags",
    "dependencies",
)


def _changes(request: EntityUpdate) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for field in _CHANGEABLE:
        value = getattr(request, field)
        if value is not None:
            convert = _CONVERSIONS.get(field)
            changes[field] = convert(value) if convert else value
    if request.status is not None:
        changes["declared_status"] = request.status
    return changes
