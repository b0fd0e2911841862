"""How far the last of an upload is, for somebody who waits for it on a terminal; nothing where nobody looks."""

from __future__ import annotations

import contextlib
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Left", "exit_bar"]

Left = tuple[int, int]
"""Rows and bytes of files that are still to be sent."""


@contextmanager
def exit_bar(left: Callable[[], Left]) -> Iterator[Callable[[], None]]:
    """Give what draws the bar anew, to be called now and then.

    Args:
        left: Tells what is still to be sent.
    """
    stderr = sys.stderr
    rows, size = left()
    try:
        is_seen = stderr is not None and stderr.isatty() and (rows or size)
    except ValueError:
        is_seen = False  # the script has closed it
    if not is_seen:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TaskProgressColumn

    count = DownloadColumn() if size else MofNCompleteColumn()
    console = Console(stderr=True)
    # It draws when it is told to: at this moment no thread can be started any more that would do so.
    progress = Progress(
        "{task.description}",
        BarColumn(),
        count,
        TaskProgressColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
    )
    total = size or rows
    task = progress.add_task("files" if size else "rows", total=total)

    def show() -> None:
        rows, size_left = left()
        progress.update(task, completed=max(0, total - (size_left if size else rows)))
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone
            progress.refresh()

    with progress:
        show()
        yield show
