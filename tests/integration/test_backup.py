"""`library backup` and `library restore`: the same answers, events and keys on other servers."""

import asyncio
import hashlib
import json
import stat
import tempfile
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from contracts import headers, subjects
from tests.events import assert_the_live_state_is_the_database, in_stream, subjects_of
from tests.system import System, eventually
from tests.upkeep import checked, connected, library, library_beside, load, published, settings_of
from worker.entrypoints.upkeep.backup import back_up
from worker.entrypoints.upkeep.restore import restore as run
from worker.entrypoints.upkeep.servers import Progress, Refusal
from worker.messaging import refill
from worker.store import backup, migrate, restore, schema, unit_of_work
from worker.store.backup_file import BackupReader, BackupUnusable, BackupWriter, new_file
from worker.store.stream_copy import StreamCopy
from worker.store.tables import metadata
from worker.store.transaction import Transaction
from worker.store.unit_of_work import transaction

KEY = "release-7"
AN_OLD_ENTITY = """
INSERT INTO entities (entity_id, name, type, version, config, parameters, status, declared_status,
    health_status, tags, dependencies, dependency_names, revision, event_sequence, created_at, updated_at)
VALUES (gen_random_uuid(), 'old', 'service', '1', '{"a": 1}', '{}', 'registered', 'registered', 'unknown',
    '[]', '[]', '{}', 1, 0, now(), now())
"""


@dataclass
class Seen:
    """What callers see of a system."""

    answers: dict
    stream: list[tuple]
    keys: dict


@dataclass
class Lost:
    """A system that is gone: what was in it and seen of it, a file from beside a load and one from after."""

    busy: Path
    calm: Path
    entities: list[dict] = field(default_factory=list)
    deployments: list[dict] = field(default_factory=list)
    seen: Seen | None = None


@dataclass
class Restored:
    """Other servers with the calm file on them, a worker, and what is seen there before anything happens."""

    system: System
    seen: Seen


async def look(caller, lost) -> Seen:
    """Everything that can be asked about what was, every message, every key."""
    found = {
        "entities": await caller.ask(subjects.ENTITY_LIST),
        "all": await caller.ask(subjects.DEPLOY_LIST),
    }
    for page in found.values():
        if not page["total_exact"]:  # the planner's estimate
            del page["total"]
    found["environments"] = await caller.ask(subjects.ENVIRONMENT_LIST)
    for entity in lost.entities:
        found[entity["entity_id"]] = await caller.entity(entity)
    for deployment in lost.deployments:
        identity = deployment["deployment_id"]
        found[identity] = await caller.get(deployment)
        found["history", identity] = await caller.ask(subjects.DEPLOY_HISTORY, deployment_id=identity)
    messages = await in_stream(caller.connection)
    bucket = await caller.connection.jetstream().key_value(subjects.ACTIVE_BUCKET)
    return Seen(
        found,
        [(each.subject, each.data, each.headers[headers.MESSAGE_ID]) for each in messages],
        {key: (await bucket.get(key)).value for key in await bucket.keys()},
    )


def keyed_deploy(entity):
    return {"entity_id": entity["entity_id"], "environment": "development", "deployed_by": "tests"}


async def live_in(caller, lost) -> None:
    """A history with what happens to deployments, entities and environments."""
    for _ in range(3):
        entity = await caller.create(config={"a": [1, 2.50, "ü\\n\t"]}, parameters={"deep": {"er": None}})
        first = await caller.deploy(entity)
        second = await caller.deploy(entity, config_override={"b": True})
        third = await caller.deploy(entity, "production")
        await caller.rollback(second)
        lost.entities.append(entity)
        lost.deployments += [first, second, third]
    await caller.retire(third)
    await caller.ask(subjects.ENTITY_UPDATE, entity_id=entity["entity_id"], version="2.0.0")
    await caller.ask(subjects.ENVIRONMENT_SET, environment="testing", unhealthy_after=7)
    keyed = {headers.IDEMPOTENCY_KEY: KEY}
    lost.deployments.append(await caller.ask(subjects.DEPLOY_REQUEST, headers=keyed, **keyed_deploy(entity)))


async def live_and_lose(system, folder) -> Lost:
    lost = Lost(folder / "busy.backup", folder / "calm.backup")
    async with connected(system) as caller:
        async with load(caller) as done:
            await asyncio.to_thread(eventually, lambda: len(done) > 50)
            before = len(done)
            written = await library_beside(system, "backup", lost.busy)
            assert written.returncode == 0, written.stderr
            assert written.stdout.startswith(f"{lost.busy} written: ")
            assert len(done) > before
        await live_in(caller, lost)
        await published(system)
        await assert_the_live_state_is_the_database(system, caller.connection)
        lost.seen = await look(caller, lost)
    await asyncio.to_thread(
        back_up, settings_of(system), lost.calm, release="0", replace=False, progress=Progress("backup")
    )
    return lost


async def look_again(system, lost) -> Restored:
    async with connected(system) as caller:
        return Restored(system, await look(caller, lost))


@pytest.fixture(scope="module")
def lost():
    with tempfile.TemporaryDirectory() as folder:
        system = System()
        try:
            system.start_servers()
            system.start_worker().wait_for_line("worker_ready")
            files = asyncio.run(live_and_lose(system, Path(folder)))
        finally:
            system.stop()
        yield files


@pytest.fixture(scope="module")
def restored(lost):
    system = System()
    try:
        system.start_servers()
        done = library(system, "restore", lost.calm)
        assert done.returncode == 0, done.stderr
        system.start_worker().wait_for_line("live_state_compared")
        yield asyncio.run(look_again(system, lost))
    finally:
        system.stop()


@pytest.fixture
async def caller(restored):
    async with connected(restored.system) as calls:
        yield calls


# The way back


def test_callers_are_answered_as_before(lost, restored):
    assert restored.seen.answers == lost.seen.answers


def test_the_stream_holds_the_same_events_in_the_same_order_for_each_entity(lost, restored):
    def by_entity(stream):
        parts = {}
        for message in stream:
            parts.setdefault(message[0].rpartition(".")[2], []).append(message)
        return parts

    assert by_entity(restored.seen.stream) == by_entity(lost.seen.stream)


def test_the_bucket_holds_the_same_keys(lost, restored):
    assert restored.seen.keys == lost.seen.keys


async def test_the_service_goes_on(lost, restored, caller):
    first, second, third = lost.deployments[:3]
    (entity, *_) = lost.entities

    again = await caller.deploy(entity)
    back = await caller.rollback(again)
    history = await caller.ask(subjects.DEPLOY_HISTORY, deployment_id=first["deployment_id"])
    await caller.rollback(await caller.get(first), target_deployment_id=second["deployment_id"])

    assert again["previous_deployment_id"] == first["deployment_id"]
    assert back["previous_deployment_id"] == first["deployment_id"]
    assert [event["type"].split(".")[2] for event in history["events"]][-2:] == ["superseded", "reactivated"]
    assert (await caller.get(third))["status"] == "active"
    await published(restored.system)
    assert (await checked(restored.system)).findings == []


async def test_a_key_from_before_is_still_answered_with_its_outcome(lost, caller):
    keyed = {headers.IDEMPOTENCY_KEY: KEY}
    entity = lost.entities[-1]
    assert (
        await caller.ask(subjects.DEPLOY_REQUEST, headers=keyed, **keyed_deploy(entity))
        == (lost.deployments[-1])
    )


def test_a_running_worker_keeps_a_restore_from_starting(lost, restored):
    refused = library(restored.system, "restore", lost.calm, "--force")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "library restore: a worker is running: stop all workers, and do it again\n"


# What is there is not replaced by accident


async def restoring(system, path, *, replace=False):
    """What `library restore` does, without a process of its own."""
    async with connected(system) as caller:
        return await run(
            settings_of(system), caller.connection, path, replace=replace, progress=Progress("restore")
        )


async def test_tables_and_stream_are_replaced_by_force_alone(lost, own_system):
    own_system.start_servers()
    calm = await restoring(own_system, lost.calm)
    assert calm.published == len(lost.seen.stream)
    assert (await checked(own_system)).findings == []

    with pytest.raises(Refusal, match="the database holds data"):
        await restoring(own_system, lost.busy)
    assert (await checked(own_system)).findings == []

    own_system.sql("TRUNCATE entities, deployments, events")
    with pytest.raises(Refusal, match="the stream LIBRARY_EVENTS holds what this backup does not lead to"):
        await restoring(own_system, lost.busy)
    assert own_system.sql("SELECT count(*) FROM events") == [(0,)]

    busy = await restoring(own_system, lost.busy, replace=True)
    assert busy.stream_emptied
    assert busy.published > 0
    assert (await checked(own_system)).findings == []

    own_system.sql("TRUNCATE entities, deployments, events")
    further = await restoring(own_system, lost.calm)
    assert not further.stream_emptied
    assert further.published == calm.published - busy.published
    assert (await checked(own_system)).findings == []


async def test_a_stream_that_says_an_event_otherwise_twice_or_out_of_order_is_filled_again(lost, own_system):
    own_system.start_servers()
    await restoring(own_system, lost.calm)

    async def say(message, body):
        async with connected(own_system) as caller, refill.ids_forgotten(caller.connection.jetstream()):
            jetstream = caller.connection.jetstream()
            await jetstream.delete_msg(subjects.EVENTS_STREAM, message.metadata.sequence.stream)
            carried = {headers.MESSAGE_ID: message.headers[headers.MESSAGE_ID]}
            await jetstream.publish(message.subject, body, headers=carried)

    async def say_otherwise(first, last):
        await say(last, json.dumps({**json.loads(last.data), "correlationid": "another"}).encode())

    async def say_twice(first, last):
        async with connected(own_system) as caller:
            await caller.connection.jetstream().publish(last.subject, last.data)

    async def say_late(first, last):
        await say(first, first.data)

    wrongs = {"event_altered": say_otherwise, "event_doubled": say_twice, "event_out_of_order": say_late}
    for what, plant in wrongs.items():
        async with connected(own_system) as caller:
            stored = await in_stream(caller.connection, *subjects_of(lost.entities[0]))
        await plant(stored[0], stored[-1])
        assert what in {each.what for each in (await checked(own_system)).findings}

        assert (await restoring(own_system, lost.calm, replace=True)).stream_emptied
        assert (await checked(own_system)).findings == []


async def test_what_a_restore_could_not_publish_is_published_by_the_next_worker(lost, own_system):
    own_system.start_servers()
    async with connected(own_system) as caller:
        engine = unit_of_work.connect(own_system.database_url, name="tests", size=1, patient=True)
        with BackupReader(lost.calm) as reader, transaction(engine) as connection:
            restore.load(connection, reader, replace=False, advance=silent)
            copy = StreamCopy(Transaction(connection))
            copy.ready()
            assert copy.enqueue_missing(datetime.min.replace(tzinfo=UTC)) == len(lost.seen.stream)
        engine.dispose()

        own_system.start_worker().wait_for_line("live_state_compared")
        await published(own_system)
        await assert_the_live_state_is_the_database(own_system, caller.connection)

    assert (await checked(own_system)).findings == []


# The file


def silent(table, done, of):
    pass


def test_a_backup_is_its_owners_alone_and_says_what_it_holds(lost):
    assert stat.S_IMODE(lost.calm.stat().st_mode) == 0o600
    assert not list(lost.calm.parent.glob("*.partial"))
    with zipfile.ZipFile(lost.calm) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        tables = {each["table"]: each for each in manifest["tables"]}
        assert tables.keys() == set(metadata.tables)
        for table in tables.values():
            rows = archive.read(table["member"])
            assert hashlib.sha256(rows).hexdigest() == table["sha256"]
            assert (rows.count(b"\n"), len(rows)) == (table["rows"], table["bytes"])
    assert manifest["format"] == "library-backup"
    assert manifest["schema_revision"] == schema.REVISIONS[-1]
    assert tables["events"]["rows"] == len(lost.seen.stream)


def test_a_file_is_replaced_by_force_alone(lost, restored, tmp_path):
    path = tmp_path / "there.backup"
    path.write_text("precious")

    refused = library(restored.system, "backup", path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"library backup: {path} is there already: choose another name, or --force\n"
    assert path.read_text() == "precious"

    written = library(restored.system, "backup", path, "--force", "--json")
    assert written.returncode == 0, written.stderr
    with BackupReader(path) as reader:
        assert json.loads(written.stdout) == json.loads(reader.manifest.model_dump_json())
        reader.verify(silent)


def test_a_backup_that_does_not_come_to_its_end_leaves_nothing(tmp_path):
    path = tmp_path / "broken.backup"

    def write():
        with new_file(path, replace=False) as file:
            file.write(b"half")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_write_the_same_file(tmp_path):
    path = tmp_path / "shared.backup"
    with new_file(path, replace=True) as file:
        with pytest.raises(BlockingIOError, match="written by another"), new_file(path, replace=True):
            pass
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("where", [0.3, 0.6])
def test_a_damaged_backup_is_refused_before_anything_is_touched(lost, restored, tmp_path, where):
    damaged = tmp_path / "damaged.backup"
    content = bytearray(lost.calm.read_bytes())
    content[int(len(content) * where)] ^= 0xFF
    damaged.write_bytes(content)
    with BackupReader(damaged) as reader, pytest.raises(BackupUnusable, match=r"the rows of \w+ are damaged"):
        reader.verify(silent)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_what_is_no_backup_is_refused(lost, restored, tmp_path, content):
    path = tmp_path / "none.backup"
    path.write_bytes(lost.calm.read_bytes()[:-100] if content is None else content)
    with pytest.raises(BackupUnusable, match="is no backup, or its end is missing"):
        BackupReader(path)


def test_a_file_that_is_not_there_is_a_line(restored, tmp_path):
    missing = library(restored.system, "restore", tmp_path / "nowhere.backup")
    assert missing.returncode == 1
    assert missing.stderr == f"library restore: No such file or directory: {tmp_path / 'nowhere.backup'}\n"


# Schemas


@pytest.fixture
def database(restored):
    """Makes databases without a schema."""
    made = []

    def make():
        name = f"restored_{uuid4().hex}"
        restored.system.sql(f"CREATE DATABASE {name}")
        url = urlunsplit(urlsplit(restored.system.database_url)._replace(path=f"/{name}"))
        engine = unit_of_work.connect(url, name="tests", size=1, patient=True)
        made.append((name, engine))
        return engine

    yield make
    for name, engine in made:
        engine.dispose()
        restored.system.sql(f"DROP DATABASE {name} WITH (FORCE)")


def rows(engine, statement):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


def loaded(engine, path, *, replace=False):
    with BackupReader(path) as reader, transaction(engine) as connection:
        restore.load(connection, reader, replace=replace, advance=silent)


@pytest.mark.parametrize("revision", [None, schema.REVISIONS[-1]])
def test_a_backup_of_the_oldest_schema_is_brought_up_to_date(database, tmp_path, revision):
    old, new = database(), database()
    path = tmp_path / "old.backup"
    with transaction(old) as connection:
        migrate.move(connection, schema.REVISIONS[0])
        connection.exec_driver_sql(AN_OLD_ENTITY)
    with new_file(path, replace=False) as file, transaction(old) as connection:
        backup.take(connection, BackupWriter(file), release="0", advance=silent)
    if revision is not None:
        with transaction(new) as connection:
            migrate.move(connection, revision)

    loaded(new, path)

    assert rows(new, "SELECT version_num FROM alembic_version") == [(schema.REVISIONS[-1],)]
    assert rows(new, "SELECT name, config FROM entities") == [("old", {"a": 1})]
    assert len(rows(new, "SELECT 1 FROM environments")) == 4


def test_a_backup_of_a_newer_schema_is_refused(lost, database, tmp_path):
    path = rewritten(lost.calm, tmp_path, lambda manifest, _: manifest.update(schema_revision="9999"))
    with pytest.raises(BackupUnusable, match="schema revision 9999, which this release does not know"):
        loaded(database(), path)


def test_rows_that_are_refused_leave_everything_as_it_was(lost, database, tmp_path):
    engine = database()
    loaded(engine, lost.busy)
    before = rows(engine, "SELECT count(*), max(event_id::text) FROM events")

    def double(manifest, members):
        (of,) = (table for table in manifest["tables"] if table["table"] == "events")
        members["events.copy"] *= 2
        of["rows"] *= 2

    with pytest.raises(BackupUnusable, match="23505"):
        loaded(engine, rewritten(lost.calm, tmp_path, double), replace=True)

    assert rows(engine, "SELECT count(*), max(event_id::text) FROM events") == before


def test_the_outbox_begins_anew(lost, database):
    engine = database()
    loaded(engine, lost.calm)
    with transaction(engine) as connection:
        connection.exec_driver_sql(
            "INSERT INTO outbox (event_ids, created_at) VALUES ('{}', now()), ('{}', now())"
        )
    loaded(engine, lost.calm, replace=True)
    with transaction(engine) as connection:
        connection.exec_driver_sql("INSERT INTO outbox (event_ids, created_at) VALUES ('{}', now())")
    assert rows(engine, "SELECT outbox_id FROM outbox") == [(1,)]


def rewritten(path, folder, change):
    """The backup with something else in it, and digests that say it is right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    change(manifest, members)
    for table in manifest["tables"]:
        content = members[table["member"]]
        table |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    made = folder / "rewritten.backup"
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("manifest.json", json.dumps(manifest))
    return made
