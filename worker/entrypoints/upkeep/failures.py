"""What an operator is told when a command cannot be done: a line and an exit status."""

from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.connection import NoAnswerError
from contracts.problems import ProblemError
from worker.entrypoints.upkeep.servers import Misconfigured, Refusal
from worker.messaging.stream_writer import Fenced, InDoubt
from worker.store.backup_file import BackupUnusable
from worker.store.schema import SchemaOutdated, SchemaUnknown
from worker.store.unit_of_work import DatabaseUnavailable, StatementFailed

_REFUSED, _USAGE, _AWAY = 1, 2, 3
_LOCKED = "55P03"
_NO_ADDRESS = "this is no PostgreSQL address such as postgresql://127.0.0.1/library"


class Failure(NamedTuple):
    """The line and the exit status: 1 refused, 2 misconfigured, 3 a server is away."""

    line: str
    status: int


def describe(error: Exception) -> Failure | None:  # noqa: PLR0911 - a table of errors
    """The failure that an error is; None for a fault of ours."""
    match error:
        case Refusal() | BackupUnusable() | SchemaOutdated() | SchemaUnknown():
            return Failure(str(error), _REFUSED)
        case Misconfigured():
            return Failure(str(error), _USAGE)
        case ArgumentError():
            return Failure(f"LIBRARY_DATABASE_URL: {_NO_ADDRESS}", _USAGE)
        case DBAPIError() | PoolTimeout() | DatabaseUnavailable() | StatementFailed():
            return _of_database(error)
        case ProblemError() | NatsError() | Fenced() | InDoubt() | TimeoutError():
            return _of_nats(error)
        case OSError():
            place = f": {error.filename}" if error.filename else ""
            return Failure(f"{error.strerror or error}{place}", _REFUSED)
    return None


def _of_nats(error: Exception) -> Failure:
    match error:
        case NotFoundError():
            return Failure("a stream or bucket is not there: run `library migrate`", _REFUSED)
        case ProblemError():
            return Failure(error.detail, _AWAY if isinstance(error, NoAnswerError) else _REFUSED)
        case APIError() if not isinstance(error, ServiceUnavailableError):
            return Failure(f"NATS: {error.description}", _REFUSED)
    return Failure(f"NATS: {str(error) or type(error).__name__}", _AWAY)


def _of_database(error: DBAPIError | PoolTimeout | DatabaseUnavailable | StatementFailed) -> Failure:
    code = getattr(getattr(error, "orig", None), "pgcode", None)
    if code == _LOCKED:
        return Failure("PostgreSQL: somebody holds the tables; try again", _REFUSED)
    if isinstance(error, StatementFailed) or code:
        reason = getattr(getattr(error, "orig", None), "diag", None)
        said = getattr(reason, "message_primary", None) or str(error)
        return Failure(f"PostgreSQL: {said}", _REFUSED)
    if isinstance(error, DBAPIError):
        lines = str(error.orig).strip().splitlines()
        return Failure(f"PostgreSQL: {lines[0] if lines else 'it cannot be reached'}", _AWAY)
    return Failure(str(error), _AWAY)
