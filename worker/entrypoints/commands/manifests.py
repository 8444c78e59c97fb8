"""``library apply``, ``diff`` and ``export``: what there shall be, from files."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from contracts.deployments import Deployment
from worker.entrypoints.commands.arguments import By, InEnvironment, example, login_name
from worker.entrypoints.commands.output import printable, read_or_not
from worker.entrypoints.commands.progress import Progress
from worker.entrypoints.commands.session import REFUSED, Session, asks
from worker.entrypoints.manifests import execution, export, files, plan
from worker.entrypoints.manifests.plan import Action, Plan
from worker.entrypoints.manifests.waiting import Decisions

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
_WAIT = 300.0


@app.command(
    epilog=example(
        "library apply -f manifests/",
        "library apply -f shop.yaml --dry-run",
        "library apply -f manifests/ --wait --timeout 600",
    )
)
@asks
async def apply(
    session: Session,
    file: Files,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    prune: Prune = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait until what is deployed is active or has failed; each may take --timeout, "
            f"{_WAIT:g} by default then.",
        ),
    ] = False,
    by: By = None,
) -> None:
    """Create, update and deploy so that there is what the files say; done twice, it changes nothing.

    Every fault of the files is named before anything is written. Where a step is refused, what has been done
    stays done, and applying again goes on from there.

    With --wait, what is deployed where an agent confirms it is decided before its dependents and the next
    environment have their turn. Exit status 1 says also that one failed or that steps were not done for that,
    with the reason on standard error; if all was done and some is not decided in time, it is 0, and a note
    says so.
    """
    with Progress(shown=not session.json) as progress:
        found = await plan.make(session.client, files.read(file), prune=prune, says=progress)
        if dry_run:
            decisions, done = None, 0
            for action in found.actions:
                _tell(session, action)
        else:
            applying = _Applying(session, found, progress)
            decisions = applying.decisions() if wait else None
            done = await execution.execute(
                session.client, found, by=login_name(by), done=applying.done, decisions=decisions
            )
    _conclude(session, found, done=done, dry_run=dry_run, decisions=decisions)
    if decisions is not None:
        _say_outcomes(decisions, left=len(found.actions) - done)


@app.command(epilog=example("library diff -f manifests/"))
@asks
async def diff(session: Session, file: Files, *, prune: Prune = False) -> None:
    """Show what apply would do. Exit status 0 if that is nothing, 1 if there are differences."""
    with Progress(shown=not session.json) as progress:
        found = await plan.make(session.client, files.read(file), prune=prune, says=progress)
    for action in found.actions:
        _tell(session, action)
    _conclude(session, found, done=0, dry_run=True)
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


class _Applying:
    """Says how applying goes: a line for each thing that is done, and in between how far it is."""

    def __init__(self, session: Session, found: Plan, progress: Progress) -> None:
        self._session, self._progress = session, progress
        self._done, self._of = 0, len(found.actions)
        self._says("Applying")

    def _says(self, doing: str) -> None:
        self._progress(doing, self._done, self._of)

    def done(self, action: Action) -> None:
        """A step is done."""
        with self._progress.aside(), read_or_not():
            _tell(self._session, action)
        self._done += 1
        self._says("Applying")

    def decisions(self) -> Decisions:
        """What is waited for."""
        session = self._session
        return Decisions(session.client, session.seconds(_WAIT), self._decided, self._waits)

    def _decided(self, deployment: Deployment) -> None:
        if not self._session.json:
            with self._progress.aside(), read_or_not():
                sys.stdout.write(printable(f"= {_place(deployment)} is {deployment.status}") + "\n")
                sys.stdout.flush()

    def _waits(self, waiting: list[Deployment]) -> None:
        more = f" and {len(waiting) - 1} more" if waiting[1:] else ""
        self._says(f"Waiting for {_place(waiting[0])}{more}")


def _place(deployment: Deployment) -> str:
    return f"{deployment.entity_name} in {deployment.environment}"


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


def _conclude(
    session: Session, found: Plan, *, done: int, dry_run: bool, decisions: Decisions | None = None
) -> None:
    counted = found.actions if dry_run else found.actions[:done]
    count = {name: sum(each.action == action for each in counted) for action, name in _DONE.items()}
    if session.json:
        summary = {
            "changed": done,
            "unchanged": found.unchanged,
            "differing": len(found.actions),
            **count,
            "dry_run": dry_run,
            "actions": [action.shown() for action in found.actions],
        }
        if decisions is not None:
            summary["outcomes"] = [_outcome(each) for each in (*decisions.outcomes, *decisions.overdue)]
        sys.stdout.write(json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
        return
    said = [f"{number} {'to be ' if dry_run else ''}{name}" for name, number in count.items() if number]
    session.note(", ".join([*said, f"{found.unchanged} unchanged"]))


def _outcome(deployment: Deployment) -> dict[str, Any]:
    return {
        "entity": deployment.entity_name,
        "environment": deployment.environment,
        "deployment_id": str(deployment.deployment_id),
        "status": deployment.status,
        "error": deployment.error_logs,
    }


def _say_outcomes(decisions: Decisions, *, left: int) -> None:
    """What was not as wished, a line each; ends with status 1 where something failed or was not done."""
    for each in decisions.failed:
        why = each.error_logs or each.rollback_reason or "no reason is given"
        sys.stderr.write(printable(f"failed: {_place(each)}: {why}") + "\n")
    for each in decisions.overdue:
        said = f"not decided yet: {_place(each)} is {each.status}; library get {each.deployment_id} shows it"
        sys.stderr.write(printable(said) + "\n")
    if left:
        sys.stderr.write(f"not done: {left} further steps; applying again goes on from here\n")
    if decisions.failed or left:
        raise typer.Exit(REFUSED)
