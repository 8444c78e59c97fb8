"""PostgreSQL refuses to run as root: which account it gets then, and what that account can reach."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from worker.embedded.errors import EmbeddedServerError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account of this machine that a server runs as, without supplementary groups."""

    name: str
    uid: int
    gid: int

    def may(self, path: Path, bits: int) -> bool:
        """Whether the mode of `path` grants the account `bits` (of `rwx`: 4, 2, 1)."""
        status = path.stat()
        return status.st_mode >> self._shift(status) & bits == bits

    def grant(self, path: Path, bits: int) -> None:
        """Widens the mode of `path` by `bits`, for the one class of users that the account is in."""
        status = path.stat()
        path.chmod(stat.S_IMODE(status.st_mode) | bits << self._shift(status))

    def _shift(self, status: os.stat_result) -> int:
        if status.st_uid == self.uid:
            return 6
        return 3 if status.st_gid == self.gid else 0


def account_for(data: Path) -> Account | None:
    """The account PostgreSQL runs as on the folder `data`; None where it is our own.

    As root it is the owner of `data` where that exists, so that a folder keeps working when accounts are
    added to the machine, else the first of `postgres` and `nobody`.
    """
    owner = data.stat().st_uid if data.exists() else None
    us = os.geteuid()
    if us != 0:
        if owner not in (None, us):
            raise EmbeddedServerError(f"{data} belongs to another user: run this as that user, or as root")
        return None
    if owner:
        return _account_of(owner, data.stat().st_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody' to run it as:"
        " run this as an ordinary user, or use a running server with --database-url"
    )


def first_impassable(path: Path, account: Account) -> Path | None:
    """The outermost folder above `path` that the account cannot pass; None where it can reach `path`."""
    for folder in reversed(path.resolve().parents):
        if not account.may(folder, os.X_OK):
            return folder
    return None


def _account_of(uid: int, gid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(name=str(uid), uid=uid, gid=gid)
    return Account(name=entry.pw_name, uid=uid, gid=entry.pw_gid)
