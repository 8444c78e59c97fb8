"""A commit without an answer: what PostgreSQL holds decides, and nothing is taken for done that is not."""

from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import Engine

from tests.system import System
from worker.store import unit_of_work
from worker.store.transaction import Transaction
from worker.store.unit_of_work import OutcomeUnknown

_EVENT = """
INSERT INTO events (event_id, type, subject, nats_subject, body, created_at)
VALUES (%(event_id)s::uuid, 'none', 'none', 'none', '{}', now())
"""
_MINE = "SELECT pg_backend_pid(), pg_current_xact_id()::text"


@pytest.fixture
def engine(system: System) -> Iterator[Engine]:
    found = unit_of_work.connect(system.database_url, name="tests", size=2)
    yield found
    found.dispose()
    system.sql("DELETE FROM events WHERE type = 'none'")  # such as no stream ever saw


class Work:
    """Writes an event at each try; at the first, something happens between that and the commit."""

    def __init__(self, system: System, then: Callable[["Work", Transaction], None]) -> None:
        self.system, self._then = system, then
        self.event_ids: list[str] = []
        self.pid = 0

    def __call__(self, transaction: Transaction) -> int:
        ((self.pid, transaction.xid),) = transaction.execute(_MINE)
        transaction.event_id = str(uuid4())
        transaction.execute(_EVENT, {"event_id": transaction.event_id})
        self.event_ids.append(transaction.event_id)
        if len(self.event_ids) == 1:
            self._then(self, transaction)
        return len(self.event_ids)

    def lose_session(self) -> None:
        """End the session in whose transaction this is."""
        self.system.sql("SELECT pg_terminate_backend(%s, 5000)", (self.pid,))

    @property
    def written(self) -> int:
        """How many of its events are there."""
        ((number,),) = self.system.sql(
            "SELECT count(*) FROM events WHERE event_id = ANY(%s::uuid[])", (self.event_ids,)
        )
        return int(str(number))


def test_a_transaction_that_was_lost_before_its_commit_is_run_again(system: System, engine: Engine):
    work = Work(system, lambda work, _: work.lose_session())

    assert unit_of_work.run(engine, work) == 2
    assert work.written == 1


def test_another_transaction_with_its_number_is_not_taken_for_it(system: System, engine: Engine):
    """As after a crash, when PostgreSQL gives out a number for the second time."""

    def lose(work: Work, transaction: Transaction) -> None:
        ((transaction.xid,),) = system.sql("SELECT pg_current_xact_id()::text")
        work.lose_session()

    work = Work(system, lose)

    assert unit_of_work.run(engine, work) == 2
    assert work.written == 1


def test_a_number_that_postgresql_has_not_come_to_again_is_that_of_a_lost_one(system: System, engine: Engine):
    def lose(work: Work, transaction: Transaction) -> None:
        assert transaction.xid is not None
        transaction.xid = str(int(transaction.xid) + 1_000_000)
        work.lose_session()

    work = Work(system, lose)

    assert unit_of_work.run(engine, work) == 2
    assert work.written == 1


def test_what_was_committed_is_not_run_again_though_the_answer_is_lost(system: System, engine: Engine):
    def commit_and_lose(work: Work, transaction: Transaction) -> None:
        transaction.execute("COMMIT")
        work.lose_session()

    work = Work(system, commit_and_lose)

    assert unit_of_work.run(engine, work) == 1
    assert work.written == 1


def test_where_postgresql_stays_away_the_outcome_is_said_to_be_unknown(own_system: System):
    own_system.postgres.start()
    engine = unit_of_work.connect(own_system.database_url, name="tests", size=2)

    def work(transaction: Transaction) -> None:
        ((_, transaction.xid),) = transaction.execute(_MINE)
        transaction.event_id = str(uuid4())
        own_system.postgres.stop()

    with pytest.raises(OutcomeUnknown):
        unit_of_work.run(engine, work)
    engine.dispose()


def test_a_session_that_still_holds_the_transaction_is_ended_first(system: System, engine: Engine):
    with closing(psycopg2.connect(system.database_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        ((held,),) = cursor.fetchall()

        def lose(work: Work, transaction: Transaction) -> None:
            transaction.xid = held
            work.lose_session()

        work = Work(system, lose)

        assert unit_of_work.run(engine, work) == 2
        assert work.written == 1
        with pytest.raises(psycopg2.Error):
            cursor.execute("SELECT 1")
