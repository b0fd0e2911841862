"""The `ml-dash` command: looks at experiments, copies them out, checks and repairs them.

One file a command: `ls`, `show`, `tail`, `export`, `files`, `download`, `upload`, `verify`… Exit codes: 0 all is well,
1 something is wrong with the data (what can be read is shown all the same), 2 the command line is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import ml_dash
from ml_dash.cli.completing.scripts import ASK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _open_standard_streams()
    _write_anything()
    if arguments == ["--version"]:
        # scripts ask for it again and again: it must not wait for the packages that draw tables
        sys.stdout.write(f"ml-dash {ml_dash.__version__}\n")
        return 0
    if arguments[:1] == [ASK]:
        from ml_dash.cli.completing.answering import answer

        return answer(arguments[1:])
    from ml_dash.cli.app import run

    return run(arguments)


def _open_standard_streams() -> None:
    """Open those of the standard streams that were closed, as by ``>&-``: nobody reads what goes there.

    What the command opens next would get their numbers else, and be written to by whoever means standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _write_anything() -> None:
    """Have characters that the output's encoding lacks written as escapes: a name must not end a listing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
