"""What a command writes: tables and lines, to a terminal or a pipe."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from ml_dash.cli.terminal import terminal_lines
from ml_dash.cli.text import UNNAMED, local_time, value_text
from ml_dash.journal.sweep import Row
from ml_dash.query.sparkline import can_draw
from ml_dash.series import STREAMS, Kind
from ml_dash.status import RunStatus
from ml_dash.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

# Nothing is cut or wrapped in a pipe; rich wants a number, and allocates nothing of this size.
_UNLIMITED = 1_000_000

_STYLES = {
    RunStatus.RUNNING: "cyan",
    RunStatus.COMPLETED: "green",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "yellow",
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
        self.draws = can_draw(sys.stdout.encoding)
        self._console = Console(
            # rich would look at FORCE_COLOR as well, and take `:name:` and `[name]` in messages for its own signs
            force_terminal=self.is_terminal,
            width=self.width,
            highlight=False,
            markup=False,
            emoji=False,
        )

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

    def show_either(self, wide: RenderableType, narrow: Iterable[RenderableType]) -> None:
        """Write `wide` if nothing in it has to be wrapped or cut, and else the parts of `narrow`."""
        options = self._console.options.update(width=_UNLIMITED)
        # Measured without a limit: rich would report the width that it can squeeze a table into.
        fits = self._console.measure(wide, options=options).maximum <= self.width
        self.show(*([wide] if fits else narrow))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    header: bool = True,
    indent: int = 0,
) -> Table:
    """Return a table without lines. Texts are taken as they are: nothing in them is markup.

    Args:
        columns: Titles; the cells below one that begins with ``>`` are aligned to the right.
        rows: Cells. A str is made safe to show, a `Text` has to be.
        header: Whether to show the titles.
        indent: Spaces before each line.
    """
    # not at the top: `ml-dash show --help` draws no table
    from rich.table import Table

    drawn = Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    if indent:
        drawn.add_column("", width=indent - 2, no_wrap=True)
    for title in columns:
        side: Literal["left", "right"] = "right" if title.startswith(">") else "left"
        drawn.add_column(title.removeprefix(">"), justify=side, overflow="fold", no_wrap=side == "right")
    for row in rows:
        cells = [Text(visible(cell)) if isinstance(cell, str) else cell for cell in row]
        drawn.add_row(*([Text("")] if indent else []), *cells)
    return drawn


def status_style(label: str) -> str:
    """Return the colour in which a status is shown."""
    return _STYLES.get(label, "dim")


# In characters: one long name must not push all other rows out of the window.
_NAME_MAX = 24
_LEVEL_STYLES = {"debug": "dim", "warn": "yellow", "warning": "yellow", "error": "red", "fatal": "bold red"}


class RowLines:
    """Makes lines of rows: time, then a metric's name or a message's level, then the rest.

    On a terminal times of today are without the date, floats have six digits, and a message of several lines
    keeps them, indented; elsewhere a row is one line, with everything in it.
    """

    def __init__(self, screen: Screen) -> None:
        self._for_people = screen.is_terminal
        self._today = local_time(time.time_ns())[:10]
        self._width = 6

    def line(self, row: Row) -> Text:
        """Return a row's line."""
        drawn = Text.assemble((self._time(row.time_ns), "dim"), "  ")
        if row.series.kind is Kind.LOG:
            self._write_message(drawn, row.fields)
        elif row.series.kind is Kind.CONSOLE:
            is_error = row.fields.get("stream") == STREAMS[1]
            drawn.append_text(terminal_lines(str(row.fields.get("text", "")), "red" if is_error else "")[0])
        elif row.series.kind is Kind.ALERT:
            self._write_alert(drawn, row.fields)
        else:
            self._write_name(drawn, visible(row.series.name or UNNAMED), "cyan")
            drawn.append("  ".join(self._item(name, value) for name, value in row.fields.items()))
        return drawn

    def _time(self, time_ns: int) -> str:
        moment = local_time(time_ns, milliseconds=True)
        return moment[11:] if self._for_people and moment.startswith(self._today) else moment

    def _write_name(self, drawn: Text, name: str, style: str) -> None:
        """Write what a line begins with; the column widens with the names that come."""
        self._width = max(self._width, min(cell_len(name), _NAME_MAX))
        drawn.append(name + " " * (self._width - cell_len(name) + 2), style)

    def _write_message(self, drawn: Text, fields: dict[str, Any]) -> None:
        level, metadata = str(fields.get("level", "info")), fields.get("metadata")
        style = _LEVEL_STYLES.get(level, "")
        self._write_name(drawn, visible(level), style)
        lines = terminal_lines(str(fields.get("message", "")), style)
        if self._for_people:
            first, *more = lines
            drawn.append_text(first)
        else:
            more = []
            drawn.append("\\n".join(line.plain for line in lines))
        if isinstance(metadata, dict):
            drawn.append("".join("  " + self._item(name, value) for name, value in metadata.items()), "dim")
        for line in more:
            drawn.append("\n    ").append_text(line)

    def _write_alert(self, drawn: Text, fields: dict[str, Any]) -> None:
        level = str(fields.get("level", "info"))
        style = _LEVEL_STYLES.get(level, "bold")
        self._write_name(drawn, visible(level), style)
        said = [terminal_lines(str(fields.get(name) or ""), "") for name in ("title", "text")]
        text = "  ".join("\\n".join(line.plain for line in lines) for lines in said)
        drawn.append(f"alert: {text.rstrip()}", style)
        if held := fields.get("held"):
            drawn.append(f"  held={value_text(held)}", "dim")

    def _item(self, name: Any, value: Any) -> str:
        return f"{visible(str(name))}={value_text(value, exact=not self._for_people)}"
