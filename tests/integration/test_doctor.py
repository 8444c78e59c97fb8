"""``library doctor`` on real servers, with what ails them."""

import dataclasses
import json
import subprocess
import sys

import pytest

from contracts import subjects
from tests.system import System, free_port
from tests.upkeep import connected

DOCTOR = [sys.executable, "-m", "worker", "doctor", "--json"]


def examined(system, **environment):
    """The exit status, and the findings that are not ok by what they are about."""
    done = subprocess.run(
        DOCTOR,
        env={**system.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, {each["about"]: each for each in findings if each["verdict"] != "ok"}


def test_a_running_product_has_no_fault(system):
    status, found = examined(system)

    assert status == 0
    assert set(found) <= {"sync_interval"}


@pytest.fixture(scope="module")
def ailing():
    made = System()
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def test_a_stream_that_is_missing_or_changed_is_found(ailing):
    async with connected(ailing) as caller:
        jetstream = caller.connection.jetstream()
        bucket = subjects.bucket_stream(subjects.APPLIED_BUCKET)
        await jetstream.delete_stream(bucket)
        events = (await jetstream.stream_info(subjects.EVENTS_STREAM)).config
        await jetstream.update_stream(dataclasses.replace(events, max_age=3600))

        status, found = examined(ailing)

    assert status == 1
    assert found[f"stream {bucket}"]["do"] == "Run library migrate."
    assert found[f"stream {subjects.EVENTS_STREAM}"]["verdict"] == "warning"
    assert "max_age is 3600" in found[f"stream {subjects.EVENTS_STREAM}"]["says"]


def test_an_old_schema_is_found(ailing):
    (revision,) = ailing.sql("SELECT version_num FROM alembic_version")
    ailing.sql("UPDATE alembic_version SET version_num = '0001'")
    try:
        status, found = examined(ailing)
    finally:
        ailing.sql("UPDATE alembic_version SET version_num = %s", revision)

    assert status == 1
    assert found["schema"]["do"] == "Run library migrate."
    assert found["schema"]["verdict"] == "fault"


def test_a_misspelt_variable_is_named_with_the_right_one(system):
    status, found = examined(system, LIBRARY_BATCHSIZE="3")

    assert status == 0
    assert found["settings"]["says"] == "LIBRARY_BATCHSIZE is no setting; did you mean LIBRARY_BATCH_SIZE?"


def test_where_no_server_answers_it_says_so_with_status_3_and_without_passwords(system):
    nats, database, http = free_port(), free_port(), free_port()
    status, found = examined(
        system,
        LIBRARY_NATS_URL=f"nats://u:hidden@127.0.0.1:{nats}",
        LIBRARY_DATABASE_URL=f"postgresql://u:hidden@127.0.0.1:{database}/x",
        LIBRARY_HTTP_PORT=str(http),
    )

    assert status == 3
    assert {"NATS", "PostgreSQL", "gateway"} <= set(found)
    assert "hidden" not in json.dumps(found)


def test_without_a_worker_it_says_what_to_start(own_system):
    own_system.start_servers()

    status, found = examined(own_system)

    assert status == 1
    assert "library worker" in found["worker"]["do"]
    assert found["gateway"]["verdict"] == "warning"
