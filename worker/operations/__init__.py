"""The operations that change something, by subject: one pure rule each."""

from collections.abc import Mapping

from contracts import subjects
from worker.operations import (
    confirm,
    deploy,
    entities,
    environments,
    expiry,
    health,
    quarantine,
    retire,
    rollback,
)
from worker.operations.operation import Needs, Operation

OPERATIONS: Mapping[str, Operation] = {
    subjects.DEPLOY_REQUEST: Operation(deploy.needs, deploy.decide),
    subjects.DEPLOY_ROLLBACK: Operation(rollback.needs, rollback.decide),
    subjects.DEPLOY_CONFIRM: Operation(confirm.needs, confirm.decide),
    subjects.DEPLOY_HEALTH: Operation(health.needs, health.decide),
    subjects.DEPLOY_RETIRE: Operation(retire.needs, retire.decide),
    subjects.ENTITY_CREATE: Operation(entities.needs_to_create, entities.create),
    subjects.ENTITY_UPDATE: Operation(entities.needs_to_update, entities.update),
    subjects.ENTITY_DELETE: Operation(entities.needs_to_delete, entities.delete),
    subjects.ENVIRONMENT_SET: Operation(environments.needs, environments.decide),
    subjects.QUARANTINE_LIFT: Operation(quarantine.needs, quarantine.decide),
    subjects.EXPIRY: Operation(expiry.needs, expiry.decide),
}

__all__ = ["OPERATIONS", "Needs", "Operation"]
