"""The commands put together, and what is common to them: help, errors on one line, pipes that close."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

import ml_dash
from ml_dash.cli.text import complain
from ml_dash.cli.wrong_values import reword, told_with_variable
from ml_dash.errors import (
    ExperimentMissingError,
    InvalidArgumentError,
    InvalidPrefixError,
    MissingExtraError,
    MLDashError,
)

_USAGE_ERRORS = (ExperimentMissingError, InvalidArgumentError, InvalidPrefixError, MissingExtraError)
# 2 is what typer ends with for a wrong command line, too; 130 is what a shell tells of SIGINT (128 + 2).
_WRONG_DATA, _WRONG_USAGE, _INTERRUPTED = 1, 2, 130


class _Entry(NamedTuple):
    """A command: its module in `ml_dash.cli.commands`, its sentence in `ml-dash --help`, and its name in the module."""

    module: str
    help: str
    name: str | None = None  # where it is not the command's own


# Each sentence is the first one of the command's docstring: the help must not load fourteen modules for them.
_COMMANDS = {
    "ls": _Entry("ls", "List the experiments under a directory."),
    "show": _Entry("show", "Show all about one experiment."),
    "ui": _Entry("ui", "Show the experiments under a directory in the browser."),
    "tail": _Entry("tail", "Print the last rows and log messages."),
    "export": _Entry("export", "Export rows, or whole projects, to other formats."),
    "alerts": _Entry("telling.alerting", "Print what a script has said by exp.alert, the newest last."),
    "files": _Entry("files", "List the files of an experiment."),
    "download": _Entry("download", "Copy files of an experiment to a directory."),
    "upload": _Entry("upload", "Add files to an existing experiment."),
    "rm": _Entry("removing", "Delete experiments: they go into the trash, and can be restored."),
    "restore": _Entry("removing", "Bring deleted experiments back, with all that they had."),
    "trash": _Entry("removing", "List the experiments that were deleted, and can be restored."),
    "mv": _Entry("mv", "Give experiments other names."),
    "tag": _Entry("saying", "Change the tags of experiments, or print them."),
    "note": _Entry("saying", "Print the note on an experiment, or write one."),
    "readme": _Entry("saying", "Print the readme of an experiment, or change it."),
    "stop": _Entry("stop", "Ask runs to stop."),
    "diff": _Entry("comparing", "Show in what two experiments differ."),
    "best": _Entry("comparing", "Print the best value of a metric, and its step."),
    "import": _Entry("import_", "Bring in what other trackers have written.", "import_"),
    "mcp": _Entry("mcp", "Answer a coding agent's questions about runs."),
    "verify": _Entry("verify", "Check journals and files, and repair journals on demand."),
    "rule": _Entry("telling.rules", "Make, list, change, test and remove a server's rules."),
    "sync": _Entry("sync", "Send to a server what it does not have."),
    "login": _Entry("auth", "Log in to a server, and store the token for it."),
    "logout": _Entry("auth", "Forget the stored token for a server."),
    "whoami": _Entry("auth", "Show which token is used for a server, and what it may do there."),
    "completion": _Entry(
        "completion",
        "Print the script by which a shell completes all of this.",
    ),
    "server": _Entry("server", "Serve experiments to everybody who has a token."),
}

_ELSEWHERE = {
    **dict.fromkeys(("list", "runs", "experiments"), "ls"),
    **dict.fromkeys(("cat", "info", "describe", "status"), "show"),
    **dict.fromkeys(("dashboard", "web", "serve", "open", "view", "board"), "ui"),
    **dict.fromkeys(("logs", "log", "watch", "follow"), "tail"),
    **dict.fromkeys(("dump", "csv"), "export"),
    **dict.fromkeys(("artifacts", "artifact"), "files"),
    **dict.fromkeys(("get", "pull", "fetch"), "download"),
    **dict.fromkeys(("add", "put", "save"), "upload"),
    **dict.fromkeys(("convert", "migrate"), "import"),
    **dict.fromkeys(("check", "fsck", "repair"), "verify"),
    **dict.fromkeys(("push", "send"), "sync"),
    **dict.fromkeys(("signin", "auth"), "login"),
}
"""What commands are called elsewhere, where the names are too different to be taken for slips of the pen."""


class _Commands(TyperGroup):
    """Commands of which each is loaded when it is called, and whose errors are told in one line."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that is called; what the group has under its name is only an entry for the help."""
        if args and args[0] in _ELSEWHERE and args[0] not in self.commands:
            raise InvalidArgumentError(
                f"there is no command {args[0]!r}: write ml-dash {_ELSEWHERE[args[0]]}"
            )
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error of the library is told in one line, and a closed pipe in none."""
        given = [*ctx.args]
        try:
            result = super().invoke(ctx)
            # Here, and not at exit: a pipe that nobody reads breaks when it is flushed, which is caught below.
            sys.stdout.flush()
        except BrokenPipeError:
            _abandon_output()
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except typer.BadParameter as error:
            reword(error)
            raise
        except _USAGE_ERRORS as error:
            complain(f"Error: {told_with_variable(str(error), given)}")
            raise typer.Exit(_WRONG_USAGE) from None
        except (MLDashError, OSError) as error:
            complain(f"Error: {told_with_variable(str(error), given)}")
            raise typer.Exit(_WRONG_DATA) from None
        else:
            return result


def commands() -> dict[str, str]:
    """Return the commands' names, each with its sentence."""
    return {name: entry.help for name, entry in _COMMANDS.items()}


def load(name: str) -> Any:
    """Return a command as typer makes it of its function, or of the commands below it."""
    entry = _COMMANDS[name]
    command = getattr(import_module(f"ml_dash.cli.commands.{entry.module}"), entry.name or name)
    if not isinstance(command, typer.Typer):
        function, command = command, typer.Typer(rich_markup_mode=None, add_completion=False)
        command.command(name)(function)
    return typer.main.get_command(command)


def _abandon_output() -> None:
    """Let go of a pipe that nobody reads: who closed it has what they wanted."""
    # Python flushes standard output once more at exit, and would complain of the pipe then.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


app = typer.Typer(
    name="ml-dash",
    cls=_Commands,
    # plain help and errors: they are read in pipes and narrow windows, too
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _entry in _COMMANDS.items():
    # The function is only there for the help: `resolve_command` puts the real one in its place.
    app.command(_name, help=_entry.help)(lambda: None)


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
    """Show, import, export, check and repair experiments, and send them to a server, or be one.

    EXP is a prefix under --root (owner/project/name), the path of an experiment's directory, or the last part
    of a prefix, if only one prefix ends with it.

    Exit codes: 0 all is well, 1 something is wrong with the data, 2 the command line is wrong.
    """
