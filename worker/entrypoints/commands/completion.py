"""``library completion``: what a shell needs to complete commands and options."""

import sys
from typing import Annotated, Literal

import typer

from worker.entrypoints.commands.arguments import example

app = typer.Typer()

VARIABLE = "_LIBRARY_COMPLETE"
"""A shell sets it when it asks what may stand at the cursor."""


@app.command(epilog=example('eval "$(library completion bash)"'))
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Which shell.", metavar="SHELL")],
) -> None:
    """Print the script that has bash, zsh or fish complete commands and options.

    For every session, put the example's line into ~/.bashrc or ~/.zshrc; for fish, write the script to
    ~/.config/fish/completions/library.fish.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # noqa: PLC0415

    script = get_completion_script(prog_name="library", complete_var=VARIABLE, shell=shell)
    sys.stdout.write(f"{script}\n")
