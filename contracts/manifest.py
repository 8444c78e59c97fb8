"""A manifest: the entities and deployments that there shall be."""

from typing import Any

from pydantic import Field

from contracts.entities import EntityCreate
from contracts.environments import EnvironmentName
from contracts.values import Document, Name, Request, Short, Text


class ManifestDeployment(Request):
    """What shall be active in an environment: the entity as it is, or with another configuration."""

    entity: Name = Field(description="The entity's name.")
    environment: EnvironmentName
    version: Short | None = Field(None, description="The version that is meant; else the entity's.")
    config: Document | None = Field(None, description="In place of the entity's, if it is not empty.")
    parameters: Document | None = Field(None, description="In place of the entity's, if it is not empty.")
    reason: Text | None = Field(None, description="Why, for the record; it makes no difference.")


class Manifest(Request):
    """All of it. An entity is known by its name; fields that are left out stay as they are."""

    entities: list[EntityCreate] = Field(default_factory=list)
    deployments: list[ManifestDeployment] = Field(default_factory=list)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that editors complete and check by."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema()}
