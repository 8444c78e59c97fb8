"""Lists: one page, or all of them as if they were one."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from worker.entrypoints.commands.output import Table
from worker.entrypoints.commands.session import Session

PageT = TypeVar("PageT", bound=BaseModel)


async def show_pages(
    session: Session,
    found: AsyncIterator[PageT],
    items: str,
    view: Callable[[Sequence[Any]], Table],
    *,
    all_pages: bool,
) -> None:
    """Show the first page, or all; ``items`` is the field of a page that holds what is listed."""
    page = await anext(found)
    if all_pages:
        gathered = list(getattr(page, items))
        async for more in found:
            gathered.extend(getattr(more, items))
        page = page.model_copy(update={items: gathered, "next_cursor": None})
    session.show(page, view(getattr(page, items)))
    cursor = getattr(page, "next_cursor")  # noqa: B009 - every page has it, BaseModel does not
    if cursor is not None:
        session.note(f"There are more: --cursor {cursor}, or --all.")
