"""A history of any length, written by SQL: entities that were deployed, superseded and rolled back for years.

Each entity has ten deployments in four environments, one active in each. One entity in ten ends with a
rollback, one in fifty has a deployment that failed. Events are numbered as the product numbers them and older
than the stream's ``max_age``, so that what ``library check`` compares in the tables agrees.
"""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import psycopg2
from nats.aio.client import Client

from benchmarks import load
from contracts import subjects

DEPLOYMENTS_EACH = 10
PLACES = (
    *("development", "testing", "development", "staging", "testing"),
    *("development", "production", "staging", "testing", "development"),
)
NAME = "history-template"

_FAILS_AT = 9
_ENDINGS = {
    "plain": "n % 10 <> 0 AND n % 50 <> 7",
    "rolled back": "n % 10 = 0",
    "failed": "n % 50 = 7",
}


class Deployed(NamedTuple):
    """A deployment of every entity with some ending, by its number; others are named by theirs."""

    number: int
    environment: str
    status: str
    previous: int | None
    deactivated_at: int | None


class Happened(NamedTuple):
    """An event of it: which of the entity's, when (by the number of what was deployed then), to what."""

    sequence: int
    at: int
    name: str
    number: int
    status: str


def story(ending: str) -> tuple[list[Deployed], list[Happened]]:
    """What becomes of an entity: its deployments and their events; the entity's creation is event 1."""
    active: dict[str, int] = {}
    deployments: dict[int, Deployed] = {}
    happened: list[tuple[int, str, int, str]] = []

    def leave(number: int, at: int, status: str, event: str) -> None:
        deployments[number] = deployments[number]._replace(status=status, deactivated_at=at)
        happened.append((at, event, number, status))

    for number, environment in enumerate(PLACES, 1):
        previous = active.get(environment)
        if ending == "failed" and number == _FAILS_AT:
            deployments[number] = Deployed(number, environment, "failed", None, None)
            happened += [(number, "started", number, "deploying"), (number, "failed", number, "failed")]
            continue
        if previous is not None:
            leave(previous, number, "inactive", "superseded")
        active[environment] = number
        deployments[number] = Deployed(number, environment, "active", previous, None)
        happened.append((number, "completed", number, "active"))
    if ending == "rolled back":
        last, target = number, deployments[number].previous
        assert target is not None
        leave(last, last + 1, "rolled_back", "rolled_back")
        deployments[target] = deployments[target]._replace(status="active", deactivated_at=None)
        happened.append((last + 1, "reactivated", target, "active"))
    return list(deployments.values()), [Happened(each, *what) for each, what in enumerate(happened, 2)]


# Number 0 is the entity itself. Time goes on from one deployment number to the next over all entities, so
# what was deployed together lies together, and an entity's deployments lie far apart, as in real life.
_FUNCTIONS = """
CREATE OR REPLACE FUNCTION pg_temp.at(number bigint, n bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS
$$ SELECT date_trunc('day', now()) - interval '800 days'
       + (number * {entities} + n) * (interval '700 days' / (12 * {entities})) $$;
CREATE OR REPLACE FUNCTION pg_temp.id(number bigint, n bigint, kind bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM pg_temp.at(number, n)) * 1000)::bigint), 12, '0') || '7'
       || lpad(to_hex(kind), 3, '0') || '8' || lpad(to_hex(number), 3, '0')
       || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE OR REPLACE FUNCTION pg_temp.said(at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE AS
$$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$
"""

_ENTITIES = """
INSERT INTO entities (entity_id, name, type, version, config, parameters, status, declared_status,
    health_status, tags, dependencies, dependency_names, revision, event_sequence, deployed_at, deployed_by,
    deployment_config, created_at, updated_at)
SELECT pg_temp.id(0, n, 0), 'history-' || n, (ARRAY['strategy', 'indicator', 'model', 'feed'])[n % 4 + 1],
    t.version, t.config, t.parameters, CASE WHEN n % 50 = 3 THEN 'deprecated' ELSE 'deployed' END,
    'registered', t.health_status, t.tags, t.dependencies, t.dependency_names, 1,
    CASE WHEN n % 10 = 0 THEN 19 ELSE 17 END, pg_temp.at({each}, n), t.deployed_by,
    t.deployment_config, pg_temp.at(0, n), pg_temp.at({each}, n)
FROM generate_series(1, {entities}) n, (SELECT * FROM entities WHERE name = '{template}') t
"""
_DEPLOYMENTS = """
INSERT INTO deployments (deployment_id, entity_id, entity_name, version, environment, config_snapshot,
    parameters_snapshot, status, deployed_at, deployed_by, deployment_method, rolled_back_at, rolled_back_by,
    rollback_reason, previous_deployment_id, health_checks, deployment_duration_ms, validation_results,
    warnings, created_at, updated_at, activated_at, deactivated_at)
SELECT pg_temp.id(s.number, n, 0), pg_temp.id(0, n, 0), 'history-' || n, t.version, s.environment,
    t.config_snapshot, t.parameters_snapshot, s.status, pg_temp.at(s.number, n), t.deployed_by,
    t.deployment_method, CASE WHEN s.status = 'rolled_back' THEN pg_temp.at(s.deactivated_at, n) END,
    CASE WHEN s.status = 'rolled_back' THEN t.deployed_by END,
    CASE WHEN s.status = 'rolled_back' THEN 'It was slow' END, pg_temp.id(s.previous, n, 0), '[]',
    t.deployment_duration_ms, t.validation_results, t.warnings, pg_temp.at(s.number, n),
    coalesce(pg_temp.at(s.deactivated_at, n), pg_temp.at(s.number, n)),
    CASE WHEN s.status <> 'failed' THEN pg_temp.at(s.number, n) END, pg_temp.at(s.deactivated_at, n)
FROM (VALUES {story}) s (ending, number, environment, status, previous, deactivated_at),
    generate_series(1, {entities}) n, (
        SELECT * FROM deployments WHERE entity_name = '{template}' ORDER BY deployed_at DESC LIMIT 1
    ) t
WHERE CASE s.ending {endings} END
ORDER BY s.number, n
"""
_EVENTS = """
INSERT INTO events
SELECT pg_temp.id(s.at, n, s.sequence), pg_temp.id(0, n, 0), s.sequence, s.type,
    pg_temp.id(s.number, n, 0)::text, format(s.nats_subject, pg_temp.id(0, n, 0)),
    format({body}, pg_temp.id(s.at, n, s.sequence), s.type, pg_temp.id(s.number, n, 0), pg_temp.id(0, n, 0),
        s.sequence, 'history-' || n, s.environment, s.status, pg_temp.said(pg_temp.at(s.at, n)),
        pg_temp.id(s.number, n, 1)),
    pg_temp.at(s.at, n)
FROM (VALUES {story}) s (ending, sequence, at, type, number, environment, status, nats_subject),
    generate_series(1, {entities}) n
WHERE CASE s.ending {endings} END
ORDER BY s.at, n, s.sequence
"""


async def fill(client: Client, database: str, entities: int) -> None:
    """Write the history of so many entities into the database of a running product that has none yet."""
    await _make_template(client)
    await asyncio.to_thread(_fill, database, entities)  # takes minutes, in which nats-server asks for pongs


def _fill(database: str, entities: int) -> None:
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        write(cursor, entities)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        for table in ("entities", "deployments", "events"):  # what is measured is PostgreSQL, not a cold disk
            cursor.execute(f"SELECT count(*) FROM {table} t WHERE t IS NULL")
    connection.close()


def write(cursor: "psycopg2.extensions.cursor", entities: int) -> None:
    """The same within a transaction, where the template is there already."""
    plans = {ending: story(ending) for ending in _ENDINGS}
    named = {
        "entities": entities,
        "each": DEPLOYMENTS_EACH,
        "template": NAME,
        "endings": " ".join(f"WHEN '{ending}' THEN {condition}" for ending, condition in _ENDINGS.items()),
    }
    cursor.execute(_FUNCTIONS.format(**named))
    cursor.execute(_ENTITIES.format(**named))
    made = ((ending, *each) for ending, (deployed, _) in plans.items() for each in deployed)
    cursor.execute(_DEPLOYMENTS.format(story=_values(made), **named))
    body = cursor.mogrify("%s", (_template(cursor),)).decode()
    cursor.execute(_EVENTS.format(story=_values(_events(plans)), body=body, **named))


def _events(plans: dict[str, tuple[list[Deployed], list[Happened]]]) -> Iterator[tuple[object, ...]]:
    for ending, (_, happened) in plans.items():
        created = subjects.entity_event("created", "%s")
        yield ending, 1, 0, subjects.event_type("entity", "created"), 0, "-", "registered", created
        for each in happened:
            place = PLACES[each.number - 1]
            subject = subjects.deployment_event(each.name, place, "%s")
            kind = subjects.event_type("deployment", each.name)
            yield ending, each.sequence, each.at, kind, each.number, place, each.status, subject


def _values(rows: Iterator[tuple[object, ...]]) -> str:
    def literal(value: object) -> str:
        if value is None:
            return "NULL::bigint"
        return f"{value}::bigint" if isinstance(value, int) else f"'{value}'"

    return ", ".join(f"({', '.join(map(literal, row))})" for row in rows)


async def _make_template(client: Client) -> None:
    """An entity that was deployed in place of another deployment: rows and events are made after its."""
    wanted: dict[str, object] = {"name": NAME, "type": "strategy", "version": "1.0.0"}
    documents = {"config": load.CONFIG, "parameters": load.PARAMETERS}
    entity = await load.ask(client, subjects.ENTITY_CREATE, {**wanted, **documents})
    for _ in range(3):
        await load.ask(client, subjects.DEPLOY_REQUEST, load.deploy_request(str(entity["entity_id"])))


def _template(cursor: "psycopg2.extensions.cursor") -> str:
    """An event's body with what differs as places for ``format``."""
    cursor.execute(
        """
        SELECT e.body, e.event_id::text, e.type, d.deployment_id::text, d.entity_id::text, e.sequence::text,
            d.entity_name, d.environment, d.status, d.previous_deployment_id::text
        FROM deployments d JOIN events e ON e.subject = d.deployment_id::text
        WHERE entity_name = %s ORDER BY d.deployed_at DESC, e.sequence DESC LIMIT 1
        """,
        (NAME,),
    )
    row = cursor.fetchone()
    assert row is not None
    body, *values, previous = row
    body = body.replace("%", "%%")
    at = body[(start := body.index('"time":"') + 8) : body.index('"', start)]
    for position, value in enumerate([*values, at, previous], 1):
        body = body.replace(f'"{value}"', f'"%{position}$s"')
    return body.replace(previous, "%10$s")
