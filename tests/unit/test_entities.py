import pytest

from contracts import subjects
from contracts.environments import ENVIRONMENTS
from tests.unit.builders import (
    NOW,
    a_command,
    a_deploying,
    a_deployment,
    a_former,
    a_moment,
    a_pending,
    an_entity,
    an_update,
    changed_fields,
    decided,
    deployed,
    document,
    facts_of,
    needing,
)
from tests.unit.records import Records
from worker.domain.errors import Refusal
from worker.domain.facts import EMPTY
from worker.operations import OPERATIONS

STATUSES = ["draft", "registered", "validated", "deployed", "active", "deprecated", "archived"]


def creation(**body):
    ordinary = {"name": "invoices", "type": "service", "version": "1.0.0"}
    return a_command(subjects.ENTITY_CREATE, **{**ordinary, **body})


def deletion(entity, **body):
    return a_command(subjects.ENTITY_DELETE, entity_id=entity.entity_id, **{"deleted_by": "dora", **body})


def refused(command, facts):
    with pytest.raises(Refusal) as caught:
        decided(command, facts)
    return caught.value


def test_a_new_entity_is_what_was_asked_for():
    moment = a_moment()
    command = creation(
        created_by="carol",
        description="Sends invoices.",
        config={"replicas": 1},
        parameters={"region": "eu"},
        status="validated",
        health_status="healthy",
        tags=["billing", "eu"],
        dependencies=[{"name": "cache", "version": ">=2"}, {"name": "queue"}],
    )
    entity = decided(command, facts_of(), moment).reply
    assert (entity.entity_id, entity.name, entity.type, entity.version) == (
        moment.new_id,
        "invoices",
        "service",
        "1.0.0",
    )
    assert (entity.created_by, entity.description) == ("carol", "Sends invoices.")
    assert (entity.config.value, entity.parameters.value) == ({"replicas": 1}, {"region": "eu"})
    assert (entity.status, entity.declared_status, entity.health_status) == (
        "validated",
        "validated",
        "healthy",
    )
    assert entity.tags == ("billing", "eu")
    assert entity.dependencies == needing("cache>=2", "queue")


def test_a_new_entity_of_which_little_is_said_is_registered_and_of_unknown_health():
    entity = decided(creation(), facts_of()).reply
    assert (entity.status, entity.declared_status, entity.health_status) == (
        "registered",
        "registered",
        "unknown",
    )
    assert (entity.config, entity.parameters, entity.tags, entity.dependencies) == (EMPTY, EMPTY, (), ())
    assert (entity.created_by, entity.description) == (None, None)


def test_a_new_entity_was_never_deployed_and_has_its_first_revision():
    entity = decided(creation(), facts_of()).reply
    assert entity.revision == 1
    assert (entity.deployed_at, entity.deployed_by, entity.deployment_config) == (None, None, None)
    assert (entity.created_at, entity.updated_at, entity.deleted_at) == (NOW, NOW, None)


def test_a_creation_is_announced_by_who_created_it():
    decision = decided(creation(created_by="carol"), facts_of())
    (created,) = decision.events
    assert (created.name, created.actor, created.reason) == ("created", "carol", None)
    assert created.about is decision.reply
    assert decision.records == (decision.reply,)


def test_a_name_is_taken_while_its_entity_is_not_deleted():
    assert refused(creation(), facts_of(an_entity("invoices"))).code == "entity_name_taken"
    gone = facts_of(an_entity("invoices", deleted_at=NOW))
    assert decided(creation(), gone).reply.name == "invoices"


def test_names_differ_by_their_letters_case_and_spaces_too():
    facts = facts_of(an_entity("Invoices"), an_entity(" invoices"))
    assert decided(creation(), facts).reply.name == "invoices"


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"name": "bills"}, "name", "bills"),
        ({"type": "job"}, "type", "job"),
        ({"version": "1.1.0"}, "version", "1.1.0"),
        ({"description": "Sends bills."}, "description", "Sends bills."),
        ({"description": ""}, "description", ""),
        ({"config": {"replicas": 2}}, "config", document(replicas=2)),
        ({"config": {}}, "config", EMPTY),
        ({"parameters": {"region": "us"}}, "parameters", document(region="us")),
        ({"health_status": "degraded"}, "health_status", "degraded"),
        ({"tags": []}, "tags", ()),
        ({"tags": ["a", "b"]}, "tags", ("a", "b")),
        ({"dependencies": [{"name": "cache", "version": ">=2"}]}, "dependencies", needing("cache>=2")),
        ({"dependencies": []}, "dependencies", ()),
    ],
)
def test_an_update_changes_what_it_names_and_counts_the_revision(change, field, value):
    entity = an_entity(dependencies=needing("queue"), revision=6)
    changed = decided(an_update(entity, updated_by="ursula", **change), facts_of(entity)).reply
    assert getattr(changed, field) == value
    assert changed_fields(entity, changed) == {field, "revision", "updated_at"}
    assert (changed.revision, changed.updated_at) == (7, NOW)


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_that_is_set_is_declared(status):
    entity = deployed(an_entity())
    changed = decided(an_update(entity, status=status), facts_of(entity)).reply
    assert (changed.status, changed.declared_status) == (status, status)


def test_an_update_that_sets_no_status_leaves_what_a_deploy_made_of_it():
    entity = deployed(an_entity(declared_status="validated"))
    changed = decided(an_update(entity, version="2"), facts_of(entity)).reply
    assert (changed.status, changed.declared_status) == ("deployed", "validated")


def test_null_leaves_a_field_as_it_is():
    entity = an_entity()
    nulls = dict.fromkeys(
        ["name", "type", "version", "description", "config", "parameters", "status", "health_status", "tags"]
    )
    changed = decided(an_update(entity, dependencies=None, **nulls), facts_of(entity)).reply
    assert changed_fields(entity, changed) == {"revision", "updated_at"}


def test_an_update_leaves_what_is_deployed_as_it_is():
    entity = deployed(an_entity())
    active = a_deployment(entity)
    decision = decided(an_update(entity, name="bills", config={"a": 2}), facts_of(entity, active))
    changed = decision.reply
    assert decision.records == (changed,)
    assert (changed.deployed_at, changed.deployed_by) == (entity.deployed_at, entity.deployed_by)
    assert changed.deployment_config == entity.deployment_config


def test_an_update_is_announced_by_who_made_it():
    entity = an_entity()
    decision = decided(an_update(entity, version="2", updated_by="ursula"), facts_of(entity))
    (updated,) = decision.events
    assert (updated.name, updated.actor) == ("updated", "ursula")
    assert updated.about is decision.reply


def test_an_update_that_expects_another_revision_is_refused_with_both():
    entity = an_entity(revision=3)
    problem = refused(an_update(entity, expected_revision=2, version="2"), facts_of(entity))
    assert problem.code == "revision_conflict"
    assert problem.extensions == {"expected_revision": 2, "actual_revision": 3}
    assert decided(an_update(entity, expected_revision=3), facts_of(entity)).reply.revision == 4


def test_an_entity_takes_neither_anothers_name_nor_offence_at_its_own():
    entity, other = an_entity("invoices"), an_entity("bills")
    facts = facts_of(entity, other)
    assert refused(an_update(entity, name="bills"), facts).code == "entity_name_taken"
    assert decided(an_update(entity, name="invoices"), facts).reply.name == "invoices"


def test_the_name_of_a_deleted_entity_is_free():
    entity, gone = an_entity("invoices"), an_entity("bills", deleted_at=NOW)
    assert decided(an_update(entity, name="bills"), facts_of(entity, gone)).reply.name == "bills"


def test_what_is_deleted_or_absent_is_neither_updated_nor_deleted():
    gone, absent = an_entity(deleted_at=NOW), an_entity()
    for entity in (gone, absent):
        for command in (
            an_update(entity, version="2"),
            an_update(entity, expected_revision=99, name="bills"),
            deletion(entity),
        ):
            assert refused(command, facts_of(gone, an_entity("bills"))).code == "entity_not_found"


def test_deleting_sets_when_and_counts_the_revision_and_changes_nothing_else():
    entity = an_entity(revision=2)
    decision = decided(deletion(entity), facts_of(entity, a_former(entity)))
    gone = decision.reply
    assert (gone.deleted_at, gone.updated_at, gone.revision) == (NOW, NOW, 3)
    assert changed_fields(entity, gone) == {"deleted_at", "updated_at", "revision"}
    assert decision.records == (gone,)


def test_a_deletion_is_announced_by_who_deleted_it():
    entity = an_entity()
    decision = decided(deletion(entity, deleted_by="dora"), facts_of(entity))
    (deleted,) = decision.events
    assert (deleted.name, deleted.actor) == ("deleted", "dora")
    assert deleted.about is decision.reply


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_is_active_anywhere_is_in_use(environment):
    entity = an_entity()
    facts = facts_of(entity, a_deployment(entity, environment=environment))
    problem = refused(deletion(entity), facts)
    assert problem.code == "entity_in_use"
    assert problem.extensions == {"environments": [environment]}


def test_every_environment_where_it_is_in_use_is_named():
    entity = an_entity()
    active = (a_deployment(entity, environment=name) for name in ("testing", "production"))
    assert refused(deletion(entity), facts_of(entity, *active)).extensions == {
        "environments": ["production", "testing"]
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("status", ["pending", "deploying"])
def test_what_is_undecided_anywhere_is_in_use(status, environment):
    entity = an_entity()
    waiting = a_deploying(entity, status=status, environment=environment)
    problem = refused(deletion(entity), facts_of(entity, waiting))
    assert (problem.code, problem.extensions) == ("entity_in_use", {"environments": [environment]})
    assert environment in problem.detail


def test_what_is_decided_everywhere_is_in_use_no_more():
    entity = an_entity()
    waiting = a_deploying(entity)
    facts = facts_of(entity, waiting)
    facts.absorb([waiting._replace(status="failed")])
    assert decided(deletion(entity), facts).reply.deleted_at == NOW


def test_a_deletion_asks_for_what_is_active_and_waits_in_all_environments():
    entity = an_entity()
    assert OPERATIONS[subjects.ENTITY_DELETE].needs(deletion(entity)).everywhere
    for place in ENVIRONMENTS:
        for there in (a_deployment, a_deploying, a_pending):
            records = Records(entity, there(entity, environment=place))
            (answer,) = records.answers(deletion(entity))
            assert answer.code == "entity_in_use"


@pytest.mark.parametrize("status", ["inactive", "rolled_back", "failed"])
def test_what_has_only_a_past_may_be_deleted(status):
    entity = an_entity()
    other = an_entity("bills")
    facts = facts_of(entity, a_deployment(entity, status=status), other, a_deployment(other))
    assert decided(deletion(entity), facts).reply.deleted_at == NOW


def test_entity_requests_need_the_entity_and_whoever_has_its_name():
    entity = an_entity()
    needs = {
        command.operation: OPERATIONS[command.operation].needs(command)
        for command in (creation(name="bills"), an_update(entity, name="bills"), deletion(entity))
    }
    assert needs[subjects.ENTITY_CREATE].name == needs[subjects.ENTITY_UPDATE].name == "bills"
    assert needs[subjects.ENTITY_CREATE].entity_id is None
    for subject in (subjects.ENTITY_UPDATE, subjects.ENTITY_DELETE):
        assert needs[subject].entity_in(facts_of()) == entity.entity_id


def test_a_deleted_entity_keeps_its_place_among_the_facts_but_not_its_name():
    entity = an_entity()
    facts = facts_of(entity)
    facts.absorb(decided(deletion(entity), facts).records)
    assert facts.entities[entity.entity_id].deleted_at == NOW
    assert decided(creation(name=entity.name), facts).reply.entity_id != entity.entity_id
