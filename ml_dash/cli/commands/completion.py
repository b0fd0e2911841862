"""`ml-dash completion`: the script by which a shell completes commands, options and values."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from ml_dash.cli.completing.scripts import SCRIPTS


class Shell(str, Enum):
    """The shells that there is a script for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the script by which a shell completes all of this.

    Commands, options, experiments, metrics, fields, parameters and tags. For bash: eval "$(ml-dash completion bash)" in
    ~/.bashrc; for zsh the same in ~/.zshrc, behind compinit; for fish: ml-dash completion fish >
    ~/.config/fish/completions/ml-dash.fish
    """
    typer.echo(SCRIPTS[shell.value], nl=False)
