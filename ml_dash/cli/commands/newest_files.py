"""The newest files of an experiment, as a part of what is shown of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from ml_dash.cli.text import count_text, size_text

if TYPE_CHECKING:
    from ml_dash.cli.screen import Screen
    from ml_dash.journal.index import JournalIndex

__all__ = ["files_record", "show_files"]

_FILES_SHOWN = 5


def _files(index: JournalIndex) -> list[dict[str, Any]]:
    """Return the rows of the files, the newest first."""
    from ml_dash.cli.file_source import file_table

    return sorted(file_table(index).rows(), key=lambda row: str(row["uploadedAt"]), reverse=True)


def files_record(index: JournalIndex) -> dict[str, Any]:
    """Return number, bytes and the newest of the files, for programs."""
    rows = _files(index)
    return {
        "count": len(rows),
        "bytes": sum(row["sizeBytes"] for row in rows),
        "newest": rows[:_FILES_SHOWN],
    }


def show_files(screen: Screen, index: JournalIndex) -> None:
    """Show number, bytes and the newest of the files, where there are any."""
    from rich.text import Text

    from ml_dash.cli.commands.files import uploaded_text
    from ml_dash.cli.screen import table
    from ml_dash.query.files import full_name

    rows = _files(index)
    if not rows:
        return
    now = time.time_ns()
    shown = [
        (full_name(row), size_text(row["sizeBytes"]), uploaded_text(row, now)) for row in rows[:_FILES_SHOWN]
    ]
    total = f"{count_text(len(rows), 'file')}, {size_text(sum(row['sizeBytes'] for row in rows))}"
    columns: list[tuple[str, Literal["left", "right"]]] = [("", "left"), ("", "right"), ("", "left")]
    screen.show(Text(f"\nFiles, {total}", "bold"), table(columns, shown, header=False, indent=2))
    if len(rows) > len(shown):
        hint = f"  and {len(rows) - len(shown):,} older ones: `ml-dash files` lists them"
        screen.show(Text(hint, "dim"))
