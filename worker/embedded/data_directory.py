import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.embedded.errors import EmbeddedServerError

_LAYOUT = "1"  # raise it when older code could not use the folder any more
_NOT_OURS_YET = {"lock", "layout.new", "lost+found"}


class DataDirectory:
    """The folder that holds all state of one `library up`; entered, it is ours alone until left."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Creates the folder where it is missing; raises EmbeddedServerError where it is not usable."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_foreign_files()
            self._take_lock()
            self._settle_layout()
        except OSError as fault:
            self._release()
            raise EmbeddedServerError(
                f"the data folder {self.path} cannot be used ({fault.strerror}):"
                " choose another with --data-dir"
            ) from fault
        except EmbeddedServerError:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _take_lock(self) -> None:
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            holder = os.read(self._lock, 20).decode(errors="replace").strip()
            raise EmbeddedServerError(
                f"another `library up` (pid {holder or 'unknown'}) runs on {self.path}:"
                " stop it, or choose another folder with --data-dir"
            ) from fault
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())

    def _refuse_foreign_files(self) -> None:
        if (self.path / "layout").exists():
            return
        if {entry.name for entry in self.path.iterdir()} - _NOT_OURS_YET:
            raise EmbeddedServerError(
                f"{self.path} holds other files: choose an empty or a new folder with --data-dir"
            )

    def _settle_layout(self) -> None:
        layout = self.path / "layout"
        if not layout.exists():
            write_durably(layout, f"{_LAYOUT}\n")
            return
        found = layout.read_text(errors="replace").strip()
        if found != _LAYOUT:
            raise EmbeddedServerError(
                f"{self.path} has layout {found[:20]!r}, this version of library uses {_LAYOUT!r}:"
                " run the version that made it, or choose another folder with --data-dir"
            )

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def write_durably(path: Path, text: str) -> None:
    """Writes a file that only its owner reads, whole or not at all, also through a power cut."""
    draft = path.with_name(path.name + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes creations and renames in a folder survive a power cut."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
