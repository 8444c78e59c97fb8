"""Facts in: the rows that a batch needs, locked in the order of their ids, in one round trip."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import NamedTuple

import orjson

from contracts.environments import EnvironmentName
from contracts.ids import Id
from worker.domain.facts import WAITING, Dependent, Deployment, Entity, Facts, Running
from worker.store import rows
from worker.store.idempotency import Outcome, OutcomeKey
from worker.store.transaction import Transaction
from worker.store.unit_of_work import StaleFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a batch asks for, all commands together."""

    entity_ids: Sequence[Id] = ()
    places: Sequence[tuple[Id, EnvironmentName]] = ()
    deployment_ids: Sequence[Id] = ()
    neighbours_of: Sequence[Id] = ()
    target_ids: Sequence[Id] = ()
    fallback_of: Sequence[Id] = ()
    dependents_of: Sequence[Id] = ()
    names: Sequence[str] = ()
    quarantine_ids: Sequence[Id] = ()
    keys: Sequence[OutcomeKey] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """The facts, and the stored outcomes of the keys that were asked for."""

    facts: Facts
    outcomes: dict[OutcomeKey, Outcome]


# Every lookup is by key, through LATERAL and LIMIT: a join of sets that the planner knows nothing of makes it
# scan whole indexes. Only what a batch asks for is in a statement: to set up the rest, unused, took longer
# than all other statements of a lone deploy.

_NAMED = "SELECT entity_id FROM unnest(%(entities)s::uuid[]) AS given (entity_id)"
_OF_DEPLOYMENTS = """
    UNION
    SELECT d.entity_id FROM deployments d WHERE d.deployment_id = ANY(%(deployments)s::uuid[])
"""
_NEEDED = """
    SELECT DISTINCT dependency.name, found.entity_id
    FROM named
    CROSS JOIN LATERAL (SELECT dependency_names FROM entities WHERE entity_id = named.entity_id LIMIT 1) e
    CROSS JOIN LATERAL unnest(e.dependency_names) AS dependency (name)
    CROSS JOIN LATERAL (
        SELECT entity_id FROM entities WHERE name = dependency.name AND deleted_at IS NULL LIMIT 1
    ) found
"""
_HELD = "entity_id = ANY(ARRAY(SELECT entity_id FROM named UNION SELECT entity_id FROM needed))"


def _entities(*, deployments: bool) -> str:
    """The entities named, those of the named deployments, and those they depend on, by name."""
    named = f"{_NAMED}{_OF_DEPLOYMENTS if deployments else ''}"
    return f"WITH named AS MATERIALIZED ({named}), needed AS MATERIALIZED ({_NEEDED})"


@cache
def _lock_statement(*, deployments: bool) -> str:
    """A batch that writes locks all of them: no dependency is retired between its check and the commit.

    What is read after that, on a snapshot of its own, stays true.
    """
    return f"""
{_entities(deployments=deployments)}
SELECT 1 FROM entities WHERE {_HELD} ORDER BY entity_id FOR UPDATE
"""  # noqa: S608 - made of constants


_DEPENDENTS = """, dependents AS MATERIALIZED (
    SELECT DISTINCT e.entity_id, e.name, e.dependencies
    FROM unnest(%(dependents_of)s::uuid[]) AS named (deployment_id)
    CROSS JOIN LATERAL (
        SELECT entity_id, environment FROM deployments WHERE deployment_id = named.deployment_id LIMIT 1
    ) d
    CROSS JOIN LATERAL (SELECT name FROM entities WHERE entity_id = d.entity_id LIMIT 1) depended
    JOIN entities e ON e.dependency_names @> ARRAY[depended.name] AND e.deleted_at IS NULL
    CROSS JOIN LATERAL (
        SELECT 1 FROM deployments
        WHERE entity_id = e.entity_id AND environment = d.environment AND status = 'active'
        LIMIT 1
    ) active
)
"""
_OR_THEMSELVES = " UNION SELECT entity_id FROM named"
_OR_DEPENDENTS = " UNION SELECT entity_id FROM dependents"
_EACH_DEPENDENT = "(SELECT json_agg(json_build_array(entity_id, name, dependencies)) FROM dependents)::text"
_RUNNING = """(
    SELECT json_agg(json_build_array(active.entity_id, environment, deployment_id, version))
    FROM (SELECT entity_id FROM needed{others}) counts
    CROSS JOIN LATERAL (
        SELECT * FROM deployments WHERE entity_id = counts.entity_id AND status = 'active' LIMIT 4
    ) active
)::text"""
_NAMES = """(
    SELECT json_agg(json_build_array(known.name, known.entity_id)) FROM (
        SELECT name, entity_id FROM needed{asked}
    ) known
)::text"""
_ASKED = """
        UNION
        SELECT asked.name, e.entity_id
        FROM unnest(%(names)s::text[]) AS asked (name)
        CROSS JOIN LATERAL (
            SELECT entity_id FROM entities WHERE name = asked.name AND deleted_at IS NULL LIMIT 1
        ) e"""
_OUTCOMES = """(
    SELECT json_agg(json_build_array(i.caller, i.operation, i.key, encode(fingerprint, 'hex'), code, reply))
    FROM unnest(%(callers)s::text[], %(operations)s::text[], %(keys)s::text[])
        AS asked (caller, operation, key)
    CROSS JOIN LATERAL (
        SELECT * FROM idempotency
        WHERE caller = asked.caller AND operation = asked.operation AND key = asked.key
            AND expires_at > clock_timestamp()
        LIMIT 1
    ) i
)::text"""
_QUARANTINES = """(
    SELECT json_agg(json_build_array(q.quarantine_id, q.entity_id, q.environment, q.version,
        q.snapshot_digest, q.deployment_id, q.since, q.reason, q.lifted_at, q.lifted_by, q.lift_reason))
    FROM ({found}) q
)::text"""
_IN_FORCE = """
CROSS JOIN LATERAL (
    SELECT * FROM quarantine
    WHERE entity_id = place.entity_id AND environment = place.environment AND lifted_at IS NULL
    ORDER BY since DESC
    LIMIT 1000
) q"""
_QUARANTINED_IN_PLACES = f"""
SELECT q.* FROM unnest(%(place_entities)s::uuid[], %(environments)s::text[]) AS place (entity_id, environment)
{_IN_FORCE}"""  # noqa: S608 - made of constants
_QUARANTINED_BESIDE = f"""
SELECT q.* FROM (
    SELECT entity_id, environment FROM deployments WHERE deployment_id = ANY(%(neighbours_of)s::uuid[])
) place {_IN_FORCE}"""  # noqa: S608 - made of constants
_QUARANTINED_BY_ID = "SELECT * FROM quarantine WHERE quarantine_id = ANY(%(quarantines)s::uuid[])"
_ENVIRONMENTS = "(SELECT json_agg(e) FROM environments e)::text"
_NOTHING = "NULL"
_XID = "pg_current_xact_id()::text"


class _Context(NamedTuple):
    """The columns of the row of context."""

    now: str
    xid: str | None
    environments: str
    running: str | None
    names: str | None
    dependents: str | None
    quarantines: str | None
    outcomes: str | None


_WIDTH = len(Deployment._fields)


def _row(kind: str, columns: str, *, count: int, of: str = "NULL") -> str:
    """What selects rows of a kind: the kind, the deployment that this one is the rollback target of, columns.

    Columns are as many as a deployment has, all of them text; those that another kind does not have are null.
    """
    nulls = ", NULL" * (_WIDTH - count)
    return f"SELECT {kind}::text, {of}::text, {columns}{nulls}"


_A_DEPLOYMENT = _row("'deployment'", rows.DEPLOYMENT_COLUMNS, count=_WIDTH)
_IF_LOCKED = "CASE WHEN xmax = pg_current_xact_id()::xid THEN 'entity' ELSE 'unlocked' END"
_BY_ID = f"""
{_A_DEPLOYMENT} FROM deployments d
WHERE d.deployment_id = ANY(%(deployments)s::uuid[] || %(targets)s::uuid[])
"""
_ACTIVE = f"""
{_A_DEPLOYMENT}
FROM unnest(%(place_entities)s::uuid[], %(environments)s::text[]) AS place (entity_id, environment)
CROSS JOIN LATERAL (
    SELECT * FROM deployments
    WHERE entity_id = place.entity_id AND environment = place.environment AND status = 'active'
    LIMIT 1
) d
"""  # noqa: S608 - made of constants
_WAITING = f"""
{_A_DEPLOYMENT}
FROM unnest(%(place_entities)s::uuid[], %(environments)s::text[]) AS place (entity_id, environment)
CROSS JOIN LATERAL (
    SELECT * FROM deployments
    WHERE entity_id = place.entity_id AND environment = place.environment
        AND status IN ('deploying', 'pending')
    ORDER BY deployed_at, deployment_id
    LIMIT 1000
) d
"""  # noqa: S608 - made of constants
_NEIGHBOURS = f"""
{_A_DEPLOYMENT}
FROM deployments c
CROSS JOIN LATERAL (
    (SELECT * FROM deployments
    WHERE entity_id = c.entity_id AND environment = c.environment AND status = 'active'
    LIMIT 1)
    UNION ALL
    (SELECT * FROM deployments
    WHERE entity_id = c.entity_id AND environment = c.environment AND status IN ('deploying', 'pending')
    ORDER BY deployed_at, deployment_id
    LIMIT 1000)
) d
WHERE c.deployment_id = ANY(%(neighbours_of)s::uuid[])
"""  # noqa: S608 - made of constants
_FALLBACKS = f"""
{_row("'deployment'", rows.DEPLOYMENT_COLUMNS, count=_WIDTH, of="c.deployment_id")}
FROM deployments c
CROSS JOIN LATERAL (
    SELECT * FROM deployments
    WHERE entity_id = c.entity_id AND environment = c.environment AND status = 'inactive'
        AND deployed_at < c.deployed_at AND activated_at IS NOT NULL
    ORDER BY deactivated_at DESC, deployed_at DESC
    LIMIT 1
) d
WHERE c.deployment_id = ANY(%(fallback_of)s::uuid[])
"""  # noqa: S608 - made of constants


@cache
def _statement(
    *,
    lock: bool,
    names: bool,
    dependents: bool,
    keys: bool,
    deployments: bool,
    targets: bool,
    places: bool,
    neighbours: bool,
    quarantines: bool,
    fallbacks: bool,
) -> str:
    """All that a rule looks at: a row of context, one an entity, and one a deployment.

    What is active, in short, is told of those depended on and of dependents; of an entity itself only where a
    deployment names it: where it is named with a place, what is active there is here, whole.
    """
    looked_for = {
        _QUARANTINED_IN_PLACES: places,
        _QUARANTINED_BESIDE: neighbours,
        _QUARANTINED_BY_ID: quarantines,
    }
    quarantined = " UNION ALL ".join(part for part, is_asked in looked_for.items() if is_asked)
    counts = {_OR_THEMSELVES: deployments, _OR_DEPENDENTS: dependents}
    others = "".join(part for part, is_asked in counts.items() if is_asked)
    context = (  # in the order of _Context
        "clock_timestamp()::text",
        _XID if lock else _NOTHING,
        _ENVIRONMENTS,
        _RUNNING.format(others=others),
        _NAMES.format(asked=_ASKED if names else ""),
        _EACH_DEPENDENT if dependents else _NOTHING,
        _QUARANTINES.format(found=quarantined) if quarantined else _NOTHING,
        _OUTCOMES if keys else _NOTHING,
    )
    kind = _IF_LOCKED if lock else "'entity'"
    entities = f"{_row(kind, rows.ENTITY_COLUMNS, count=len(Entity._fields))} FROM entities WHERE {_HELD}"
    asked = {
        _BY_ID: deployments or targets,
        _ACTIVE: places,
        _WAITING: places,
        _NEIGHBOURS: neighbours,
        _FALLBACKS: fallbacks,
    }
    first = _row("'context'", ", ".join(context), count=len(context))
    parts = [first, entities, *(part for part, is_asked in asked.items() if is_asked)]
    found_by = f"{_entities(deployments=deployments)}{_DEPENDENTS if dependents else ''}"
    return f"{found_by}\n{' UNION ALL '.join(parts)}"


def load(transaction: Transaction, wanted: Wanted, *, lock: bool) -> Loaded:
    """The facts that ``wanted`` names. Locked, they stay true until the commit.

    Raises ``StaleFacts`` where there is an entity that was not there to be locked, such as a new dependency.
    """
    given = {
        "entities": rows.uuids(wanted.entity_ids),
        "deployments": rows.uuids(wanted.deployment_ids),
    }
    if lock:
        transaction.ahead(_lock_statement(deployments=bool(wanted.deployment_ids)), given)
    found = transaction.prepared(
        _statement(
            lock=lock,
            names=bool(wanted.names),
            dependents=bool(wanted.dependents_of),
            keys=bool(wanted.keys),
            deployments=bool(wanted.deployment_ids),
            targets=bool(wanted.target_ids),
            places=bool(wanted.places),
            neighbours=bool(wanted.neighbours_of),
            quarantines=bool(wanted.quarantine_ids),
            fallbacks=bool(wanted.fallback_of),
        ),
        {
            **given,
            "targets": rows.uuids(wanted.target_ids),
            "names": [*wanted.names],
            "dependents_of": rows.uuids(wanted.dependents_of),
            "callers": [key.caller for key in wanted.keys],
            "operations": [key.operation for key in wanted.keys],
            "keys": [key.key for key in wanted.keys],
            "place_entities": rows.uuids([entity_id for entity_id, _ in wanted.places]),
            "environments": [environment for _, environment in wanted.places],
            "neighbours_of": rows.uuids(wanted.neighbours_of),
            "quarantines": rows.uuids(wanted.quarantine_ids),
            "fallback_of": rows.uuids(wanted.fallback_of),
        },
    )
    (context,) = (_Context._make(row[2 : 2 + len(_Context._fields)]) for row in found if row[0] == "context")
    transaction.xid = context.xid
    facts = _facts(context)
    for kind, replaces, *row in found:
        if kind == "deployment":
            _enter(facts, rows.deployment(row), replaces)
        elif kind == "entity":
            facts.absorb((rows.entity(row),))
        elif kind == "unlocked":
            raise StaleFacts(row[0])
    _line_up(facts)
    return Loaded(facts, _outcomes(context))


def _enter(facts: Facts, deployment: Deployment, replaces: Id | None) -> None:
    facts.deployments[deployment.deployment_id] = deployment
    if replaces is not None:
        facts.fallbacks[replaces] = deployment.deployment_id
    if deployment.status == "active":
        facts.running[deployment.entity_id, deployment.environment] = Running(
            deployment.deployment_id, deployment.version
        )


def _facts(context: _Context) -> Facts:
    facts = Facts(now=datetime.fromisoformat(context.now))
    for values in orjson.loads(context.environments):
        facts.environments[values["environment"]] = rows.environment(values)
    for name, entity_id in orjson.loads(context.names or "[]"):
        facts.ids_by_name[name] = entity_id
    for entity_id, environment, deployment_id, version in orjson.loads(context.running or "[]"):
        facts.running[entity_id, environment] = Running(deployment_id, version)
    for entity_id, name, dependencies in orjson.loads(context.dependents or "[]"):
        dependent = Dependent(entity_id, name, rows.dependencies(dependencies))
        facts.dependents.setdefault(dependent.entity_id, dependent)
    for row in orjson.loads(context.quarantines or "[]"):
        quarantine = rows.quarantine_of_json(row)
        facts.quarantines[quarantine.quarantine_id] = quarantine
    return facts


def _line_up(facts: Facts) -> None:
    waiting = [each for each in facts.deployments.values() if each.status in WAITING]
    for each in sorted(waiting, key=attrgetter("deployed_at", "deployment_id")):
        facts.waiting.setdefault((each.entity_id, each.environment), []).append(each.deployment_id)


def _outcomes(context: _Context) -> dict[OutcomeKey, Outcome]:
    return {
        OutcomeKey(caller, operation, key): Outcome(bytes.fromhex(fingerprint), code, reply.encode())
        for caller, operation, key, fingerprint, code, reply in orjson.loads(context.outcomes or "[]")
    }


def clock(transaction: Transaction) -> datetime:
    """The database's time."""
    ((now,),) = transaction.execute("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now
