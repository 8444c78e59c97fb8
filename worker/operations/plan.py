"""What a deploy would do: found once, shown by validate, done by deploy."""

from typing import Any, NamedTuple

from contracts.deployments import DeployRequest
from contracts.ids import Id
from worker.domain.errors import EntityNotFound
from worker.domain.facts import Deployment, Document, Entity, Facts, Quarantine
from worker.domain.quarantine import in_force, with_quarantine
from worker.domain.snapshot import difference, overridden
from worker.domain.validation import Validation, before_deployment


class Plan(NamedTuple):
    """A deploy that has not been done."""

    validation: Validation
    replaces: Deployment | None
    quarantine: Quarantine | None
    version: str
    config: Document
    parameters: Document

    def changes(self) -> list[dict[str, Any]]:
        """The JSON Patch from the document of what is active to that of the plan."""
        before: dict[str, Any] = {}
        if self.replaces is not None:
            before = _document(
                self.replaces.version, self.replaces.config_snapshot, self.replaces.parameters_snapshot
            )
        return difference(before, _document(self.version, self.config, self.parameters))


def _document(version: str, config: Document, parameters: Document) -> dict[str, Any]:
    return {"version": version, "config": config.value, "parameters": parameters.value}


def plan(request: DeployRequest, entity: Entity, facts: Facts) -> Plan:
    """The plan for a request, whether or not its validation passes."""
    config = overridden(entity.config, request.config_override, request.override_strategy)
    parameters = overridden(entity.parameters, request.parameters_override, request.override_strategy)
    environment = facts.environments[request.environment]
    validation = before_deployment(entity, environment, facts, config)
    quarantine = in_force(facts, entity.entity_id, request.environment, entity.version, (config, parameters))
    if quarantine is not None:
        validation = with_quarantine(validation, quarantine, overridden=request.override_quarantine)
    return Plan(
        validation=validation,
        replaces=facts.active(entity.entity_id, request.environment),
        quarantine=quarantine,
        version=entity.version,
        config=config,
        parameters=parameters,
    )


def entity_of(entity_id: Id, facts: Facts) -> Entity:
    """The entity, if it is there and not deleted; raises ``EntityNotFound``."""
    entity = facts.entities.get(entity_id)
    if entity is None or entity.deleted_at is not None:
        raise EntityNotFound(entity_id)
    return entity
