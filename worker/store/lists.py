"""Lists in one statement each, by index: a page and how many there are, whatever the size of the table.

A page is found by walking an index in the list's order, and read by its ids (an entity's few deployments
while they are walked: they lie far apart, and so do their ids). Where a filter leaves out a leading column of
the index, each value of that column is a branch of its own, and the branches are merged; so no filter makes a
walk pass rows that do not fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from contracts.deployments import DeploymentStatus
from contracts.environments import ENVIRONMENTS, EntityStatus

COUNTED = 1_000
"""Up to here the matches of a whole table are counted; beyond, the total is the planner's estimate.

Counting costs 0.1 µs a row: so few that the list of a large table costs what that of a small one does.
"""

COUNTED_OF_ONE = 10_000
"""The same of one entity's deployments, whatever their status, and of one deployment's events."""

DEPLOYMENT_STATUSES: tuple[str, ...] = get_args(DeploymentStatus)
ENTITY_STATUSES: tuple[str, ...] = get_args(EntityStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How a list is walked; ``conditions`` and ``branches`` together name the leading columns of an index.

    Values are parameters of the statement: a condition's is named as its column.
    """

    table: str
    order: tuple[str, str]
    conditions: Sequence[str] = ()
    branches: Mapping[str, Sequence[str]] = field(default_factory=dict)
    counted: int = COUNTED
    reads_rows: bool = False


_TYPES = {"entity_id": "uuid"}


def deployments(wanted: Mapping[str, Any]) -> Walk:
    """The walk over deployments with an ``entity_id``, ``environment`` and ``status``, or some of them."""
    named = _order(wanted, ("entity_id", "environment", "status"))
    leading = ("environment",) if "entity_id" in named else ("environment", "status")
    values = {"environment": ENVIRONMENTS, "status": DEPLOYMENT_STATUSES}
    return Walk(
        table="deployments",
        order=("deployed_at", "deployment_id"),
        conditions=named,
        branches={column: values[column] for column in leading if column not in named} if named else {},
        # An entity's index does not hold the status, so that counting by it reads the rows.
        counted=COUNTED_OF_ONE if "entity_id" in named and "status" not in named else COUNTED,
        reads_rows="entity_id" in named,
    )


def entities(wanted: Mapping[str, Any]) -> Walk:
    """The walk over entities that are not deleted, by ``entity_id``, ``name``, ``type`` and ``status``."""
    named = _order(wanted, ("entity_id", "name", "type", "status"))
    return Walk(
        table="entities",
        order=("created_at", "entity_id"),
        conditions=named,
        branches={"status": ENTITY_STATUSES} if named == ["type"] else {},
    )


def _order(wanted: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [column for column in columns if wanted.get(column) is not None]


def statement(walk: Walk, columns: str, *, after: bool) -> str:
    """``exact`` total or null, ``estimate`` or null, and the page's ``columns``, newest first.

    There is a row without a page's columns where the page is empty. Parameters besides the walk's:
    ``limit``, ``offset``, and ``at`` and ``id`` of the position that it goes on behind, if it does.
    """
    fitting = _fitting(walk)
    chosen = _POSITION + (", *" if walk.reads_rows else "")
    return f"""
WITH matches AS MATERIALIZED (
    SELECT coalesce(sum(branch.matches), 0) AS matches FROM {_from_branches(walk)} LATERAL (
        SELECT count(*) AS matches FROM ({_walked(walk, "1", fitting, str(walk.counted + 1))}) walked
    ) branch
), total AS MATERIALIZED (
    SELECT CASE WHEN matches <= {walk.counted} THEN matches END AS exact,
        CASE WHEN matches > {walk.counted} THEN {_estimate(walk)} END AS estimate
    FROM matches
), page AS (
    SELECT walked.* FROM {_from_branches(walk)} LATERAL (
        {_walked(walk, chosen, [*fitting, *_behind(walk, after=after)], _PAGE)}
    ) walked
    ORDER BY walked.at DESC, walked.id DESC LIMIT %(limit)s OFFSET %(offset)s
)
{_result(walk, columns)}"""  # noqa: S608 - made of constants


def statement_of_active(walk: Walk, columns: str, *, after: bool) -> str:
    """The same for entities that are active in the environment ``active_in``.

    Where few entities are active there, each of those is looked at; else entities are walked until enough
    are active there.
    """
    fitting, behind = _fitting(walk), _behind(walk, after=after)
    return f"""
WITH crowd AS MATERIALIZED (
    SELECT count(*) <= {COUNTED} AS few FROM ({_ACTIVE.format("1", COUNTED + 1)}) counted
), active AS MATERIALIZED (
    SELECT found.id FROM ({_ACTIVE.format("entity_id AS id", COUNTED)}) found WHERE {_FEW}
), candidates AS MATERIALIZED (
    SELECT walked.id FROM {_from_branches(walk)} LATERAL (
        {_walked(walk, _POSITION, fitting, str(COUNTED + 1))}
    ) walked WHERE NOT {_FEW} LIMIT {COUNTED + 1}
), matches AS MATERIALIZED (
    SELECT CASE WHEN {_FEW} THEN (
        SELECT count(*) FROM active CROSS JOIN LATERAL ({_looked_up(walk, fitting)}) e
    ) WHEN (SELECT count(*) FROM candidates) <= {COUNTED} THEN (
        SELECT count(*) FROM candidates c CROSS JOIN LATERAL ({_probe("c.id")}) active_there
    ) END AS exact
), total AS MATERIALIZED (
    SELECT exact, CASE WHEN exact IS NULL THEN {_estimate(walk, _IS_ACTIVE)} END AS estimate FROM matches
), page AS (
    SELECT found.at, found.id FROM (
        SELECT e.at, e.id FROM active CROSS JOIN LATERAL ({_looked_up(walk, [*fitting, *behind])}) e
        UNION ALL
        SELECT walked.at, walked.id FROM {_from_branches(walk)} LATERAL (
            SELECT e.at, e.id FROM ({_walked(walk, _POSITION, [*fitting, *behind], None)}) e
            CROSS JOIN LATERAL ({_probe("e.id")}) active_there
            ORDER BY e.at DESC, e.id DESC LIMIT {_PAGE}
        ) walked WHERE NOT {_FEW}
    ) found ORDER BY found.at DESC, found.id DESC LIMIT %(limit)s OFFSET %(offset)s
)
{_result(walk, columns)}"""  # noqa: S608 - made of constants


_ACTIVE = (
    "SELECT {0} FROM deployments WHERE environment = %(active_in)s AND status = 'active' "
    "ORDER BY deployed_at DESC, deployment_id DESC LIMIT {1}"
)
_FEW = "(SELECT few FROM crowd)"
_POSITION = "{0} AS at, {1} AS id"
_PAGE = "%(limit)s::bigint + %(offset)s::bigint"
_IS_ACTIVE = (
    "entity_id IN (SELECT a.entity_id FROM deployments a WHERE a.environment = %%L AND a.status = ''active'')"
)


def _fitting(walk: Walk) -> list[str]:
    alive = ["deleted_at IS NULL"] if walk.table == "entities" else []
    named = [f"{column} = %({column})s::{_TYPES.get(column, 'text')}" for column in walk.conditions]
    return [*alive, *named]


def _behind(walk: Walk, *, after: bool) -> list[str]:
    return [f"({', '.join(walk.order)}) < (%(at)s::timestamptz, %(id)s::uuid)"] if after else []


def _from_branches(walk: Walk) -> str:
    """The values of the leading columns that are not given, ready to be joined."""
    return "".join(
        f"unnest('{{{','.join(values)}}}'::text[]) AS {column}_branch (value) CROSS JOIN "
        for column, values in walk.branches.items()
    )


def _walked(walk: Walk, columns: str, fitting: Sequence[str], limit: str | None) -> str:
    """Rows of one branch in the list's order.

    The order also where only their number matters: it keeps PostgreSQL on the index, whatever it thinks of
    the table.
    """
    conditions = [*fitting, *(f"{column} = {column}_branch.value" for column in walk.branches)]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = ", ".join(f"{column} DESC" for column in walk.order)
    limited = f"LIMIT {limit}" if limit else ""
    chosen = columns.format(*walk.order)
    return f"SELECT {chosen} FROM {walk.table} {where} ORDER BY {order} {limited}"  # noqa: S608 - made of constants


def _looked_up(walk: Walk, fitting: Sequence[str]) -> str:
    conditions = " AND ".join((f"{walk.order[1]} = active.id", *fitting))
    return f"SELECT {_POSITION.format(*walk.order)} FROM {walk.table} WHERE {conditions} LIMIT 1"  # noqa: S608 - as above


def _probe(entity: str) -> str:
    return (
        f"SELECT 1 FROM deployments WHERE entity_id = {entity} AND environment = %(active_in)s "  # noqa: S608 - as above
        "AND status = 'active' LIMIT 1"
    )


def _estimate(walk: Walk, *further: str) -> str:
    """The planner's estimate, by the function of the schema; it quotes the values itself (``%L``)."""
    alive = ["deleted_at IS NULL"] if walk.table == "entities" else []
    conditions = [*alive, *(f"{column} = %%L" for column in walk.conditions), *further]
    values = "".join(f", %({column})s" for column in walk.conditions)
    values += ", %(active_in)s" if further else ""
    return f"planner_estimate(format('{walk.table} WHERE {' AND '.join(conditions) or 'true'}'{values}))"


def _result(walk: Walk, columns: str) -> str:
    at, identifier = walk.order
    by_id = f"(SELECT * FROM {walk.table} WHERE {identifier} = page.id LIMIT 1)"  # noqa: S608 - as above
    page = "page d" if walk.reads_rows else f"(page CROSS JOIN LATERAL {by_id} d)"
    return (
        f"SELECT exact, estimate, {columns} FROM total LEFT JOIN {page} ON true "  # noqa: S608 - as above
        f"ORDER BY d.{at} DESC, d.{identifier} DESC"
    )
