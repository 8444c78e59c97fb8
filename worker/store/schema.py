"""The database's schema, looked at by everyone who starts; ``library migrate`` brings it up to date."""

from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from worker.store.unit_of_work import DatabaseUnavailable

REVISIONS = sorted(
    path.name.partition("_")[0] for path in (Path(__file__).parent / "migrations" / "versions").glob("0*.py")
)
"""This release's migrations, oldest first: their files begin with their revision."""


class SchemaOutdated(Exception):
    """The database is not at the schema this release needs; run ``library migrate``."""


class SchemaUnknown(Exception):
    """The database is at a schema of a newer release."""


def current(connection: Connection) -> str | None:
    """The revision that the database is at, None before the first migration."""
    there = connection.exec_driver_sql("SELECT to_regclass('alembic_version') IS NOT NULL").scalar()
    if not there:
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def require(engine: Engine) -> None:
    """Raise ``SchemaOutdated`` unless the database has at least this release's migrations."""
    try:
        with engine.connect() as connection:
            revision = current(connection)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else type(error).__name__
        raise DatabaseUnavailable(f"PostgreSQL: {reason}") from None
    if revision is None or revision in REVISIONS[:-1]:
        raise SchemaOutdated(
            f"the database is at revision {revision or 'none'}, this release needs {REVISIONS[-1]}; "
            "run `library migrate`"
        )
