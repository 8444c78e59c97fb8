import pytest

from contracts.environments import ENVIRONMENTS
from contracts.values import compact
from tests.unit.builders import a_deployment, an_entity, an_environment, document, facts_of, needing
from worker.domain.facts import EMPTY, Dependency
from worker.domain.validation import (
    admits,
    as_decided,
    before_deployment,
    listed,
    unmet_dependencies,
    unmet_dependents,
)

CHECKS_OF_PRE = {"entity_status", "existing_deployment", "health_status", "has_version", "dependencies"}
CHECKS_OF_POST = {"deployment_exists", "has_config", "status"}
ENTITY_STATUSES = ["draft", "registered", "validated", "deployed", "active", "deprecated", "archived"]


def validation(entity, *others, environment=None, config=None):
    """The pre-deployment validation in staging, as it stands on the wire."""
    place = environment or an_environment("staging")
    facts = facts_of(entity, *others, place)
    return before_deployment(entity, place, facts, config or entity.config).body()


def running(name, version="1.0.0", environment="staging"):
    """An entity of that name and its active deployment."""
    entity = an_entity(name, version=version)
    return entity, a_deployment(entity, environment=environment)


def test_an_ordinary_entity_passes_every_check_without_a_word():
    found = validation(an_entity())
    assert found["passed"] is True
    assert (found["errors"], found["warnings"]) == ([], [])
    assert found["checks"].keys() >= CHECKS_OF_PRE
    assert found["checks"]["existing_deployment"] is False
    assert all(found["checks"][name] is True for name in CHECKS_OF_PRE - {"existing_deployment"})


@pytest.mark.parametrize("status", ENTITY_STATUSES)
def test_by_default_registered_validated_deployed_and_active_entities_are_deployable(status):
    found = validation(an_entity(declared_status=status))
    deployable = status in ("registered", "validated", "deployed", "active")
    assert found["passed"] is found["checks"]["entity_status"] is deployable
    assert len(found["errors"]) == (0 if deployable else 1)


def test_what_counts_is_the_declared_status_and_not_what_a_deploy_made_of_it():
    strict = an_environment("staging", require_status=("validated",))
    assert validation(an_entity(status="deployed", declared_status="validated"), environment=strict)["passed"]
    found = validation(an_entity(status="validated", declared_status="registered"), environment=strict)
    assert found["errors"] == [
        "The entity's status is registered; staging takes entities that are: validated."
    ]


def test_an_environment_that_requires_no_status_of_the_list_takes_nothing():
    found = validation(an_entity(), environment=an_environment("staging", require_status=()))
    assert found["passed"] is False


def test_an_active_deployment_is_a_warning_that_names_it_and_no_error():
    entity = an_entity()
    active = a_deployment(entity, version="0.9")
    found = validation(entity, active)
    assert found["passed"] is True
    assert found["checks"]["existing_deployment"] is True
    (warning,) = found["warnings"]
    assert str(active.deployment_id) in warning
    assert "0.9" in warning


def test_what_is_active_elsewhere_or_of_another_entity_is_no_warning():
    entity, (other, others) = an_entity(), running("cache")
    found = validation(entity, a_deployment(entity, environment="production"), other, others)
    assert (found["checks"]["existing_deployment"], found["warnings"]) == (False, [])


@pytest.mark.parametrize(
    ("health", "passed", "errors", "warnings"),
    [("unknown", True, 0, 0), ("healthy", True, 0, 0), ("degraded", True, 0, 1), ("unhealthy", False, 1, 0)],
)
def test_an_unhealthy_entity_is_not_deployable_and_a_degraded_one_only_remarkable(
    health, passed, errors, warnings
):
    found = validation(an_entity(health_status=health))
    assert found["passed"] is found["checks"]["health_status"] is passed
    assert (len(found["errors"]), len(found["warnings"])) == (errors, warnings)


@pytest.mark.parametrize("version", ["", " ", "\t\n"])
def test_an_entity_without_a_version_is_not_deployable(version):
    found = validation(an_entity(version=version))
    assert found["checks"]["has_version"] is False
    assert len(found["errors"]) == 1


def test_an_empty_snapshot_is_a_warning_and_no_error():
    found = validation(an_entity(), config=EMPTY)
    assert found["passed"] is True
    assert found["warnings"] == ["The configuration is empty."]


def test_an_override_that_fills_an_empty_configuration_leaves_nothing_to_warn_of():
    assert validation(an_entity(config=EMPTY), config=document(a=1))["warnings"] == []


def test_dependencies_that_are_active_there_at_an_admitted_version_pass():
    entity = an_entity(dependencies=needing("cache", "queue>=1.2,<2"))
    found = validation(entity, *running("cache", "anything goes"), *running("queue", "1.9"))
    assert found["passed"] is found["checks"]["dependencies"] is True


@pytest.mark.parametrize("elsewhere", [place for place in ENVIRONMENTS if place != "staging"])
def test_a_dependency_that_is_active_elsewhere_only_is_missing(elsewhere):
    found = validation(an_entity(dependencies=needing("cache")), *running("cache", environment=elsewhere))
    assert found["errors"] == ["Dependency cache is not active in staging."]
    assert found["checks"]["dependencies"] is False


def test_a_dependency_that_is_there_but_not_active_or_not_there_at_all_is_missing():
    cache = an_entity("cache")
    entity = an_entity(dependencies=needing("cache", "queue"))
    found = validation(entity, cache, a_deployment(cache, status="inactive"))
    assert found["errors"] == [
        "Dependency cache is not active in staging.",
        "Dependency queue is not active in staging.",
    ]


def test_a_dependency_at_another_version_is_an_error_that_says_which_and_what_was_asked_for():
    entity = an_entity(dependencies=needing("cache>=2"))
    (error,) = validation(entity, *running("cache", "1.9"))["errors"]
    assert "cache" in error
    assert "1.9" in error
    assert ">=2" in error


def test_the_version_that_counts_is_the_active_ones_and_not_what_its_entity_has_become():
    cache, active = running("cache", "1.0")
    newer = an_entity("cache", entity_id=cache.entity_id, version="2.0")
    assert not validation(an_entity(dependencies=needing("cache>=2")), newer, active)["passed"]


def test_every_fault_is_reported_and_not_the_first_alone():
    entity = an_entity(
        declared_status="draft",
        health_status="unhealthy",
        version=" ",
        dependencies=needing("cache", "queue>=2", "store"),
    )
    found = validation(entity, *running("queue", "1.0"), a_deployment(entity), config=EMPTY)
    assert found["passed"] is False
    assert len(found["errors"]) == 6
    assert len(found["warnings"]) == 2
    failed = {name for name in CHECKS_OF_PRE if found["checks"][name] is False}
    assert failed == {"entity_status", "health_status", "has_version", "dependencies"}


def test_a_further_check_that_failed_joins_the_others():
    entity = an_entity(health_status="unhealthy")
    place = an_environment("staging")
    found = before_deployment(entity, place, facts_of(entity, place), entity.config)
    more = found.with_error("expected_version", "It is another.").body()
    assert more["errors"] == [*found.errors, "It is another."]
    assert more["checks"] == {**found.body()["checks"], "expected_version": False}


@pytest.mark.parametrize(
    ("specifier", "version", "admitted"),
    [
        (None, "1.0", True),
        (None, "build-7 of Tuesday", True),
        (">=1.2,<2", "1.2", True),
        (">=1.2,<2", "1.10.3", True),
        (">=1.2,<2", "2.0", False),
        (">=1.2,<2", "1.1.9", False),
        ("==1.*", "1.7", True),
        ("==1.*", "2.7", False),
        ("~=1.4.2", "1.4.9", True),
        ("~=1.4.2", "1.5.0", False),
        ("!=1.0", "1.0.0", False),
        ("==1.0", "1.0.0", True),
        ("==1.0", "v1.0", True),
        (">1", "1.0.post1", False),
        ("==1.0", "1.0+local.7", True),
        (">=1!0", "2024.1", False),
        (">=1.0", "1!0.1", True),
    ],
)
def test_specifiers_are_read_as_pep_440_says(specifier, version, admitted):
    assert admits(Dependency(name="cache", specifier=specifier), version) is admitted


def test_a_specifier_is_read_once_for_a_version(monkeypatch):
    read = []
    monkeypatch.setattr("worker.domain.validation.SpecifierSet", lambda text: read.append(text) or Any())
    for version in ("71.0", "72.0", "71.0", "72.0"):
        assert admits(Dependency(name="cache", specifier=">=71.7.1"), version)
    assert read == [">=71.7.1"] * 2


class Any:
    """A specifier that everything satisfies."""

    def contains(self, version, prereleases):
        return True


@pytest.mark.parametrize("version", ["2.0a1", "2.0b2", "2.0rc1", "2.0.dev3"])
def test_a_pre_release_that_is_running_is_admitted_like_any_other_version(version):
    assert admits(Dependency(name="cache", specifier=">=1.0"), version)
    assert admits(Dependency(name="cache", specifier=">=1.0,<3"), version)
    assert not admits(Dependency(name="cache", specifier=">=2.0"), version)  # it comes before 2.0
    assert not admits(Dependency(name="cache", specifier=">2.0"), version)


@pytest.mark.parametrize("version", ["build-7", "1.0-beta_x", "2024/05", "latest", "1.0.0-rc.1.x", "ü"])
@pytest.mark.parametrize("specifier", [">=0", "!=1.0", "==1.*", "<99999"])
def test_a_version_that_pep_440_cannot_read_satisfies_no_specifier(version, specifier):
    assert not admits(Dependency(name="cache", specifier=specifier), version)


def test_unmet_dependencies_are_a_sentence_each():
    entity = an_entity(dependencies=needing("cache", "queue>=2", "store<2"))
    facts = facts_of(entity, *running("queue", "1.0"), *running("store", "1.0"))
    assert len([*unmet_dependencies(entity, "staging", facts)]) == 2
    assert len([*unmet_dependencies(entity, "testing", facts)]) == 3


def test_a_hundred_sentences_are_listed_each_once_and_one_more_counts_the_rest():
    sentences = [f"Sentence {number}." for number in range(112)]
    assert listed(sentences[:100] * 2) == (*sentences[:100],)
    assert listed(sentences + sentences) == (*sentences[:100], "... and 12 more.")


def test_a_dependency_that_is_named_often_and_at_length_is_named_once_and_at_most_a_hundred_times():
    specifiers = [f"=={number}.{'0' * 240}" for number in range(1000)]
    entity = an_entity(dependencies=needing(*(f"cache{each}" for each in specifiers)))
    found = validation(entity, *running("cache", "5000"))
    assert found["checks"]["dependencies"] is False
    assert found["errors"][-1] == "... and 900 more."
    assert len(found["errors"]) == 101
    assert len(compact(found)) < 64 * 1024
    again = an_entity(dependencies=needing(*["cache>9000"] * 1000))
    assert len(validation(again, *running("cache", "5000"))["errors"]) == 1


def test_only_active_dependents_whose_specifier_the_version_misses_are_unmet():
    entity = an_entity("cache")
    needy = an_entity("needy", dependencies=needing("cache>=2", "queue"))
    content = an_entity("content", dependencies=needing("cache>=1"))
    idle = an_entity("idle", dependencies=needing("cache>=2"))
    abroad = an_entity("abroad", dependencies=needing("cache>=2"))
    facts = facts_of(
        *(entity, needy, a_deployment(needy), content, a_deployment(content), idle),
        *(abroad, a_deployment(abroad, environment="production")),
    )
    (sentence,) = unmet_dependents(entity, "1.5", "staging", facts)
    assert "needy" in sentence
    assert "cache>=2" in sentence
    assert "1.5" in sentence
    assert [*unmet_dependents(entity, "2.0", "staging", facts)] == []


def test_what_was_written_as_decided_passes_the_validation_after():
    found = as_decided(document(a=1)).body()
    assert found["passed"] is True
    assert found["checks"].keys() >= CHECKS_OF_POST
    assert set(found["checks"].values()) == {True}
    assert (found["errors"], found["warnings"]) == ([], [])


def test_an_empty_configuration_is_a_warning_after_a_deploy_too():
    found = as_decided(EMPTY).body()
    assert (found["passed"], found["checks"]["has_config"]) == (True, False)
    assert found["warnings"] == ["The configuration is empty."]
