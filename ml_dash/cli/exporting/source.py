"""What is exported: the blocks of metrics, logs or tracks, and the columns that come before the fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from ml_dash.cli.rows import AnyRows, swept
from ml_dash.journal.blocks import Block, Column, block_rows
from ml_dash.query.axes.ranks import NO_RANK, RANK, Ranks
from ml_dash.query.columns import free_name, leaf_columns
from ml_dash.query.selection import Shown
from ml_dash.series import Kind, Series

_LOG_FIELDS = ("level", "message", "metadata")
# A format holds a block and its text at a time: all of a track in one would be in memory twice over.
_MERGED_ROWS = 8192


class Content(Enum):
    """What is exported, what one of it is called, and its columns of name, index and time; None where there is none."""

    METRICS = (Kind.METRIC, "row", "metric", "index", "_ts")
    LOGS = (Kind.LOG, "message", None, "index", "timestamp")
    TRACKS = (Kind.TRACK, "entry", "topic", None, "timestamp")

    def __init__(self, kind: Kind, unit: str, name: str | None, index: str | None, time: str) -> None:
        self.kind = kind
        self.unit = unit
        self.name_column = name
        self.index_column = index
        self.time_column = time


class Part(NamedTuple):
    """A block, and the number of its first row among the rows of its series."""

    start: int
    block: Block


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to export. `parts` may be asked for several times, and gives the same rows each time.

    Attributes:
        index: The rows, of a journal or of a server. It is not refreshed, so that what is written meanwhile does not
            come in halves.
        content: What of it.
        series: Which series.
        with_name: Whether a column says of each row which series it is of.
        shown: Which rows of a metric; all, where a series has none.
        ranks: Which rank has logged which rows, of those series where it is known: one more column says so.
    """

    index: AnyRows
    content: Content
    series: Sequence[Series]
    with_name: bool
    shown: Mapping[Series, Shown]
    ranks: Mapping[Series, Ranks] = field(default_factory=dict)

    @property
    def lead(self) -> list[str]:
        """The names of the columns before the fields."""
        name = self.content.name_column if self.with_name else None
        return [column for column in (name, self.content.index_column, self.content.time_column) if column]

    def parts(self) -> Iterator[Part]:
        """Iterate over the blocks: metrics in the order in which they were written, tracks by topic and time."""
        if self.content is Content.TRACKS:
            for series in self.series:
                yield from _by_time(self.index, series)
        else:
            for start, block in swept(self.index, self.series):
                shown = self.shown.get(block.series)
                pieces = shown.pieces(start, block) if shown else [(start, block)]
                for first, piece in pieces:
                    yield Part(first, self._with_rank(first, piece))

    def _with_rank(self, first: int, block: Block) -> Block:
        """Return a block with a column more, of the rank of each row's writer, where that has one."""
        import numpy as np

        ranks = self.ranks.get(block.series)
        if ranks is None:
            return block
        found = ranks.of(np.arange(first, first + block.count))
        rows = np.flatnonzero(found != NO_RANK)
        if not len(rows):
            return block
        positions = None if len(rows) == block.count else rows.astype(np.uint32)
        column = Column(self._rank_column, "i", positions, found[rows])
        return block._replace(columns=[column, *block.columns])

    @property
    def _rank_column(self) -> str:
        return free_name(RANK, {name for series in self.series for name in self.index.fields(series)})

    def columns(self, block: Block) -> Iterator[Column]:
        """Yield a block's columns by the names that they have in a table; nested dicts have dotted names."""
        columns = block.columns if self.content is Content.LOGS else leaf_columns(block)
        for column in columns:
            if self.content is not Content.LOGS or column.field in _LOG_FIELDS:
                yield column._replace(field=self.renamed(column.field))

    def renamed(self, field: str) -> str:
        """Return a field's name, changed where a column before it has that name."""
        if field not in self.lead:
            return field
        fields = {name for series in self.series for name in self.index.fields(series)}
        return free_name(field, {*self.lead, *fields})


def _by_time(index: AnyRows, topic: Series) -> Iterable[Part]:
    """Return a topic's blocks in order of time, with entries of the same time merged, as they are read.

    A track is nearly always written in this order, and is handed on as it is. Else it is sorted in memory.
    """
    if _ascends(index, topic):
        return (Part(start, block) for start, block in index.blocks(topic))
    return _merged(index, topic)


def _ascends(index: AnyRows, topic: Series) -> bool:
    import numpy as np

    last: int | None = None
    for _, block in index.blocks(topic):
        times = np.asarray(block.times)
        if (last is not None and times[0] <= last) or (times[1:] <= times[:-1]).any():
            return False
        last = int(times[-1])
    return True


def _merged(index: AnyRows, topic: Series) -> Iterator[Part]:
    # All of it in memory: an entry may be merged with one from anywhere else in the track.
    merged: dict[int, dict[str, Any]] = {}
    for _, block in index.blocks(topic):
        for time_ns, fields in zip(block.times, block_rows(block), strict=True):
            merged.setdefault(int(time_ns), {}).update(fields)
    times = sorted(merged)
    for start in range(0, len(times), _MERGED_ROWS):
        some = times[start : start + _MERGED_ROWS]
        yield Part(start, _block_of(topic, some, [merged[time_ns] for time_ns in some]))


def _block_of(series: Series, times: list[int], rows: list[dict[str, Any]]) -> Block:
    import numpy as np

    fields: dict[str, tuple[list[int], list[Any]]] = {}
    for at, row in enumerate(rows):
        for name, value in row.items():
            positions, values = fields.setdefault(name, ([], []))
            positions.append(at)
            values.append(value)
    columns = [Column(name, "o", positions, values) for name, (positions, values) in fields.items()]
    return Block(series, np.array(times, np.int64), columns)
