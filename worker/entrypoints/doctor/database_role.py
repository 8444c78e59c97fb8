"""Whether the configured database role may do what worker, migration and check do."""

from collections.abc import Iterator

from worker.entrypoints.doctor.finding import Finding, fault, ok, warning
from worker.store.rights import Role

_WORKER = "PostgreSQL rights: worker"
_MIGRATE = "PostgreSQL rights: migrate"
_CHECK = "PostgreSQL rights: check"


def look(role: Role, *, is_migrated: bool) -> Iterator[Finding]:
    """Findings about the role; ``is_migrated`` where the schema is up to date, so that migrate can wait."""
    if role.schema is None:
        says = f"{role.name} may use no schema of its search path"
        yield fault(_WORKER, says, f"GRANT USAGE ON SCHEMA public TO {role.name};")
        return
    yield _worker(role)
    yield _migration(role, is_migrated=is_migrated)
    if not role.makes_temporary_tables:
        says = f"{role.name} may make no temporary table"
        do = f"GRANT TEMPORARY ON DATABASE {role.database} TO {role.name}; library check needs it."
        yield warning(_CHECK, says, do)


def _worker(role: Role) -> Finding:
    if not role.missing:
        return ok(_WORKER, f"{role.name} may read and write what a worker does")
    says = "; ".join(f"no {', '.join(rights)} on {table}" for table, rights in role.missing.items())
    grants = (f"GRANT {', '.join(rights)} ON {table}" for table, rights in role.missing.items())
    do = " ".join(f"{grant} TO {role.name};" for grant in grants)
    return fault(_WORKER, f"{role.name} has {says}", do)


def _migration(role: Role, *, is_migrated: bool) -> Finding:
    lacks = [f"does not own {', '.join(role.foreign)}"] if role.foreign else []
    if not role.creates:
        lacks.append(f"may not create in schema {role.schema}")
    if not lacks:
        return ok(_MIGRATE, f"{role.name} may change the schema")
    says = f"{role.name} {' and '.join(lacks)}"
    if role.foreign:
        do = "Run library migrate as the role that owns the tables."
    else:
        do = (
            f"GRANT CREATE ON SCHEMA {role.schema} TO {role.name}; or run library migrate as a role that may."
        )
    return warning(_MIGRATE, says, do) if is_migrated else fault(_MIGRATE, says, do)
