"""Rows of metrics and tracks, and log messages, each on a line of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from ml_dash.cli.choice import UNNAMED
from ml_dash.cli.text import local_time, value_text, visible
from ml_dash.series import Kind

if TYPE_CHECKING:
    from ml_dash.cli.screen import Screen
    from ml_dash.journal.sweep import Row

__all__ = ["RowLines"]

_NAME_MAX = 24
_STYLES = {"debug": "dim", "warn": "yellow", "error": "red", "fatal": "bold red"}


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
        style = _STYLES.get(level, "")
        self._write_name(drawn, visible(level), style)
        message = str(fields.get("message", ""))
        if self._for_people:
            first, *more = message.splitlines() or [""]
            drawn.append(visible(first), style)
        else:
            more = []
            drawn.append(visible(message))
        if isinstance(metadata, dict):
            drawn.append("".join("  " + self._item(name, value) for name, value in metadata.items()), "dim")
        for line in more:
            drawn.append("\n    " + visible(line), style)

    def _item(self, name: Any, value: Any) -> str:
        return f"{visible(str(name))}={value_text(value, exact=not self._for_people)}"
