"""How much of a writer's frames a server has acknowledged, remembered beside the journal.

The server's own watermark is the truth; this file only saves reading old frames to know how many rows they had, and
shows when a server has forgotten what it had acknowledged.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.journal.disk import REAL_DISK, Disk

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CURSOR_SUFFIX", "Cursor", "CursorFile"]

CURSOR_SUFFIX = ".cursor"
_BYTES_MAX = 1 << 20


class Cursor(NamedTuple):
    """What a server has of one writer.

    Attributes:
        seq: The number up to which all frames are acknowledged.
        experiment_id: The server's id of the experiment.
        rows: Rows that count as logged in these frames, of those that the server stored.
        rejected_rows: Rows in frames that the server refused, and that were set aside.
        lost_frames: Frames that were not to be had any more.
    """

    seq: int
    experiment_id: str
    rows: int = 0
    rejected_rows: int = 0
    lost_frames: int = 0


class CursorFile:
    """The file ``<writer>.cursor`` in an experiment's directory: a cursor for each server, by its URL.

    Args:
        directory: The experiment's directory.
        writer: The writer's id.
        disk: The file system.

    Example:
        >>> file = CursorFile(".dash/alice/project/run", writer)
        >>> file.save("https://dash.example.org", Cursor(12, "exp_abc", rows=90))
        >>> file.load("https://dash.example.org").seq
        12
    """

    def __init__(self, directory: str, writer: str, disk: Disk = REAL_DISK) -> None:
        self.path = os.path.join(directory, writer + CURSOR_SUFFIX)
        self._disk = disk

    def load(self, url: str) -> Cursor | None:
        """Return what is known of a server; None where nothing is, or the file is damaged."""
        return _cursor(self._entries().get(url))

    def save(self, url: str, cursor: Cursor) -> None:
        """Remember this of a server, and leave what is known of others.

        Raises:
            OSError: The file cannot be replaced; it has its old content.
        """
        entries = {**self._entries(), url: _entry(cursor)}
        self._disk.replace(self.path, json.dumps(entries, indent=1).encode())

    def _entries(self) -> dict[str, Any]:
        try:
            size = self._disk.size(self.path)
            raw = self._disk.read_at(self.path, 0, size) if size <= _BYTES_MAX else b""
            entries = json.loads(raw)
        except (OSError, ValueError, RecursionError):
            return {}  # absent, out of reach or damaged: the server will say
        return entries if isinstance(entries, dict) else {}


def _entry(cursor: Cursor) -> Mapping[str, Any]:
    return {
        "seq": cursor.seq,
        "experimentId": cursor.experiment_id,
        "rows": cursor.rows,
        "rejectedRows": cursor.rejected_rows,
        "lostFrames": cursor.lost_frames,
    }


def _cursor(entry: Any) -> Cursor | None:
    match entry:
        case {"seq": int(seq), "experimentId": str(experiment_id), "rows": int(rows)}:
            more = [entry.get("rejectedRows"), entry.get("lostFrames")]
            if min(seq, rows) >= 0 and all(isinstance(number, int) and number >= 0 for number in more):
                return Cursor(seq, experiment_id, rows, *more)
    return None
