"""What is sent in one request: consecutive frames of one writer, compressed where that pays."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ml_dash.journal.feed import FeedFrame
from ml_dash.journal.frame import encode_frame

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from ml_dash.journal.feed import FeedItem

Fate: TypeAlias = Literal["sent", "rejected", "lost"]
"""What becomes of a frame's rows: stored, set aside on this side, or not to be had any more."""

_SAMPLE_BYTES = 64 << 10
# Of floats that are noise, deflate saves a few per cent: that is not worth the time, here and at the server.
_PAYS_BELOW = 0.8
_LEVEL = 1  # the fastest: a higher one takes several times as long beside a training for a few per cent more


class Entry(NamedTuple):
    """A frame of a batch. `rows` are those that count as logged; 0 where that is not known."""

    seq: int
    rows: int
    fate: Fate


class Batch(NamedTuple):
    """A request's body: frames back to back."""

    entries: Sequence[Entry]  # numbered without a gap
    body: bytes
    encoding: str | None  # as in Content-Encoding
    size: int  # in bytes, before compression

    def entry(self, seq: int | None) -> Entry | None:
        """Return the entry with this number."""
        at = -1 if seq is None else seq - self.entries[0].seq
        return self.entries[at] if 0 <= at < len(self.entries) else None


def make_batch(items: Sequence[FeedItem], rejected: Container[int], *, compress: bool) -> Batch:
    """Make the body of what a feed has handed out; for frames that are lost or `rejected`, empty ones are sent."""
    entries, pieces = [], []
    for item in items:
        fate: Fate = (
            "lost" if not isinstance(item, FeedFrame) else "rejected" if item.seq in rejected else "sent"
        )
        entries.append(Entry(item.seq, item.rows or 0, fate))
        sent = isinstance(item, FeedFrame) and fate == "sent"
        pieces.append(item.data if isinstance(item, FeedFrame) and sent else encode_frame(item.seq, []))
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if compress and _pays(body):
        return Batch(entries, zlib.compress(body, _LEVEL), "deflate", len(body))
    return Batch(entries, body, None, len(body))


def _pays(body: bytes) -> bool:
    # A sample from the middle: the beginning is a frame's meta, which compresses well whatever the data does.
    start = max(0, (len(body) - _SAMPLE_BYTES) // 2)
    sample = body[start : start + _SAMPLE_BYTES]
    return len(zlib.compress(sample, _LEVEL)) < _PAYS_BELOW * len(sample)
