"""``library apply``, ``diff`` and ``export``: what there shall be, from files."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from worker.entrypoints.commands.arguments import By, InEnvironment, example, login_name
from worker.entrypoints.commands.output import printable
from worker.entrypoints.commands.session import REFUSED, Session, asks
from worker.entrypoints.manifests import execution, export, files, plan
from worker.entrypoints.manifests.plan import Action, Plan

app = typer.Typer()


def _there(given: list[Path]) -> list[Path]:
    for path in given:
        if str(path) != "-" and not path.exists():
            raise typer.BadParameter(f"{str(path)!r} does not exist")
    return given


Files = Annotated[
    list[Path],
    typer.Option(
        "--file",
        "-f",
        help="A file, a folder of .yaml, .yml and .json files, or - for standard input; more than once, too.",
        callback=_there,
        metavar="FILE|DIR",
    ),
]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Retire what is active, of entities and in environments that the files name, and not in them.",
    ),
]
_SIGNS = {"create": "+", "update": "~", "deploy": ">", "retire": "-"}
_DONE = {"create": "created", "update": "updated", "deploy": "deployed", "retire": "retired"}
_SHOWN_CHARACTERS = 60


@app.command(epilog=example("library apply -f manifests/", "library apply -f shop.yaml --dry-run"))
@asks
async def apply(
    session: Session,
    file: Files,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    prune: Prune = False,
    by: By = None,
) -> None:
    """Create, update and deploy so that there is what the files say; done twice, it changes nothing.

    Every fault of the files is named before anything is written. Where a step is refused, what has been done
    stays done, and applying again goes on from there.
    """
    found = await plan.make(session.client, files.read(file), prune=prune)
    if dry_run:
        for action in found.actions:
            _tell(session, action)
    else:
        await execution.execute(
            session.client, found, by=login_name(by), done=lambda action: _tell(session, action)
        )
    _conclude(session, found, dry_run=dry_run)


@app.command(epilog=example("library diff -f manifests/"))
@asks
async def diff(session: Session, file: Files, *, prune: Prune = False) -> None:
    """Show what apply would do. Exit status 0 if that is nothing, 1 if there are differences."""
    found = await plan.make(session.client, files.read(file), prune=prune)
    for action in found.actions:
        _tell(session, action)
    _conclude(session, found, dry_run=True)
    if found.actions:
        raise typer.Exit(REFUSED)


@app.command("export", epilog=example("library export > all.yaml", "library export --environment production"))
@asks
async def export_(session: Session, *, environment: InEnvironment = None) -> None:
    """Write a manifest of all entities and of what is active; applying it changes nothing."""
    manifest = await export.manifest(session.client, environment)
    if session.json:
        text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    else:
        text = yaml.dump(manifest, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)
    sys.stdout.write(text)


class _Dumper(yaml.SafeDumper):
    """Text in quotes wherever a reader might take it for something else, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's
        """Write everything out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    is_plain = text.isascii() and text.replace("-", "").replace("_", "").isalpha()
    plain = is_plain and text.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def _tell(session: Session, action: Action) -> None:
    if session.json:
        return
    where = f" in {action.environment}" if action.environment else ""
    sys.stdout.write(printable(f"{_SIGNS[action.action]} {action.action} {action.entity}{where}") + "\n")
    for name, (was, will) in action.changes.items():
        if action.action != "create":
            sys.stdout.write(printable(f"    {name}: {_short(was)} -> {_short(will)}") + "\n")
    sys.stdout.flush()


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _conclude(session: Session, found: Plan, *, dry_run: bool) -> None:
    count = {name: sum(each.action == action for each in found.actions) for action, name in _DONE.items()}
    if session.json:
        summary = {
            "changed": 0 if dry_run else len(found.actions),
            "unchanged": found.unchanged,
            "differing": len(found.actions),
            **count,
            "dry_run": dry_run,
            "actions": [action.shown() for action in found.actions],
        }
        sys.stdout.write(json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
        return
    said = [f"{number} {'to be ' if dry_run else ''}{name}" for name, number in count.items() if number]
    session.note(", ".join([*said, f"{found.unchanged} unchanged"]))
