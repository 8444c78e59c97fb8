"""``library migrate``: brings the schema up to date. Alembic is imported here alone: it costs a second."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

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
    """Bring the schema up to date and return its revision. No lock is waited for longer than 5 s."""
    with transaction(engine) as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        to_use = configuration()
        to_use.attributes["connection"] = connection
        command.upgrade(to_use, "head")
        return schema.current(connection) or "none"
