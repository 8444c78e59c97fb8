"""Facts in: the rows that a batch needs, locked in the order of their ids, in three statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from contracts.environments import EnvironmentName
from worker.domain.facts import Dependent, Entity, Facts, Running
from worker.store import rows
from worker.store.idempotency import Outcome, OutcomeKey
from worker.store.unit_of_work import StaleFacts, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a batch asks for, all commands together."""

    entity_ids: Sequence[UUID] = ()
    places: Sequence[tuple[UUID, EnvironmentName]] = ()
    deployment_ids: Sequence[UUID] = ()
    target_ids: Sequence[UUID] = ()
    fallback_of: Sequence[UUID] = ()
    dependents_of: Sequence[UUID] = ()
    names: Sequence[str] = ()
    keys: Sequence[OutcomeKey] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """The facts, and the stored outcomes of the keys that were asked for."""

    facts: Facts
    outcomes: dict[OutcomeKey, Outcome]


# Every lookup is by key, through LATERAL and LIMIT: a join of sets that the planner knows nothing of makes it
# scan whole indexes. Here: those named, those of the named deployments, and those they depend on. A batch
# that writes locks all of them, so that no dependency is retired between its check and the commit.
_ENTITIES = f"""
WITH wanted AS MATERIALIZED (
    SELECT entity_id FROM unnest(%(entities)s::uuid[]) AS named (entity_id)
    UNION
    SELECT d.entity_id FROM deployments d WHERE d.deployment_id = ANY(%(deployments)s::uuid[])
)
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
)) ORDER BY entity_id
"""  # noqa: S608 - made of constants
_LOCK = " FOR UPDATE"

# A statement of its own: its snapshot is taken after the locks, and so is its clock.
_CONTEXT = """
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
SELECT
    clock_timestamp(),
    (SELECT json_agg(e) FROM environments e)::text,
    (SELECT json_agg(json_build_array(active.entity_id, environment, deployment_id, version))
     FROM unnest(%(loaded)s::uuid[] || ARRAY(SELECT entity_id FROM dependents)) AS held (entity_id)
     CROSS JOIN LATERAL (
         SELECT * FROM deployments WHERE entity_id = held.entity_id AND status = 'active' LIMIT 4
     ) active)::text,
    (SELECT json_agg(json_build_array(asked.name, e.entity_id))
     FROM unnest(%(names)s::text[]) AS asked (name)
     CROSS JOIN LATERAL (
         SELECT entity_id FROM entities WHERE name = asked.name AND deleted_at IS NULL LIMIT 1
     ) e)::text,
    (SELECT json_agg(json_build_array(entity_id, name, dependencies)) FROM dependents)::text,
    (SELECT json_agg(json_build_array(i.caller, i.operation, i.key, encode(fingerprint, 'hex'), code, reply))
     FROM unnest(%(callers)s::text[], %(operations)s::text[], %(keys)s::text[])
         AS asked (caller, operation, key)
     CROSS JOIN LATERAL (
         SELECT * FROM idempotency
         WHERE caller = asked.caller AND operation = asked.operation AND key = asked.key
             AND expires_at > clock_timestamp()
         LIMIT 1
     ) i)::text
"""

_DEPLOYMENTS = f"""
SELECT NULL::uuid, {rows.DEPLOYMENT_COLUMNS} FROM deployments d
WHERE d.deployment_id = ANY(%(deployments)s::uuid[])
UNION ALL
SELECT NULL, {rows.DEPLOYMENT_COLUMNS}
FROM unnest(%(entities)s::uuid[], %(environments)s::text[]) AS place (entity_id, environment)
CROSS JOIN LATERAL (
    SELECT * FROM deployments
    WHERE entity_id = place.entity_id AND environment = place.environment AND status = 'active'
    LIMIT 1
) d
UNION ALL
SELECT c.deployment_id, {rows.DEPLOYMENT_COLUMNS}
FROM deployments c
CROSS JOIN LATERAL (
    SELECT * FROM deployments
    WHERE entity_id = c.entity_id AND environment = c.environment AND status = 'inactive'
        AND deployed_at < c.deployed_at AND activated_at IS NOT NULL
    ORDER BY deactivated_at DESC
    LIMIT 1
) d
WHERE c.deployment_id = ANY(%(fallback_of)s::uuid[])
"""  # noqa: S608 - made of constants
_XID = ", pg_current_xact_id()::text"


def load(transaction: Transaction, wanted: Wanted, *, lock: bool) -> Loaded:
    """The facts that ``wanted`` names. Locked, they stay true until the commit.

    Raises ``StaleFacts`` where an entity got a new dependency between the finding and the locking.
    """
    entities = [
        rows.entity(row)
        for row in transaction.prepared(
            _ENTITIES + _LOCK if lock else _ENTITIES,
            {
                "entities": rows.uuids(wanted.entity_ids),
                "deployments": rows.uuids([*wanted.deployment_ids]),
            },
        )
    ]
    loaded = _context(transaction, wanted, entities, lock=lock)
    _deployments(transaction, wanted, loaded.facts)
    return loaded


def _context(transaction: Transaction, wanted: Wanted, entities: list[Entity], *, lock: bool) -> Loaded:
    depended = {dependency.name for entity in entities for dependency in entity.dependencies}
    ((now, environments, running, names, dependents, outcomes, *xid),) = transaction.prepared(
        _CONTEXT + _XID if lock else _CONTEXT,
        {
            "loaded": rows.uuids([entity.entity_id for entity in entities]),
            "names": [*depended.union(wanted.names)],
            "dependents_of": rows.uuids(wanted.dependents_of),
            "callers": [key.caller for key in wanted.keys],
            "operations": [key.operation for key in wanted.keys],
            "keys": [key.key for key in wanted.keys],
        },
    )
    if xid:
        transaction.xid = xid[0]
    facts = Facts(now=now)
    for values in orjson.loads(environments):
        facts.environments[values["environment"]] = rows.environment(values)
    facts.absorb(entities)
    for name, entity_id in orjson.loads(names or "[]"):
        facts.ids_by_name[name] = UUID(entity_id)
        if name in depended and UUID(entity_id) not in facts.entities and lock:
            _refuse_unlocked(name, entities, wanted)
    for entity_id, environment, deployment_id, version in orjson.loads(running or "[]"):
        facts.running[UUID(entity_id), environment] = Running(UUID(deployment_id), version)
    for entity_id, name, dependencies in orjson.loads(dependents or "[]"):
        dependent = Dependent(UUID(entity_id), name, rows.dependencies(dependencies))
        facts.dependents.setdefault(dependent.entity_id, dependent)
    stored: dict[OutcomeKey, Outcome] = {}
    for caller, operation, key, fingerprint, code, reply in orjson.loads(outcomes or "[]"):
        outcome = Outcome(bytes.fromhex(fingerprint), code, reply.encode())
        stored[OutcomeKey(caller, operation, key)] = outcome
    return Loaded(facts, stored)


def _refuse_unlocked(name: str, entities: list[Entity], wanted: Wanted) -> None:
    """A dependency of a dependency need not be locked; one of what is asked for must be."""
    asked = set(wanted.entity_ids)
    for entity in entities:
        if entity.entity_id in asked and any(each.name == name for each in entity.dependencies):
            raise StaleFacts(name)


def _deployments(transaction: Transaction, wanted: Wanted, facts: Facts) -> None:
    if not (wanted.deployment_ids or wanted.target_ids or wanted.places):
        return
    for replaces, *row in transaction.prepared(
        _DEPLOYMENTS,
        {
            "deployments": rows.uuids([*wanted.deployment_ids, *wanted.target_ids]),
            "entities": rows.uuids([entity_id for entity_id, _ in wanted.places]),
            "environments": [environment for _, environment in wanted.places],
            "fallback_of": rows.uuids(wanted.fallback_of),
        },
    ):
        deployment = rows.deployment(row)
        facts.deployments[deployment.deployment_id] = deployment
        if replaces is not None:
            facts.fallbacks[replaces] = deployment.deployment_id


def clock(transaction: Transaction) -> datetime:
    """The database's time."""
    ((now,),) = transaction.execute("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now
