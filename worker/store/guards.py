"""What the database itself must find true before a commit; else nothing of the transaction is written.

The guards are functions of migration 0004. They speak up on their own, so nobody waits for their answer:
statements, guards and commit are one round trip. ``unit_of_work`` tells what they raise.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from worker.store.transaction import Transaction


def guarded(
    transaction: Transaction, statement: str, decided: Sequence[dict[str, Any]], **parameters: Any
) -> None:
    """Have the statement write these rows; ``GuardFailed`` unless each then stands as it was decided.

    It takes them as ``rows``, a JSON array, and gives a column ``stands`` for each that it wrote.
    """
    rows = orjson.dumps(decided).decode()
    transaction.ahead(_guarded(statement), {"rows": rows, "expected": len(decided), **parameters})


@cache
def _guarded(statement: str) -> str:
    what = " ".join(statement.split()[:3])
    return f"""
WITH written AS ({statement})
SELECT require_rows('{what}', %(expected)s, count(*) FILTER (WHERE stands)) FROM written
"""  # noqa: S608 - made of constants


def in_time(transaction: Transaction, deadline: datetime) -> None:
    """``TooLate`` where the deadline has passed by the database's clock once all before this is written."""
    transaction.ahead("SELECT require_time(%(deadline)s)", {"deadline": deadline})
