"""``library`` as a program beside the running product: what it prints where, and how it ends."""

import json
import signal
import sys
from uuid import uuid4

import pytest

from tests.command_line import answered, library, watching
from tests.system import System, free_port

ANYWHERE = [sys.executable, "-m", "worker"]


@pytest.fixture
def entity(system: System) -> dict:
    return answered(
        system, "entity", "create", f"shop {uuid4()}", "--type", "service", "--version", "1.0.0", "--by", "ci"
    )


def test_an_entity_goes_by_its_name_and_by_its_id(system, entity):
    by_name = answered(system, "entity", "get", entity["name"])
    by_id = answered(system, "entity", "get", entity["entity_id"])

    assert by_name == by_id
    assert (by_id["version"], by_id["created_by"]) == ("1.0.0", "ci")


def test_what_is_active_is_rolled_back_by_entity_and_environment(system, entity):
    first = answered(system, "deploy", entity["name"], "staging", "--config", '{"a": 1, "b": 2}')
    answered(system, "entity", "update", entity["name"], "--version", "1.1.0", "--config", '{"a": 1, "b": 2}')
    merged = ["--merge", "--config", '{"b": null}', "--reason", "leaner"]
    plan = answered(system, "validate", entity["name"], "staging", *merged[:3])
    second = answered(system, "deploy", entity["name"], "staging", *merged)

    back = answered(system, "rollback", entity["name"], "staging", "--reason", "too lean", "--by", "alice")

    assert plan["replaces"] == first["deployment_id"]
    assert plan["config_snapshot"] == second["config_snapshot"] == {"a": 1}
    assert back["deployment_id"] == second["deployment_id"]
    assert (back["status"], back["rolled_back_by"], back["rollback_reason"]) == (
        "rolled_back",
        "alice",
        "too lean",
    )
    (active,) = answered(system, "list", "--entity", entity["name"], "--status", "active")["deployments"]
    assert active["deployment_id"] == first["deployment_id"]


def test_the_same_key_deploys_once(system, entity):
    deploy = ["deploy", entity["name"], "staging", "--by", "ci", "--idempotency-key", str(uuid4())]
    assert answered(system, *deploy)["deployment_id"] == answered(system, *deploy)["deployment_id"]


def test_people_see_a_table_and_a_way_to_the_next_page(system, entity):
    for _ in range(2):
        answered(system, "deploy", entity["name"], "staging")

    page = library(system, "list", "--entity", entity["name"], "--page-size", "1")
    cursor = page.stderr.partition("--cursor ")[2].partition(",")[0]
    rest = library(system, "list", "--entity", entity["name"], "--cursor", cursor)
    whole = library(system, "list", "--entity", entity["name"], "--page-size", "1", "--all")

    headings, newest = page.stdout.splitlines()
    assert headings.split() == ["ENTITY", "VERSION", "ENVIRONMENT", "STATUS", "DEPLOYED", "BY", "ID"]
    assert "active" in newest
    assert "inactive" in rest.stdout
    assert len(whole.stdout.splitlines()) == 3
    assert whole.stderr == ""


def test_a_refusal_is_status_1_and_stands_on_standard_error(system):
    person = library(system, "get", str(uuid4()))
    program = library(system, "--json", "get", str(uuid4()))

    assert (person.returncode, person.stdout) == (1, "")
    assert person.stderr.startswith("refused: ")
    assert "[deployment_not_found]" in person.stderr
    assert (program.returncode, program.stdout) == (1, "")
    assert json.loads(program.stderr)["code"] == "deployment_not_found"


def test_a_name_that_nobody_has_is_refused(system):
    refused = library(system, "deploy", f"nobody {uuid4()}", "staging", "--json")

    assert refused.returncode == 1
    assert json.loads(refused.stderr)["code"] == "entity_not_found"


def test_every_fault_of_a_request_is_named(system):
    refused = library(system, "entity", "create", "x" * 256, "--type", "No", "--version", "1", "--json")

    assert refused.returncode == 1
    assert {fault["field"] for fault in json.loads(refused.stderr)["errors"]} == {"name", "type"}


@pytest.mark.parametrize("arguments", [["list", "--timeout", "0.5"], ["watch", "--timeout", "0.5"]])
def test_without_a_server_it_is_status_3(system, arguments):
    silent = library(system, *arguments, "--json", "--nats-url", f"nats://u:secret@127.0.0.1:{free_port()}")

    assert (silent.returncode, silent.stdout) == (3, "")
    assert json.loads(silent.stderr)["code"] == "unavailable"
    assert "secret" not in silent.stderr


def test_a_watch_prints_events_as_they_come_and_goes_on_where_it_was_ended(system, entity):
    with watching(system, entity["name"], "--json") as watch:
        first = answered(system, "deploy", entity["name"], "staging")
        seen = json.loads(watch.stdout.readline())
        watch.send_signal(signal.SIGINT)
        assert watch.wait(20) == 0
    second = answered(system, "deploy", entity["name"], "staging")

    with watching(system, entity["entity_id"], "--from", str(seen["streamsequence"] + 1)) as watch:
        superseded, completed = watch.stdout.readline(), watch.stdout.readline()
        watch.terminate()
        assert watch.wait(20) == 0

    assert seen["type"] == "library.deployment.completed.v1"
    assert seen["subject"] == first["deployment_id"]
    assert seen["data"]["deployment"] == first
    assert "superseded" in superseded
    assert first["deployment_id"] in superseded
    assert int(completed.split()[0]) > seen["streamsequence"]
    assert second["deployment_id"] in completed


def test_a_history_is_the_deployment_s_events_in_order(system, entity):
    deployed = answered(system, "deploy", entity["name"], "staging")
    answered(system, "retire", deployed["deployment_id"], "--reason", "done")

    events = answered(system, "history", deployed["deployment_id"])["events"]
    table = library(system, "history", deployed["deployment_id"]).stdout.splitlines()

    assert [event["type"].split(".")[2] for event in events] == ["completed", "retired"]
    assert [line.split()[2] for line in table[1:]] == ["completed", "retired"]


def test_a_reader_that_has_read_enough_ends_it_quietly(system):
    with watching(system, "--from", "1") as watch:
        watch.stdout.close()
        name = f"loud {uuid4()}"
        answered(system, "entity", "create", name, "--type", "service", "--version", "1")
        answered(system, "deploy", name, "staging")
        assert watch.wait(20) == 0
        assert watch.stderr.read() == ""


def test_environments_and_status_are_shown(system):
    environments = answered(system, "environment", "list")["environments"]
    changed = answered(system, "environment", "set", "development", "--unhealthy-after", "3")
    status = answered(system, "status")

    assert [each["environment"] for each in environments] == [
        "development",
        "testing",
        "staging",
        "production",
    ]
    assert changed["unhealthy_after"] == 3
    assert set(status) == {"nats", "database", "worker", "outbox"}
    assert library(system, "status").stdout.splitlines()[0].split() == ["PART", "STATUS", "FIGURES"]
