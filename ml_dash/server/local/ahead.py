"""Rows of several short series of a journal, read together and kept for a moment.

A frame has the blocks of all metrics of its time, and is read and checked as a whole: forty charts of a run with two
thousand metrics would each read all of the journal.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.journal.frame_table import BlockPlace, Catalogue
    from ml_dash.journal.index import JournalIndex
    from ml_dash.series import Series

_KEPT_SECONDS = 5.0
"""For as long as an answer is drawn, and some more: a page mostly asks once."""
_ROWS_MAX = 2_000_000
"""Of all series together; each number of a row has 8 bytes."""


class _Read(NamedTuple):
    blocks: list[tuple[int, Block]]
    rows: int
    at: float


class Ahead:
    """What was read ahead of one journal; to be used only while the journal's view is held."""

    def __init__(self) -> None:
        self._read: dict[Series, _Read] = {}

    def read(self, index: JournalIndex, several: Sequence[Series]) -> None:
        """Read the rows of these series, of as many as there is room for, where they lie in the same frames."""
        self._forget()
        wanted: list[Series] = []
        room = _ROWS_MAX - sum(each.rows for each in self._read.values())
        for series in dict.fromkeys(several):
            rows = index.count(series)
            if rows <= room and series not in self._read:
                wanted.append(series)
                room -= rows
        if len(wanted) < 2:
            return
        found: dict[Series, list[tuple[int, Block]]] = {series: [] for series in wanted}
        bases = dict.fromkeys(wanted, 0)
        for catalogue in index.catalogues.values():
            frames: dict[int, list[tuple[Series, BlockPlace]]] = {}
            for series in wanted:
                for place in catalogue.blocks(series, 0, catalogue.count(series)):
                    frames.setdefault(place.frame, []).append((series, place))
            _read(index, catalogue, frames, bases, found)
            for series in wanted:
                bases[series] += catalogue.count(series)
        now = time.monotonic()
        for series, blocks in found.items():
            blocks.sort(key=lambda each: each[0])
            self._read[series] = _Read(blocks, index.count(series), now)

    def blocks(
        self, index: JournalIndex, series: Series
    ) -> Callable[[int, int], Iterator[tuple[int, Block]]] | None:
        """Return what gives the blocks of a series; None where they were not read, or where there are more by now."""
        self._forget()
        kept = self._read.get(series)
        if kept is None or kept.rows != index.count(series):
            return None
        return lambda start, stop: (
            (first, block) for first, block in kept.blocks if first < stop and first + block.count > start
        )

    def _forget(self) -> None:
        old = time.monotonic() - _KEPT_SECONDS
        self._read = {series: each for series, each in self._read.items() if each.at > old}


def _read(
    index: JournalIndex,
    catalogue: Catalogue,
    frames: dict[int, list[tuple[Series, BlockPlace]]],
    bases: dict[Series, int],
    found: dict[Series, list[tuple[int, Block]]],
) -> None:
    for at, wanted in frames.items():
        # of a damaged frame there is none
        blocks = index.read_frame(catalogue, at, wanted)
        for (series, place), block in zip(wanted, blocks, strict=False):
            found[series].append((bases[series] + place.first, block))
