"""Validation before a deploy, of what is there, and after it, of what the store makes sure of."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from packaging.specifiers import SpecifierSet

from contracts.environments import EnvironmentName
from worker.domain.facts import Dependency, Document, Entity, Environment, Facts, Running

MOST_SENTENCES = 100
"""So many are listed, so that every event and reply that holds them fits into a message of NATS."""


class Check(NamedTuple):
    """One verdict, by its name on the wire; what is an error holds a deploy up, a warning does not."""

    name: str
    verdict: Any
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Validation(NamedTuple):
    """All checks together."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check found an error."""
        return not any([check.errors for check in self.checks])  # noqa: C419 - a third of a generator's time

    @property
    def errors(self) -> list[str]:
        """Every fault."""
        return [error for check in self.checks for error in check.errors]

    @property
    def warnings(self) -> list[str]:
        """Everything worth knowing that holds nothing up."""
        return [warning for check in self.checks for warning in check.warnings]

    def with_warning(self, name: str, verdict: Any, warning: str) -> "Validation":
        """The same with a further check that warns."""
        return Validation(checks=(*self.checks, Check(name, verdict, warnings=(warning,))))

    def with_error(self, name: str, error: str) -> "Validation":
        """The same with a further check that failed."""
        return Validation(checks=(*self.checks, Check(name, verdict=False, errors=(error,))))

    def body(self) -> dict[str, Any]:
        """The ``DeploymentValidation`` of the wire."""
        return {
            "passed": self.passed,
            "checks": {check.name: check.verdict for check in self.checks},
            "errors": self.errors,
            "warnings": self.warnings,
        }


def before_deployment(entity: Entity, environment: Environment, facts: Facts, config: Document) -> Validation:
    """Whether the entity may be deployed there now; all faults, not the first."""
    return Validation(
        checks=(
            _entity_status(entity, environment),
            _existing_deployment(facts.running.get((entity.entity_id, environment.environment)), environment),
            _health_status(entity),
            _has_version(entity),
            _dependencies(entity, environment.environment, facts),
            _EMPTY if config.is_empty else _FILLED,
        )
    )


_PASSED = {
    name: Check(name, True) for name in ("entity_status", "health_status", "has_version", "dependencies")
}


def _entity_status(entity: Entity, environment: Environment) -> Check:
    if entity.declared_status in environment.require_status:
        return _PASSED["entity_status"]
    required = ", ".join(environment.require_status) or "none"
    error = (
        f"The entity's status is {entity.declared_status}; "
        f"{environment.environment} takes entities that are: {required}."
    )
    return Check("entity_status", verdict=False, errors=(error,))


def _existing_deployment(running: Running | None, environment: Environment) -> Check:
    if running is None:
        return Check("existing_deployment", verdict=False)
    warning = (
        f"Deployment {running.deployment_id} (version {running.version}) is active in "
        f"{environment.environment} and will be replaced."
    )
    return Check("existing_deployment", verdict=True, warnings=(warning,))


def _health_status(entity: Entity) -> Check:
    if entity.health_status == "unhealthy":
        return Check("health_status", verdict=False, errors=("The entity's health is unhealthy.",))
    if entity.health_status == "degraded":
        return Check("health_status", verdict=True, warnings=("The entity's health is degraded.",))
    return _PASSED["health_status"]


def _has_version(entity: Entity) -> Check:
    if entity.version.strip():
        return _PASSED["has_version"]
    return Check("has_version", verdict=False, errors=("The entity has no version.",))


def _dependencies(entity: Entity, environment: EnvironmentName, facts: Facts) -> Check:
    errors = listed(unmet_dependencies(entity, environment, facts)) if entity.dependencies else ()
    return Check("dependencies", verdict=False, errors=errors) if errors else _PASSED["dependencies"]


_FILLED = Check("has_config", verdict=True)
_EMPTY = Check("has_config", verdict=False, warnings=("The configuration is empty.",))


def listed(sentences: Iterable[str]) -> tuple[str, ...]:
    """Each sentence once, at most so many, and how many more there are."""
    found = tuple(dict.fromkeys(sentences))
    more = len(found) - MOST_SENTENCES
    return (*found[:MOST_SENTENCES], f"... and {more} more.") if more > 0 else found


def unmet_dependencies(entity: Entity, environment: EnvironmentName, facts: Facts) -> Iterator[str]:
    """A sentence for each dependency that is not active in the environment at an admitted version."""
    for dependency in entity.dependencies:
        running = facts.running_by_name(dependency.name, environment)
        if running is None:
            yield f"Dependency {dependency.name} is not active in {environment}."
        elif not admits(dependency, running.version):
            yield (
                f"Dependency {dependency.name} is active in {environment} at version {running.version}, "
                f"which {dependency.specifier} does not admit."
            )


def unmet_dependents(
    entity: Entity, version: str, environment: EnvironmentName, facts: Facts
) -> Iterator[str]:
    """A sentence for each active dependent that ``version`` of the entity does not satisfy."""
    for dependent in facts.active_dependents(entity, environment):
        for dependency in dependent.dependencies:
            if dependency.name == entity.name and not admits(dependency, version):
                yield (
                    f"{dependent.name} is active in {environment} and needs "
                    f"{entity.name}{dependency.specifier}, not {version}."
                )


def admits(dependency: Dependency, version: str) -> bool:
    """Whether the dependency is satisfied by a version (PEP 440).

    A pre-release is admitted like any other: it is "already present", the case for which PEP 440 lifts its
    exclusion of pre-releases. A version that PEP 440 cannot read satisfies a dependency without specifier,
    and one with ``===``, which compares letter by letter.
    """
    return not dependency.specifier or _contains(dependency.specifier, version)


@lru_cache(16384)  # of 16 entities with all that they may have: to read one takes longer than to decide
def _contains(specifier: str, version: str) -> bool:
    return SpecifierSet(specifier).contains(version, prereleases=True)


def as_decided(config: Document) -> Validation:
    """Validation after a deployment: what the store makes sure of before it commits an activation."""
    return _WITHOUT_CONFIG if config.is_empty else _WITH_CONFIG


def _as_decided(has_config: Check) -> Validation:
    return Validation(
        checks=(
            Check("deployment_exists", verdict=True),
            has_config,
            Check("status", verdict=True),
            Check("entity_updated", verdict=True),
        )
    )


_WITH_CONFIG = _as_decided(_FILLED)
_WITHOUT_CONFIG = _as_decided(_EMPTY)
