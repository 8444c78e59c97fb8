"""The settings of the processes, as ``library config`` shows them: never a secret."""

import re
from typing import Any

import typer
from pydantic import ValidationError

from worker.entrypoints.commands.output import Table
from worker.settings import Settings

HIDDEN = "***"

_SECRET_NAME = re.compile(r"password|secret|token", re.IGNORECASE)
_NEXT_URL = re.compile(r",(?=[a-z]+://)")
_CREDENTIALS = re.compile(r"(?<=://)(?P<user>[^:@/?]*)(?P<password>:.*)?@")
_PARAMETER = re.compile(r"(?i)(password=)[^&]*")


def read_settings() -> Settings:
    """The settings of this environment. Raises ``typer.BadParameter`` that names every faulty variable."""
    try:
        return Settings()
    except ValidationError as error:
        faults = (f"{variable(str(fault['loc'][0]))}: {fault['msg']}" for fault in error.errors())
        raise typer.BadParameter("; ".join(faults), param_hint="the environment") from None


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{Settings.model_config['env_prefix']}{name}".upper()


def as_document(settings: Settings) -> dict[str, Any]:
    """Each setting: its variable, its value without secrets, what it means."""
    return {
        name: {
            "variable": variable(name),
            "value": shown(name, getattr(settings, name)),
            "description": field.description,
        }
        for name, field in Settings.model_fields.items()
    }


def as_table(settings: Settings) -> Table:
    """The same, a row each."""
    return Table(
        ("SETTING", "VALUE", "VARIABLE", "MEANING"),
        [
            (name, _text(one["value"]), one["variable"], one["description"] or "")
            for name, one in as_document(settings).items()
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
