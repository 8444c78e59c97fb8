"""The command line: ``library``."""

import os

import typer

from worker.entrypoints.commands import (
    agents,
    completion,
    dead,
    deployments,
    doctor,
    entities,
    environments,
    manifests,
    observing,
    processes,
    quarantine,
    records,
    upkeep,
)
from worker.entrypoints.commands.session import common_options

app = typer.Typer(
    name="library",
    help="Decides which version of an entity runs where: deploys, supersedes and rolls back.\n\n"
    "Exit status: 0 done, 1 refused, 2 usage, 3 no answer.",
    callback=common_options,
    no_args_is_help=True,
    add_completion=completion.VARIABLE in os.environ,  # its options are none of ours, and cost time
    rich_markup_mode=None,  # plain help reads well in a pipe, too, and starts in half the time
    pretty_exceptions_enable=False,  # they show local variables, and with them secrets
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

for family in (
    processes.app,
    deployments.app,
    agents.app,
    records.app,
    manifests.app,
    observing.app,
    doctor.app,
    upkeep.app,
    completion.app,
):
    app.add_typer(family)
app.add_typer(entities.app, name="entity")
app.add_typer(environments.app, name="environment")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(dead.app, name="dead")
app.add_typer(upkeep.live, name="live")


def main() -> None:
    """Run the command that the arguments name."""
    app()
