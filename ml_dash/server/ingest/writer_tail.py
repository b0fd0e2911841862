"""The checksums of all frames that a writer ever sent: 4 bytes each, in pages of 256.

A frame that comes again must be the one that came before. If it is not, two clients write under one writer's id, and
without the check one of them would lose its rows without a word.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from ml_dash.server.db.tables import FRAME_CHECKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

PAGE = 256
"""Frames in a page: page 0 has those numbered 1 to 256."""
_BYTES = 4


class CheckTail(NamedTuple):
    """How far a writer has come.

    Attributes:
        watermark: The number of its last frame; none before it is missing.
        checks: The checksums of the frames behind the last full page.
    """

    watermark: int
    # as the bytes that are stored, not as numbers: a tail is written with every commit, and compared almost never
    checks: bytes

    def extended(self, checks: Sequence[int]) -> tuple[CheckTail, list[tuple[int, bytes]]]:
        """Return the tail after frames with these checksums, and the pages that became full."""
        together = self.checks + struct.pack(f"<{len(checks)}I", *checks)
        page = self.watermark // PAGE
        size = PAGE * _BYTES
        full = [(page + at, together[at * size : (at + 1) * size]) for at in range(len(together) // size)]
        return CheckTail(self.watermark + len(checks), together[len(full) * size :]), full

    def known(self, seq: int) -> int | None:
        """Return a frame's checksum, if it is in the tail."""
        at = (seq - 1 - self.watermark // PAGE * PAGE) * _BYTES
        if 0 <= at < len(self.checks):
            return int.from_bytes(self.checks[at : at + _BYTES], "little")
        return None


NO_FRAMES = CheckTail(0, b"")
"""The tail of a writer that has sent nothing yet."""


def stored_checks(
    connection: Connection, experiment_id: str, writer: str, first: int, last: int
) -> dict[int, int]:
    """Return the checksums of the frames `first` to `last` that are in full pages, by number."""
    pages = connection.execute(
        select(FRAME_CHECKS.c.page, FRAME_CHECKS.c.checks).where(
            FRAME_CHECKS.c.experiment_id == experiment_id,
            FRAME_CHECKS.c.writer == writer,
            FRAME_CHECKS.c.page.between((first - 1) // PAGE, (last - 1) // PAGE),
        )
    )
    found: dict[int, int] = {}
    for page, checks in pages:
        numbers = struct.unpack(f"<{len(checks) // _BYTES}I", checks)
        found.update(enumerate(numbers, page * PAGE + 1))
    return {seq: check for seq, check in found.items() if first <= seq <= last}
