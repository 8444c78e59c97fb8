"""The database's schema: brought up to date by ``library migrate``, looked at by everyone who starts."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from worker.store.unit_of_work import transaction

_LOCK = 7_236_501_944
"""The advisory lock that lets one migration run at a time."""


class SchemaOutdated(Exception):
    """The database is not at the schema this release needs; run ``library migrate``."""


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return configuration


def migrate(engine: Engine) -> str:
    """Bring the schema up to date and return its revision. No lock is waited for longer than 5 s."""
    with transaction(engine) as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
        return current(connection) or "none"


def current(connection: Connection) -> str | None:
    """The revision that the database is at, None before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


def require(engine: Engine) -> None:
    """Raise ``SchemaOutdated`` unless the database has at least this release's migrations."""
    script = ScriptDirectory.from_config(_configuration())
    known = {revision.revision for revision in script.walk_revisions()}
    with engine.connect() as connection:
        revision = current(connection)
    if revision is None or (revision in known and revision != script.get_current_head()):
        raise SchemaOutdated(
            f"the database is at revision {revision or 'none'}, this release needs "
            f"{script.get_current_head()}; run `library migrate`"
        )
