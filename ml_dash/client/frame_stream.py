"""Frames as they come from a server: put together from pieces, checked, and decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.errors import RemoteError
from ml_dash.journal.checked import known_blocks
from ml_dash.journal.frame import FRAME_HEADER, data_crc, decode_meta, head_crc_ok, parse_frame_header

if TYPE_CHECKING:
    from ml_dash.journal.blocks import Block

__all__ = ["Frames"]

_FRAME_BYTES_MAX = 1 << 30
"""A frame that claims more is none: nothing is allocated for it."""


class Frames:
    """Takes pieces of frames that lie back to back, numbered 1, 2, …; a frame may begin in one and end in the next.

    Example:
        >>> frames = Frames()
        >>> for piece in pieces:
        ...     frames.add(piece)
        >>> blocks = frames.finish()
    """

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = FRAME_HEADER.size
        self._seq = 0

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            RemoteError: It is not what a frame is made of.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size >= self._wanted:
            raw = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            length = self._length(raw)
            if length > len(raw):
                self._pieces, self._wanted = [raw], length
                return
            self._take(raw[:length])
            rest = raw[length:]
            self._pieces, self._size, self._wanted = [rest], len(rest), FRAME_HEADER.size

    def finish(self) -> list[Block]:
        """Return the blocks of all frames.

        Raises:
            RemoteError: The last frame is not whole.
        """
        if self._size:
            raise RemoteError(f"the server's answer ends in the middle of frame {self._seq + 1}: ask again")
        return self._blocks

    def _length(self, raw: bytes) -> int:
        header = parse_frame_header(raw)
        length = FRAME_HEADER.size + header.meta_len + header.data_len if header else 0
        if header is None or header.seq != self._seq + 1 or length > _FRAME_BYTES_MAX:
            raise self._damaged()
        return length

    def _take(self, raw: bytes) -> None:
        header = parse_frame_header(raw)
        if header is None:
            raise self._damaged()
        split = FRAME_HEADER.size + header.meta_len
        meta, data = raw[FRAME_HEADER.size : split], raw[split:]
        if not head_crc_ok(raw, meta) or data_crc(header.seq, data) != header.data_crc:
            raise self._damaged()
        try:
            self._blocks += known_blocks(decode_meta(meta, len(data)), data)
        except ValueError as error:
            raise RemoteError(f"frame {header.seq} of the server's answer makes no sense: {error}") from error
        self._seq = header.seq

    def _damaged(self) -> RemoteError:
        return RemoteError(f"frame {self._seq + 1} of the server's answer is damaged: ask again")
