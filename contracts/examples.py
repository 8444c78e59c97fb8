"""An example of each request, for the documents: what must be there, and what shows its use."""

from collections.abc import Mapping
from typing import Any

from contracts.deployments import AsOfRequest, ConfirmRequest, DeployRequest, HealthReport
from contracts.entities import EntityUpdate
from contracts.environments import EnvironmentSet
from contracts.values import Request

VALUES: Mapping[str, Any] = {
    "activation": "confirmed",
    "agent": "shop-1",
    "at": "2026-01-31T12:00:00Z",
    "config_override": {"replicas": 3},
    "confirm_timeout_s": 120,
    "deleted_by": "alice",
    "deployed_by": "alice",
    "deployment_id": "0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41",
    "entity_id": "0197f3a1-52b0-7e0f-8c44-6f2d9e5b7a10",
    "environment": "staging",
    "details": {"error_rate": 0.04},
    "expected_revision": 3,
    "lifted_by": "alice",
    "name": "invoice-service",
    "outcome": "active",
    "override_strategy": "merge",
    "quarantine_id": "0197f3a4-2b1d-7c3f-8e5a-6d7c8b9a0f12",
    "reason": "The error rate rose to 4 %.",
    "reported_by": "shop-1",
    "retired_by": "alice",
    "rolled_back_by": "alice",
    "status": "healthy",
    "type": "service",
    "version": "1.5.0",
}
"""A value for every field that an example shows, by the field's name."""

_SHOWN: Mapping[type[Request], tuple[str, ...]] = {
    AsOfRequest: ("environment",),
    ConfirmRequest: ("details",),
    DeployRequest: ("config_override", "override_strategy"),
    EntityUpdate: ("expected_revision", "version"),
    EnvironmentSet: ("activation", "confirm_timeout_s"),
    HealthReport: ("details",),
}


def example(model: type[Request]) -> dict[str, Any]:
    """A valid body for ``model``: the required fields, and some of the others where these say little."""
    shown = _SHOWN.get(model, ())
    return {
        name: VALUES[name]
        for name, field in model.model_fields.items()
        if field.is_required() or name in shown
    }
