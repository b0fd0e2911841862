"""Frames that a server refused for what is in them: kept as files, so that what is in them is not lost."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from ml_dash.journal.disk import REAL_DISK, Disk, is_shortage
from ml_dash.journal.feed_segment import logged_rows
from ml_dash.journal.frame import FRAME_HEADER, META_BYTES_MAX, decode_meta, parse_frame_header

if TYPE_CHECKING:
    from collections.abc import Iterable


class RejectedFrames:
    """The files ``rejected/<writer>-<number>.frame`` of one writer, in an experiment's directory."""

    def __init__(self, directory: str, writer: str, disk: Disk = REAL_DISK) -> None:
        self.directory = os.path.join(directory, "rejected")
        self._writer = writer
        self._disk = disk
        self._name = re.compile(re.escape(writer) + r"-(\d+)\.frame")

    def path(self, seq: int) -> str:
        """Return the path of the file for a frame."""
        return os.path.join(self.directory, f"{self._writer}-{seq}.frame")

    def keep(self, seq: int, frame: bytes) -> None:
        """Keep a frame, durably, or raise OSError."""
        self._disk.replace(self.path(seq), frame)

    def forget(self, seqs: Iterable[int]) -> None:
        """Remove the files of frames that the server has taken after all."""
        for seq in seqs:
            with contextlib.suppress(OSError):  # somebody else has removed it, or it stays: the server has it
                self._disk.remove(self.path(seq))

    def numbers(self) -> set[int]:
        """Return the numbers of the frames that are kept."""
        matches = [self._name.fullmatch(name) for name in self._disk.list(self.directory)]
        return {int(match[1]) for match in matches if match}

    def rows(self, seqs: Iterable[int]) -> dict[int, int]:
        """Return how many rows that count as logged these frames have, of those that can be read."""
        found = {}
        for seq in seqs:
            try:
                path = self.path(seq)
                header = parse_frame_header(self._disk.read_at(path, 0, FRAME_HEADER.size))
                if header is not None and header.meta_len <= META_BYTES_MAX:
                    meta = self._disk.read_at(path, FRAME_HEADER.size, header.meta_len)
                    found[seq] = logged_rows(decode_meta(meta))
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and is_shortage(error):
                    raise
                continue  # not counted as set aside: a file that somebody has changed or taken away
        return found
