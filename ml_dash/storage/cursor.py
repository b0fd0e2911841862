"""How much of a writer's frames a server has acknowledged, remembered beside the journal.

The server's own watermark is the truth; this file only saves reading old frames to know how many rows they had, and
shows when a server has forgotten what it had acknowledged. So nobody waits for it to be on the medium: after a
power cut it may be an older one, or none.
"""

from __future__ import annotations

import json
import os
from typing import Annotated, Any, TypeAlias

import msgspec

from ml_dash.journal.disk import NOT_THERE, REAL_DISK, Disk

CURSOR_SUFFIX = ".cursor"
_BYTES_MAX = 1 << 20  # thousands of servers: what is larger is none of ours
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Cursor(msgspec.Struct, frozen=True, rename="camel"):
    """What a server has of one writer.

    Attributes:
        seq: The number up to which all frames are acknowledged.
        experiment_id: The server's id of the experiment.
        rows: Rows that count as logged in these frames, of those that the server stored.
        rejected_rows: Rows in frames that the server refused, and that were set aside.
        lost_frames: Frames that could not be read any more.
    """

    seq: _Count
    experiment_id: str
    rows: _Count = 0
    rejected_rows: _Count = 0
    lost_frames: _Count = 0


class CursorFile:
    """The file ``<writer>.cursor`` in an experiment's directory: a cursor for each server, by its URL."""

    def __init__(self, directory: str, writer: str, disk: Disk = REAL_DISK) -> None:
        self.path = os.path.join(directory, writer + CURSOR_SUFFIX)
        self._disk = disk

    def load(self, url: str) -> Cursor | None:
        """Return what is known of a server; None where nothing is, or the file is damaged."""
        try:
            return msgspec.convert(self._entries().get(url), Cursor)
        except (OSError, msgspec.ValidationError, UnicodeError):  # the last one of half a surrogate pair
            return None  # out of reach or damaged: the server will say

    def save(self, url: str, cursor: Cursor) -> None:
        """Remember this of a server, and leave what is known of others; or raise OSError, and leave all of it."""
        entries = {**self._entries(), url: msgspec.to_builtins(cursor)}
        self._disk.replace(self.path, json.dumps(entries, indent=1).encode(), durable=False)

    def _entries(self) -> dict[str, Any]:
        try:
            size = self._disk.size(self.path)
            raw = self._disk.read_at(self.path, 0, size) if size <= _BYTES_MAX else b""
            entries = json.loads(raw)
        except (*NOT_THERE, ValueError, RecursionError):
            return {}
        return entries if isinstance(entries, dict) else {}
