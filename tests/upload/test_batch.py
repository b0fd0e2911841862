"""A batch is the journal's bytes, compressed where that pays; empty frames stand for those that cannot be sent."""

from __future__ import annotations

import os
import zlib

from ml_dash.journal.feed import FeedFrame, FeedItem, Lost
from ml_dash.journal.frame import encode_frame
from ml_dash.upload.batch import Entry, make_batch
from tests.support.journals import frame


def test_the_bytes_are_those_of_the_journal() -> None:
    frames = [frame(seq, seq) for seq in (4, 5)]
    batch = make_batch(
        [FeedFrame(seq, raw, 1) for seq, raw in zip((4, 5), frames, strict=True)], (), compress=False
    )

    assert batch.body == b"".join(frames)
    assert batch.encoding is None
    assert batch.entries == [Entry(4, 1, "sent"), Entry(5, 1, "sent")]
    assert batch.entry(5) == Entry(5, 1, "sent")
    assert [batch.entry(seq) for seq in (None, 3, 6)] == [None] * 3


def test_empty_frames_stand_for_what_was_refused_and_what_is_lost() -> None:
    items: list[FeedItem] = [
        FeedFrame(1, frame(1, 1), 1),
        FeedFrame(2, frame(2, 1, 2), 2),
        Lost(3, None, "gone"),
        Lost(4, 9, "bad"),
    ]
    batch = make_batch(items, {2}, compress=False)

    assert batch.body == frame(1, 1) + b"".join(encode_frame(seq, []) for seq in (2, 3, 4))
    assert [(entry.rows, entry.fate) for entry in batch.entries] == [
        (1, "sent"),
        (2, "rejected"),
        (0, "lost"),
        (9, "lost"),
    ]


def test_it_is_compressed_where_that_pays_only() -> None:
    redundant, random = bytes(500_000), os.urandom(500_000)
    for data, pays in ((redundant, True), (random, False)):
        batch = make_batch([FeedFrame(1, data, 1)], (), compress=True)
        assert batch.encoding == ("deflate" if pays else None)
        assert (zlib.decompress(batch.body) if pays else batch.body) == data
        assert batch.size == len(data)
