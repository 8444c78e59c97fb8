"""``library migrate``: brings the schema up to date. Alembic is imported here alone: it costs a second."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from worker.store import schema
from worker.store.unit_of_work import transaction

_LOCK = 7_236_501_944
"""The advisory lock that lets one migration run at a time."""


def configuration() -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


def migrate(engine: Engine) -> str:
    """Bring the schema up to date and return its revision. No lock is waited for longer than 5 s.

    Raises ``SchemaUnknown`` where the database is at a revision that this release does not know.
    """
    with transaction(engine) as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        move(connection, schema.REVISIONS[-1])
        return schema.current(connection) or "none"


def move(connection: Connection, revision: str) -> None:
    """Bring the schema to one of this release's revisions, forwards or back, within a transaction.

    Raises ``SchemaUnknown`` where the database is at one that this release does not know.
    """
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    here = schema.current(connection)
    if here is not None and here not in schema.REVISIONS:
        raise schema.SchemaUnknown(
            f"the database is at revision {here}, which this release does not know: use a newer one"
        )
    to_use = configuration()
    to_use.attributes["connection"] = connection
    if here is None or schema.REVISIONS.index(here) < schema.REVISIONS.index(revision):
        command.upgrade(to_use, revision)
    elif here != revision:
        command.downgrade(to_use, revision)
