"""The tables of the wire contract, written out once more: callers rely on every word of them."""

import re
from typing import get_args
from uuid import UUID

import pytest

from contracts import subjects
from contracts.endpoints import BY_SUBJECT, ENDPOINTS
from contracts.events import DeploymentEventName, EntityEventName
from contracts.problems import NO_OUTCOMES, PROBLEMS, RETRY_AFTER_SECONDS, Code, Problem, ProblemError
from worker.operations import OPERATIONS

STATUS_OF_CODE = {
    "invalid_request": 422,
    "payload_too_large": 413,
    "unauthenticated": 401,
    "forbidden": 403,
    "entity_not_found": 404,
    "deployment_not_found": 404,
    "validation_failed": 400,
    "no_rollback_target": 400,
    "invalid_rollback_target": 400,
    "deployment_not_active": 409,
    "deployment_in_progress": 409,
    "version_mismatch": 409,
    "revision_conflict": 409,
    "entity_name_taken": 409,
    "entity_in_use": 409,
    "dependency_in_use": 409,
    "quarantined": 409,
    "idempotency_key_reused": 422,
    "deadline_exceeded": 504,
    "no_answer": 504,
    "busy": 503,
    "unavailable": 503,
    "internal_error": 500,
    "not_found": 404,
    "method_not_allowed": 405,
}

# Subject, request, reply and an HTTP twin.
WIRE = """
library.deploy.request       DeployRequest         Deployment      POST /api/v1/deployments 201
library.deploy.rollback      RollbackRequest       Deployment      POST /api/v1/deployments/{id}/rollback 200
library.deploy.validate      DeployRequest         DeploymentPlan  POST /api/v1/deployments/validate 200
library.deploy.get           DeploymentGet         Deployment      GET /api/v1/deployments/{id} 200
library.deploy.list          DeploymentListRequest DeploymentList  GET /api/v1/deployments 200
library.deploy.history       HistoryRequest        EventList       GET /api/v1/deployments/{id}/events 200
library.deploy.confirm       ConfirmRequest        Deployment      POST /api/v1/deployments/{id}/confirm 200
library.deploy.health        HealthReport          Deployment      POST /api/v1/deployments/{id}/health 200
library.deploy.retire        RetireRequest         Deployment      POST /api/v1/deployments/{id}/retire 200
library.environment.list     Empty                 EnvironmentList GET /api/v1/environments 200
library.environment.set      EnvironmentSet        Environment     PUT /api/v1/environments/{environment} 200
library.entity.create        EntityCreate          Entity          POST /api/v1/entities 201
library.entity.get           EntityGet             Entity          GET /api/v1/entities/{id} 200
library.entity.list          EntityListRequest     EntityList      GET /api/v1/entities 200
library.entity.update        EntityUpdate          Entity          PATCH /api/v1/entities/{id} 200
library.entity.delete        EntityDelete          Entity          DELETE /api/v1/entities/{id} 200
library.entity.deployments   EntityDeploymentsRequest DeploymentList GET /api/v1/entities/{id}/deployments 200
library.entity.deployments   EntityDeploymentsRequest DeploymentList \
GET /api/v1/deployments/entity/{id}/deployments 200
library.deploy.as_of         AsOfRequest           DeploymentList  GET /api/v1/deployments/as-of 200
library.deploy.convergence   ConvergenceRequest    Convergence \
                             GET /api/v1/environments/{environment}/convergence 200
library.quarantine.list      QuarantineListRequest QuarantineList  GET /api/v1/quarantine 200
library.quarantine.lift      QuarantineLift        Quarantined     POST /api/v1/quarantine/{id}/lift 200
library.deploy.matrix        MatrixRequest         Matrix          GET /api/v1/matrix 200
library.delivery.get         Empty                 Delivery        GET /api/v1/delivery 200
library.status.get           Empty                 Status          GET /health/detailed 200
"""
ROWS = {tuple(line.split()) for line in WIRE.strip().splitlines()}
CHANGES_SOMETHING = {
    "library.deploy.request",
    "library.deploy.rollback",
    "library.deploy.confirm",
    "library.deploy.health",
    "library.deploy.retire",
    "library.environment.set",
    "library.entity.create",
    "library.entity.update",
    "library.entity.delete",
    "library.quarantine.lift",
}
ENTITY = UUID("0197f3a1-52b0-7e0f-8c44-6f2d9e5b7a10")


def offered():
    for endpoint in ENDPOINTS:
        for route in endpoint.routes:
            path = re.sub(r"\{(entity|deployment|quarantine)_id\}", "{id}", route.path)
            bodies = endpoint.request.__name__, endpoint.reply.__name__
            yield (endpoint.subject, *bodies, route.method, path, str(route.status))


def test_every_code_of_the_wire_has_its_status_and_there_is_no_other():
    assert {code: meaning.status for code, meaning in PROBLEMS.items()} == STATUS_OF_CODE
    assert set(get_args(Code)) == set(STATUS_OF_CODE)


def test_every_code_has_a_title_of_its_own():
    titles = [meaning.title for meaning in PROBLEMS.values()]
    assert all(titles)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("code", STATUS_OF_CODE)
def test_a_problem_body_has_the_members_of_rfc_9457_beside_its_code(code):
    body = ProblemError(code, "Because.", current_status="failed").body("request-1")
    assert body == {
        "type": f"urn:library:problem:{code}",
        "title": PROBLEMS[code].title,
        "status": STATUS_OF_CODE[code],
        "detail": "Because.",
        "code": code,
        "request_id": "request-1",
        "current_status": "failed",
    }
    assert Problem.model_validate(body).status == STATUS_OF_CODE[code]


def test_a_problem_comes_back_from_its_body_as_it_was():
    sent = ProblemError("entity_in_use", "Retire it first.", environments=["staging"])
    received = ProblemError.from_body(sent.body("request-1"))
    assert (received.code, received.detail, received.status) == ("entity_in_use", "Retire it first.", 409)
    assert (received.extensions, received.request_id) == ({"environments": ["staging"]}, "request-1")


def test_what_the_wire_calls_no_outcome_is_kept_under_no_key():
    assert {
        "invalid_request",
        "payload_too_large",
        "busy",
        "unavailable",
        "deadline_exceeded",
        "internal_error",
    } <= NO_OUTCOMES


def test_what_the_rules_refuse_is_an_outcome():
    for endpoint in ENDPOINTS:
        assert not NO_OUTCOMES.intersection(endpoint.problems)


def test_busy_and_unavailable_say_when_to_come_back_in_whole_seconds():
    assert RETRY_AFTER_SECONDS.keys() == {"busy", "unavailable"}
    assert all(isinstance(seconds, int) and seconds > 0 for seconds in RETRY_AFTER_SECONDS.values())


def test_every_endpoint_offered_stands_in_the_wires_table_as_it_is_offered():
    assert sorted(offered()) == sorted(ROWS)


def test_every_subject_of_the_wire_is_written_out_among_the_subjects():
    written = {value for value in vars(subjects).values() if isinstance(value, str)}
    assert {subject for subject, *_ in ROWS} <= written


def test_an_endpoint_writes_where_a_rule_decides_and_nowhere_else():
    writing = {endpoint.subject for endpoint in ENDPOINTS if endpoint.writes}
    assert writing == OPERATIONS.keys() - {subjects.EXPIRY} == CHANGES_SOMETHING


def test_an_expiry_is_decided_by_a_rule_and_can_be_asked_by_nobody():
    assert subjects.EXPIRY in OPERATIONS
    assert subjects.EXPIRY not in BY_SUBJECT
    assert subjects.EXPIRY not in {subject for subject, *_ in ROWS}
    assert not subjects.EXPIRY.startswith(("library.deploy.", "library.commands."))


def test_what_reads_by_http_is_a_get_and_what_writes_is_none():
    for endpoint in ENDPOINTS:
        for route in endpoint.routes:
            if endpoint.subject != "library.deploy.validate":
                assert (route.method == "GET") != endpoint.writes


def test_the_names_in_a_path_are_fields_of_the_request():
    for endpoint in ENDPOINTS:
        for route in endpoint.routes:
            assert set(re.findall(r"\{(\w+)\}", route.path)) <= endpoint.request.model_fields.keys()


def test_an_endpoint_is_found_by_its_subject_and_named_for_discovery_as_adr_32_allows():
    assert [*BY_SUBJECT] == [endpoint.subject for endpoint in ENDPOINTS]
    names = [endpoint.name for endpoint in ENDPOINTS]
    assert BY_SUBJECT["library.deploy.request"].name == "deploy-request"
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in names)


@pytest.mark.parametrize(
    ("subject", "codes"),
    [
        (
            "library.deploy.request",
            "entity_not_found version_mismatch quarantined deployment_in_progress validation_failed",
        ),
        (
            "library.deploy.rollback",
            "deployment_not_found deployment_not_active no_rollback_target invalid_rollback_target",
        ),
        ("library.deploy.validate", "entity_not_found"),
        ("library.deploy.get", "deployment_not_found"),
        ("library.deploy.history", "deployment_not_found"),
        ("library.deploy.confirm", "deployment_not_found deployment_not_active"),
        ("library.deploy.health", "deployment_not_found"),
        ("library.deploy.as_of", ""),
        ("library.deploy.convergence", ""),
        ("library.quarantine.list", ""),
        ("library.quarantine.lift", "not_found"),
        ("library.deploy.retire", "deployment_not_found deployment_not_active dependency_in_use"),
        ("library.entity.create", "entity_name_taken"),
        ("library.entity.get", "entity_not_found"),
        ("library.entity.update", "entity_not_found revision_conflict entity_name_taken"),
        ("library.entity.delete", "entity_not_found entity_in_use"),
    ],
)
def test_an_endpoint_lists_the_problems_that_its_rule_has(subject, codes):
    assert set(BY_SUBJECT[subject].problems) == set(codes.split())


def test_names_of_streams_buckets_and_groups_are_the_wires():
    assert (subjects.SERVICE, subjects.QUEUE_GROUP) == ("library", "library-worker")
    assert (subjects.EVENTS_STREAM, subjects.ACTIVE_BUCKET) == ("LIBRARY_EVENTS", "library-active")
    assert (subjects.COMMANDS_STREAM, subjects.DEAD_STREAM) == ("LIBRARY_COMMANDS", "LIBRARY_DEAD")
    assert subjects.REPLY_PREFIXES == ("_INBOX.", "_R_.")


@pytest.mark.parametrize("name", ["deploy", "rollback"])
def test_a_durable_command_has_a_subject_and_a_place_for_when_it_is_dead(name):
    subject = f"library.commands.{name}"
    assert subject in (subjects.COMMAND_DEPLOY, subjects.COMMAND_ROLLBACK)
    assert subjects.command_name(subject) == name
    assert subjects.dead_letter(subject) == f"library.dead.commands.{name}"


def test_the_subject_of_an_event_says_what_happened_where_and_to_what():
    about_deployment = subjects.deployment_event("completed", "staging", ENTITY)
    assert about_deployment == f"library.events.deployment.completed.staging.{ENTITY}"
    assert subjects.entity_event("created", ENTITY) == f"library.events.entity.created.{ENTITY}"
    assert (
        subjects.environment_event("updated", "production") == "library.events.environment.updated.production"
    )


@pytest.mark.parametrize("kind", ["deployment", "entity", "environment"])
def test_the_type_of_an_event_is_versioned(kind):
    assert subjects.event_type(kind, "updated") == f"library.{kind}.updated.v1"


def test_the_events_are_those_of_the_wire():
    assert set(get_args(DeploymentEventName)) == {
        *("queued", "started", "completed", "superseded", "rolled_back", "reactivated"),
        *("failed", "retired", "rejected", "health"),
    }
    assert set(get_args(EntityEventName)) == {"created", "updated", "deleted"}


def test_a_filter_for_events_matches_those_of_its_entity_and_environment():
    assert subjects.watched_events() == "library.events.deployment.*.*.*"
    assert subjects.watched_events(ENTITY) == f"library.events.deployment.*.*.{ENTITY}"
    assert subjects.watched_events(environment="staging") == "library.events.deployment.*.staging.*"


def test_the_place_of_a_deployments_event_is_read_from_its_subject():
    subject = subjects.deployment_event("retired", "testing", ENTITY)
    assert subjects.place_of(subject) == ("testing", str(ENTITY))
    assert subjects.place_of(subjects.entity_event("created", ENTITY)) is None
    assert subjects.place_of(subjects.environment_event("updated", "testing")) is None


def test_what_a_rejected_command_does_not_tell_is_an_underscore_in_its_subject():
    assert subjects.rejected_event(None, None) == "library.events.deployment.rejected._._"
    assert subjects.rejected_event("staging", None) == "library.events.deployment.rejected.staging._"
    told = subjects.rejected_event("staging", ENTITY)
    assert told == f"library.events.deployment.rejected.staging.{ENTITY}"


def test_a_live_key_names_environment_and_entity():
    assert subjects.active_key("staging", ENTITY) == f"staging.{ENTITY}"
    key = subjects.bucket_subject(subjects.ACTIVE_BUCKET, subjects.active_key("staging", ENTITY))
    assert key == f"$KV.library-active.staging.{ENTITY}"
    assert subjects.bucket_stream(subjects.ACTIVE_BUCKET) == "KV_library-active"


def test_what_is_deploying_and_what_agents_run_have_buckets_of_their_own():
    assert (subjects.PENDING_BUCKET, subjects.APPLIED_BUCKET) == ("library-pending", "library-applied")
    assert subjects.applied_key("staging", ENTITY, "agent-7") == f"staging.{ENTITY}.agent-7"
