"""What the doctor found."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it is, and what to do about it if it is not well."""

    about: str
    verdict: Verdict
    says: str
    do: str = ""


def ok(about: str, says: str) -> Finding:
    """It is as it should be."""
    return Finding(about, "ok", says)


def warning(about: str, says: str, do: str) -> Finding:
    """It works, and may not when it matters."""
    return Finding(about, "warning", says, do)


def fault(about: str, says: str, do: str) -> Finding:
    """It does not work, or loses what was acknowledged."""
    return Finding(about, "fault", says, do)
