"""PostgreSQL: its version, whether it keeps what it acknowledged, its role, its schema, its clock."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from worker.entrypoints.doctor import database_role
from worker.entrypoints.doctor.finding import Finding, fault, ok, warning
from worker.settings import Settings
from worker.store import rights, schema, unit_of_work

_OLDEST = 140_000
_APART = 5.0


def look(settings: Settings) -> Iterator[Finding]:
    """Findings about the database; a single one where it is not reached."""
    engine = unit_of_work.connect(settings.database_url, name="library-doctor", size=1, autocommit=True)
    try:
        with engine.connect() as connection:
            yield from _server(connection)
            yield from _role_and_schema(connection)
            yield _clock(connection)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else type(error).__name__
        yield fault("PostgreSQL", reason, "See whether it runs, and whether LIBRARY_DATABASE_URL is right.")
    finally:
        engine.dispose()


def _server(connection: Connection) -> Iterator[Finding]:
    number = int(_setting(connection, "server_version_num"))
    says = f"version {_setting(connection, 'server_version')}"
    if number < _OLDEST:
        yield fault("PostgreSQL", says, "Use PostgreSQL 14 or newer.")
    else:
        yield ok("PostgreSQL", says)
    for name in ("fsync", "full_page_writes"):
        value = _setting(connection, name)
        if value == "off":
            yield fault(name, "off: what was acknowledged may be lost", f"Set {name} = on.")
        else:
            yield ok(name, value)


def _role_and_schema(connection: Connection) -> Iterator[Finding]:
    """The schema is asked for only where the role may read it: its absence would be said otherwise."""
    role = rights.of(connection)
    if role.schema is None or rights.VERSION_TABLE in role.missing:
        yield from database_role.look(role, is_migrated=True)
        return
    found = _schema(connection)
    yield from database_role.look(role, is_migrated=found.verdict != "fault")
    yield found


def _schema(connection: Connection) -> Finding:
    revision = schema.current(connection)
    if revision is None or revision in schema.REVISIONS[:-1]:
        says = f"revision {revision or 'none'}, this release needs {schema.REVISIONS[-1]}"
        return fault("schema", says, "Run library migrate.")
    if revision != schema.REVISIONS[-1]:
        return warning("schema", f"revision {revision} is of a newer release", "Update this one, too.")
    return ok("schema", f"revision {revision}")


def _clock(connection: Connection) -> Finding:
    before = datetime.now(UTC)
    there: datetime | None = connection.exec_driver_sql("SELECT clock_timestamp()").scalar()
    assert there is not None
    apart = (there - (before + (datetime.now(UTC) - before) / 2)).total_seconds()
    if abs(apart) > _APART:
        return warning(
            "clock",
            f"PostgreSQL's is {apart:+.1f} s from this machine's; deadlines of callers are off by that",
            "Keep the clocks of all machines with NTP.",
        )
    return ok("clock", f"PostgreSQL's is {apart:+.3f} s from this machine's")


def _setting(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"SHOW {name}").scalar())
