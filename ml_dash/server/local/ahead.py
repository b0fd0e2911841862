"""Rows of several short series of a journal, read together and kept while an answer is made.

A frame has the blocks of all metrics of its time, and is read and checked as a whole: forty charts of a run with two
thousand metrics would each read all of the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ml_dash.server.charts.looked_at import copied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.journal.frame_table import BlockPlace, Catalogue
    from ml_dash.journal.index import JournalIndex
    from ml_dash.series import Series

_ROWS_MAX = 131_072
"""Of one series: of a longer one mostly its summaries are read."""
_FRAMES_BYTES_MAX = 128 << 20
"""Bytes of frames that are read: of a longer journal, each series is read by itself."""


class _Read(NamedTuple):
    blocks: list[tuple[int, Block]]
    rows: int


class Ahead:
    """What was read ahead of one journal; to be used only while the journal's view is held."""

    def __init__(self) -> None:
        self._read: dict[Series, _Read] = {}

    def read(self, index: JournalIndex, several: Sequence[Series], room: int) -> int:
        """Read the rows of these series where they lie in the same frames, and return how many bytes are kept.

        Args:
            index: The journal's.
            several: Short ones are read; longer ones are left.
            room: Bytes that may be kept. Where there is not enough, nothing is.
        """
        wanted = [
            each
            for each in dict.fromkeys(several)
            if each not in self._read and 0 < index.count(each) <= _ROWS_MAX
        ]
        if len(wanted) < 2:
            return 0
        found: dict[Series, list[tuple[int, Block]]] = {series: [] for series in wanted}
        used = 0
        for block_bytes in _reading(index, wanted, found):
            used += block_bytes
            if used > room:
                return 0
        if used:
            self._read |= {series: _Read(blocks, index.count(series)) for series, blocks in found.items()}
        return used

    def forget(self) -> None:
        """Forget all of it."""
        self._read.clear()

    def blocks(
        self, index: JournalIndex, series: Series
    ) -> Callable[[int, int], Iterator[tuple[int, Block]]] | None:
        """Return what gives the blocks of a series; None where they were not read, or where there are more by now."""
        kept = self._read.get(series)
        if kept is None or kept.rows != index.count(series):
            return None
        return lambda start, stop: (
            (first, block) for first, block in kept.blocks if first < stop and first + block.count > start
        )


def _reading(
    index: JournalIndex, wanted: Sequence[Series], found: dict[Series, list[tuple[int, Block]]]
) -> Iterator[int]:
    """Put the blocks of some series into `found`, and yield how many bytes each takes; none of a long journal."""
    plan: list[tuple[Catalogue, dict[int, list[tuple[Series, int, BlockPlace]]]]] = []
    bases = dict.fromkeys(wanted, 0)
    length = 0
    for catalogue in index.catalogues.values():
        frames: dict[int, list[tuple[Series, int, BlockPlace]]] = {}
        for series in wanted:
            count = catalogue.count(series)
            for place in catalogue.blocks(series, 0, count):
                frames.setdefault(place.frame, []).append((series, bases[series] + place.first, place))
            bases[series] += count
        length += sum(catalogue.place(at).length for at in frames)
        plan.append((catalogue, frames))
    if length > _FRAMES_BYTES_MAX:
        return
    for catalogue, frames in plan:
        for at in sorted(frames, key=lambda at: frames[at][0][2].first):
            # of a damaged frame there is none
            blocks = index.read_frame(catalogue, at, [(series, place) for series, _, place in frames[at]])
            for (series, first, _), block in zip(frames[at], blocks, strict=False):
                kept, nbytes = copied(block)
                found[series].append((first, kept))
                yield nbytes
    for several in found.values():
        several.sort(key=lambda each: each[0])
