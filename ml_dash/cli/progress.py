"""A progress bar for somebody who waits. In a pipe, rich is not even loaded."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import typer

from ml_dash.cli.text import complain
from ml_dash.visible import visible

if TYPE_CHECKING:
    from rich.progress import Progress

_MOMENT, _TICK = 0.5, 0.1
"""Seconds before a counter is shown, and between two numbers."""


class Bar:
    """Bytes that are done, on standard error, where somebody looks; nothing in a pipe."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __enter__(self) -> Bar:  # noqa: PYI034 - typing has no Self before Python 3.11
        if sys.stderr.isatty():
            # rich takes 25 ms, which a script in a pipe need not wait for
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            text = TextColumn("{task.description}", markup=False)
            self._progress = Progress(
                text,
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,  # what goes into a pipe must not be shown on the terminal instead
                redirect_stderr=False,
            )
            self._progress.start()
            # One task for all files: total None shows that it moves before anything is known.
            self._progress.add_task("", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, name: str, done: int, total: int) -> None:
        """Say how far something is, in bytes."""
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, description=visible(name), completed=done, total=total)

    def say(self, line: str, *, wrong: bool = False) -> None:
        """Write a line to standard output, or standard error: above the bar, where both are on one terminal."""
        if self._progress is not None and (wrong or sys.stdout.isatty()):
            from rich.text import Text

            self._progress.console.print(Text(visible(line)), soft_wrap=True)
        elif wrong:
            complain(line)
        else:
            typer.echo(visible(line))


class Counter:
    """How many of something are done, on standard error, where somebody looks and it takes more than a moment."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin_at = time.monotonic() + _MOMENT
        self._is_shown = sys.stderr.isatty()
        self._shown = ""

    def __enter__(self) -> Counter:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._write("")

    def show(self, done: int, total: int) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if self._is_shown and now >= self._begin_at:
            self._begin_at = now + _TICK
            self._write(f"{done:,} of {total:,} {self._name}")

    def _write(self, text: str) -> None:
        # one line, which is written over
        sys.stderr.write(f"\r{text.ljust(len(self._shown))}" + ("" if text else "\r"))
        sys.stderr.flush()
        self._shown = text
