"""The steps that every form has: ``edit`` what is wanted, see the ``plan``, and ``do`` it.

A plan carries an idempotency key, so that sending it twice does it once; in production it asks for the
entity's name.
"""

from collections.abc import Mapping
from typing import Any

from contracts.ids import new_id
from contracts.problems import ProblemError

_PRODUCTION = "production"
_ASKED_ANEW = ("step", "really", "wait")


def only(given: Mapping[str, str], *names: str) -> dict[str, Any]:
    """The fields of these names that were given."""
    return {name: given[name] for name in names if name in given}


def require(asked: Mapping[str, Any], *names: str) -> None:
    """Raise ``ProblemError`` that names each that is not there."""
    missing = [(name, "is required") for name in names if name not in asked]
    if missing:
        raise ProblemError.invalid(*missing)


def is_meant(given: Mapping[str, str], environment: str | None, name: str) -> bool:
    """Whether it may be done: in production only once the entity's name was typed."""
    return given.get("step") == "do" and (environment != _PRODUCTION or given.get("really") == name.strip())


def edited(given: Mapping[str, str], problem: ProblemError | None = None) -> dict[str, Any]:
    """What the first step of a form shows."""
    return {"given": given, "problem": problem, "kept": {}, "asks_again": False, "was_wrong": False}


def planned(
    given: Mapping[str, str], environment: str | None, problem: ProblemError | None = None
) -> dict[str, Any]:
    """What the second step shows: for the first time, for a name that was wrong, or for what was refused.

    The key stays with a plan that was not sent yet; another plan, or one that was refused, has a new one.
    """
    was_wrong = given.get("step") == "do" and problem is None
    kept = {name: value for name, value in given.items() if name not in _ASKED_ANEW}
    if not was_wrong:
        kept["key"] = str(new_id())
    return {
        "given": given,
        "problem": problem,
        "kept": kept,
        "asks_again": environment == _PRODUCTION,
        "was_wrong": was_wrong,
    }
