"""Reading stored blocks: what `ml_dash.journal`'s functions ask of an index, answered by the store.

No read holds a transaction while it waits for its consumer. That is safe since rows are only ever added: how
many there are is read once, blocks are then fetched some at a time, and where the compactor has put other
blocks in their place meanwhile, the rows and their indices are the same.
"""

from __future__ import annotations

import logging
import zlib
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from ml_dash.journal.block_ops import slice_block
from ml_dash.journal.blocks import decode_block
from ml_dash.journal.frame import decode_meta
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.protocol import ErrorCode
from ml_dash.query.axes.as_of import Reach
from ml_dash.query.axes.ranks import ranks_of
from ml_dash.query.stretches import Stretch
from ml_dash.series import Kind, Series
from ml_dash.server.charts.summaries import summarize_together
from ml_dash.server.db.batches import batches, size_of
from ml_dash.server.db.tables import BLOCKS, SERIES, WRITERS, name_key, series_name
from ml_dash.server.errors import ApiError, busy
from ml_dash.server.rows.ranks import block_spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Row, Select

    from ml_dash.journal.blocks import Block, BlockHead
    from ml_dash.query.axes.ranks import RankSpan
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database

_LOG = logging.getLogger("ml_dash.server")
HAS_RANK = WRITERS.c.writer.like("%-r%")
"""Whether a writer may have a rank, by its id."""
# few at first: most questions are answered by them, and their first rows come sooner
_FEW, _MANY = 16, 256
"""Blocks fetched by the first statement, and by later ones."""
_CACHED_BYTES = 4096
"""Longer entries are decoded each time: what is cached must stay small, whatever clients send."""


class SeriesInfo(NamedTuple):
    """What is stored of a series. Times are nanoseconds since the epoch, of the first and the last row by index."""

    number: int
    series: Series
    rows: int
    fields: list[str]
    first_ns: int
    last_ns: int


class StoredBlock(NamedTuple):
    """Where a block is."""

    first: int
    rows: int
    entry: bytes
    data: bytes | None
    object: str | None
    offset: int | None
    length: int
    crc: int


STORED = tuple(
    BLOCKS.c[name] for name in ("first", "rows", "head", "data", "object", "offset", "length", "crc")
)
"""The columns of a `StoredBlock`, in its order."""


def load_block(objects: ObjectStore, stored: StoredBlock) -> Block:
    """Return a block, every byte of which was checked.

    Raises:
        ApiError: It is damaged, or out of reach.
    """
    return decode_block(head_of(stored), load_data(objects, stored))


def head_of(stored: StoredBlock) -> BlockHead:
    """Return what a block's entry says."""
    # the small blocks of a series all say the same
    return _cached_head(stored.entry) if len(stored.entry) <= _CACHED_BYTES else _head(stored.entry)


def _head(entry: bytes) -> BlockHead:
    # a meta is an array of entries: here of this one
    return decode_meta(to_msgpack([from_msgpack(entry)]))[0]


_cached_head = lru_cache(1024)(_head)


def load_data(objects: ObjectStore, stored: StoredBlock) -> bytes:
    """Return a block's bytes, checked.

    Raises:
        ApiError: They are damaged, or out of reach.
    """
    data = stored.data
    if data is None:
        if stored.object is None or stored.offset is None:
            raise _unreadable("the database does not say where they are")
        try:
            data = objects.get(stored.object, stored.offset, stored.length)
        except FileNotFoundError as error:
            raise _unreadable(str(error)) from error
        except OSError as error:
            # out of reach, or out of descriptors: nothing is known to be wrong with them
            _LOG.warning("rows that are stored could not be read: %s", error)
            raise busy("the server's blob store cannot be used at this moment") from error
    # each time: a disk or an object store may return other bytes than it was given
    if zlib.crc32(data) != stored.crc:
        raise _unreadable(f"their checksum is wrong (object {stored.object})")
    return data


def _unreadable(reason: str) -> ApiError:
    return ApiError(
        500,
        ErrorCode.INTERNAL,
        f"rows that are stored cannot be read: {reason}; restore the blob store from its backup",
    )


class StoreIndex:
    """One experiment's rows, of which the data of large blocks is in the object store. Any thread may ask."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        experiment_id: str,
        known: dict[Series, SeriesInfo | None] | None = None,
        kept: dict[Series, list[StoredBlock]] | None = None,
        ranks: frozenset[int] | None = None,
    ) -> None:
        self._database = database
        self._objects = objects
        self._id = experiment_id
        self._found: dict[Series, SeriesInfo | None] = known or {}
        # all blocks of some series, which were read with those of other experiments
        self._kept: dict[Series, list[StoredBlock]] = kept or {}
        self._ranks = ranks

    def series(self, kind: Kind) -> list[Series]:
        """Return the series of a kind, in order of first appearance."""
        query = select(SERIES).where(SERIES.c.experiment_id == self._id, SERIES.c.kind == int(kind))
        with self._database.read() as connection:
            infos = [series_info(row) for row in connection.execute(query.order_by(SERIES.c.number))]
        self._found |= {info.series: info for info in infos}
        return [info.series for info in infos]

    def look_up(self, several: Sequence[Series]) -> None:
        """Read what is stored of several series of a kind, in one statement for hundreds of them."""
        wanted = {(int(each.kind), name_key(each.name)): each for each in several if each not in self._found}
        for some in (list(wanted)[at : at + _MANY] for at in range(0, len(wanted), _MANY)):
            query = select(SERIES).where(
                SERIES.c.experiment_id == self._id,
                SERIES.c.kind.in_({kind for kind, _ in some}),
                SERIES.c.name.in_([name for _, name in some]),
            )
            with self._database.read() as connection:
                rows = connection.execute(query).all()
            self._found |= {wanted[key]: None for key in some}
            self._found |= {info.series: info for info in map(series_info, rows)}

    def info(self, series: Series) -> SeriesInfo | None:
        """Return what is stored of a series; None if it has no rows. It is read once."""
        if series not in self._found:
            query = select(SERIES).where(
                SERIES.c.experiment_id == self._id,
                SERIES.c.kind == int(series.kind),
                SERIES.c.name == name_key(series.name),
            )
            with self._database.read() as connection:
                row = connection.execute(query).one_or_none()
            self._found[series] = None if row is None else series_info(row)
        return self._found[series]

    def holds(self, series: Series) -> bool:
        """Say whether all blocks of a series are here already, read with those of other experiments."""
        return series in self._kept

    def count(self, series: Series) -> int:
        """Return how many rows a series has."""
        info = self.info(series)
        return info.rows if info else 0

    def fields(self, series: Series) -> list[str]:
        """Return the names of a series' fields, in order of first appearance."""
        info = self.info(series)
        return info.fields if info else []

    def blocks(
        self,
        series: Series,
        start: int = 0,
        stop: int | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Iterator[tuple[int, Block]]:
        """Yield each block that has any of the rows `start` to `stop` (exclusive), with its first row's index.

        Only these are read, without those that have nothing from `since_ns` on, or nothing up to `until_ns`.
        """
        for first, row in self._pages(series, start, stop, STORED, _bounds(since_ns, until_ns)):
            stored = StoredBlock._make(row)
            block = load_block(self._objects, stored)
            # rows before `first` were given out as part of a block that has been merged with this one since
            yield first, slice_block(block, first - stored.first, block.count)

    def stretches(self, series: Series, since_ns: int | None, until_ns: int | None) -> list[Stretch]:
        """Return where the rows lie that may be of these times, and their least times; no row is read."""
        info = self.info(series)
        if info is None:
            return []
        bounds = _bounds(since_ns, until_ns)
        query = select(BLOCKS.c.min_ns, BLOCKS.c.first, BLOCKS.c.rows).where(
            BLOCKS.c.experiment_id == self._id, BLOCKS.c.series == info.number, *bounds
        )
        with self._database.read() as connection:
            return [
                Stretch(min_ns, first, first + rows)
                for min_ns, first, rows in connection.execute(query)
                if first < info.rows
            ]

    def reaches(self, series: Series) -> list[Reach]:
        """Return where rows lie by their times, all of them; no row is read."""
        info = self.info(series)
        if info is None:
            return []
        query = (
            select(BLOCKS.c.first, BLOCKS.c.first + BLOCKS.c.rows, BLOCKS.c.min_ns, BLOCKS.c.max_ns)
            .where(BLOCKS.c.experiment_id == self._id, BLOCKS.c.series == info.number)
            .order_by(BLOCKS.c.first)
        )
        with self._database.read() as connection:
            found = [Reach(*row) for row in connection.execute(query)]
        return [each for each in found if each.first < info.rows]

    @property
    def ranks(self) -> frozenset[int]:
        """The ranks that writers of the experiment have. They are read once."""
        if self._ranks is None:
            query = select(WRITERS.c.writer).where(WRITERS.c.experiment_id == self._id, HAS_RANK)
            with self._database.read() as connection:
                self._ranks = ranks_of(connection.execute(query).scalars())
        return self._ranks

    def rank_spans(self, series: Series, start: int, stop: int) -> Iterator[RankSpan]:
        """Yield whose the rows from `start` to before `stop` are, at least; no row is read."""
        columns = [BLOCKS.c.first, BLOCKS.c.rows, BLOCKS.c.writer, BLOCKS.c.ranks]
        for first, row in self._pages(series, start, stop, columns, []):
            for span in block_spans(row.first, row.rows, row.writer, row.ranks):
                # as of `blocks`: others may have been merged meanwhile
                if span.stop > first:
                    yield span._replace(first=max(span.first, first))

    def blocks_by_writer(self, series: Series) -> list[tuple[str, Iterator[Block]]]:
        """Return the blocks of a series by writer, without writers that have none; they are read as they are taken.

        The series must be of a kind that is never compacted: a merged block may have the rows of several writers.
        """
        info = self.info(series)
        if info is None:
            return []
        query = (
            select(BLOCKS.c.writer, BLOCKS.c.first, size_of(BLOCKS.c.data))
            .where(BLOCKS.c.experiment_id == self._id, BLOCKS.c.series == info.number)
            .order_by(BLOCKS.c.writer, BLOCKS.c.first)
        )
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return [
            (writer, self._those([(first, length) for _, first, length in own], info))
            for writer, own in groupby(found, key=itemgetter(0))
        ]

    def _those(self, firsts: list[tuple[int, int]], info: SeriesInfo) -> Iterator[Block]:
        """Yield the blocks that begin at these rows, each given with its bytes."""
        for batch in batches(firsts):
            query = select(*STORED).where(
                BLOCKS.c.experiment_id == self._id,
                BLOCKS.c.series == info.number,
                BLOCKS.c.first.in_(batch),
            )
            with self._database.read() as connection:
                found = connection.execute(query.order_by(BLOCKS.c.first)).all()
            for row in found:
                yield load_block(self._objects, StoredBlock._make(row))

    def summaries(self, series: Series, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield the first row's index, the number of rows and the summary of what has rows from `start` to `stop`.

        Small blocks have no summary, and are summarised together.
        """
        columns = [BLOCKS.c.first, BLOCKS.c.rows, BLOCKS.c.summary]
        found = self._pages(series, start, stop, columns, [])
        for has_summary, group in groupby(found, key=lambda each: each[1].summary is not None):
            if has_summary:
                for first, row in group:
                    if first != row.first:
                        yield from self._summarised(series, first, row.first + row.rows)
                    else:
                        yield first, row.rows, bytes(row.summary)
            else:
                together = list(group)
                yield from self._summarised(
                    series, together[0][0], together[-1][1].first + together[-1][1].rows
                )

    def _summarised(self, series: Series, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        return summarize_together(self.blocks(series, start, stop), start, stop)

    def _pages(
        self, series: Series, start: int, stop: int | None, columns: Sequence[Any], bounds: list[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the rows of the blocks, each with the index of the first of its rows that was not yielded yet."""
        info = self.info(series)
        if info is None:
            return
        stop = info.rows if stop is None else min(stop, info.rows)
        if columns is STORED and not bounds and series in self._kept:
            yield from (
                (row.first, row)
                for row in self._kept[series]
                if row.first < stop and row.first + row.rows > start
            )
            return
        at, limit = start, _FEW
        is_first = True
        while at < stop:
            with self._database.read() as connection:
                rows = connection.execute(self._page(info, at, stop, columns, bounds, limit)).all()
            for row in rows:
                yield (row.first if is_first else max(at, row.first)), row
                at, is_first = row.first + row.rows, False
            if len(rows) < limit:
                return
            limit = _MANY

    def _page(
        self, info: SeriesInfo, start: int, stop: int, columns: Sequence[Any], bounds: list[Any], limit: int
    ) -> Select[Any]:
        own = (BLOCKS.c.experiment_id == self._id, BLOCKS.c.series == info.number)
        # by the index on `first`; a condition on first + rows would look at every block of the series
        holds_start = select(func.max(BLOCKS.c.first)).where(*own, BLOCKS.c.first <= start).scalar_subquery()
        return (
            select(*columns)
            .where(*own, BLOCKS.c.first >= holds_start, BLOCKS.c.first < stop, *bounds)
            .order_by(BLOCKS.c.first)
            .limit(limit)
        )


def _bounds(since_ns: int | None, until_ns: int | None) -> list[ColumnElement[bool]]:
    bounds: list[ColumnElement[bool]] = []
    if since_ns is not None:
        bounds.append(BLOCKS.c.max_ns >= since_ns)
    if until_ns is not None:
        bounds.append(BLOCKS.c.min_ns <= until_ns)
    return bounds


INFO = ("experiment_id", "number", "kind", "name", "rows", "fields", "first_ns", "last_ns")
"""The columns of `SERIES` that are read of a series: its summary takes many times their room."""


def series_info(row: Row[Any]) -> SeriesInfo:
    """Return what is stored of a series, of its row, which has the columns `INFO`."""
    # the kind of a newer client stays a number: its rows are kept, and nobody here asks for them
    known = {int(kind): kind for kind in Kind}
    series = Series(known.get(row.kind, row.kind), series_name(row.name))
    return SeriesInfo(row.number, series, row.rows, row.fields, row.first_ns, row.last_ns)
