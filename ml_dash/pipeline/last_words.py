"""Appends to a journal what a run has printed before it died: ``python -m ml_dash.pipeline.last_words``, with JSON.

It is started by the process that reads a run's native output, see `ml_dash.capture.relay`, which has outlived the run.
Of the lines that it gives some were taken by the run, and may be in the journal or not; so the journal is asked, behind
what was in the run's shared memory, and a line is appended that it lacks: each once. It writes as a writer of its own,
as every process does.

What still can fail: nothing is written where this process is killed as well, or the journal's disk is full.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from ml_dash.events.batch import Batcher, SeriesNumbers
from ml_dash.journal.blocks import block_rows
from ml_dash.journal.frame import new_writer_id
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.latest import latest_ns
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series
from ml_dash.storage.marks import mark_changed
from ml_dash.storage.recovery import catch_up
from ml_dash.values.pack import pack_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_SERIES = Series(Kind.CONSOLE, None)
_FRAME_LINES = 8192


def append_lines(directory: str, rank: int, lines: Sequence[tuple[str, int, str]]) -> int:
    """Append the lines that an experiment's journal lacks, and return how many these were.

    Args:
        directory: the experiment's.
        rank: of the process that has printed them.
        lines: streams, times in nanoseconds and texts, in order.
    """
    journal = os.path.join(directory, "journal")
    if not lines or not os.path.isdir(journal):
        return 0
    catch_up(directory)
    known = _known(journal, min(time_ns for _, time_ns, _ in lines))
    missing = []
    for stream, time_ns, text in lines:
        if known[stream, time_ns, text] > 0:
            known[stream, time_ns, text] -= 1
        else:
            missing.append((stream, time_ns, text))
    if missing:
        _write(journal, rank, missing)
        mark_changed(directory)
    return len(missing)


def _known(journal: str, since_ns: int) -> Counter[tuple[str, int, str]]:
    """Return the lines that a journal has from a time on, by how often."""
    index = JournalIndex(journal)
    index.refresh()
    found: Counter[tuple[str, int, str]] = Counter()
    for _, block in index.blocks(_SERIES):
        if len(block.times) and int(block.times[-1]) >= since_ns:
            for time_ns, fields in zip(block.times, block_rows(block), strict=True):
                found[str(fields.get("stream")), int(time_ns), str(fields.get("text"))] += 1
    return found


def _write(journal: str, rank: int, lines: Sequence[tuple[str, int, str]]) -> None:
    series, batcher = SeriesNumbers(), Batcher()
    number = series.number(_SERIES)
    writer = JournalWriter(journal, new_writer_id(max(time.time_ns(), latest_ns(journal) + 1)))
    try:
        for start in range(0, len(lines), _FRAME_LINES):
            events = []
            for stream, time_ns, text in lines[start : start + _FRAME_LINES]:
                fields: dict[str, Any] = {"stream": stream, "text": text}
                events.append(pack_plain([number, time_ns, {**fields, "rank": rank} if rank else fields]))
            writer.append(batcher.blocks(events, series.known))
        writer.close()
    finally:
        writer.release()


def main() -> None:
    """Append what is given on standard input."""
    given = json.load(sys.stdin)
    lines = [(stream, time_ns, text) for stream, time_ns, text in given["lines"]]
    for place in given["where"]:
        append_lines(place["directory"], place["rank"], lines)


if __name__ == "__main__":
    main()
