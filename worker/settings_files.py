"""Settings from files: a settings file in TOML, and for secrets a file whose whole content is the value."""

import difflib
import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

PREFIX = "LIBRARY_"
SETTINGS_FILE = f"{PREFIX}SETTINGS_FILE"
_LARGEST = 1 << 20


class MisconfiguredError(Exception):
    """Settings that cannot be used; ``faults`` has a line each, with what to do."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def variable(name: str) -> str:
    """The environment variable of a setting: ``LIBRARY_HTTP_PORT`` for ``http_port``."""
    return f"{PREFIX}{name}".upper()


def nearest(name: str, known: Collection[str]) -> str:
    """What may have been meant, as the end of a sentence; empty if nothing is like it."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def from_secret_files(names: Collection[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The values in the files that ``LIBRARY_<NAME>_FILE`` names, without the end of their last line.

    Raises ``MisconfiguredError`` for a file that cannot be read, and where the variable itself is given, too.
    """
    values: dict[str, str] = {}
    faults: list[str] = []
    for name in names:
        own, by_file = variable(name), f"{variable(name)}_FILE"
        path = environment.get(by_file)
        if path is None:
            continue
        if own in environment:
            faults.append(f"{by_file}: {own} is given, too; give one of them")
            continue
        try:
            values[name] = _text(Path(path)).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{by_file}: {_why(error)}")
    if faults:
        raise MisconfiguredError(*faults)
    return values


def from_settings_file(names: Collection[str], environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What the TOML file that ``LIBRARY_SETTINGS_FILE`` names sets. Raises ``MisconfiguredError``."""
    path = environment.get(SETTINGS_FILE)
    if path is None:
        return {}
    try:
        given = tomllib.loads(_text(Path(path)))
    except tomllib.TOMLDecodeError as error:
        raise MisconfiguredError(f"{SETTINGS_FILE}: {path} is no TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MisconfiguredError(f"{SETTINGS_FILE}: {_why(error)}") from None
    unknown = [name for name in given if name not in names]
    if unknown:
        raise MisconfiguredError(
            *(f"{SETTINGS_FILE}: {path}: no setting is {name!r}{nearest(name, names)}" for name in unknown)
        )
    return given


def misspelt(names: Collection[str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that look like settings and are none, each with what may have been meant."""
    known = {SETTINGS_FILE, f"{PREFIX}DATABASE_PASSWORD"}  # the latter is for compose.yaml
    known |= {variable(name) for name in names} | {f"{variable(name)}_FILE" for name in names}
    return [
        f"{each} is no setting{_nearest_variable(each, known)}"
        for each in sorted(environment)
        if each.startswith(PREFIX) and each not in known
    ]


def origins(names: Collection[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where the value of each setting comes from: a variable, the settings file's path, or "default"."""
    in_file = from_settings_file(names, environment)
    found = dict.fromkeys(names, "default")
    for name in names:
        own = variable(name)
        if own in environment:
            found[name] = own
        elif f"{own}_FILE" in environment:
            found[name] = f"{own}_FILE"
        elif name in in_file:
            found[name] = environment[SETTINGS_FILE]
    return found


def _nearest_variable(name: str, known: Collection[str]) -> str:
    # Compared without what all have in common, or everything would be near.
    found = nearest(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known])
    return found.replace("mean ", f"mean {PREFIX}")


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise OSError(0, "is larger than 1 MiB", str(path))
    return content.decode()


def _why(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the file is not UTF-8"
    return f"{error.filename}: {error.strerror}"
