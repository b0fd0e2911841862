"""Standard output: a terminal with a width and colours, or a pipe that gets plain text in full length."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Literal

from ml_dash.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["Screen", "complain", "status_style", "table"]

# Nothing is cut or wrapped in a pipe; rich wants a number, and allocates nothing of this size.
_UNLIMITED = 1_000_000

_STYLES = {
    "RUNNING": "cyan",
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "STALE": "magenta",
    "UNREADABLE": "red",
}


class Screen:
    """Where a command shows what it found.

    Attributes:
        is_terminal: Whether somebody looks at it as it comes.
        width: In characters; very large where it is no terminal.
        draws: Whether the characters of sparklines can be written.
    """

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.width = shutil.get_terminal_size().columns if self.is_terminal else _UNLIMITED
        self.draws = _can_write("▁█", sys.stdout.encoding)
        self._console = _console(self.is_terminal, self.width)

    def show(self, *parts: RenderableType) -> None:
        """Write parts below one another."""
        with self._console.capture() as captured:
            for part in parts:
                self._console.print(part)
        text = captured.get()
        if not self.is_terminal:
            text = "\n".join(line.rstrip() for line in text.split("\n"))
        sys.stdout.write(text)

    def show_lines(self, lines: Sequence[Text]) -> None:
        """Write lines; without rich where nothing is to be coloured or wrapped, for there may be millions."""
        if self.is_terminal:
            with self._console.capture() as captured:
                for line in lines:
                    self._console.print(line, end="\n")
            sys.stdout.write(captured.get())
        else:
            sys.stdout.write("".join(f"{line.plain.rstrip()}\n" for line in lines))

    def fits(self, part: RenderableType) -> bool:
        """Say whether a part can be shown without wrapping or cutting anything."""
        options = self._console.options.update(width=_UNLIMITED)
        return self._console.measure(part, options=options).maximum <= self.width


def table(
    columns: Sequence[tuple[str, Literal["left", "right"]]],
    rows: Iterable[Sequence[str | Text]],
    *,
    header: bool = True,
    indent: int = 0,
) -> Table:
    """Return a table without lines. Texts are taken as they are: nothing in them is markup.

    Args:
        columns: Titles, and to which side their cells go.
        rows: Cells. A str is made safe to show, a `Text` has to be.
        header: Whether to show the titles.
        indent: Spaces before each line.
    """
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    if indent:
        drawn.add_column("", width=indent - 2, no_wrap=True)
    for title, side in columns:
        drawn.add_column(title, justify=side, overflow="fold", no_wrap=side == "right")
    for row in rows:
        cells = [Text(visible(cell)) if isinstance(cell, str) else cell for cell in row]
        drawn.add_row(*([Text("")] if indent else []), *cells)
    return drawn


def status_style(label: str) -> str:
    """Return the colour in which a status is shown."""
    return _STYLES.get(label, "dim")


def complain(message: str) -> None:
    """Write a line to standard error."""
    sys.stdout.flush()
    sys.stderr.write(visible(message) + "\n")
    sys.stderr.flush()


def _console(is_terminal: bool, width: int) -> Console:
    from rich.console import Console

    return Console(
        force_terminal=is_terminal,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


def _can_write(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
