"""A transaction under way: its statements go to the driver's own cursor.

SQLAlchemy has the pool, the dialect and the errors; its results, made for everything that a database can
give, cost a third of what the lane spends in Python, so the rows come straight from psycopg2.
"""

import re
from typing import Any

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from worker import tracing

_PARAMETER = re.compile(r"%\((\w+)\)s")
_READ_ONLY = "25006"  # read_only_sql_transaction
_NO_PARAMETERS: dict[str, Any] = {}


class Transaction:
    """Statements on one connection, whose isolation level is AUTOCOMMIT.

    After ``begin`` they are one transaction until ``commit``; without it each is its own. ``xid`` and
    ``event_id``, one of the events that it writes, let its outcome be found out after a lost connection.
    Methods block, and raise SQLAlchemy's ``DBAPIError``.
    """

    __slots__ = ("_ahead", "_begun", "_cursor", "_texts", "connection", "event_id", "xid")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._cursor: Any = connection.connection.cursor()
        self._ahead: list[bytes] = []
        self._texts: list[str] = []
        self._begun = False
        self.xid: str | None = None
        self.event_id: str | None = None

    def begin(self) -> None:
        """Begin a transaction, in one round trip with its first statement."""
        self._ahead.append(b"BEGIN")
        self._texts.append("BEGIN")

    def execute(self, statement: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        """The rows of one statement; parameters are psycopg2's ``%(name)s``."""
        return self._say(statement, parameters or _NO_PARAMETERS, about=statement)

    def prepared(self, statement: str, parameters: dict[str, Any] = _NO_PARAMETERS) -> list[Any]:
        """The same for a statement of the hot path: planned once a connection, not at each use."""
        return self._say(self._execution(statement), parameters, about=statement)

    def ahead(self, statement: str, parameters: dict[str, Any] = _NO_PARAMETERS) -> None:
        """Have a prepared statement, of which no rows are wanted, executed with the next one.

        They are one round trip, in their order, each on its own snapshot; where one fails, those behind it
        are not executed, a commit among them.
        """
        execution = self._execution(statement)
        self._ahead.append(self._cursor.mogrify(execution, parameters))
        self._texts.append(statement)

    def commit(self) -> None:
        """Commit what was begun, if any statement was executed or waits to be."""
        if self._begun or len(self._ahead) > 1:
            self._say("COMMIT", None, about="COMMIT")

    def roll_back(self) -> None:
        """Undo what was begun; what cannot be undone is ended by closing its connection."""
        self._ahead, self._texts = [], []
        if not self._begun or self.connection.invalidated:
            return
        try:
            self._say("ROLLBACK", None, about="ROLLBACK")
        except DBAPIError:
            if not self.connection.invalidated:
                self.connection.invalidate()

    def _say(self, statement: str, parameters: dict[str, Any] | None, *, about: str) -> list[Any]:
        text: str | bytes = statement
        ahead = self._texts
        if ahead:
            text, parameters = b"; ".join((*self._ahead, self._cursor.mogrify(statement, parameters))), None
            self._ahead, self._texts = [], []
            self._begun = True
        with tracing.tracer().statement(about, ahead):
            try:
                self._cursor.execute(text, parameters)
                return self._cursor.fetchall() if self._cursor.description else []
            except psycopg2.Error as error:
                raise self._said_by_sqlalchemy(error) from error

    def _execution(self, statement: str) -> str:
        """The EXECUTE of a statement; psycopg2 has no call for it, so PREPARE and EXECUTE are said in SQL."""
        names: dict[str, str] = self.connection.info.setdefault("prepared", {})
        execution = names.get(statement)
        if execution is None:
            name = f"library_{len(names)}"
            order = list(dict.fromkeys(_PARAMETER.findall(statement)))
            numbered = _PARAMETER.sub(lambda match: f"${order.index(match[1]) + 1}", statement)
            self._say(f"PREPARE {name} AS {numbered}", None, about="PREPARE")
            arguments = ", ".join(f"%({each})s" for each in order)
            execution = names[statement] = f"EXECUTE {name} ({arguments})" if order else f"EXECUTE {name}"
        return execution

    def _said_by_sqlalchemy(self, error: psycopg2.Error) -> BaseException:
        """The error as SQLAlchemy says it; where the connection is gone, its pool begins anew.

        So it does where the server turns out to be a standby, or to take no writes for another reason.
        """
        dialect = self.connection.dialect
        gone = error.pgcode == _READ_ONLY or dialect.is_disconnect(
            error,  # type: ignore[arg-type]
            self.connection.connection.dbapi_connection,
            self._cursor,
        )
        if gone:
            self.connection.invalidate(error)
            self.connection.engine.dispose(close=False)
        return DBAPIError.instance(
            None,
            None,
            error,
            psycopg2.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=dialect,
        )
