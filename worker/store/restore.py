"""The way back from a backup: all of it in one transaction, at this release's schema."""

from sqlalchemy import Connection

from worker.store import migrate, outbox, schema
from worker.store.backup import copy, quoted, speak_text, tables, with_columns
from worker.store.backup_file import Advance, BackupReader, BackupUnusable, TableRows

_OUTBOX = "outbox"
_WRITTEN_TO = ("entities", "deployments", "events")

_IDENTITIES = """
SELECT attrelid::regclass::text, attname, pg_get_serial_sequence(attrelid::regclass::text, attname)
FROM pg_attribute
WHERE attrelid = ANY(%(tables)s::text[]::regclass[]) AND attidentity <> '' AND NOT attisdropped
"""


class NotEmpty(Exception):
    """The database holds data already."""


class WorkersRunning(Exception):
    """A worker leads: it would write beside us."""


def load(connection: Connection, reader: BackupReader, *, replace: bool, advance: Advance) -> None:
    """Bring what a verified backup holds into the database, save its outbox.

    What waits to be published is found out from the stream. Until the transaction's end nobody leads, and all
    tables are locked. Raises ``WorkersRunning``, ``NotEmpty`` unless what is there may be replaced,
    ``SchemaUnknown``, ``BackupUnusable`` and ``DatabaseUnavailable``.
    """
    manifest = reader.manifest
    if manifest.schema_revision not in schema.REVISIONS:
        raise BackupUnusable(
            f"the backup is of schema revision {manifest.schema_revision or 'none'}, which this release does "
            f"not know: restore it with release {manifest.release}, or a newer one"
        )
    if not outbox.try_to_lead_within(connection):
        raise WorkersRunning
    speak_text(connection)
    _clear(connection, replace=replace)
    migrate.move(connection, manifest.schema_revision)
    _clear(connection, replace=True)  # what the migrations put in is in the backup, too
    for rows in manifest.tables:
        if rows.table != _OUTBOX:
            _load(connection, reader, rows, advance)
    migrate.move(connection, schema.REVISIONS[-1])
    _advance_identities(connection)


def _clear(connection: Connection, *, replace: bool) -> None:
    there = tables(connection)
    if not there:
        return
    names = ", ".join(map(quoted, there))
    connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
    if not replace and any(_has_rows(connection, table) for table in there if table in _WRITTEN_TO):
        raise NotEmpty
    connection.exec_driver_sql(f"TRUNCATE {names}")


def _has_rows(connection: Connection, table: str) -> bool:
    statement = f"SELECT EXISTS (SELECT 1 FROM {quoted(table)})"  # noqa: S608 - a table of ours
    return bool(connection.exec_driver_sql(statement).scalar_one())


def _load(connection: Connection, reader: BackupReader, rows: TableRows, advance: Advance) -> None:
    with reader.rows(rows, advance) as file:
        loaded = copy(connection, f"COPY {with_columns(rows.table, rows.columns)} FROM STDIN", file)
    if loaded != rows.rows:
        raise BackupUnusable(f"the backup names {rows.rows} rows of {rows.table} and holds {loaded}")


def _advance_identities(connection: Connection) -> None:
    """Have each identity column go on behind what was loaded."""
    found = connection.exec_driver_sql(_IDENTITIES, {"tables": tables(connection)})
    for table, column, sequence in found.all():
        last = f"(SELECT max({quoted(column)}) FROM {table})"  # noqa: S608 - as the catalog names them
        statement = f"SELECT setval(%(sequence)s, coalesce({last}, 1), {last} IS NOT NULL)"
        connection.exec_driver_sql(statement, {"sequence": sequence})
