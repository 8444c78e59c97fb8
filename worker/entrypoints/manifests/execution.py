"""Carries a plan out, step by step; what has been done stays done, and the next run goes on from there."""

from collections.abc import Callable
from uuid import UUID

from contracts.client import LibraryClient
from contracts.deployments import Deployment, DeployRequest, RetireRequest
from contracts.entities import EntityCreate, EntityUpdate
from contracts.manifest import ManifestDeployment
from worker.entrypoints.manifests.plan import Action, Plan
from worker.entrypoints.manifests.waiting import Decisions


async def execute(
    client: LibraryClient,
    plan: Plan,
    *,
    by: str,
    done: Callable[[Action], None],
    decisions: Decisions | None = None,
) -> int:
    """Do all of it, say of each step when it is done, and give how many were.

    Where ``decisions`` are waited for, they include what an earlier run left on its way, and a step that must
    not follow ends it. Raises ``ProblemError`` where a step is refused.
    """
    created: dict[str, UUID] = {}
    if decisions is not None:
        for deployment in plan.under_way:
            decisions.add(deployment)
    for number, action in enumerate(plan.actions):
        if decisions is not None and not await decisions.allow(action):
            await decisions.all()
            return number
        deployed = await _do(client, action, by, created)
        done(action)
        if decisions is not None and deployed is not None:
            decisions.add(deployed)
    if decisions is not None:
        await decisions.all()
    return len(plan.actions)


async def _do(client: LibraryClient, action: Action, by: str, created: dict[str, UUID]) -> Deployment | None:
    """Do it, and give what it deployed, if it did that."""
    match action.wanted:
        case EntityCreate() as entity if action.present is None:
            request = entity if entity.created_by else entity.model_copy(update={"created_by": by})
            created[action.entity] = (await client.create_entity(request)).entity_id
        case EntityCreate():
            assert action.present is not None
            await client.update_entity(_update(action, by))
        case ManifestDeployment() as wanted:
            entity_id = action.present.entity_id if action.present else created[action.entity]
            return await client.deploy(
                DeployRequest(
                    entity_id=entity_id,
                    environment=wanted.environment,
                    deployed_by=by,
                    deployment_method="manifest",
                    config_override=wanted.config,
                    parameters_override=wanted.parameters,
                    expected_version=action.version,
                    reason=wanted.reason,
                )
            )
        case None:
            assert action.deployment is not None
            await client.retire(
                RetireRequest(
                    deployment_id=action.deployment.deployment_id,
                    reason="not in the manifests any more",
                    retired_by=by,
                )
            )
    return None


def _update(action: Action, by: str) -> EntityUpdate:
    assert action.present is not None
    assert isinstance(action.wanted, EntityCreate)
    fields = {name: getattr(action.wanted, name) for name in action.changes}
    return EntityUpdate(
        entity_id=action.present.entity_id,
        expected_revision=action.present.revision,
        updated_by=by,
        **fields,
    )
