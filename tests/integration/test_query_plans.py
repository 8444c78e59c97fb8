"""How the database is asked: what one request reads must not grow with the history."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import pytest

from contracts import subjects
from contracts.ids import Id, id_of
from worker.domain.convergence import Applied
from worker.store import as_of, convergence, due, facts, queries, unit_of_work
from worker.store.facts import Wanted
from worker.store.idempotency import OutcomeKey
from worker.store.migrate import migrate
from worker.store.outbox import Outbox
from worker.store.queries import Which
from worker.store.transaction import Transaction


class Explained(Transaction):
    """Runs every statement under EXPLAIN ANALYZE as well, and keeps what the plans touch."""

    def __init__(self, connection):
        super().__init__(connection)
        self.nodes = []

    def execute(self, statement, parameters=None):
        if not statement.startswith("EXPLAIN"):
            ((plan,),) = super().execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            self._walk(plan[0]["Plan"])
        return super().execute(statement, parameters)

    def prepared(self, statement, parameters=None):
        return self.execute(self._execution(statement), parameters)

    def ahead(self, statement, parameters=None):
        self.prepared(statement, parameters)

    def _walk(self, node):
        self.nodes.append(node)
        for inner in node.get("Plans", ()):
            self._walk(inner)

    @property
    def indexes(self):
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    def most_read(self, table):
        """The most rows that one scan of a table has looked at, those it threw away included."""
        return max(
            node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            for node in self.nodes
            if node.get("Relation Name") == table
        )


ENTITIES, DEPLOYMENTS_EACH = 110, 100
WAITING, PENDING_EACH, OVERDUE = range(51, 101), 5, 10
"""These entities wait in testing, each with so many in line behind the first; the time of some is over."""
LIFTED_EACH = 50
BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
"""In staging one deployment follows the other second by second from here, and was active in production."""


_HISTORY = (
    f"""
    INSERT INTO entities
    SELECT md5('e' || n)::uuid, 'e' || n, 'strategy', '1', NULL, NULL, '{{}}', '{{}}', 'deployed',
        'registered', 'unknown', '[]', '[]', CASE WHEN n % 10 = 1 THEN ARRAY['e2'] ELSE '{{}}' END, 1, 200,
        now(), 'x', '{{}}', now() + n * interval '1 s', now(), NULL
    FROM generate_series(1, {ENTITIES}) n
    """,
    f"""
    INSERT INTO deployments (deployment_id, entity_id, entity_name, version, environment, config_snapshot,
        parameters_snapshot, status, deployed_at, deployed_by, deployment_method, health_checks,
        validation_results, warnings, created_at, updated_at, activated_at, deactivated_at)
    SELECT md5(n || '.' || d)::uuid, md5('e' || n)::uuid, 'e' || n, '1', 'staging', '{{}}', '{{}}',
        CASE WHEN d = {DEPLOYMENTS_EACH} THEN 'active' ELSE 'inactive' END,
        '{BEGAN}'::timestamptz + d * interval '1 s', 'x',
        'nats', '[]', '{{}}', '[]', now(), now(), '{BEGAN}'::timestamptz + d * interval '1 s',
        CASE WHEN d < {DEPLOYMENTS_EACH} THEN '{BEGAN}'::timestamptz + (d + 1) * interval '1 s' END
    FROM generate_series(1, {ENTITIES}) n, generate_series(1, {DEPLOYMENTS_EACH}) d
    """,
    """
    INSERT INTO former_activations
    SELECT deployment_id, entity_id, 'production', activated_at, activated_at + interval '0.5 s'
    FROM deployments
    """,
    f"""
    INSERT INTO deployments (deployment_id, entity_id, entity_name, version, environment, config_snapshot,
        parameters_snapshot, status, deployed_at, deployed_by, deployment_method, health_checks,
        validation_results, warnings, created_at, updated_at, confirm_by)
    SELECT md5('w' || n || '.' || d)::uuid, md5('e' || n)::uuid, 'e' || n, '1', 'testing', '{{}}', '{{}}',
        CASE WHEN d = 0 THEN 'deploying' ELSE 'pending' END, now() + d * interval '1 s', 'x', 'nats', '[]',
        '{{}}', '[]', now(), now(),
        CASE WHEN d = 0 THEN now() + (n - {WAITING.start + OVERDUE - 0.5}) * interval '1 day' END
    FROM generate_series({WAITING.start}, {WAITING.stop - 1}) n, generate_series(0, {PENDING_EACH}) d
    """,
    f"""
    INSERT INTO quarantine
    SELECT gen_random_uuid(), md5('e' || n)::uuid, 'staging', '1', 'x', md5(n || '.1')::uuid,
        now() + q * interval '1 s', 'x', CASE WHEN q > 0 THEN now() END
    FROM generate_series(1, {ENTITIES}) n, generate_series(0, {LIFTED_EACH}) q
    """,
    f"""
    INSERT INTO events
    SELECT gen_random_uuid(), entity_id, 1, '{subjects.event_type("deployment", "completed")}',
        deployment_id::text, 'x', '{{}}', now()
    FROM deployments
    """,
    f"""
    INSERT INTO events
    SELECT gen_random_uuid(), entity_id, 1 + n, '{subjects.event_type("deployment", "health")}',
        deployment_id::text, 'x', '{{}}', now()
    FROM deployments CROSS JOIN generate_series(1, {DEPLOYMENTS_EACH}) n WHERE status = 'active'
    """,
    f"""
    INSERT INTO idempotency
    SELECT 'anonymous', 'x', 'key' || n, '', NULL, '{{}}', now() + interval '1 day'
    FROM generate_series(1, {ENTITIES * DEPLOYMENTS_EACH}) n
    """,
)


@pytest.fixture(scope="module")
def filled(system):
    """A database with a history: each entity was deployed many times in one place."""
    name = f"filled_{uuid4().hex}"
    system.sql(f"CREATE DATABASE {name}")
    url = urlunsplit(urlsplit(system.database_url)._replace(path=f"/{name}"))
    owner = unit_of_work.connect(url, name="tests", size=1)
    migrate(owner)
    with unit_of_work.transaction(owner) as connection:
        for statement in _HISTORY:
            connection.exec_driver_sql(statement.replace("%", "%%"))
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    owner.dispose()
    yield url
    system.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def writing(filled):
    """Connections as the worker's lane and its relay have them, whose plans are made once and kept."""
    engine = unit_of_work.connect(filled, name="tests", size=1, by_key=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
    yield engine
    engine.dispose()


@pytest.fixture
def reading(filled):
    """Connections as the worker's readers have them."""
    engine = unit_of_work.connect(filled, name="tests", size=1)
    yield engine
    engine.dispose()


def identity(of: str) -> Id:
    """The id that the filled database gave ``of``."""
    return id_of(UUID(hashlib.md5(of.encode()).hexdigest()))


def explained(engine, work):
    with engine.connect() as connection:
        transaction = Explained(connection)
        work(transaction)
        connection.rollback()
    return transaction


def test_a_batch_of_deploys_reads_what_is_active_and_not_the_history(writing):
    places = [(identity(f"e{n}"), "staging") for n in range(1, 65)]
    wanted = Wanted(
        entity_ids=[entity for entity, _ in places],
        places=places,
        keys=[OutcomeKey("anonymous", "x", f"key{n}") for n in range(64)],
        names=[f"e{n}" for n in range(64)],
    )

    seen = explained(writing, lambda transaction: facts.load(transaction, wanted, lock=True))

    assert "one_active" in seen.indexes
    assert "idempotency_pkey" in seen.indexes
    assert seen.most_read("deployments") <= ENTITIES
    assert seen.most_read("idempotency") <= 64


def test_what_a_lone_command_asks_is_planned_once_a_connection(writing):
    wanted = Wanted(entity_ids=[identity("e1")], places=[(identity("e1"), "staging")])
    for _ in range(3):
        unit_of_work.run(writing, lambda transaction: facts.load(transaction, wanted, lock=True))

    plans = unit_of_work.run(
        writing,
        lambda transaction: transaction.execute(
            "SELECT custom_plans, generic_plans >= 3 FROM pg_prepared_statements WHERE name LIKE 'library%%'"
        ),
    )
    assert plans
    assert set(plans) == {(0, True)}


def test_a_rollback_finds_its_target_without_reading_the_history(writing):
    current = identity(f"5.{DEPLOYMENTS_EACH}")
    wanted = Wanted(deployment_ids=[current], fallback_of=[current], dependents_of=[current])
    found = []

    seen = explained(
        writing, lambda transaction: found.append(facts.load(transaction, wanted, lock=True).facts)
    )

    assert found[0].fallbacks == {current: identity(f"5.{DEPLOYMENTS_EACH - 1}")}
    assert "rollback_targets" in seen.indexes
    assert "one_active" in seen.indexes
    assert seen.most_read("deployments") <= 5


def test_dependents_are_found_by_their_index(writing):
    needed = identity(f"2.{DEPLOYMENTS_EACH}")
    wanted = Wanted(deployment_ids=[needed], dependents_of=[needed])
    found = []

    seen = explained(
        writing, lambda transaction: found.append(facts.load(transaction, wanted, lock=True).facts)
    )

    assert len(found[0].dependents) == ENTITIES // 10 + 1
    assert "entities_depending" in seen.indexes
    assert seen.most_read("deployments") <= ENTITIES


@pytest.mark.parametrize(
    ("conditions", "index"),
    [
        ({"entity_id": identity("e5")}, "deployments_of_entity"),
        ({"entity_id": identity("e5"), "environment": "staging"}, "deployments_of_entity"),
        ({}, "deployments_newest"),
    ],
    ids=["of an entity", "of an entity in a place", "all"],
)
def test_a_page_reads_its_rows_by_an_index(reading, conditions, index):
    which = Which(conditions=conditions, page_size=20)

    seen = explained(reading, lambda transaction: queries.deployments(transaction, which))

    assert index in seen.indexes


def test_a_page_deep_in_the_list_reads_no_more_than_the_first(reading):
    ((at, last),) = unit_of_work.read(
        reading,
        lambda transaction: transaction.execute(
            "SELECT deployed_at, deployment_id FROM deployments ORDER BY 1 DESC, 2 DESC OFFSET 9000 LIMIT 1"
        ),
    )
    cursor = queries._encoded(f"{at.isoformat()} {last}")
    which = Which(conditions={}, page_size=20, cursor=cursor)

    seen = explained(reading, lambda transaction: queries.deployments(transaction, which))

    sorts = [node for node in seen.nodes if node["Node Type"] == "Limit" and node["Actual Rows"] <= 21]
    assert sorts
    assert all(inner["Actual Rows"] <= 21 for node in sorts for inner in node["Plans"])


def test_large_totals_are_estimates_and_say_so(reading):
    everything = unit_of_work.read(
        reading, lambda transaction: queries.deployments(transaction, Which(conditions={}, page_size=1))
    )
    some = unit_of_work.read(
        reading,
        lambda transaction: queries.deployments(
            transaction, Which(conditions={"entity_id": identity("e5")}, page_size=1)
        ),
    )

    assert not everything.total_exact
    assert everything.total == pytest.approx(ENTITIES * DEPLOYMENTS_EACH, rel=0.2)
    assert (some.total, some.total_exact) == (DEPLOYMENTS_EACH, True)


def test_live_configurations_are_looked_up_one_row_each(writing):
    outbox = Outbox(writing)
    try:
        found = outbox.active.values([("staging", str(identity(f"e{n}"))) for n in range(1, 51)])
    finally:
        outbox.close()

    assert len(found) == 50
    assert all(json.loads(value)["sequence"] == "1" for _, value in found)


def test_what_is_due_is_found_without_reading_what_waits(reading):
    found = []

    seen = explained(reading, lambda transaction: found.extend(due.unconfirmed(transaction)))

    assert found == [identity(f"w{n}.0") for n in WAITING[:OVERDUE]]
    assert "deployments_due" in seen.indexes
    assert seen.most_read("deployments") == OVERDUE < len(WAITING)


def test_what_waits_in_a_place_is_found_without_reading_its_history(writing):
    place = (identity("e55"), "testing")
    wanted = Wanted(entity_ids=[place[0]], places=[place])
    found = []

    seen = explained(
        writing, lambda transaction: found.append(facts.load(transaction, wanted, lock=True).facts)
    )

    assert found[0].waiting[place] == [identity(f"w55.{n}") for n in range(PENDING_EACH + 1)]
    assert "deployments_waiting" in seen.indexes
    assert seen.most_read("deployments") <= PENDING_EACH + 1


def test_what_is_beside_a_deployment_is_found_without_reading_the_history(writing):
    deploying = identity("w55.0")
    wanted = Wanted(deployment_ids=[deploying], neighbours_of=[deploying])

    seen = explained(writing, lambda transaction: facts.load(transaction, wanted, lock=True))

    assert {"deployments_waiting", "one_active", "quarantine_in_force"} <= seen.indexes
    assert seen.most_read("deployments") <= PENDING_EACH + 1


def test_quarantines_of_a_place_are_found_without_reading_those_that_were_lifted(writing):
    places = [(identity(f"e{n}"), "staging") for n in range(1, 65)]
    wanted = Wanted(entity_ids=[entity for entity, _ in places], places=places)
    found = []

    seen = explained(
        writing, lambda transaction: found.append(facts.load(transaction, wanted, lock=True).facts)
    )

    assert len(found[0].quarantines) == len(places)
    assert "quarantine_in_force" in seen.indexes
    assert seen.most_read("quarantine") == len(places)


@pytest.mark.parametrize(
    ("environment", "index"),
    [("staging", "deployments_of_entity"), ("production", "former_activations_of_entity")],
    ids=["last active then", "active again since"],
)
@pytest.mark.parametrize("number", [DEPLOYMENTS_EACH // 3, DEPLOYMENTS_EACH - 3], ids=["long ago", "of late"])
def test_what_was_active_at_a_time_is_found_by_a_step_along_an_index(reading, environment, index, number):
    then = BEGAN + timedelta(seconds=number + 0.25)
    found = []

    def look(transaction):
        page = as_of.active_at(
            transaction,
            then,
            Which(conditions={}, page_size=100),
            environment=environment,
            entity_id=identity("e5"),
        )
        found.extend(page.items)

    seen = explained(reading, look)

    assert [each.deployment_id for each in found] == [identity(f"5.{number}")]
    assert index in seen.indexes
    assert seen.most_read("deployments") <= 2
    if environment == "production":
        assert seen.most_read("former_activations") <= 2


def test_what_brought_a_configuration_is_found_without_reading_reports_of_health(reading):
    applied = [Applied(identity(f"e{n}"), "agent", None, None) for n in range(1, 51)]
    found = []

    seen = explained(
        reading, lambda transaction: found.extend(convergence.beside(transaction, "staging", applied)[1])
    )

    assert {each.sequence for each in found} == {1}
    assert "events_of_arrivals" in seen.indexes
    assert seen.most_read("events") <= len(applied)
    assert seen.most_read("deployments") <= len(applied)
