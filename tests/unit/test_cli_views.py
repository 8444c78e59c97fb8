"""What people are shown of replies and events, as far as confirmed environments are concerned."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.convergence import Consumer
from contracts.deployments import Deployment
from contracts.environments import Environment
from contracts.events import CloudEvent
from contracts.quarantine import Quarantined
from worker.entrypoints.commands import views
from worker.entrypoints.commands.output import lines

ID = "0197f3a2-7c1e-7b54-9d0a-3f6a1f0c2b41"
OTHER = "0197f3a4-2b1d-7c3f-8e5a-6d7c8b9a0f12"
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
UNHEALTHY = {
    "reported_by": "shop-1",
    "status": "unhealthy",
    "details": {"error_rate": 0.04},
    "reported_at": "2026-01-31T12:00:00.000000Z",
}


def deployment(**fields):
    plain = dict.fromkeys(Deployment.model_fields)
    return Deployment(
        **{
            **plain,
            "deployment_id": ID,
            "entity_id": OTHER,
            "entity_name": "shop",
            "version": "1.0",
            "environment": "production",
            "config_snapshot": {},
            "parameters_snapshot": {},
            "status": "deploying",
            "deployed_at": AT,
            "deployed_by": "ann",
            "deployment_method": "nats",
            "health_checks": [],
            "validation_results": {
                "passed": True,
                "pre": {"passed": True, "checks": {}, "errors": [], "warnings": []},
                "post": None,
            },
            "warnings": [],
            "created_at": AT,
            "updated_at": AT,
            **fields,
        }
    )


def event(name, **data):
    return CloudEvent(
        specversion="1.0",
        id=OTHER,
        source="library",
        type=f"library.deployment.{name}.v1",
        subject=ID,
        time=AT,
        datacontenttype="application/json",
        correlationid="c",
        sequence="3",
        data={"deployment": deployment(), **data},
    )


def fields(record):
    return dict(record.fields)


def test_a_deployment_shows_until_when_it_is_to_be_confirmed():
    shown = fields(views.deployment(deployment(confirm_by=AT + timedelta(minutes=5))))
    assert shown["confirm by"] == "2026-01-31T12:05:00Z"


def test_a_deployment_shows_why_it_failed():
    shown = fields(views.deployment(deployment(status="failed", error_logs="Port in use")))
    assert (shown["status"], shown["errors"]) == ("failed", "Port in use")


def test_a_deployment_shows_its_latest_health_report_and_how_many_there_are():
    reports = [{**UNHEALTHY, "status": "healthy"}] * 2 + [UNHEALTHY]
    assert fields(views.deployment(deployment(health_checks=reports, last_health_check=AT)))["health"] == (
        'unhealthy 2026-01-31T12:00:00Z by shop-1, the latest of 3 reports {"error_rate":0.04}'
    )
    alone = [{**UNHEALTHY, "details": None}]
    assert fields(views.deployment(deployment(health_checks=alone, last_health_check=AT)))["health"] == (
        "unhealthy 2026-01-31T12:00:00Z by shop-1, the only report"
    )
    assert fields(views.deployment(deployment()))["health"] == ""


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (event("queued", actor="ann", reason="Sale"), "queued  shop 1.0  production  by ann  (Sale)"),
        (
            event("started", actor="ann", deployment=deployment(confirm_by=AT + timedelta(minutes=5))),
            "started  shop 1.0  production  by ann  (confirm by 2026-01-31T12:05:00Z)",
        ),
        (
            event("started", reason="Sale", deployment=deployment(confirm_by=AT)),
            "started  shop 1.0  production  (confirm by 2026-01-31T12:00:00Z; Sale)",
        ),
        (
            event("failed", actor="shop-1", reason="Port in use"),
            "failed  shop 1.0  production  by shop-1  (Port in use)",
        ),
        (
            event("failed", actor="system", deployment=deployment(error_logs="No agent confirmed it.")),
            "failed  shop 1.0  production  by system  (No agent confirmed it.)",
        ),
        (
            event("health", actor="shop-1", report=UNHEALTHY, action="rollback"),
            'health  shop 1.0  production  by shop-1  (unhealthy, action: rollback {"error_rate":0.04})',
        ),
        (
            event("health", actor="shop-1", report={**UNHEALTHY, "details": None}, action="none"),
            "health  shop 1.0  production  by shop-1  (unhealthy, action: none)",
        ),
        (
            event(
                "rejected", deployment=None, command="deploy", problem={"detail": "No entity has this id."}
            ),
            "rejected  (No entity has this id.)",
        ),
    ],
)
def test_an_event_is_a_line_that_says_what_is_particular_to_it(shown, words):
    assert views.event(shown) == f"2026-01-31T12:00:00Z  {words}  {ID}"
    (row,) = views.events([shown]).rows
    assert f"({row[-1]})" in words


def test_what_an_agent_said_stays_on_its_line():
    failed = event("failed", reason="Port\nin \x1b[2Juse")
    assert "(Port\\nin \\x1b[2Juse)" in views.event(failed)


def test_who_is_behind_is_shown_with_what_it_runs_and_since_when():
    consumer = Consumer(
        entity_id=OTHER,
        agent="shop-1",
        deployment_id=ID,
        applied_sequence="3",
        active_sequence="5",
        behind_since=AT,
    )
    silent = consumer.model_copy(update={"deployment_id": None, "applied_sequence": None})
    assert [line.split() for line in lines(views.consumers([consumer, silent]))] == [
        ["ENTITY", "AGENT", "BEHIND", "SINCE", "APPLIED", "ACTIVE", "RUNS"],
        [OTHER, "shop-1", "2026-01-31T12:00:00Z", "3", "5", ID],
        [OTHER, "shop-1", "2026-01-31T12:00:00Z", "-", "5", "nothing"],
    ]


def test_a_quarantine_shows_what_it_holds_and_who_lifted_it():
    held = Quarantined(
        quarantine_id=ID,
        entity_id=OTHER,
        environment="production",
        version="1.0",
        snapshot_digest="0" * 64,
        deployment_id=OTHER,
        since=AT,
        reason="Unhealthy: 3 reports in a row.",
        lifted_at=None,
        lifted_by=None,
        lift_reason=None,
    )
    lifted = held.model_copy(update={"lifted_at": AT, "lifted_by": "ann", "lift_reason": "The disk was full"})

    assert fields(views.quarantine(held))["lifted"] == ""
    assert fields(views.quarantine(lifted))["lifted"] == "2026-01-31T12:00:00Z by ann"
    assert fields(views.quarantine(lifted))["because"] == "The disk was full"
    (row,) = views.quarantines([held]).rows
    assert row[0] == ID
    assert row[-1] == "Unhealthy: 3 reports in a row."


def test_environments_are_shown_with_every_setting():
    settings = {
        "environment": "production",
        "activation": "confirmed",
        "confirm_timeout_s": 120,
        "auto_rollback": True,
        "unhealthy_after": 4,
        "concurrency": "queue",
        "require_status": ["validated", "deployed"],
    }
    assert settings.keys() == Environment.model_fields.keys()
    (row,) = views.environments([Environment(**settings)]).rows
    assert row == ("production", "confirmed", "120 s", "queue", "yes", "4 in a row", "validated,deployed")
