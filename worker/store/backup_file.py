"""The file of a backup: a zip archive with ``manifest.json`` and, for each table, its rows.

The rows are in PostgreSQL's text COPY format, so they can be read and loaded without this program. Nothing is
held in memory but the piece that is being copied.
"""

import fcntl
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

FORMAT_VERSION = 1
_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 1024 * 1024
_PIECE = 1024 * 1024

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Advance = Callable[[str, int, int | None], None]
"""Told how far it is: the table, bytes done, bytes in all where that is known."""


class BackupUnusable(Exception):
    """The file is no backup, damaged, or of a release that this one does not know."""


class TableRows(BaseModel):
    """A table in a backup: the archive's member, its columns in their order, and what proves it whole."""

    model_config = ConfigDict(frozen=True)

    table: Identifier
    member: str
    columns: tuple[Identifier, ...]
    rows: int
    bytes: int
    sha256: Digest


class Manifest(BaseModel):
    """What a backup holds. Tables come in an order in which they can be loaded."""

    model_config = ConfigDict(frozen=True)

    format: Literal["library-backup"] = "library-backup"
    format_version: int = Field(FORMAT_VERSION, ge=1)
    release: str
    schema_revision: str
    created_at: datetime
    tables: tuple[TableRows, ...]


class Counted:
    """A file to write to or read from, that counts and digests what passes."""

    def __init__(self, file: IO[bytes], advance: Callable[[int], None]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._advance = advance
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """The digest of what has passed, in hex."""
        return self._digest.hexdigest()

    def write(self, piece: bytes) -> int:
        """Write."""
        self._pass(piece)
        return self._file.write(piece)

    def read(self, size: int = -1) -> bytes:
        """Read."""
        piece = self._file.read(size)
        self._pass(piece)
        return piece

    def _pass(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.bytes += len(piece)
        self._advance(self.bytes)


class BackupWriter:
    """Writes a backup's members; ``finish`` comes last."""

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    @contextmanager
    def member(self, name: str, advance: Callable[[int], None]) -> Iterator[Counted]:
        """A member to write to."""
        with self._archive.open(name, "w", force_zip64=True) as file:
            yield Counted(file, advance)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and the archive's directory."""
        self._archive.writestr(_MANIFEST, manifest.model_dump_json(indent=2))
        self._archive.close()


class BackupReader:
    """Reads a backup. Raises ``BackupUnusable`` for what is none, and ``OSError``."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
            self.manifest = self._manifest()
        except (zipfile.BadZipFile, KeyError, ValidationError) as error:
            raise BackupUnusable(f"{path} is no backup, or its end is missing") from error
        if self.manifest.format_version > FORMAT_VERSION:
            raise BackupUnusable(
                f"{path} has format {self.manifest.format_version}, this release reads {FORMAT_VERSION}: "
                f"restore it with release {self.manifest.release}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def _manifest(self) -> Manifest:
        with self._archive.open(_MANIFEST) as file:
            return Manifest.model_validate_json(file.read(_MAX_MANIFEST_BYTES))

    @contextmanager
    def rows(self, table: TableRows, advance: Advance) -> Iterator[Counted]:
        """A table's rows to read."""
        with self._archive.open(table.member) as file:
            yield Counted(file, lambda done: advance(table.table, done, table.bytes))

    def verify(self, advance: Advance) -> None:
        """Read all of it and compare the digests. Raises ``BackupUnusable``."""
        for table in self.manifest.tables:
            try:
                with self.rows(table, advance) as rows:
                    while rows.read(_PIECE):
                        pass
            except (zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
                raise BackupUnusable(f"the rows of {table.table} are damaged: take another backup") from error
            if (rows.bytes, rows.sha256) != (table.bytes, table.sha256):
                raise BackupUnusable(f"the rows of {table.table} are not those that were backed up")


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """A file that appears under its name only once it is whole and on the disk; its owner's alone.

    It is written to ``path`` with ``.partial`` behind. Raises ``FileExistsError`` where there is one already,
    unless it may be replaced, and ``BlockingIOError`` where another process writes it.
    """
    partial = path.with_name(path.name + ".partial")
    _require_absent(path, replace=replace)
    descriptor = os.open(partial, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        _lock(file, partial)
        os.fchmod(file.fileno(), 0o600)
        file.truncate()
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _require_absent(path, replace=replace)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lock(file: IO[bytes], path: Path) -> None:
    """See that it is ours alone, and not one that another process finished while we opened it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        ours = False
    if not ours:
        raise BlockingIOError(f"{path} is being written by another process")


def _require_absent(path: Path, *, replace: bool) -> None:
    if not replace and path.exists():
        raise FileExistsError(f"{path} is there already: choose another name, or --force")
