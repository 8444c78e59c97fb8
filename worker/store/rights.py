"""What a database role must be allowed, so that a process of ours works with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

VERSION_TABLE: Final = "alembic_version"
WORKER: Final[Mapping[str, tuple[str, ...]]] = {
    "entities": ("SELECT", "INSERT", "UPDATE"),
    "deployments": ("SELECT", "INSERT", "UPDATE"),
    "former_activations": ("SELECT", "INSERT"),
    "quarantine": ("SELECT", "INSERT", "UPDATE"),
    "environments": ("SELECT", "UPDATE"),
    "events": ("SELECT", "INSERT"),
    "outbox": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "idempotency": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    VERSION_TABLE: ("SELECT",),
}
"""By table, what a worker does. Advisory locks, which lead and migrate, need no right."""

FUNCTIONS: Final = ("require_rows", "require_time", "planner_estimate")
"""What a worker has the database call. Everybody may, unless somebody took that right away."""

_MISSING = """
SELECT wanted.name, wanted.privilege
FROM unnest(%(names)s::text[], %(privileges)s::text[]) WITH ORDINALITY AS wanted (name, privilege, position)
WHERE NOT has_table_privilege(to_regclass(wanted.name), wanted.privilege)
ORDER BY wanted.position
"""
_CLOSED = """
SELECT proname FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND proname = ANY(%(names)s)
    AND NOT has_function_privilege(oid, 'EXECUTE')
ORDER BY proname
"""
_FOREIGN = """
SELECT relname FROM pg_class JOIN unnest(%(names)s::text[]) AS ours ON pg_class.oid = to_regclass(ours)
WHERE NOT pg_has_role(relowner, 'USAGE') ORDER BY relname
"""
_ROLE = """
SELECT quote_ident(current_user), quote_ident(current_schema()), quote_ident(current_database()),
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
    has_database_privilege(current_database(), 'TEMPORARY')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Who is logged in, and what they may do; names are quoted as SQL has them.

    ``schema`` is where tables are found and made, None where none on the search path may be used. ``missing``
    is what ``WORKER`` and ``FUNCTIONS`` name and is not granted, ``foreign`` are tables that another role
    owns; what is not there is in neither.
    """

    name: str
    schema: str | None
    database: str
    creates: bool
    makes_temporary_tables: bool
    missing: Mapping[str, tuple[str, ...]]
    foreign: tuple[str, ...]


def of(connection: Connection) -> Role:
    """What the role of this connection may do; asking changes nothing."""
    pairs = [(table, privilege) for table, privileges in WORKER.items() for privilege in privileges]
    names, privileges = (list(each) for each in zip(*pairs, strict=True))
    missing: dict[str, tuple[str, ...]] = {}
    for table, privilege in connection.exec_driver_sql(_MISSING, {"names": names, "privileges": privileges}):
        missing[table] = (*missing.get(table, ()), privilege)
    for function in connection.exec_driver_sql(_CLOSED, {"names": list(FUNCTIONS)}).scalars():
        missing[f"FUNCTION {function}"] = ("EXECUTE",)
    foreign = connection.exec_driver_sql(_FOREIGN, {"names": list(WORKER)}).scalars()
    name, schema, database, creates, temporary = connection.exec_driver_sql(_ROLE).one()
    return Role(
        name=name,
        schema=schema,
        database=database,
        creates=creates,
        makes_temporary_tables=temporary,
        missing=missing,
        foreign=tuple(foreign),
    )
