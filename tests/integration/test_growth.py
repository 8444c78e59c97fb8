"""Lists on tables that have grown: each filter walks an index and passes nothing that does not fit."""

from itertools import product
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from benchmarks import history
from tests.integration.test_query_plans import Explained
from worker.store import lists, queries, unit_of_work
from worker.store.migrate import migrate
from worker.store.queries import Which

ENTITIES = 1500
SIZE = 20
_TEMPLATE = (
    f"""
    INSERT INTO entities
    SELECT gen_random_uuid(), '{history.NAME}', 'strategy', '1', NULL, NULL, '{{}}', '{{}}', 'deployed',
        'registered', 'unknown', '[]', '[]', '{{}}', 1, 2, now(), 'x', '{{}}', now(), now(), NULL
    """,
    """
    INSERT INTO deployments (deployment_id, entity_id, entity_name, version, environment, config_snapshot,
        parameters_snapshot, status, deployed_at, deployed_by, deployment_method, previous_deployment_id,
        health_checks, validation_results, warnings, created_at, updated_at, activated_at)
    SELECT gen_random_uuid(), entity_id, name, '1', 'staging', '{}', '{}', 'active', now(), 'x', 'nats',
        gen_random_uuid(), '[]', '{}', '[]', now(), now(), now()
    FROM entities
    """,
    """
    INSERT INTO events
    SELECT gen_random_uuid(), entity_id, 2, 'completed', deployment_id::text, 'x', '{"time":"now"}', now()
    FROM deployments
    """,
)
_RETIRED = """
UPDATE deployments SET status = 'inactive', deactivated_at = now()
WHERE environment = 'production' AND status = 'active' AND entity_name !~ '00$'
"""


class Counted(Explained):
    """Counts the statements as well."""

    def __init__(self, connection):
        super().__init__(connection)
        self.statements = 0

    def execute(self, statement, parameters=None):
        if not statement.startswith("EXPLAIN"):
            self.statements += 1
        return super().execute(statement, parameters)

    def scans_of(self, table):
        return [node for node in self.nodes if node.get("Relation Name") == table and node["Actual Loops"]]


@pytest.fixture(scope="module")
def grown(system):
    """A database with 15,000 deployments; few entities are active in production, and all in staging."""
    name = f"grown_{uuid4().hex}"
    system.sql(f"CREATE DATABASE {name}")
    url = urlunsplit(urlsplit(system.database_url)._replace(path=f"/{name}"))
    owner = unit_of_work.connect(url, name="tests", size=1)
    migrate(owner)
    with unit_of_work.transaction(owner) as connection, connection.connection.cursor() as cursor:
        for statement in _TEMPLATE:
            connection.exec_driver_sql(statement)
        history.write(cursor, ENTITIES)
        connection.exec_driver_sql(_RETIRED)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    owner.dispose()
    engine = unit_of_work.connect(url, name="tests", size=1)
    yield engine
    engine.dispose()
    system.sql(f"DROP DATABASE {name} WITH (FORCE)")


def rows(engine, statement, parameters=None):
    return unit_of_work.read(engine, lambda transaction: transaction.execute(statement, parameters))


def asked(engine, query):
    """What a query gives, and what it touched."""
    given = []
    with engine.connect() as connection:
        transaction = Counted(connection)
        given.append(query(transaction))
        connection.rollback()
    return given[0], transaction


def assert_by_index(seen, table, *, passes_none=True):
    """One statement, which reads no more than it shows and counts, and passes nothing that does not fit."""
    assert seen.statements == 1
    scans = seen.scans_of(table)
    assert scans
    assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan"}
    assert all(node["Actual Rows"] <= lists.COUNTED + 1 for node in scans)
    if passes_none:
        assert not any(node.get("Rows Removed by Filter") for node in scans)


def assert_pages(engine, query, conditions, *, expected, of, check):
    """First page, the next by cursor and the third by number are as expected, and so is the total."""
    cursor = None
    for number in range(3):
        which = Which(conditions=conditions, page_size=SIZE, cursor=cursor)
        if number == 2:
            which = Which(conditions=conditions, page_size=SIZE, page=3)
        page, seen = asked(engine, lambda transaction, which=which: query(transaction, which))
        check(seen)
        assert [of(item) for item in page.items] == expected[number * SIZE :][:SIZE]
        assert page.more == (len(expected) > (number + 1) * SIZE)
        if page.total_exact:
            assert page.total == len(expected)
        else:
            assert min(page.total, len(expected)) > lists.COUNTED
        if not page.more:
            return
        cursor = page.cursor_after(page.items[-1])


@pytest.mark.parametrize(
    ("environment", "status"),
    list(product([None, "testing", "production"], [None, "active", "inactive", "failed", "pending"])),
)
def test_every_filter_of_deployments_walks_an_index(grown, environment, status):
    conditions = {"environment": environment, "status": status}
    expected = rows(
        grown,
        """
        SELECT deployment_id FROM deployments
        WHERE coalesce(environment = %(environment)s, true) AND coalesce(status = %(status)s, true)
        ORDER BY deployed_at DESC, deployment_id DESC
        """,
        conditions,
    )

    assert_pages(
        grown,
        queries.deployments,
        conditions,
        expected=[row[0] for row in expected],
        of=lambda item: item.deployment_id,
        check=lambda seen: assert_by_index(seen, "deployments"),
    )


@pytest.mark.parametrize(
    ("environment", "status"), list(product([None, "development"], [None, "active", "inactive", "pending"]))
)
def test_an_entity_s_deployments_are_read_and_no_other(grown, environment, status):
    ((entity_id,),) = rows(grown, "SELECT entity_id FROM entities WHERE name = 'history-700'")
    conditions = {"entity_id": entity_id, "environment": environment, "status": status}
    expected = rows(
        grown,
        """
        SELECT deployment_id FROM deployments WHERE entity_name = 'history-700'
        AND coalesce(environment = %(environment)s, true) AND coalesce(status = %(status)s, true)
        ORDER BY deployed_at DESC, deployment_id DESC
        """,
        {"environment": environment, "status": status},
    )

    def check(seen):
        assert seen.statements == 1
        assert seen.most_read("deployments") <= history.DEPLOYMENTS_EACH

    assert_pages(
        grown,
        queries.deployments,
        conditions,
        expected=[row[0] for row in expected],
        of=lambda item: item.deployment_id,
        check=check,
    )


@pytest.mark.parametrize(
    ("kind", "status", "active_in"),
    list(
        product(
            [None, "model", "absent"],
            [None, "deployed", "deprecated", "archived"],
            [None, "staging", "production"],
        )
    ),
)
def test_every_filter_of_entities_walks_an_index(grown, kind, status, active_in):
    conditions = {"type": kind, "status": status, "active_in": active_in}
    expected = rows(
        grown,
        """
        SELECT entity_id FROM entities e
        WHERE coalesce(type = %(type)s, true) AND coalesce(status = %(status)s, true) AND (
            %(active_in)s::text IS NULL OR EXISTS (SELECT 1 FROM deployments d WHERE
                d.entity_id = e.entity_id AND d.environment = %(active_in)s AND d.status = 'active'))
        ORDER BY created_at DESC, entity_id DESC
        """,
        conditions,
    )
    rare = active_in == "production"

    def check(seen):
        assert_by_index(seen, "entities", passes_none=not rare)
        if rare:
            assert seen.most_read("entities") <= ENTITIES // 100 + SIZE

    assert_pages(
        grown,
        queries.entities,
        conditions,
        expected=[row[0] for row in expected],
        of=lambda item: item.entity_id,
        check=check,
    )


def test_an_entity_is_found_by_its_name_among_many(grown):
    page, seen = asked(
        grown,
        lambda transaction: queries.entities(
            transaction, Which(conditions={"name": "history-77", "type": "indicator"}, page_size=SIZE)
        ),
    )

    assert [item.name for item in page.items] == ["history-77"]
    assert (page.total, page.total_exact) == (1, True)
    assert seen.most_read("entities") <= 1


def test_a_history_is_read_by_its_index_in_one_statement(grown):
    ((deployment,),) = rows(
        grown, "SELECT deployment_id::text FROM deployments WHERE status = 'rolled_back' LIMIT 1"
    )

    page, seen = asked(grown, lambda transaction: queries.history(transaction, deployment, 100, None))

    assert len(page.items) == 2
    assert (page.total, page.total_exact, page.more) == (2, True, False)
    assert seen.statements == 1
    assert seen.indexes == {"events_of_subject"}
    assert seen.most_read("events") == 2


def test_a_single_deployment_is_read_in_one_statement(grown):
    ((deployment,),) = rows(grown, "SELECT deployment_id FROM deployments LIMIT 1")

    found, seen = asked(grown, lambda transaction: queries.deployment(transaction, deployment))

    assert found.deployment_id == deployment
    assert (seen.statements, seen.indexes) == (1, {"deployments_pkey"})


def test_the_estimate_of_a_total_takes_any_value_as_a_value(grown):
    page, _ = asked(
        grown,
        lambda transaction: queries.entities(
            transaction, Which(conditions={"type": "a' OR true --"}, page_size=SIZE)
        ),
    )

    assert (page.items, page.total, page.total_exact) == ([], 0, True)
    ((estimate,),) = rows(
        grown,
        "SELECT planner_estimate(format('entities WHERE type = %%L', %(type)s))",
        {"type": "a' OR true --"},
    )
    assert estimate <= ENTITIES / 10
