"""A manifest of what is there."""

from typing import Any

from contracts.client import LibraryClient, pages
from contracts.deployments import Deployment, DeploymentListRequest
from contracts.entities import Entity, EntityListRequest
from contracts.environments import EnvironmentName
from worker.entrypoints.manifests.plan import same

_FIELDS = ("name", "type", "version", "description", "config", "parameters", "tags", "dependencies")


async def manifest(client: LibraryClient, environment: EnvironmentName | None) -> dict[str, Any]:
    """All entities, and what is active, in one environment or in all; applying it changes nothing."""
    entities = {
        entity.entity_id: entity
        async for page in pages(client.list_entities, EntityListRequest(page_size=100))
        for entity in page.entities
    }
    request = DeploymentListRequest(status="active", environment=environment, page_size=100)
    deployments = [
        _deployment(each, entity)
        async for page in pages(client.list, request)
        for each in page.deployments
        if (entity := entities.get(each.entity_id))
    ]
    return {
        "entities": sorted((_entity(entity) for entity in entities.values()), key=lambda each: each["name"]),
        "deployments": sorted(deployments, key=lambda each: (each["entity"], each["environment"])),
    }


def _entity(entity: Entity) -> dict[str, Any]:
    shown = entity.model_dump(mode="json")
    found = {name: shown[name] for name in _FIELDS if shown[name] not in (None, {}, [])}
    found["dependencies"] = [
        {name: value for name, value in each.items() if value is not None} for each in shown["dependencies"]
    ]
    return {name: value for name, value in found.items() if value != []} | {"status": entity.declared_status}


def _deployment(deployment: Deployment, entity: Entity) -> dict[str, Any]:
    snapshots = {"config": deployment.config_snapshot, "parameters": deployment.parameters_snapshot}
    own = {name: value for name, value in snapshots.items() if not same(value, getattr(entity, name))}
    where = {"entity": entity.name, "environment": deployment.environment, "version": deployment.version}
    return where | own
