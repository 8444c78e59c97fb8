"""Quarantine: whether a snapshot went back for its health where it is about to be deployed."""

from contracts.environments import EnvironmentName
from contracts.ids import Id
from worker.domain.facts import Deployment, Document, Facts, Quarantine
from worker.domain.snapshot import digest
from worker.domain.validation import Validation

OVERRIDDEN = "overridden"
"""The verdict of the check where somebody deploys it all the same."""


def in_force(
    facts: Facts,
    entity_id: Id,
    environment: EnvironmentName,
    version: str,
    snapshot: tuple[Document, Document],
) -> Quarantine | None:
    """The quarantine of a version with this configuration and these parameters, if there is one."""
    of_version = [each for each in facts.quarantined_in(entity_id, environment) if each.version == version]
    if not of_version:
        return None
    found = digest(*snapshot)
    return next((each for each in of_version if each.snapshot_digest == found), None)


def quarantine_of(deployment: Deployment, facts: Facts) -> Quarantine | None:
    """The quarantine that a deployment is in, or would break."""
    snapshot = (deployment.config_snapshot, deployment.parameters_snapshot)
    return in_force(facts, deployment.entity_id, deployment.environment, deployment.version, snapshot)


def with_quarantine(validation: Validation, quarantine: Quarantine, *, overridden: bool) -> Validation:
    """The validation of what is in quarantine: a warning where somebody overrode that, else an error."""
    if overridden:
        return validation.with_warning("quarantine", OVERRIDDEN, f"Overridden: {told(quarantine)}")
    return validation.with_error("quarantine", told(quarantine))


def told(quarantine: Quarantine) -> str:
    """Why it is not deployed, and what lets it be."""
    return (
        f"Version {quarantine.version} with this snapshot was rolled back in {quarantine.environment} for "
        f"its health: {quarantine.reason} Lift quarantine {quarantine.quarantine_id}, or use "
        "override_quarantine with a reason."
    )
