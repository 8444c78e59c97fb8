"""A backup: every table as of one moment, in a file.

What is copied is what PostgreSQL itself gives and takes (COPY), so no value passes through Python's types.
"""

from collections.abc import Iterable
from typing import Any

import psycopg2
from sqlalchemy import Connection

from worker.store import schema
from worker.store.backup_file import Advance, BackupUnusable, BackupWriter, Counted, Manifest, TableRows
from worker.store.tables import metadata
from worker.store.unit_of_work import DatabaseUnavailable

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_AS_TEXT = (
    "SET LOCAL client_encoding = 'UTF8'",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL bytea_output = 'hex'",
)
_TABLES = "SELECT name FROM unnest(%(names)s::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
# Those whose values are given; PostgreSQL computes the others.
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attnum
"""


def take(connection: Connection, writer: BackupWriter, *, release: str, advance: Advance) -> Manifest:
    """Copy every table and finish the file. The transaction must be new.

    Raises ``DatabaseUnavailable`` and ``OSError``.
    """
    connection.exec_driver_sql(_SNAPSHOT)
    speak_text(connection)
    created_at = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    manifest = Manifest(
        release=release,
        schema_revision=schema.current(connection) or "",
        created_at=created_at,
        tables=tuple(_taken(connection, writer, table, advance) for table in tables(connection)),
    )
    writer.finish(manifest)
    return manifest


def _taken(connection: Connection, writer: BackupWriter, table: str, advance: Advance) -> TableRows:
    columns = tuple(connection.exec_driver_sql(_COLUMNS, {"table": table}).scalars())
    member = f"{table}.copy"
    with writer.member(member, lambda done: advance(table, done, None)) as file:
        rows = copy(connection, f"COPY {with_columns(table, columns)} TO STDOUT", file)
    return TableRows(
        table=table, member=member, columns=columns, rows=rows, bytes=file.bytes, sha256=file.sha256
    )


def speak_text(connection: Connection) -> None:
    """Have the transaction write and read values in one way, whatever the database's settings are."""
    for setting in _AS_TEXT:
        connection.exec_driver_sql(setting)


def tables(connection: Connection) -> list[str]:
    """Our tables that are there, each behind those that it refers to."""
    names = [table.name for table in metadata.sorted_tables]
    there = set(connection.exec_driver_sql(_TABLES, {"names": names}).scalars())
    return [name for name in names if name in there]


def copy(connection: Connection, statement: str, file: Counted) -> int:
    """Run a COPY to or from a file; how many rows it moved.

    Raises ``DatabaseUnavailable``, ``BackupUnusable`` for rows that PostgreSQL refuses, and ``OSError``.
    """
    cursor: Any = connection.connection.cursor()
    try:
        cursor.copy_expert(statement, file)
    except psycopg2.OperationalError as error:
        raise DatabaseUnavailable("PostgreSQL went away in the middle") from error
    except psycopg2.Error as error:
        # Its text may hold rows, and those may hold secrets.
        raise BackupUnusable(f"PostgreSQL does not carry out {statement} ({error.pgcode})") from None
    return int(cursor.rowcount)


def with_columns(table: str, columns: Iterable[str]) -> str:
    """A table and its columns, for SQL."""
    return f"{quoted(table)} ({', '.join(map(quoted, columns))})"


def quoted(name: str) -> str:
    """An identifier, for SQL."""
    return '"' + name.replace('"', '""') + '"'
