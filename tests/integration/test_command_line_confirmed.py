"""``library`` where an agent confirms what is deployed: confirm, health, quarantine, as-of, who is behind."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from contracts import subjects
from contracts.convergence import Applied
from contracts.headers import DEADLINE
from tests.command_line import answered, library, running, watching
from tests.parity.transports import OverNats
from tests.system import System, eventually

PLACE = "testing"


@pytest.fixture(autouse=True)
def put_back(system: System) -> Iterator[None]:
    """The environment is as before, whatever a test sets."""
    over_nats = OverNats(system)
    listed = over_nats.ask(subjects.ENVIRONMENT_LIST)["environments"]
    before = next(each for each in listed if each["environment"] == PLACE)
    yield
    over_nats.ask(subjects.ENVIRONMENT_SET, **before)


@pytest.fixture
def entity(system: System) -> dict:
    return OverNats(system).ask(
        subjects.ENTITY_CREATE, name=f"shop {uuid4()}", type="service", version="1.0.0"
    )


def settings(system: System, **changes: object) -> None:
    OverNats(system).ask(subjects.ENVIRONMENT_SET, environment=PLACE, **changes)


@pytest.fixture
def confirmed(system: System) -> None:
    """The environment is one where agents confirm."""
    settings(system, activation="confirmed")


def deploy(system: System, entity: dict, *options: str) -> dict:
    return answered(system, "deploy", entity["name"], PLACE, *options)


def confirm(system: System, deployment: dict, *options: str) -> dict:
    return answered(system, "confirm", deployment["deployment_id"], "--agent", "shop-1", *options)


def deploying(system: System, entity: dict) -> dict:
    """What waits to be confirmed, once it does."""
    ask = ["list", "--entity", entity["name"], "--status", "deploying"]
    (found,) = eventually(lambda: answered(system, *ask)["deployments"], timeout=30)
    return found


def shown(text: str) -> dict[str, str]:
    """The lines of a record, by their labels."""
    return {label: value.strip() for label, _, value in (line.partition(":") for line in text.splitlines())}


def test_an_agent_s_word_is_passed_on_with_its_details(system, entity, confirmed, tmp_path):
    started = deploy(system, entity)
    details = tmp_path / "details.json"
    details.write_text('{"pid": 7}')

    person = shown(library(system, "get", started["deployment_id"]).stdout)
    active = confirm(system, started, "--details", f"@{details}")

    assert (person["status"], person["confirm by"]) == ("deploying", f"{started['confirm_by'][:19]}Z")
    assert active["status"] == "active"
    *_, completed = answered(system, "history", started["deployment_id"])["events"]
    assert (completed["data"]["actor"], completed["data"]["details"]) == ("shop-1", {"pid": 7})


def test_a_deployment_that_failed_shows_why(system, entity, confirmed):
    started = deploy(system, entity)

    failed = confirm(system, started, "--failed", "--error", "the port is in use")

    assert (failed["status"], failed["error_logs"]) == ("failed", "the port is in use")
    assert shown(library(system, "get", started["deployment_id"]).stdout)["errors"] == "the port is in use"


def test_an_agent_has_a_name_of_plain_characters(system, entity, confirmed):
    started = deploy(system, entity)

    refused = library(system, "confirm", started["deployment_id"], "--agent", "shop one", "--json")

    assert refused.returncode == 1
    assert [fault["field"] for fault in json.loads(refused.stderr)["errors"]] == ["agent"]


def test_waiting_for_a_deploy_ends_well_once_it_is_active(system, entity, confirmed):
    with running(system, "deploy", entity["name"], PLACE, "--wait", "--json") as waiting:
        confirm(system, deploying(system, entity))
        out, said = waiting.communicate()

    assert (waiting.returncode, said) == (0, "")
    assert json.loads(out)["status"] == "active"


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["person", "program"])
def test_waiting_for_a_deploy_that_fails_is_status_1_and_says_why(system, entity, confirmed, form):
    with running(system, "deploy", entity["name"], PLACE, "--wait", *form) as waiting:
        failed = confirm(system, deploying(system, entity), "--failed", "--error", "the port\nis in use")
        out, said = waiting.communicate()

    assert (waiting.returncode, said) == (1, "failed: the port\\nis in use\n")
    assert (json.loads(out) == failed) if form else (shown(out)["status"] == "failed")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["person", "program"])
def test_waiting_for_a_deploy_longer_than_the_timeout_ends_well_but_says_so(system, entity, confirmed, form):
    undecided = library(system, "deploy", entity["name"], PLACE, "--wait", "--timeout", "1", *form)

    assert undecided.returncode == 0
    assert undecided.stderr.startswith("not decided yet: it is deploying; library get ")
    assert deploying(system, entity)["deployment_id"] in undecided.stderr
    status = json.loads(undecided.stdout)["status"] if form else shown(undecided.stdout)["status"]
    assert status == "deploying"


def test_a_deploy_that_does_not_wait_says_nothing_beside_its_result(system, entity, confirmed):
    assert deploy(system, entity)["status"] == "deploying"


@pytest.mark.parametrize(
    ("options", "seconds"), [([], 10), (["--wait"], 30), (["--wait", "--timeout", "4"], 4)]
)
async def test_a_deploy_that_waits_gives_itself_half_a_minute(system, connection, entity, options, seconds):
    requests = await connection.subscribe(subjects.DEPLOY_REQUEST)
    await connection.flush()
    before = datetime.now(UTC)

    await asyncio.to_thread(deploy, system, entity, *options)

    while json.loads((request := await requests.next_msg(10)).data)["entity_id"] != entity["entity_id"]:
        pass
    after = datetime.now(UTC)
    deadline = datetime.fromisoformat(request.headers[DEADLINE])
    assert before < deadline - timedelta(seconds=seconds) < after


async def test_agents_that_run_something_else_than_what_is_active_are_listed(system, connection, entity):
    first = await asyncio.to_thread(deploy, system, entity)
    second = await asyncio.to_thread(deploy, system, entity)
    sequences = {
        event["subject"]: event["sequence"]
        for each in (first, second)
        for event in (await asyncio.to_thread(answered, system, "history", each["deployment_id"]))["events"]
        if event["type"] == "library.deployment.completed.v1"
    }
    bucket = await connection.jetstream().key_value(subjects.APPLIED_BUCKET)
    for agent, of in (("late", first["deployment_id"]), ("present", second["deployment_id"])):
        applied = Applied(deployment_id=of, sequence=sequences[of], applied_at=datetime.now(UTC))
        await bucket.put(
            subjects.applied_key(PLACE, entity["entity_id"], agent), applied.model_dump_json().encode()
        )
    ask = ["list", "--behind", "--environment", PLACE, "--entity", entity["name"]]

    def both_counted():
        person = library(system, *ask)
        return person if "1 of 2 agents are behind" in person.stderr else None

    person = await asyncio.to_thread(eventually, both_counted)
    (consumer,) = (await asyncio.to_thread(answered, system, *ask))["consumers"]

    assert consumer["agent"] == "late"
    assert consumer["deployment_id"] == first["deployment_id"]
    assert consumer["applied_sequence"] == sequences[first["deployment_id"]]
    assert consumer["active_sequence"] == sequences[second["deployment_id"]]
    headings, line = person.stdout.splitlines()
    assert headings.split() == ["ENTITY", "AGENT", "BEHIND", "SINCE", "APPLIED", "ACTIVE", "RUNS"]
    assert line.split()[:3] == [entity["entity_id"], "late", f"{consumer['behind_since'][:19]}Z"]


def test_what_was_active_is_listed_by_time_and_entity(system, entity):
    first = deploy(system, entity)
    between = datetime.now(UTC)
    second = deploy(system, entity)

    def then(at: datetime) -> list[str]:
        found = answered(system, "as-of", at.isoformat(), "--entity", entity["name"], "--environment", PLACE)
        return [each["deployment_id"] for each in found["deployments"]]

    assert then(between) == [first["deployment_id"]]
    assert then(datetime.now(UTC)) == [second["deployment_id"]]
    table = library(system, "as-of", between.isoformat(), "--entity", entity["name"]).stdout.splitlines()
    assert [line.split()[-1] for line in table] == ["ID", first["deployment_id"]]


def test_what_is_yet_to_come_is_refused(system):
    refused = library(system, "as-of", (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "--json")

    assert refused.returncode == 1
    assert [fault["field"] for fault in json.loads(refused.stderr)["errors"]] == ["at"]


def test_a_quarantine_is_listed_and_lifted(system, entity):
    settings(system, auto_rollback=True, unhealthy_after=1)
    deploy(system, entity)
    bad = deploy(system, entity, "--config", '{"a": 2}')
    gone = answered(system, "health", bad["deployment_id"], "unhealthy", "--details", '{"rate": 0.04}')

    assert gone["status"] == "rolled_back"
    health = shown(library(system, "get", bad["deployment_id"]).stdout)["health"]
    assert health.startswith("unhealthy ")
    assert health.endswith('the only report {"rate":0.04}')
    refused = library(system, "deploy", entity["name"], PLACE, "--config", '{"a": 2}')
    ask = ["quarantine", "list", "--entity", entity["name"]]
    (held,) = answered(system, *ask)["quarantined"]
    assert (refused.returncode, held["quarantine_id"] in refused.stderr) == (1, True)
    _, line = library(system, *ask).stdout.splitlines()
    assert line.split()[:4] == [held["quarantine_id"], entity["entity_id"], "1.0.0", PLACE]

    lifted = library(system, "quarantine", "lift", held["quarantine_id"], "--reason", "disk", "--by", "ann")

    assert shown(lifted.stdout)["lifted"].endswith(" by ann")
    assert answered(system, *ask)["quarantined"] == []
    assert len(answered(system, *ask, "--status", "lifted")["quarantined"]) == 1
    assert deploy(system, entity, "--config", '{"a": 2}')["status"] == "active"


def test_a_quarantine_that_nobody_knows_is_refused(system):
    refused = library(system, "quarantine", "lift", str(uuid4()), "--reason", "x", "--json")

    assert refused.returncode == 1
    assert json.loads(refused.stderr)["code"] == "not_found"


def test_a_watch_tells_each_step_of_a_deployment_with_what_is_particular_to_it(system, entity, confirmed):
    settings(system, auto_rollback=True, unhealthy_after=1, concurrency="queue")
    with watching(system, entity["name"], "--environment", PLACE) as watch:
        started = deploy(system, entity, "--reason", "Sale")
        queued = deploy(system, entity, "--config", '{"a": 2}')
        confirm(system, started)
        confirm(system, queued)
        answered(system, "health", queued["deployment_id"], "unhealthy", "--by", "shop-1")
        refused = deploy(system, entity, "--config", '{"a": 3}')
        confirm(system, refused, "--failed", "--error", "the port is in use")
        lines = [watch.stdout.readline() for _ in range(11)]

    told = [line.rstrip().split("  ")[2:] for line in lines]
    assert [words[0] for words in told] == [
        *("started", "queued", "completed", "started"),
        *("superseded", "completed", "health", "rolled_back", "reactivated"),
        *("started", "failed"),
    ]
    assert told[0][-2] == f"(confirm by {started['confirm_by'][:19]}Z; Sale)"
    assert told[2][-3:] == ["by shop-1", "(Sale)", started["deployment_id"]]
    assert told[6][-3:] == ["by shop-1", "(unhealthy, action: rollback)", queued["deployment_id"]]
    assert "by system" in told[7]
    assert told[10][-3:] == ["by shop-1", "(the port is in use)", refused["deployment_id"]]


def test_every_setting_of_every_environment_is_shown(system):
    options = ["--activation", "confirmed", "--confirm-timeout", "77", "--concurrency", "supersede"]
    answered(system, "environment", "set", PLACE, *options)

    table = library(system, "environment", "list").stdout.splitlines()

    line = next(each for each in table if each.startswith(PLACE))
    assert line.split()[:5] == [PLACE, "confirmed", "77", "s", "supersede"]
    assert "registered,validated,deployed,active" in line
