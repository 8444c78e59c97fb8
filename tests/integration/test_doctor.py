"""``library doctor`` on real servers, with what ails them."""

import dataclasses
import json
import subprocess
import sys
from typing import ClassVar

import pytest

from contracts import subjects
from tests.system import System, free_port
from tests.upkeep import connected
from worker.embedded.nats_server import NatsServer
from worker.embedded.postgres import PostgresServer

DOCTOR = [sys.executable, "-m", "worker", "doctor", "--json"]


def examined(system, *arguments, **environment):
    """The exit status, and the findings that are not ok by what they are about."""
    done = subprocess.run(
        [*DOCTOR, *arguments],
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
    assert found == {}


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


class RecklessPostgres(PostgresServer):
    """A PostgreSQL that syncs nothing."""

    settings: ClassVar = {**PostgresServer.settings, "fsync": "off", "full_page_writes": "off"}


def test_a_database_that_may_lose_what_it_acknowledged_is_a_fault(system, own_system):
    with RecklessPostgres(own_system.directory) as postgres:
        status, found = examined(system, LIBRARY_DATABASE_URL=postgres.url)

    assert status == 1
    for name in ("fsync", "full_page_writes"):
        assert found[name]["verdict"] == "fault"
        assert found[name]["says"] == "off: what was acknowledged may be lost"
        assert found[name]["do"] == f"Set {name} = on."


class OtherNats(NatsServer):
    """A nats-server of somebody else's, with monitoring, that syncs every so often."""

    def __init__(self, directory, syncs):
        super().__init__(directory)
        self._syncs = syncs
        self.monitoring = f"127.0.0.1:{free_port()}"

    def prepare(self):
        super().prepare()
        text = self.configuration.read_text().replace(
            "sync_interval: always", f'sync_interval: "{self._syncs}"'
        )
        text = text.replace("server_name: library-up", f'http: "{self.monitoring}"')
        self.configuration.write_text(text)


@pytest.mark.parametrize(("syncs", "verdict", "says"), [("2m", "fault", "120 s: "), ("always", None, "")])
def test_the_server_s_own_monitoring_tells_how_often_it_syncs(system, own_system, syncs, verdict, says):
    with OtherNats(own_system.directory, syncs) as server:
        _, found = examined(
            system, "--monitoring", f"http://{server.monitoring}/", LIBRARY_NATS_URL=server.url
        )

    assert found.get("sync_interval", {}).get("verdict") == verdict
    assert found.get("sync_interval", {}).get("says", "").startswith(says)


def test_nothing_is_said_of_syncing_from_the_monitoring_of_another_server(system, own_system):
    other = own_system.directory / "other"
    other.mkdir()
    with OtherNats(own_system.directory, "always") as server, OtherNats(other, "always") as another:
        _, found = examined(
            system, "--monitoring", f"http://{another.monitoring}", LIBRARY_NATS_URL=server.url
        )

    assert found["sync_interval"]["verdict"] == "warning"
    assert "--monitoring" in found["sync_interval"]["do"]


def test_with_replicas_nothing_is_said_of_syncing(system):
    _, found = examined(system, LIBRARY_REPLICAS="3")

    assert "sync_interval" not in found


def test_an_address_that_is_none_is_a_fault_and_no_stack_trace(system):
    status, found = examined(system, LIBRARY_NATS_URL="nats://127.0.0.1:none")

    assert status == 1
    assert "no NATS address" in found["NATS"]["says"]
