"""Requests that are to be refused."""

from collections.abc import Awaitable
from typing import Any

import pytest

from tests.conftest import Refused


async def refusal(asking: Awaitable[Any]) -> dict[str, Any]:
    """The problem body that a request is refused with; fails if it is not."""
    with pytest.raises(Refused) as refused:
        await asking
    return refused.value.problem
