"""The rights that the product needs are enough for it, and the doctor sees which are missing."""

import asyncio
import json
import re
from uuid import uuid4

import nats
import pytest

from contracts import subjects
from contracts.client import LibraryClient
from tests.conftest import Caller
from tests.restricted import GuardedNats, RestrictedSystem, grants
from tests.upkeep import library
from worker.messaging import rights as subject_rights
from worker.store import rights

WORKER = "NATS rights: worker"
MIGRATE = "NATS rights: migrate"
CALLERS = "NATS rights: callers"
ROLE = "PostgreSQL rights: worker"
OWNER = "PostgreSQL rights: migrate"


@pytest.fixture(scope="module")
def restricted():
    made = RestrictedSystem()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
async def asking(restricted):
    """A caller as the user for callers."""
    connection = await nats.connect(restricted.nats.callers_url)
    yield Caller(connection)
    await connection.close()


class WithSomeRights(GuardedNats):
    """A nats-server with users who lack this and that."""

    authorization = """
    authorization { users: [
      { user: most, password: x, permissions: {
          publish: { deny: ["library.events.>", "$JS.API.STREAM.CREATE.>", "library.dead.>"] }
          subscribe: { deny: ["library.deploy.request"] } } }
      { user: replying, password: x, permissions: {
          publish: { allow: ">", deny: ["_INBOX.>"] }, subscribe: ">", allow_responses: true } }
      { user: mute, password: x, permissions: { publish: { deny: ["_INBOX.>"] } } }
      { user: unknown, password: x, permissions: {
          publish: { allow: ">", deny: ["_INBOX.>", "$SYS.>"] }, allow_responses: true } }
      { user: deaf, password: x, permissions: { subscribe: { deny: ["_INBOX.>"] } } }
    ] }
    """


@pytest.fixture
def some_rights(own_system):
    """Such a server, without streams; ``url_of`` gives its address for a user."""
    made = WithSomeRights(own_system.directory)
    with made:
        yield made


def doctor(system, **environment):
    """The exit status, and the findings by what they are about."""
    done = library(system, "doctor", "--json", **environment)
    assert "Traceback" not in done.stderr
    return done.returncode, {each["about"]: each for each in json.loads(done.stdout)["findings"]}


async def test_everything_works_with_the_rights_that_are_named_and_no_server_refuses_any(restricted, asking):
    entity = await asking.create()
    await asking.deploy(entity, headers={"Idempotency-Key": str(uuid4())})
    await asking.rollback(await asking.deploy(entity))
    await asking.ask(
        subjects.ENVIRONMENT_SET, environment="testing", activation="confirmed", auto_rollback=True
    )
    await confirmed(asking, entity)
    unwell = await confirmed(
        asking, await asking.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], version="2")
    )
    for _ in range(3):
        await asking.ask(
            subjects.DEPLOY_HEALTH, deployment_id=unwell["deployment_id"], reported_by="x", status="unhealthy"
        )
    (kept,) = (await asking.ask(subjects.QUARANTINE_LIST))["quarantined"]
    await asking.ask(
        subjects.QUARANTINE_LIFT, quarantine_id=kept["quarantine_id"], lifted_by="x", reason="Looked at"
    )
    for environment in ("staging", "testing"):
        found = await asking.ask(subjects.DEPLOY_LIST, environment=environment, status="active")
        for each in found["deployments"]:
            await asking.retire(each)
    await asking.ask(subjects.ENTITY_DELETE, entity_id=entity["entity_id"], deleted_by="x")
    await asking.ask(subjects.DEPLOY_CONVERGENCE, environment="testing")
    await asking.ask(subjects.DEPLOY_MATRIX)
    await asking.ask(subjects.DELIVERY_GET)
    await commanded(asking)
    assert {restricted.get(path)[0] for path in ("/", "/health/ready", "/metrics")} == {200}

    refused = [line for line in restricted.said.splitlines() if "Violation" in line]
    assert [line for line in refused if "library-doctor" not in line] == []
    assert not [line for each in restricted.workers for line in each.lines if "permission" in line]


async def confirmed(asking, entity):
    """A deployment of the entity that an agent confirmed."""
    deployment = await asking.deploy(entity, "testing")
    return await asking.ask(
        subjects.DEPLOY_CONFIRM, deployment_id=deployment["deployment_id"], agent="one", outcome="active"
    )


async def commanded(asking):
    """A durable command is carried out, and one that cannot be is put aside."""
    entity = await asking.create()
    body = {"entity_id": entity["entity_id"], "environment": "staging", "deployed_by": "x"}
    client = LibraryClient(asking.connection)
    async with asyncio.timeout(20), client.watch() as events:
        waiting = {str(uuid4()): json.dumps(body).encode(), str(uuid4()): b"no JSON"}
        for identity, content in waiting.items():
            await asking.connection.publish(
                subjects.COMMAND_DEPLOY, content, headers={"Nats-Msg-Id": identity}
            )
        async for _, event in events:
            waiting.pop(event.correlationid, None)
            if not waiting:
                return


def test_the_doctor_has_nothing_to_say_about_the_worker_s_user_and_role(restricted):
    status, found = doctor(restricted)

    assert status == 0
    assert {each["verdict"] for each in found.values()} == {"ok"}
    assert {WORKER, MIGRATE, CALLERS, ROLE, OWNER} <= found.keys()


def test_the_page_for_operators_grants_a_role_what_a_worker_does_and_nothing_else():
    named = [f"{', '.join(privileges)} ON {table}" for table, privileges in rights.WORKER.items()]
    named.append(f"EXECUTE ON FUNCTION {', '.join(rights.FUNCTIONS)}")

    assert re.findall(r"GRANT (.*) TO library_worker;", grants()) == named


def test_a_user_for_callers_is_no_user_for_a_worker(restricted):
    status, found = doctor(restricted, LIBRARY_NATS_URL=restricted.nats.callers_url)

    assert status == 1
    assert found[WORKER]["verdict"] == "fault"
    assert subjects.OUTBOX_WAKE in found[WORKER]["says"]
    assert "deploy/nats-users.conf" in found[WORKER]["do"]
    assert found[MIGRATE]["verdict"] == "warning"
    assert found[CALLERS]["verdict"] == "ok"
    assert "JetStream" not in found


def test_what_a_user_lacks_is_named_and_the_rest_is_not(restricted, some_rights):
    status, found = doctor(restricted, LIBRARY_NATS_URL=some_rights.url_of("most", "x"))

    assert status == 1
    assert found[WORKER]["says"].count("library.events.") == 3
    assert "library.dead.commands.deploy" in found[WORKER]["says"]
    assert "may not subscribe to library.deploy.request" in found[WORKER]["says"]
    assert "$JS" not in found[WORKER]["says"]
    assert found[MIGRATE]["verdict"] == "fault", "the streams are not there yet"
    assert "$JS.API.STREAM.CREATE.LIBRARY_EVENTS" in found[MIGRATE]["says"]
    assert "UPDATE" not in found[MIGRATE]["says"]
    assert found[CALLERS]["verdict"] == "ok"


@pytest.mark.parametrize(("user", "verdict"), [("replying", "ok"), ("mute", "fault"), ("unknown", "warning")])
def test_the_right_to_reply_counts_as_the_right_to_publish_on_inboxes(restricted, some_rights, user, verdict):
    _, found = doctor(restricted, LIBRARY_NATS_URL=some_rights.url_of(user, "x"))

    assert found[WORKER]["verdict"] == verdict
    assert verdict == "ok" or "_INBOX.>" in found[WORKER]["says"]


def test_a_user_whom_no_answer_reaches_is_told_so_at_once(restricted, some_rights):
    status, found = doctor(restricted, LIBRARY_NATS_URL=some_rights.url_of("deaf", "x"))

    assert status == 1
    assert "may not subscribe to _INBOX.>" in found["NATS rights"]["says"]
    assert "JetStream" not in found


async def test_looking_at_the_rights_is_heard_by_nobody_and_changes_no_stream(restricted, asking):
    worker = await nats.connect(restricted.nats.url)
    heard = []

    async def hear(message):
        heard.append(message.subject)

    for subject in subject_rights.WORKER.publish:
        await worker.subscribe(subject, cb=hear) if subject.startswith("library.") else None
    await worker.flush()
    before = await positions(worker)

    await asyncio.to_thread(doctor, restricted, LIBRARY_NATS_URL=restricted.nats.callers_url)
    await asyncio.to_thread(doctor, restricted)
    await worker.flush()

    assert await positions(worker) == before
    assert heard == []
    await worker.close()


async def positions(connection):
    """Where each stream stands."""
    found = await connection.jetstream().streams_info()
    return {each.config.name: each.state.last_seq for each in found}


def test_what_a_role_lacks_is_named_with_the_statement_that_grants_it(restricted):
    url = restricted.postgres.make_role("narrow")
    status, found = doctor(restricted, LIBRARY_DATABASE_URL=url)

    assert status == 1
    assert found[ROLE]["verdict"] == "fault"
    assert "no SELECT, INSERT, UPDATE on entities" in found[ROLE]["says"]
    assert "schema" not in found, "what may not be read is not taken for absent"

    restricted.sql(found[ROLE]["do"])
    status, found = doctor(restricted, LIBRARY_DATABASE_URL=url)

    assert status == 0
    assert found[ROLE]["verdict"] == found["schema"]["verdict"] == "ok"
    assert found[OWNER]["verdict"] == "warning"
    assert all(table in found[OWNER]["says"] for table in rights.WORKER)
    assert found[OWNER]["do"] == "Run library migrate as the role that owns the tables."


def test_a_role_that_finds_no_schema_is_told_so(restricted):
    url = restricted.postgres.make_role("lost")
    restricted.postgres.as_superuser("ALTER ROLE lost SET search_path TO nowhere")

    status, found = doctor(restricted, LIBRARY_DATABASE_URL=url)

    assert status == 1
    assert "no schema of its search path" in found[ROLE]["says"]


def test_before_the_first_migration_a_role_that_may_not_create_is_a_fault(restricted):
    url = restricted.postgres.make_role("beginner").rpartition("/")[0] + "/empty"
    restricted.postgres.as_superuser("CREATE DATABASE empty")
    restricted.postgres.as_superuser("REVOKE TEMPORARY ON DATABASE empty FROM PUBLIC")

    status, found = doctor(restricted, LIBRARY_DATABASE_URL=url)

    assert status == 1
    assert found[OWNER]["verdict"] == found["schema"]["verdict"] == "fault"
    assert "GRANT CREATE ON SCHEMA public TO beginner" in found[OWNER]["do"]
    assert "GRANT TEMPORARY ON DATABASE empty TO beginner" in found["PostgreSQL rights: check"]["do"]
