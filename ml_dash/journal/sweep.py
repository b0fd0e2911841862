"""Several series at once, each frame read once: one by one, they would read it once for each of them.

With ten thousand metrics that is the difference between seconds and hours.
"""

from __future__ import annotations

import heapq
import operator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ml_dash.journal.blocks import Block, block_rows
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ml_dash.journal.frame_table import BlockPlace, Catalogue
    from ml_dash.journal.index import JournalIndex
    from ml_dash.series import Series


class Row(NamedTuple):
    """A row by itself. The time is in nanoseconds since the epoch."""

    time_ns: int
    series: Series
    fields: dict[str, Any]


class _Placed(NamedTuple):
    """A block's place, the number of its frame, and that of its first row among all of its series."""

    seq: int
    row: int
    series: Series
    place: BlockPlace


def sweep(index: JournalIndex, wanted: Iterable[Series]) -> Iterator[tuple[int, Block]]:
    """Yield the blocks of some series in the order in which each writer wrote them, each with its first row's number.

    A block that is damaged is left out and listed in the index's `damage`.
    """
    rows = dict.fromkeys(wanted, 0)
    for catalogue in index.catalogues.values():
        places = (_placed(catalogue, series, base) for series, base in rows.items())
        # each series' blocks ascend by frame already: a merge holds one place a series, a sort would hold all
        merged = heapq.merge(*places, key=operator.attrgetter("seq"))
        for _, group in groupby(merged, key=operator.attrgetter("seq")):
            together = sorted(group, key=lambda each: each.place.position)
            frame = together[0].place.frame
            blocks = index.read_frame(catalogue, frame, [(each.series, each.place) for each in together])
            # a damaged frame has no blocks at all
            yield from ((each.row, block) for each, block in zip(together, blocks, strict=False))
        rows = {series: base + catalogue.count(series) for series, base in rows.items()}


def end_times(index: JournalIndex, wanted: Iterable[Series]) -> dict[Series, tuple[int, int]]:
    """Return the times of the first and the last row of each series, in nanoseconds since the epoch.

    Series without rows are left out, and those whose first or last block cannot be read.
    """
    firsts: dict[Series, tuple[str, BlockPlace]] = {}
    lasts: dict[Series, tuple[str, BlockPlace]] = {}
    wanted = list(wanted)
    for writer, catalogue in index.catalogues.items():
        for series in wanted:
            if count := catalogue.count(series):
                firsts.setdefault(series, (writer, next(catalogue.blocks(series, 0, 1))))
                lasts[series] = (writer, next(catalogue.blocks(series, count - 1, count)))
    times = _times(index, {(series, *place) for ends in (firsts, lasts) for series, place in ends.items()})
    found = {
        series: (times.get((series, *firsts[series])), times.get((series, *lasts[series])))
        for series in firsts
    }
    return {series: (first[0], last[1]) for series, (first, last) in found.items() if first and last}


def last_rows(
    index: JournalIndex,
    wanted: Sequence[Series],
    limit: int,
    is_meant: Callable[[str], bool] = lambda _: True,
) -> list[Row]:
    """Return the last rows of some series together, by time. Only the frames that have them are read.

    `is_meant` says of each writer whether its rows are.
    """
    rows: list[Row] = []
    if limit:
        for writer, catalogue in index.catalogues.items():
            if is_meant(writer):
                rows += _last_of_writer(index, catalogue, wanted, limit)
    rows.sort(key=operator.attrgetter("time_ns"))
    return rows[max(len(rows) - limit, 0) :]


def rows_of(blocks: Iterable[Block], *, last: int | None = None) -> list[Row]:
    """Return the rows of blocks by time; of each block only the `last` ones."""
    rows = []
    for block in blocks:
        start = 0 if last is None else max(block.count - last, 0)
        times = map(int, block.times[start:])
        rows += [
            Row(time_ns, block.series, fields)
            for time_ns, fields in zip(times, block_rows(block, start), strict=True)
        ]
    rows.sort(key=operator.attrgetter("time_ns"))
    return rows


def _placed(catalogue: Catalogue, series: Series, base: int) -> Iterator[_Placed]:
    for place in catalogue.blocks(series, 0, catalogue.count(series)):
        yield _Placed(catalogue.place(place.frame).seq, base + place.first, series, place)


def _last_of_writer(
    index: JournalIndex, catalogue: Catalogue, wanted: Sequence[Series], limit: int
) -> list[Row]:
    """Return the rows of the writer's last frames: `limit` of them, or somewhat more, if there are so many."""
    places: dict[int, list[tuple[Series, BlockPlace]]] = {}
    for series in wanted:
        count = catalogue.count(series)
        for place in catalogue.blocks(series, max(count - limit, 0), count):
            places.setdefault(place.frame, []).append((series, place))
    rows: list[Row] = []
    for frame in sorted(places, key=lambda frame: catalogue.place(frame).seq, reverse=True):
        rows += rows_of(index.read_frame(catalogue, frame, places[frame]), last=limit)
        if len(rows) >= limit:
            break
    return rows


def _times(
    index: JournalIndex, blocks: Iterable[tuple[Series, str, BlockPlace]]
) -> dict[tuple[Series, str, BlockPlace], tuple[int, int]]:
    """Return the first and the last time in each of these blocks, without those that cannot be read."""
    frames: dict[tuple[str, int], list[tuple[Series, BlockPlace]]] = {}
    for series, writer, place in blocks:
        frames.setdefault((writer, place.frame), []).append((series, place))
    times = {}
    for (writer, frame), places in frames.items():
        read = index.read_frame(index.catalogues[writer], frame, places)
        for (series, place), block in zip(places, read, strict=False):
            times[series, writer, place] = int(block.times[0]), int(block.times[-1])
    return times
