"""How far a command is, for whoever looks at a terminal meanwhile."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from worker.entrypoints.commands.output import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_AFTER_SECONDS = 1.0


class Progress:
    """A bar on standard error, from the first second on, where that is a terminal and ``shown``.

    Entered in an event loop, which starts it also while nothing is said.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._timer: asyncio.TimerHandle | None = None
        self._bar: Bar | None = None
        self._task: TaskID
        self._said = ("", 0, 0)

    def __enter__(self) -> Self:
        if self._shown:
            self._timer = asyncio.get_running_loop().call_later(_AFTER_SECONDS, self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, doing: str, done: int, of: int) -> None:
        """So much of it is done."""
        self._said = (printable(doing), done, of)
        self._update()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While this is entered, the bar is away: something else is written to the terminal."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def _begin(self) -> None:
        # Imported here: only what takes long needs them, and they cost a fifth of the start.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415

        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._update()
        self._bar.start()

    def _update(self) -> None:
        if self._bar is not None:
            doing, done, of = self._said
            self._bar.update(self._task, description=doing, completed=done, total=of)
