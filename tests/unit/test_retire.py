import pytest

from tests.unit.builders import (
    NOW,
    a_deployment,
    a_former,
    a_retirement,
    an_entity,
    changed_fields,
    decided,
    deployed,
    facts_of,
    needing,
    record_of,
)
from worker.domain.errors import Refusal
from worker.operations import retire


def refused(command, facts):
    with pytest.raises(Refusal) as caught:
        decided(command, facts)
    return caught.value


def active(name="cache", **fields):
    """An entity that is active in staging, and its deployment."""
    entity = deployed(an_entity(name, status="validated", declared_status="validated", **fields))
    return entity, a_deployment(entity)


def test_retiring_makes_it_inactive_and_changes_nothing_else_of_it():
    entity, deployment = active()
    retired = decided(a_retirement(deployment), facts_of(entity, deployment)).reply
    assert retired.status == "inactive"
    assert changed_fields(deployment, retired) == {"status", "deactivated_at", "updated_at"}
    assert retired.deactivated_at == retired.updated_at == NOW


def test_retiring_is_announced_as_retired_alone():
    entity, deployment = active()
    decision = decided(
        a_retirement(deployment, reason="over", retired_by="bob"), facts_of(entity, deployment)
    )
    (retired,) = decision.events
    assert (retired.name, retired.actor, retired.reason) == ("retired", "bob", "over")
    assert retired.about is decision.reply
    assert retired.target_deployment_id is None


def test_nothing_takes_the_place_of_what_is_retired():
    entity, deployment = active()
    former = a_former(entity)
    facts = facts_of(entity, former, deployment, fallbacks=[(deployment, former)])
    decision = decided(a_retirement(deployment), facts)
    assert len(decision.records) == 2
    facts.absorb(decision.records)
    assert facts.active(entity.entity_id, "staging") is None


def test_when_nothing_of_an_entity_is_active_any_more_it_is_what_was_declared_and_has_no_configuration():
    entity, deployment = active()
    after = record_of(decided(a_retirement(deployment), facts_of(entity, deployment)), entity)
    assert (after.status, after.deployment_config) == ("validated", None)
    assert changed_fields(entity, after) == {"status", "deployment_config", "updated_at"}


def test_while_it_is_active_in_another_environment_the_entity_stays_deployed():
    entity, deployment = active()
    elsewhere = a_deployment(entity, environment="production")
    facts = facts_of(entity, deployment, elsewhere)
    decision = decided(a_retirement(deployment), facts)
    after = record_of(decision, entity)
    assert (after.status, after.deployment_config) == ("deployed", entity.deployment_config)
    assert changed_fields(entity, after) == {"updated_at"}
    assert elsewhere not in decision.records


def test_the_last_of_two_environments_to_be_retired_undeploys_the_entity():
    entity, deployment = active()
    elsewhere = a_deployment(entity, environment="production")
    facts = facts_of(entity, deployment, elsewhere)
    facts.absorb(decided(a_retirement(deployment), facts).records)
    after = record_of(decided(a_retirement(elsewhere), facts), entity)
    assert (after.status, after.deployment_config) == ("validated", None)


def test_what_an_active_one_in_the_same_environment_depends_on_is_in_use_and_they_are_named():
    entity, deployment = active("cache")
    one, its = active("one", dependencies=needing("cache"))
    two, theirs = active("two", dependencies=needing("queue", "cache>=99"))
    problem = refused(a_retirement(deployment), facts_of(entity, deployment, two, theirs, one, its))
    assert problem.code == "dependency_in_use"
    assert problem.extensions == {"dependents": ["one", "two"]}
    assert "one, two" in problem.detail


@pytest.mark.parametrize("status", ["inactive", "rolled_back", "failed", "deploying", "pending"])
def test_a_dependent_that_is_not_active_there_is_no_reason_to_stay(status):
    entity, deployment = active("cache")
    dependent = an_entity("one", dependencies=needing("cache"))
    its = (
        a_deployment(dependent, status=status),
        a_deployment(dependent, environment="production"),
    )
    facts = facts_of(entity, deployment, dependent, *its)
    assert decided(a_retirement(deployment), facts).reply.status == "inactive"


def test_what_depends_on_another_name_is_no_reason_to_stay():
    entity, deployment = active("cache")
    other, its = active("one", dependencies=needing("cache2", "Cache"))
    facts = facts_of(entity, deployment, other, its)
    assert decided(a_retirement(deployment), facts).reply.status == "inactive"


def test_force_retires_in_spite_of_dependents():
    entity, deployment = active("cache")
    dependent, its = active("one", dependencies=needing("cache"))
    facts = facts_of(entity, deployment, dependent, its)
    decision = decided(a_retirement(deployment, force=True), facts)
    assert decision.reply.status == "inactive"
    assert its not in decision.records


def test_a_deployment_that_is_absent_is_not_found():
    entity, deployment = active()
    assert refused(a_retirement(deployment), facts_of(entity)).code == "deployment_not_found"


@pytest.mark.parametrize("status", ["pending", "deploying", "inactive", "rolled_back", "failed"])
@pytest.mark.parametrize("force", [True, False])
def test_only_what_is_active_is_retired_and_that_comes_before_its_dependents(status, force):
    entity, _ = active("cache")
    dependent, its = active("one", dependencies=needing("cache"))
    deployment = a_deployment(entity, status=status)
    problem = refused(a_retirement(deployment, force=force), facts_of(entity, deployment, dependent, its))
    assert problem.code == "deployment_not_active"
    assert problem.extensions == {"current_status": status}


def test_a_retirement_needs_the_deployment_and_who_depends_on_it():
    _, deployment = active()
    needs = retire.needs(a_retirement(deployment))
    assert needs.deployment_id == deployment.deployment_id
    assert needs.dependents
    assert needs.reads_history
