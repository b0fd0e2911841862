"""The commands put together, and what is common to them: help, errors on one line, pipes that close."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

import ml_dash
from ml_dash.cli.commands.auth import login, logout, whoami
from ml_dash.cli.commands.download import download
from ml_dash.cli.commands.export import export
from ml_dash.cli.commands.files import files
from ml_dash.cli.commands.ls import ls
from ml_dash.cli.commands.server import server_commands
from ml_dash.cli.commands.show import show
from ml_dash.cli.commands.sync import sync
from ml_dash.cli.commands.tail import tail
from ml_dash.cli.commands.ui import ui
from ml_dash.cli.commands.upload import upload
from ml_dash.cli.commands.verify import verify
from ml_dash.cli.text import complain
from ml_dash.errors import InvalidArgumentError, InvalidPrefixError, MissingExtraError, MLDashError

__all__ = ["app", "run"]

_USAGE_ERRORS = (InvalidArgumentError, InvalidPrefixError, MissingExtraError)
_WRONG_DATA, _WRONG_USAGE, _INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="ml-dash",
    # plain help and errors: they are read in pipes and narrow windows, too
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code."""
    try:
        app(args=arguments, prog_name="ml-dash")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ml-dash {ml_dash.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Look at experiments, also in a browser, copy them out, check and repair them; send them to a server, or be one.

    EXP is a prefix under --root (owner/project/name), the path of an experiment's directory, or the last part
    of a prefix if no other ends so.

    Exit codes: 0 all is well, 1 something is wrong with the data, 2 the command line cannot be followed.
    """


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the library's errors told in one line, and a closed pipe in none."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            _abandon_output()
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except _USAGE_ERRORS as error:
            complain(f"Error: {error}")
            raise typer.Exit(_WRONG_USAGE) from None
        except (MLDashError, OSError) as error:
            complain(f"Error: {error}")
            raise typer.Exit(_WRONG_DATA) from None

    return guarded


def _abandon_output() -> None:
    """Let go of a pipe that nobody reads: who closed it has what they wanted."""
    # Python flushes standard output once more at exit, and would complain of the pipe then.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


for _command in (ls, show, ui, tail, export, files, download, upload, verify, sync, login, logout, whoami):
    app.command(_command.__name__)(_guarded(_command))
app.add_typer(server_commands(_guarded), name="server")
