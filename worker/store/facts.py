"""Facts in: the rows that a batch needs, locked in the order of their ids, in two statements."""

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

_NAMED = "SELECT entity_id FROM unnest(%(entities)s::uuid[]) AS named (entity_id)"
_OF_DEPLOYMENTS = """
    UNION
    SELECT d.entity_id FROM deployments d WHERE d.deployment_id = ANY(%(deployments)s::uuid[])
"""


@cache
def _entities_statement(*, lock: bool, deployments: bool) -> str:
    """Those named, those of the named deployments, and those they depend on.

    A batch that writes locks all of them, so that no dependency is retired between its check and the commit.
    """
    return f"""
WITH wanted AS MATERIALIZED ({_NAMED}{_OF_DEPLOYMENTS if deployments else ""})
SELECT {rows.ENTITY_COLUMNS} FROM entities WHERE entity_id = ANY(ARRAY(
    SELECT entity_id FROM wanted
    UNION
    SELECT needed.entity_id
    FROM wanted
    CROSS JOIN LATERAL (SELECT * FROM entities WHERE entity_id = wanted.entity_id LIMIT 1) e
    CROSS JOIN LATERAL unnest(e.dependency_names) AS dependency (name)
    CROSS JOIN LATERAL (
        SELECT entity_id FROM entities WHERE name = dependency.name AND deleted_at IS NULL LIMIT 1
    ) needed
)) ORDER BY entity_id{" FOR UPDATE" if lock else ""}
"""  # noqa: S608 - made of constants


_DEPENDENTS = """
WITH dependents AS MATERIALIZED (
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
_OR_DEPENDENTS = " || ARRAY(SELECT entity_id FROM dependents)"
_EACH_DEPENDENT = "(SELECT json_agg(json_build_array(entity_id, name, dependencies)) FROM dependents)::text"
_RUNNING = """(
    SELECT json_agg(json_build_array(active.entity_id, environment, deployment_id, version))
    FROM unnest(%(loaded)s::uuid[]{or_dependents}) AS held (entity_id)
    CROSS JOIN LATERAL (
        SELECT * FROM deployments WHERE entity_id = held.entity_id AND status = 'active' LIMIT 4
    ) active
)::text"""
_NAMES = """(
    SELECT json_agg(json_build_array(asked.name, e.entity_id))
    FROM unnest(%(names)s::text[]) AS asked (name)
    CROSS JOIN LATERAL (
        SELECT entity_id FROM entities WHERE name = asked.name AND deleted_at IS NULL LIMIT 1
    ) e
)::text"""
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
SELECT q.* FROM unnest(%(entities)s::uuid[], %(environments)s::text[]) AS place (entity_id, environment)
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

    now: datetime
    xid: str | None
    environments: str
    running: str | None
    names: str | None
    dependents: str | None
    quarantines: str | None
    outcomes: str | None


_WIDTH = len(_Context._fields)
_NO_CONTEXT = ", ".join([_NOTHING] * _WIDTH)
_NO_DEPLOYMENT = ", ".join([_NOTHING] * (2 + rows.DEPLOYMENT_COLUMNS.count(",")))

_BY_ID = f"""
SELECT {_NO_CONTEXT}, NULL::uuid, {rows.DEPLOYMENT_COLUMNS} FROM deployments d
WHERE d.deployment_id = ANY(%(deployments)s::uuid[])
"""  # noqa: S608 - made of constants
_ACTIVE = f"""
SELECT {_NO_CONTEXT}, NULL::uuid, {rows.DEPLOYMENT_COLUMNS}
FROM unnest(%(entities)s::uuid[], %(environments)s::text[]) AS place (entity_id, environment)
CROSS JOIN LATERAL (
    SELECT * FROM deployments
    WHERE entity_id = place.entity_id AND environment = place.environment AND status = 'active'
    LIMIT 1
) d
"""  # noqa: S608 - made of constants
_WAITING = f"""
SELECT {_NO_CONTEXT}, NULL::uuid, {rows.DEPLOYMENT_COLUMNS}
FROM unnest(%(entities)s::uuid[], %(environments)s::text[]) AS place (entity_id, environment)
CROSS JOIN LATERAL (
    SELECT * FROM deployments
    WHERE entity_id = place.entity_id AND environment = place.environment
        AND status IN ('deploying', 'pending')
    ORDER BY deployed_at, deployment_id
    LIMIT 1000
) d
"""  # noqa: S608 - made of constants
_NEIGHBOURS = f"""
SELECT {_NO_CONTEXT}, NULL::uuid, {rows.DEPLOYMENT_COLUMNS}
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
SELECT {_NO_CONTEXT}, c.deployment_id, {rows.DEPLOYMENT_COLUMNS}
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
def _rest_statement(
    *,
    lock: bool,
    names: bool,
    dependents: bool,
    keys: bool,
    by_id: bool,
    places: bool,
    neighbours: bool,
    quarantines: bool,
    fallbacks: bool,
) -> str:
    """What else a rule looks at: a row of context, and one a deployment, behind what it is the target of.

    Its snapshot is taken after the locks, and so is its clock.
    """
    looked_for = {
        _QUARANTINED_IN_PLACES: places,
        _QUARANTINED_BESIDE: neighbours,
        _QUARANTINED_BY_ID: quarantines,
    }
    quarantined = " UNION ALL ".join(part for part, is_asked in looked_for.items() if is_asked)
    context = (  # in the order of _Context
        "clock_timestamp()",
        _XID if lock else _NOTHING,
        _ENVIRONMENTS,
        _RUNNING.format(or_dependents=_OR_DEPENDENTS if dependents else ""),
        _NAMES if names else _NOTHING,
        _EACH_DEPENDENT if dependents else _NOTHING,
        _QUARANTINES.format(found=quarantined) if quarantined else _NOTHING,
        _OUTCOMES if keys else _NOTHING,
    )
    first = f"{_DEPENDENTS if dependents else ''}SELECT {', '.join(context)}, {_NO_DEPLOYMENT}"
    asked = {
        _BY_ID: by_id,
        _ACTIVE: places,
        _WAITING: places,
        _NEIGHBOURS: neighbours,
        _FALLBACKS: fallbacks,
    }
    return " UNION ALL ".join([first, *(part for part, is_asked in asked.items() if is_asked)])


def load(transaction: Transaction, wanted: Wanted, *, lock: bool) -> Loaded:
    """The facts that ``wanted`` names. Locked, they stay true until the commit.

    Raises ``StaleFacts`` where an entity got a new dependency between the finding and the locking.
    """
    statement = _entities_statement(lock=lock, deployments=bool(wanted.deployment_ids))
    found = transaction.prepared(
        statement,
        {"entities": rows.uuids(wanted.entity_ids), "deployments": rows.uuids(wanted.deployment_ids)},
    )
    entities = [rows.entity(row) for row in found]
    depended = {dependency.name for entity in entities for dependency in entity.dependencies}
    context, deployments = _rest(transaction, wanted, entities, depended.union(wanted.names), lock=lock)
    transaction.xid = context.xid
    facts = _facts(context, entities)
    for replaces, deployment in deployments:
        facts.deployments[deployment.deployment_id] = deployment
        if replaces is not None:
            facts.fallbacks[replaces] = deployment.deployment_id
    _line_up(facts)
    if lock:
        _refuse_unlocked(entities, wanted, facts)
    return Loaded(facts, _outcomes(context))


def _rest(
    transaction: Transaction, wanted: Wanted, entities: list[Entity], names: set[str], *, lock: bool
) -> tuple[_Context, list[tuple[Id | None, Deployment]]]:
    """The context, and deployments, each with the one that it is the rollback target of, if it is that."""
    statement = _rest_statement(
        lock=lock,
        names=bool(names),
        dependents=bool(wanted.dependents_of),
        keys=bool(wanted.keys),
        by_id=bool(wanted.deployment_ids or wanted.target_ids),
        places=bool(wanted.places),
        neighbours=bool(wanted.neighbours_of),
        quarantines=bool(wanted.quarantine_ids),
        fallbacks=bool(wanted.fallback_of),
    )
    found = transaction.prepared(
        statement,
        {
            "loaded": rows.uuids([entity.entity_id for entity in entities]),
            "names": [*names],
            "dependents_of": rows.uuids(wanted.dependents_of),
            "callers": [key.caller for key in wanted.keys],
            "operations": [key.operation for key in wanted.keys],
            "keys": [key.key for key in wanted.keys],
            "deployments": rows.uuids([*wanted.deployment_ids, *wanted.target_ids]),
            "entities": rows.uuids([entity_id for entity_id, _ in wanted.places]),
            "environments": [environment for _, environment in wanted.places],
            "neighbours_of": rows.uuids(wanted.neighbours_of),
            "quarantines": rows.uuids(wanted.quarantine_ids),
            "fallback_of": rows.uuids(wanted.fallback_of),
        },
    )
    (context,) = (_Context._make(row[:_WIDTH]) for row in found if row[0] is not None)
    deployments = (row[_WIDTH:] for row in found if row[0] is None)
    return context, [(replaces, rows.deployment(row)) for replaces, *row in deployments]


def _facts(context: _Context, entities: list[Entity]) -> Facts:
    facts = Facts(now=context.now)
    for values in orjson.loads(context.environments):
        facts.environments[values["environment"]] = rows.environment(values)
    facts.absorb(entities)
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


def _refuse_unlocked(entities: list[Entity], wanted: Wanted, facts: Facts) -> None:
    """A dependency of a dependency need not be locked; one of what is asked for must be."""
    decided_on = (facts.deployments.get(each) for each in wanted.neighbours_of)
    asked = {*wanted.entity_ids, *(each.entity_id for each in decided_on if each)}
    for entity in entities:
        for dependency in entity.dependencies if entity.entity_id in asked else ():
            needed = facts.ids_by_name.get(dependency.name)
            if needed is not None and needed not in facts.entities:
                raise StaleFacts(dependency.name)


def clock(transaction: Transaction) -> datetime:
    """The database's time."""
    ((now,),) = transaction.execute("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now
