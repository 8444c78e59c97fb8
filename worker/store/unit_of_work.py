"""Units of work: the only place that commits, and the only one that tells what an error means."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import psycopg2
import sqlalchemy
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.store.silence import SilenceWatch
from worker.store.transaction import Transaction

_RETRIED = ("40001", "40P01")  # serialization_failure, deadlock_detected
_AWAY = ("08", "57", "53")  # connection, operator intervention (shutdown), insufficient resources
_LOCKED = "55P03"  # lock_not_available: a migration, or somebody's session, holds the tables
_UNIQUE = "23505"
_NUMBER_OF_THE_FUTURE = "22023"  # invalid_parameter_value
_TRIES = 6
# A firewall that forgets an idle connection must not be met by a batch that then waits for it.
_KEPT_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 3}
# A standby, or a primary that became one, answers and takes no writes: one to look past.
_WRITABLE = {"tcp_user_timeout": 5000, "target_session_attrs": "read-write"}
_IN_DOUBT_SECONDS = 2.0
_SOON_SECONDS = 1.0

_END_SESSION = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = %(xid)s::xid8::xid"
_WRITTEN = "SELECT EXISTS (SELECT 1 FROM events WHERE event_id = %(event_id)s::uuid)"

_UUID_OID = 2950
_ID = psycopg2.extensions.new_type((_UUID_OID,), "UUID", psycopg2.extensions.UNICODE)

T = TypeVar("T")


class DatabaseUnavailable(Exception):
    """PostgreSQL cannot be reached, or went away in the middle."""


class OutcomeUnknown(DatabaseUnavailable):
    """PostgreSQL went away at a commit, and has not come back to say whether it was done."""


class UniqueViolation(Exception):
    """A unique index said no; ``constraint`` is its name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class StatementFailed(Exception):
    """PostgreSQL refused a statement; its first line only, since the rest may hold what callers sent."""


class GuardFailed(Exception):
    """Rows do not stand as they were decided: a fault of ours, or somebody wrote past us."""


class TooLate(Exception):
    """A deadline passed before the commit; nothing was written."""


class StaleFacts(Exception):
    """Facts changed between finding their rows and locking them; the transaction is to be run again."""


_GUARDS = {"LB001": GuardFailed, "LB002": TooLate}  # what the database's own guards raise: migration 0004
_SESSION = "-c timezone=UTC -c datestyle=ISO -c synchronous_commit=on -c lock_timeout=5s -c jit=off"
# A worker that is stopped or cut off holds its locks for 2 s at most: less than others wait for them.
_LIMITS = " -c statement_timeout=15s -c idle_in_transaction_session_timeout=2s"
# Planned at each use, as PostgreSQL would for small batches, they make a lone deploy take half as long again.
_BY_KEY = (
    " -c plan_cache_mode=force_generic_plan"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)


def connect(
    url: str, *, name: str, size: int, autocommit: bool = False, by_key: bool = False, patient: bool = False
) -> Engine:
    """A pool of ``size`` durable connections that speak UTC. Connects at first use.

    ``autocommit`` is for those who use ``run`` and ``read`` alone, which begin and commit by themselves.
    ``by_key`` is for prepared statements that look up by key: they are planned once a connection, while the
    tables are young, and their plans kept long after, so plans that scan are ruled out. ``patient`` is for an
    operator's work on whole tables: statements take as long as they need, a server that pauses is not taken
    for dead, and one that takes no writes will do.
    """
    options = _SESSION + ("" if patient else _LIMITS) + (_BY_KEY if by_key else "")
    engine = sqlalchemy.create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://", 1),
        pool_size=size,
        max_overflow=0,
        pool_timeout=5,
        pool_use_lifo=True,  # the one used last has its statements prepared
        isolation_level="AUTOCOMMIT" if autocommit else None,
        hide_parameters=True,
        connect_args={
            "application_name": name,
            "connect_timeout": 2,
            "options": options,
            **(_KEPT_ALIVE if patient else _KEPT_ALIVE | _WRITABLE),
        },
    )
    sqlalchemy.event.listen(engine, "connect", _read_ids_as_text)
    engine.update_execution_options(autocommits=autocommit)
    if not patient:
        engine.update_execution_options(silence=SilenceWatch())
    return engine


def _read_ids_as_text(driver: Any, _: Any) -> None:
    psycopg2.extensions.register_type(_ID, driver)


def watched(connection: Connection) -> AbstractContextManager[None]:
    """While this is entered, the connection is shut if PostgreSQL falls silent."""
    watch: SilenceWatch | None = connection.get_execution_options().get("silence")
    return watch.over(connection) if watch else nullcontext()


class Session:
    """A connection of an ``autocommit`` pool that one thread keeps: the way to the pool costs each time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._kept: Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection; another one where it was lost."""
        if self._kept is None or self._kept.invalidated:
            self.close()
            self._kept = self.engine.connect()
        kept = self._kept
        try:
            with watched(kept):
                yield kept
        except BaseException:
            if not kept.invalidated and not _is_idle(kept):
                kept.invalidate()  # whatever went wrong, nobody is to find a transaction under way in it
            raise

    def close(self) -> None:
        """Give it back."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()


def _is_idle(connection: Connection) -> bool:
    driver: Any = connection.connection.dbapi_connection
    return not driver.closed and driver.info.transaction_status == TRANSACTION_STATUS_IDLE


@contextmanager
def _connection(of: Engine | Session) -> Iterator[Connection]:
    if isinstance(of, Session):
        with of.connection() as connection:
            yield connection
        return
    with of.connect() as connection, watched(connection):
        if not connection.get_execution_options()["autocommits"]:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A plain transaction: committed at the end, rolled back by an exception."""
    with engine.connect() as connection:
        yield connection
        connection.commit()


def run(database: Engine | Session, work: Callable[[Transaction], T]) -> T:
    """What ``work`` gives, committed.

    Serialization failures, deadlocks, stale facts and connections that died before the commit are tried again
    as a whole. Raises ``DatabaseUnavailable``, ``UniqueViolation``, ``GuardFailed``, ``TooLate``, or what
    ``work`` raised.
    """
    began = time.monotonic()
    for attempt in range(_TRIES):
        try:
            return _once(database, work)
        except (DBAPIError, PoolTimeout) as error:
            if attempt + 1 == _TRIES or not _worth_another_try(error, attempt, began):
                raise _translated(error) from None
        except StaleFacts:
            if attempt + 1 == _TRIES:
                raise
        time.sleep(random.uniform(0, 0.005) * 2**attempt)  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")


def read(database: Engine | Session, work: Callable[[Transaction], T]) -> T:
    """What ``work`` gives, each statement on its own snapshot. Raises ``DatabaseUnavailable``."""
    began = time.monotonic()
    for attempt in (0, 1):
        try:
            with _connection(database) as connection:
                return work(Transaction(connection))
        except (DBAPIError, PoolTimeout) as error:
            if attempt or not _worth_another_try(error, 0, began):
                raise _translated(error) from None
    raise AssertionError("unreachable")


def _once(database: Engine | Session, work: Callable[[Transaction], T]) -> T:
    with _connection(database) as connection:
        under_way = Transaction(connection)
        under_way.begin()
        try:
            result = work(under_way)
        except BaseException:
            under_way.roll_back()
            raise
        try:
            under_way.commit()
        except DBAPIError as error:
            under_way.roll_back()
            if not error.connection_invalidated:
                raise
            lost = error
        else:
            return result
    if not _committed(database.engine, under_way, lost):
        raise lost
    return result


def _committed(engine: Engine, lost: Transaction, error: DBAPIError) -> bool:
    """Whether the transaction whose commit got no answer was committed: PostgreSQL is asked, not guessed.

    Its number tells when it is over, but not how it ended: after a crash PostgreSQL gives out again the
    numbers that it had not written down. So its event is looked for. Without one it changed nothing.
    """
    if lost.xid is None or lost.event_id is None:
        return False
    until = time.monotonic() + _IN_DOUBT_SECONDS
    while time.monotonic() < until:
        try:
            with _connection(engine) as connection:
                asking = Transaction(connection)
                if _is_over(asking, lost.xid):
                    ((found,),) = asking.execute(_WRITTEN, {"event_id": lost.event_id})
                    return bool(found)
        except (DBAPIError, PoolTimeout):
            pass
        time.sleep(0.05)
    raise OutcomeUnknown from error


def _is_over(asking: Transaction, xid: str) -> bool:
    """Whether nothing can come of a transaction any more; its session, which nobody has, is ended."""
    try:
        ((status,),) = asking.execute("SELECT pg_xact_status(%(xid)s::xid8)", {"xid": xid})
    except DBAPIError as refusal:
        if _code(refusal) == _NUMBER_OF_THE_FUTURE:  # it crashed since, and has not come to it again
            return True
        raise
    if status == "in progress":
        asking.execute(_END_SESSION, {"xid": xid})
    return bool(status != "in progress")


def _worth_another_try(error: DBAPIError | PoolTimeout, attempt: int, began: float) -> bool:
    if isinstance(error, PoolTimeout):
        return False
    if _code(error) in _RETRIED:
        return True
    return error.connection_invalidated and attempt == 0 and time.monotonic() - began < _SOON_SECONDS


def _translated(error: DBAPIError | PoolTimeout) -> Exception:
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable("no connection is free")
    code = _code(error)
    if code == _UNIQUE:
        return UniqueViolation(getattr(error.orig.diag, "constraint_name", None) or "")  # type: ignore[union-attr]
    if code in _GUARDS:
        return _GUARDS[code](_message(error))
    if error.connection_invalidated or code[:2] in _AWAY or code == _LOCKED:
        return DatabaseUnavailable("PostgreSQL is away")
    if isinstance(error, OperationalError | InterfaceError) and not code:
        return DatabaseUnavailable("PostgreSQL cannot be reached")
    return StatementFailed(f"{type(error.orig).__name__} {code} {_message(error)[:200]}")


def _message(error: DBAPIError) -> str:
    return getattr(getattr(error.orig, "diag", None), "message_primary", None) or ""


def _code(error: DBAPIError) -> str:
    return getattr(error.orig, "pgcode", None) or ""
