"""Dependencies: checked before a deploy, in the way of a retirement, and warned of by a rollback."""

import pytest

from contracts import subjects
from tests.refusals import refusal


def needing(entity, version=None):
    """The field that makes an entity depend on another one."""
    return {"dependencies": [{"name": entity["name"], "version": version}]}


async def test_a_deploy_waits_for_its_dependency_to_be_active_in_the_same_environment(caller):
    database = await caller.create()
    service = await caller.create(**needing(database))
    assert service["dependencies"] == [{"name": database["name"], "version": None}]

    problem = await refusal(caller.deploy(service))

    assert (problem["code"], problem["status"]) == ("validation_failed", 400)
    validation = problem["validation"]
    assert not validation["passed"]
    assert not validation["checks"]["dependencies"]
    assert validation["checks"]["entity_status"]
    assert database["name"] in validation["errors"][0]
    await caller.deploy(database, "production")
    assert (await refusal(caller.deploy(service)))["code"] == "validation_failed"
    await caller.deploy(database)
    assert (await caller.deploy(service))["validation_results"]["pre"]["checks"]["dependencies"]


async def test_a_refused_deploy_leaves_nothing_behind(system, caller):
    service = await caller.create(dependencies=[{"name": "nobody-at-all"}])
    before = await caller.entity(service)

    await refusal(caller.deploy(service))

    assert await caller.entity(service) == before
    listed = await caller.ask(subjects.ENTITY_DEPLOYMENTS, entity_id=service["entity_id"])
    assert (listed["deployments"], listed["total"]) == ([], 0)
    events = system.sql("SELECT type FROM events WHERE entity_id = %s", (service["entity_id"],))
    assert len(events) == 1


@pytest.mark.parametrize(
    ("version", "specifier", "admitted"),
    [
        ("1.5.0", ">=1.2,<2", True),
        ("2.0.0", ">=1.2,<2", False),
        ("2.0.0rc1", ">=1.2", True),
        ("2.0.0rc1", "<2", False),
        ("1.2", "==1.2.0", True),
        ("1.2.7", "~=1.2.3", True),
        ("no-version-at-all", ">=0", False),
        ("no-version-at-all", None, True),
    ],
)
async def test_a_specifier_admits_versions_as_pep_440_says(caller, version, specifier, admitted):
    database = await caller.create(version=version)
    await caller.deploy(database)
    service = await caller.create(**needing(database, specifier))

    if admitted:
        assert (await caller.deploy(service))["status"] == "active"
    else:
        problem = await refusal(caller.deploy(service))
        assert problem["code"] == "validation_failed"
        assert specifier in problem["detail"]


async def test_every_unmet_dependency_is_named(caller):
    names = [{"name": f"missing-{number}"} for number in range(5)]
    service = await caller.create(dependencies=names, health_status="unhealthy")

    problem = await refusal(caller.deploy(service))

    assert len(problem["validation"]["errors"]) == 6
    for each in names:
        assert each["name"] in problem["detail"]
    assert problem["validation"]["checks"]["health_status"] is False


async def test_what_others_need_is_not_retired_unless_forced(caller):
    database = await caller.create()
    first, second = [await caller.create(**needing(database)) for _ in range(2)]
    running = await caller.deploy(database)
    await caller.deploy(first)
    await caller.deploy(second)

    problem = await refusal(caller.retire(running))

    assert problem["code"] == "dependency_in_use"
    assert problem["dependents"] == sorted([first["name"], second["name"]])
    assert first["name"] in problem["detail"]
    assert (await caller.get(running))["status"] == "active"
    assert (await caller.retire(running, force=True))["status"] == "inactive"


async def test_dependents_elsewhere_or_gone_do_not_hold_a_retirement_up(caller):
    database = await caller.create()
    service = await caller.create(**needing(database))
    running = await caller.deploy(database, "staging")
    await caller.deploy(database, "production")
    gone = await caller.deploy(service, "staging")
    await caller.deploy(service, "production")
    await caller.retire(gone)

    assert (await caller.retire(running))["status"] == "inactive"


async def test_superseding_a_dependency_is_not_held_up(caller):
    database = await caller.create()
    service = await caller.create(**needing(database))
    await caller.deploy(database)
    await caller.deploy(service)

    assert (await caller.deploy(database))["status"] == "active"


async def test_a_rollback_goes_through_and_names_dependents_that_need_a_newer_version(caller):
    database = await caller.create(version="1.0")
    await caller.deploy(database)
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=database["entity_id"], version="2.0")
    newer = await caller.deploy(database)
    service = await caller.create(**needing(database, ">=2"))
    await caller.deploy(service)

    rolled_back = await caller.rollback(newer)

    assert rolled_back["status"] == "rolled_back"
    (warning,) = rolled_back["warnings"]
    assert service["name"] in warning
    assert ">=2" in warning


async def test_a_rollback_goes_through_and_names_dependencies_that_are_gone(caller):
    database = await caller.create()
    needed = await caller.deploy(database)
    service = await caller.create(**needing(database))
    await caller.deploy(service)
    newer = await caller.deploy(service)
    await caller.retire(needed, force=True)

    rolled_back = await caller.rollback(newer)

    assert rolled_back["status"] == "rolled_back"
    (warning,) = rolled_back["warnings"]
    assert database["name"] in warning


async def test_a_dependency_is_known_by_its_name_at_the_time(caller):
    database = await caller.create()
    service = await caller.create(**needing(database))
    await caller.deploy(database)
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=database["entity_id"], name=f"{database['name']}-2")

    assert (await refusal(caller.deploy(service)))["code"] == "validation_failed"

    heir = await caller.create(name=database["name"])
    await caller.deploy(heir)
    assert (await caller.deploy(service))["status"] == "active"


async def test_entities_that_need_each_other_are_deployed_by_nobody_and_hang_nothing(caller):
    first = await caller.create()
    second = await caller.create(**needing(first))
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=first["entity_id"], **needing(second))

    for entity in (first, second):
        assert (await refusal(caller.deploy(entity)))["code"] == "validation_failed"


async def test_an_entity_that_needs_itself_is_never_valid_the_first_time(caller):
    entity = await caller.create()
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], **needing(entity))

    assert (await refusal(caller.deploy(entity)))["code"] == "validation_failed"
