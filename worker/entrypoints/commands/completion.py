"""``library completion``: what a shell needs to complete commands and options."""

import contextlib
import io
import os
import sys
from typing import Annotated, Literal

import typer

from worker.entrypoints.commands.arguments import example

app = typer.Typer()

VARIABLE = "_LIBRARY_COMPLETE"
"""A shell sets it when it asks what may stand at the cursor."""

Shell = Literal["bash", "zsh", "fish"]


@app.command(epilog=example('eval "$(library completion bash)"'))
def completion(
    shell: Annotated[Shell, typer.Argument(help="Which shell.", metavar="SHELL")],
) -> None:
    """Print the script that has bash, zsh or fish complete commands and options.

    For every session, put the example's line into ~/.bashrc or ~/.zshrc; for fish, write the script to
    ~/.config/fish/completions/library.fish.
    """
    sys.stdout.write(f"{_script(shell)}\n")


def _script(shell: Shell) -> str:
    """What a program of typer's says of this name when the variable asks it for its script."""
    program = typer.Typer(add_completion=True)
    program.command()(_nothing)
    os.environ[VARIABLE] = f"source_{shell}"
    with contextlib.redirect_stdout(io.StringIO()) as written, contextlib.suppress(SystemExit):
        program(prog_name="library")
    return written.getvalue().strip()


def _nothing() -> None:
    """Do nothing: a program has a command."""
