"""The schema: what the migrations make, and what the processes do where it is not there."""

from collections.abc import Sequence
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg2
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tests.system import Process, System, free_port
from tests.upkeep import connected
from worker.store import schema, unit_of_work
from worker.store.migrate import configuration, migrate, move
from worker.store.tables import metadata

ENDED_WITHIN = 20
SHAPES = """
SELECT 'column', table_name, column_name, data_type, udt_name, is_nullable, column_default,
    generation_expression, is_identity
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'index', tablename, indexname, indexdef, '', '', '', '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '', '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
"""


@pytest.fixture
def database(system):
    """The URL of a new and empty database."""
    name = f"schema_{uuid4().hex}"
    system.sql(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(system.database_url)._replace(path=f"/{name}"))
    system.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database):
    made = unit_of_work.connect(database, name="tests", size=1)
    yield made
    made.dispose()


def rows(url, statement):
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def ended(system: System, command: str, **settings: str) -> tuple[int, list[str]]:
    """Exit status and log of a process that ends by itself."""
    return endings(system, [command], **settings)[command]


def endings(system: System, commands: Sequence[str], **settings: str) -> dict[str, tuple[int, list[str]]]:
    """The same of several, side by side."""
    processes = {command: Process(command, {**system.environment, **settings}) for command in commands}
    for process in processes.values():
        process.popen.wait(ENDED_WITHIN)
    return {command: (process.stop(), list(process.lines)) for command, process in processes.items()}


def test_the_migrations_make_what_the_code_reads_and_writes(engine):
    migrate(engine)

    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_the_same_columns_indexes_and_constraints_as_the_tables(system, database, engine):
    migrate(engine)
    other = f"tables_{uuid4().hex}"
    system.sql(f"CREATE DATABASE {other}")
    url = urlunsplit(urlsplit(database)._replace(path=f"/{other}"))
    by_tables = unit_of_work.connect(url, name="tests", size=1)
    try:
        metadata.create_all(by_tables)

        migrated = {row for row in rows(database, SHAPES) if row[1] != "alembic_version"}
        assert migrated == set(rows(url, SHAPES))
    finally:
        by_tables.dispose()
        system.sql(f"DROP DATABASE {other} WITH (FORCE)")


def test_a_second_migration_changes_nothing(engine, database):
    first = migrate(engine)
    shapes = rows(database, SHAPES)
    environments = rows(database, "SELECT *, xmin::text FROM environments")

    assert migrate(engine) == first
    assert rows(database, SHAPES) == shapes
    assert rows(database, "SELECT *, xmin::text FROM environments") == environments


def test_migrating_a_running_product_disturbs_nothing(system):
    before = system.sql("SELECT version_num, xmin::text FROM alembic_version")

    status, lines = ended(system, "migrate")

    assert status == 0
    assert not [line for line in lines if "made" in line]
    assert system.sql("SELECT version_num, xmin::text FROM alembic_version") == before


def test_a_migration_can_be_taken_back_and_made_again(engine, database):
    migrate(engine)
    shapes = rows(database, SHAPES)

    with unit_of_work.transaction(engine) as connection:
        to_use = configuration()
        to_use.attributes["connection"] = connection
        command.downgrade(to_use, "base")
    left = {row[1] for row in rows(database, SHAPES)}
    migrate(engine)

    assert left <= {"alembic_version"}
    assert sorted(rows(database, SHAPES)) == sorted(shapes)


def test_a_worker_without_a_schema_says_so_in_one_line_and_ends(system, database):
    status, lines = ended(system, "worker", LIBRARY_DATABASE_URL=database)

    assert status == 1
    (line,) = lines
    assert line.startswith("library worker: ")
    assert "`library migrate`" in line


def test_a_worker_runs_on_the_schema_of_a_later_release(system, database, engine):
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '9999'"))

    schema.require(engine)


@pytest.mark.parametrize("missing", ["LIBRARY_DATABASE_URL", "LIBRARY_NATS_URL"])
def test_processes_without_a_server_say_so_in_one_line_and_end(system, missing):
    scheme = "postgresql" if missing == "LIBRARY_DATABASE_URL" else "nats"
    nowhere = f"{scheme}://library:secret-word@127.0.0.1:{free_port()}/library"

    for name, (status, lines) in endings(system, ["worker", "migrate"], **{missing: nowhere}).items():
        assert status == 1
        (line,) = lines
        assert line.startswith(f"library {name}: ")
        assert "secret-word" not in line


def test_every_wrong_setting_is_named_in_a_line_of_its_own(system):
    wrong = {
        "LIBRARY_BATCH_SIZE": "0",
        "LIBRARY_QUEUE_SIZE": "many",
        "LIBRARY_LOG_LEVEL": "LOUD",
        "LIBRARY_DISCONNECTED_EXIT": "-1",
    }

    status, lines = ended(system, "worker", **wrong)

    assert status == 2
    assert sorted(line.split(":")[1].strip() for line in lines) == sorted(wrong)


async def test_when_what_was_active_is_found_in_the_log_of_a_database_of_the_release_before(own_system):
    own_system.start_servers()
    own_system.start_worker().wait_for_line("worker_ready")
    async with connected(own_system) as caller:
        entity = await caller.create()
        first = await caller.deploy(entity)
        for _ in range(2):
            await caller.rollback(await caller.deploy(entity))
        await caller.retire(first)
    kept = "SELECT * FROM former_activations ORDER BY activated_at"
    known = own_system.sql(kept)
    own_system.workers[0].stop()
    engine = unit_of_work.connect(own_system.database_url, name="tests", size=1)
    for revision in ("0002", schema.REVISIONS[-1]):
        with unit_of_work.transaction(engine) as connection:
            move(connection, revision)
    engine.dispose()

    assert len(known) == 2
    assert {str(row[0]) for row in known} == {first["deployment_id"]}
    assert own_system.sql(kept) == known
