"""The settings of the processes, as ``library config`` shows them: never a secret."""

import re
from typing import Any

import typer

from worker import settings
from worker.entrypoints.commands.output import Table
from worker.settings import Settings
from worker.settings_files import MisconfiguredError, origins, variable

HIDDEN = "***"

_SECRET_NAME = re.compile(r"password|secret|token", re.IGNORECASE)
_NEXT_URL = re.compile(r",(?=[a-z]+://)")
_CREDENTIALS = re.compile(r"(?<=://)(?P<user>[^:@/?]*)(?P<password>:.*)?@")
_PARAMETER = re.compile(r"(?i)(password=)[^&]*")


def read_settings() -> Settings:
    """The settings of this environment. Raises ``typer.BadParameter`` that names every faulty one."""
    try:
        return settings.read_settings()
    except MisconfiguredError as error:
        raise typer.BadParameter(str(error), param_hint="the settings") from None


def as_document(found: Settings) -> dict[str, Any]:
    """Each setting: its variable, its value without secrets, where that comes from, what it means."""
    where = origins(Settings.model_fields)
    return {
        name: {
            "variable": variable(name),
            "value": shown(name, getattr(found, name)),
            "origin": where[name],
            "description": field.description,
        }
        for name, field in Settings.model_fields.items()
    }


def as_table(found: Settings) -> Table:
    """The same, a row each."""
    return Table(
        ("SETTING", "VALUE", "FROM", "VARIABLE", "MEANING"),
        [
            (name, _text(one["value"]), one["origin"], one["variable"], one["description"] or "")
            for name, one in as_document(found).items()
        ],
    )


def shown(name: str, value: Any) -> Any:
    """A setting's value with what is secret in it hidden."""
    if _SECRET_NAME.search(name):
        return HIDDEN
    return ",".join(map(_hidden, _NEXT_URL.split(value))) if isinstance(value, str) else value


def _hidden(url: str) -> str:
    return _PARAMETER.sub(rf"\1{HIDDEN}", _CREDENTIALS.sub(_without_credentials, url, count=1))


def _without_credentials(found: re.Match[str]) -> str:
    # A user without a password may be a token (NATS).
    return f"{found['user']}:{HIDDEN}@" if found["password"] else f"{HIDDEN}@"


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
