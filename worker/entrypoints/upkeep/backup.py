"""The database in a file."""

from pathlib import Path

from worker.entrypoints.upkeep.servers import Progress, patient_engine
from worker.settings import Settings
from worker.store import backup, schema
from worker.store.backup_file import BackupWriter, Manifest, new_file
from worker.store.unit_of_work import transaction


def back_up(settings: Settings, path: Path, *, release: str, replace: bool, progress: Progress) -> Manifest:
    """Write a backup; what it holds. Everything may go on meanwhile.

    Raises what the database raises, ``SchemaOutdated`` and ``OSError``.
    """
    engine = patient_engine(settings)
    try:
        schema.require(engine)
        with new_file(path, replace=replace) as file, transaction(engine) as connection:
            return backup.take(
                connection,
                BackupWriter(file),
                release=release,
                advance=lambda table, done, of: progress(f"bytes of {table}", done, of),
            )
    finally:
        engine.dispose()
