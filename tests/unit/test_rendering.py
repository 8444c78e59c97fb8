import json
import re
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import deployments, entities, environments, quarantine
from contracts.problems import Problem
from contracts.values import timestamp
from tests.unit.builders import (
    NOW,
    SECOND,
    a_deployment,
    a_quarantine,
    an_entity,
    an_environment,
    an_id,
    deployed,
    document,
    facts_of,
    needing,
)
from worker import rendering
from worker.domain.errors import EntityInUse
from worker.domain.facts import EMPTY, Dependency, Document
from worker.domain.validation import before_deployment
from worker.operations.plan import Plan

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
VALIDATION = {"passed": True, "checks": {"status": True}, "errors": [], "warnings": ["one"]}
EVERYTHING_OF_A_DEPLOYMENT = {
    "status": "rolled_back",
    "reason": "release",
    "rolled_back_at": NOW,
    "rolled_back_by": "bob",
    "rollback_reason": "errors",
    "previous_deployment_id": an_id(),
    "health_checks": Document.of([{"status": "healthy", "at": "then"}]),
    "last_health_check": NOW,
    "error_logs": "it hurt",
    "deployment_duration_ms": 2999,
    "validation_results": Document.of({"passed": True, "pre": VALIDATION, "post": VALIDATION}),
    "warnings": Document.of(["one", "two"]),
    "confirm_by": NOW + SECOND,
}
RESULTS = Document.of({"passed": True, "pre": VALIDATION, "post": None})
DEPLOYMENTS = [
    a_deployment(an_entity(), **EVERYTHING_OF_A_DEPLOYMENT),
    a_deployment(an_entity(), validation_results=RESULTS, deployment_duration_ms=None, config_snapshot=EMPTY),
]
ENTITIES = [
    deployed(an_entity(dependencies=needing("cache>=2,<3", "queue"), deleted_at=NOW)),
    an_entity(created_by=None, description=None, tags=(), config=EMPTY),
]


def plain(record):
    """A record's values as a reply model holds them."""
    return {
        name: UUID(value) if value and name.endswith("_id") else _plain(value)
        for name, value in record._asdict().items()
    }


def _plain(value):
    match value:
        case Document():
            return value.value
        case Dependency():
            return value._asdict()
        case tuple():
            return [_plain(each) for each in value]
    return value


def members(body):
    """A body as plain JSON, its times checked for their form."""
    found = json.loads(body)
    for name, value in found.items():
        if name.endswith(("_at", "_check", "_by")) and isinstance(value, str) and value[:2] == "20":
            assert RFC_3339.fullmatch(value), f"{name} is {value}"
    return found


@pytest.mark.parametrize("record", DEPLOYMENTS, ids=["full", "bare"])
def test_a_deployment_is_rendered_as_the_contracts_deployment_with_the_same_values(record):
    body = rendering.deployment(record)
    shown = deployments.Deployment.model_validate_json(body)
    values = plain(record)
    for name in set(deployments.Deployment.model_fields) - {
        "deployment_duration_seconds",
        "validation_results",
    }:
        assert getattr(shown, name) == values[name], name
    assert shown.validation_results.model_dump() == values["validation_results"]
    assert members(body).keys() == deployments.Deployment.model_fields.keys()


def test_a_deployment_has_every_field_of_the_wire():
    # fmt: off
    seed = {
        "deployment_id", "entity_id", "version", "environment", "config_snapshot", "parameters_snapshot",
        "status", "deployed_at", "deployed_by", "deployment_method", "rolled_back_at", "rolled_back_by",
        "rollback_reason", "previous_deployment_id", "health_checks", "last_health_check", "error_logs",
        "deployment_duration_seconds", "validation_results", "created_at", "updated_at",
    }
    # fmt: on
    assert len(seed) == 21
    further = {"entity_name", "deployment_duration_ms", "reason", "confirm_by", "warnings"}
    assert members(rendering.deployment(DEPLOYMENTS[0])).keys() >= {*seed, *further}


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(None, None), (0, 0), (999, 0), (1000, 1), (2999, 2), (86_400_000, 86_400)]
)
def test_a_duration_is_shown_in_milliseconds_and_in_whole_seconds(milliseconds, seconds):
    record = DEPLOYMENTS[0]._replace(deployment_duration_ms=milliseconds)
    found = members(rendering.deployment(record))
    assert found["deployment_duration_ms"] == milliseconds
    assert found["deployment_duration_seconds"] == seconds
    assert not isinstance(found["deployment_duration_seconds"], float)


@pytest.mark.parametrize("record", ENTITIES, ids=["full", "bare"])
def test_an_entity_is_rendered_as_the_contracts_entity_with_the_same_values(record):
    body = rendering.entity(record)
    shown = entities.Entity.model_validate_json(body)
    values = plain(record)
    for name in set(entities.Entity.model_fields) - {"dependencies"}:
        assert getattr(shown, name) == values[name], name
    assert [(each.name, each.version) for each in shown.dependencies] == [
        (each.name, each.specifier) for each in record.dependencies
    ]
    assert members(body).keys() == entities.Entity.model_fields.keys()


def test_an_entity_has_every_field_of_the_wire():
    # fmt: off
    wire = {
        "name", "type", "version", "created_by", "description", "config", "parameters", "status",
        "health_status", "tags", "dependencies", "entity_id", "declared_status", "revision", "deployed_at",
        "deployed_by", "deployment_config", "created_at", "updated_at", "deleted_at",
    }
    # fmt: on
    assert members(rendering.entity(ENTITIES[0])).keys() >= {*wire}


def test_an_environment_is_rendered_as_the_contracts_environment_with_the_same_values():
    record = an_environment("testing", activation="confirmed", auto_rollback=True, require_status=("draft",))
    body = rendering.environment(record)
    shown = environments.Environment.model_validate_json(body)
    assert shown.model_dump() == plain(record)
    assert members(body).keys() == environments.Environment.model_fields.keys()


@pytest.mark.parametrize("microsecond", [0, 1, 120_000, 999_999])
def test_times_have_microseconds_and_a_z_even_where_there_are_none(microsecond):
    at = NOW.replace(microsecond=microsecond)
    assert timestamp(at) == f"2026-03-04T05:06:07.{microsecond:06}Z"
    record = DEPLOYMENTS[0]._replace(deployed_at=at, rolled_back_at=at, confirm_by=at)
    found = members(rendering.deployment(record))
    assert found["deployed_at"] == found["rolled_back_at"] == found["confirm_by"] == timestamp(at)
    entity = ENTITIES[0]._replace(created_at=at, deleted_at=at, deployed_at=at)
    found = members(rendering.entity(entity))
    assert found["created_at"] == found["deleted_at"] == found["deployed_at"] == timestamp(at)


@given(st.timedeltas(timedelta(0), timedelta(days=2_900_000)))
def test_a_time_that_was_written_is_read_as_the_same_time(since):
    at = datetime.fromisoformat("1970-01-01T00:00:00+00:00") + since
    assert RFC_3339.fullmatch(timestamp(at))
    assert datetime.fromisoformat(timestamp(at)) == at


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**100, 10**4000])
def test_integers_beyond_64_bits_survive_in_documents(number):
    snapshot = document(a=[number], b={"c": number})
    record = DEPLOYMENTS[0]._replace(config_snapshot=snapshot, parameters_snapshot=snapshot)
    found = members(rendering.deployment(record))
    assert found["config_snapshot"] == found["parameters_snapshot"] == {"a": [number], "b": {"c": number}}
    entity = ENTITIES[0]._replace(config=snapshot, deployment_config=snapshot)
    found = members(rendering.entity(entity))
    assert found["config"] == found["deployment_config"] == {"a": [number], "b": {"c": number}}


def test_a_document_passes_through_as_the_text_it_is_stored_as():
    stored = Document('{"b": 1.50, "a": "\\u00e9é", "n": null}')
    record = DEPLOYMENTS[0]._replace(config_snapshot=stored)
    assert stored.text.encode() in rendering.deployment(record)


def test_text_of_all_kinds_is_shown_as_it_is():
    text = 'He said "no" \\ \n\t é 😀 \u2028 \x7f'
    entity = an_entity(text, description=text, tags=(text,), config=document(a=text))
    found = members(rendering.entity(entity))
    assert {found["name"], found["description"], *found["tags"], found["config"]["a"]} == {text}


def test_a_plan_is_rendered_as_the_contracts_plan():
    entity = deployed(an_entity(version="2.0.0", config=document(a=2**70)))
    active = a_deployment(entity, version="1.0.0", config_snapshot=document(a=1))
    place = an_environment("staging")
    facts = facts_of(entity, active)
    plan = Plan(
        validation=before_deployment(entity, place, facts, entity.config),
        replaces=active,
        quarantine=None,
        version="2.0.0",
        config=entity.config,
        parameters=entity.parameters,
    )
    body = rendering.plan(plan)
    shown = deployments.DeploymentPlan.model_validate_json(body)
    assert (str(shown.replaces), shown.version) == (active.deployment_id, "2.0.0")
    assert shown.config_snapshot == {"a": 2**70}
    assert shown.parameters_snapshot == entity.parameters.value
    assert shown.validation.model_dump() == plan.validation.body()
    assert shown.changes == [
        {"op": "replace", "path": "/version", "value": "2.0.0"},
        {"op": "replace", "path": "/config/a", "value": 2**70},
    ]
    nothing = plan._replace(replaces=None)
    assert members(rendering.plan(nothing))["replaces"] is None


def test_a_listing_holds_the_items_as_they_were_rendered():
    items = [rendering.deployment(record) for record in DEPLOYMENTS]
    rest = {"total": 7, "total_exact": True, "page": 1, "page_size": 20, "next_cursor": None}
    shown = deployments.DeploymentList.model_validate_json(rendering.listing("deployments", items, **rest))
    shown_ids = [str(each.deployment_id) for each in shown.deployments]
    assert shown_ids == [each.deployment_id for each in DEPLOYMENTS]
    assert shown.total == 7
    assert json.loads(rendering.listing("environments", [])) == {"environments": []}


def test_a_problem_is_rendered_as_the_contracts_problem():
    body = rendering.problem(EntityInUse(ENTITIES[0].entity_id, ["staging"]), "request-1")
    shown = Problem.model_validate_json(body)
    assert (shown.code, shown.status, shown.request_id) == ("entity_in_use", 409, "request-1")
    assert json.loads(body)["environments"] == ["staging"]


LIFTED = {"lifted_at": NOW, "lifted_by": "lena", "lift_reason": "fixed"}


@pytest.mark.parametrize("fields", [{}, LIFTED], ids=["in force", "lifted"])
def test_a_quarantine_is_rendered_as_the_contracts_with_the_same_values(fields):
    record = a_quarantine(DEPLOYMENTS[0], **fields)
    body = rendering.quarantine(record)
    shown = quarantine.Quarantined.model_validate_json(body)
    assert shown.model_dump() == plain(record)
    assert members(body).keys() == quarantine.Quarantined.model_fields.keys()
    assert rendering.record(record) == body


@pytest.mark.parametrize("record", DEPLOYMENTS, ids=["full", "bare"])
def test_a_health_event_shows_a_deployment_without_its_snapshots_and_reports(record):
    whole = members(rendering.deployment(record))
    left_out = {"config_snapshot", "parameters_snapshot", "health_checks"}
    assert members(rendering.in_health_event(record)) == {
        name: value for name, value in whole.items() if name not in left_out
    }
