"""Upkeep in the background: small blocks become large ones; and the time at which all other upkeep is done.

Blocks of a few rows lie in the database, where they are cheap to add and expensive to read. When enough rows of a
series are together, they are merged, written to the blob store as one object, and then swapped for references
to it, in one transaction. A crash before it leaves an object that nothing refers to; a merge can be noticed only by
its speed. Row indices, watermarks and checksums of frames stay what they are.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from ml_dash.errors import MLDashError
from ml_dash.journal.block_ops import can_merge, merge_blocks
from ml_dash.journal.blocks import encode_block
from ml_dash.journal.frame_table import KNOWN_KINDS
from ml_dash.journal.objects import to_msgpack
from ml_dash.series import Kind
from ml_dash.server.blobs.names import rows_name
from ml_dash.server.db.database import may_be_committed
from ml_dash.server.db.tables import BLOCKS, EXPERIMENTS, OBJECTS, SERIES
from ml_dash.server.errors import ApiError
from ml_dash.server.ingest.prepare import MERGED_BYTES, MERGED_ROWS, summary_of
from ml_dash.server.rows.index import STORED, StoredBlock, head_of, load_block
from ml_dash.server.rows.ranks import packed_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.blobs.objects import ObjectStore

_LOG = logging.getLogger("ml_dash.server")
# all of it is in memory at once while it is merged, decoded and encoded again
_OBJECT_BYTES = 16 << 20
# not PARAMS: they are read writer by writer, which a merged block could not tell apart
_COMPACTED = sorted({int(kind) for kind in KNOWN_KINDS} - {int(Kind.PARAMS)})


class _Small(NamedTuple):
    stored: StoredBlock
    min_ns: int
    max_ns: int
    writer: str | None


class _Chunk(NamedTuple):
    # one new block, of those that it replaces
    first: int
    rows: int
    min_ns: int
    max_ns: int
    entry: bytes
    data: bytes
    summary: bytes | None
    ranks: bytes | None


class Compactor:
    """Merges on a thread of its own; makes the calls of `upkeep` there as well, now and then.

    Several server processes may each have one on the same database.
    """

    def __init__(self, backend: Backend, upkeep: Sequence[Callable[[], object]] = ()) -> None:
        self._backend = backend
        self._upkeep = upkeep
        # a dict for a set that keeps the order: the series that has waited longest comes first
        self._hot: dict[tuple[str, int], None] = {}
        self._changed = threading.Condition()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ml-dash-compact", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, when it has finished the chunk at hand."""
        with self._changed:
            self._end.set()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def notice(self, experiment_id: str, series: int) -> None:
        """Take note of a series that has enough small blocks. Any thread may call it."""
        with self._changed:
            self._hot[experiment_id, series] = None
            self._changed.notify()

    def compact_all(self) -> int:
        """Merge what is to be merged in all series now; return the number of rows merged."""
        query = select(SERIES.c.experiment_id, SERIES.c.number).where(
            SERIES.c.hot_rows >= self._backend.settings.compact_rows, SERIES.c.kind.in_(_COMPACTED)
        )
        with self._backend.database.read() as connection:
            found = connection.execute(query).all()
        return sum(self.compact(experiment_id, number) for experiment_id, number in found)

    def compact(self, experiment_id: str, series: int) -> int:
        """Merge the small blocks of one series; return the number of rows merged.

        Raises:
            OSError: The blob store cannot be written.
            SQLAlchemyError: The database cannot.
        """
        merged = after = 0
        # what is new has begun to come behind `after` before this ends: it waits for the next notice
        while small := self._small(experiment_id, series, after):
            after = small[-1].stored.first + small[-1].stored.rows
            merged += self._replace(experiment_id, series, small)
        self._backend.telemetry.compacted.inc(merged)
        return merged

    def _work(self) -> None:
        # what became hot before a restart: nobody gives notice of it any more
        self._guarded(self.compact_all)
        interval = self._backend.settings.upkeep_interval
        due = time.monotonic() + interval
        while not self._end.is_set():
            for experiment_id, series in self._next(due - time.monotonic()):
                if not self._end.is_set():
                    self._guarded(self.compact, experiment_id, series)
            # by the clock, and not when there is nothing to merge: on a busy server there always is
            if time.monotonic() >= due:
                for each in self._upkeep:
                    if not self._end.is_set():
                        self._guarded(each)
                due = time.monotonic() + interval

    def _next(self, seconds: float) -> list[tuple[str, int]]:
        """Wait for series that are to be merged, at most so long."""
        with self._changed:
            if not self._hot and not self._end.is_set() and seconds > 0:
                self._changed.wait(seconds)
            hot, self._hot = list(self._hot), {}
            return hot

    def _guarded(self, function: Any, *args: Any) -> None:
        try:
            function(*args)
        # ValueError: a block that cannot be read, which must not end the upkeep of all the others
        except (OSError, SQLAlchemyError, ApiError, MLDashError, ValueError) as error:
            _LOG.warning("upkeep is put off: %s", error)

    def _small(self, experiment_id: str, series: int, after: int) -> list[_Small]:
        # the next ones that together make an object
        query = (
            select(*STORED, BLOCKS.c.min_ns, BLOCKS.c.max_ns, BLOCKS.c.writer)
            .join(
                SERIES,
                (SERIES.c.experiment_id == BLOCKS.c.experiment_id) & (SERIES.c.number == BLOCKS.c.series),
            )
            .where(
                BLOCKS.c.experiment_id == experiment_id,
                BLOCKS.c.series == series,
                BLOCKS.c.first >= after,
                BLOCKS.c.data.is_not(None),
                SERIES.c.kind.in_(_COMPACTED),
            )
            .order_by(BLOCKS.c.first)
        )
        found: list[_Small] = []
        size = 0
        with self._backend.database.read() as connection:
            # in portions: a series may have far more small blocks than an object takes
            for row in connection.execution_options(yield_per=256).execute(query):
                found.append(_Small(StoredBlock(*row[:8]), row.min_ns, row.max_ns, row.writer))
                size += row.length
                if size >= _OBJECT_BYTES:
                    break
        return found

    def _replace(self, experiment_id: str, series: int, small: list[_Small]) -> int:
        chunks = [_chunk(self._backend.objects, group) for group in _groups(small)]
        name = rows_name(experiment_id)
        self._backend.objects.put(name, b"".join(chunk.data for chunk in chunks))
        try:
            swapped = self._swap(experiment_id, series, small, chunks, name)
        except SQLAlchemyError as error:
            if not may_be_committed(error):
                self._backend.objects.discard([name])
            raise
        # another process has merged them meanwhile, and its object is in use
        if not swapped:
            self._backend.objects.discard([name])
            return 0
        return sum(chunk.rows for chunk in chunks)

    def _swap(
        self, experiment_id: str, series: int, small: list[_Small], chunks: list[_Chunk], name: str
    ) -> bool:
        """Replace the small blocks by references to the chunks; return False if another process did so first."""
        own = (BLOCKS.c.experiment_id == experiment_id, BLOCKS.c.series == series)
        last = small[-1].stored
        with self._backend.database.write() as connection:
            # the lock that whoever stores rows takes, too: hot_rows is changed by one transaction at a time
            connection.execute(
                select(EXPERIMENTS.c.id).where(EXPERIMENTS.c.id == experiment_id).with_for_update()
            )
            in_the_way = BLOCKS.c.first.between(small[0].stored.first, last.first)
            still_there = connection.execute(
                select(BLOCKS.c.first, BLOCKS.c.rows, BLOCKS.c.crc).where(
                    *own, in_the_way, BLOCKS.c.data.is_not(None)
                )
            )
            # not by their places alone: all rows may have been removed meanwhile, and others be there
            if set(map(tuple, still_there)) != {
                (each.stored.first, each.stored.rows, each.stored.crc) for each in small
            }:
                return False
            connection.execute(delete(BLOCKS).where(*own, in_the_way, BLOCKS.c.data.is_not(None)))
            connection.execute(
                insert(OBJECTS),
                {
                    "name": name,
                    "experiment_id": experiment_id,
                    "bytes": sum(len(chunk.data) for chunk in chunks),
                    "created_ns": self._backend.clock.time_ns(),
                },
            )
            connection.execute(insert(BLOCKS), list(_rows(experiment_id, series, chunks, name)))
            connection.execute(
                update(SERIES)
                .where(SERIES.c.experiment_id == experiment_id, SERIES.c.number == series)
                .values(hot_rows=SERIES.c.hot_rows - sum(chunk.rows for chunk in chunks))
            )
        return True


def _rows(experiment_id: str, series: int, chunks: Sequence[_Chunk], name: str) -> Iterator[dict[str, Any]]:
    offset = 0
    for chunk in chunks:
        yield {
            "experiment_id": experiment_id,
            "series": series,
            "first": chunk.first,
            "rows": chunk.rows,
            "min_ns": chunk.min_ns,
            "max_ns": chunk.max_ns,
            "head": chunk.entry,
            "object": name,
            "offset": offset,
            "length": len(chunk.data),
            "crc": zlib.crc32(chunk.data),
            "summary": chunk.summary,
            "ranks": chunk.ranks,
        }
        offset += len(chunk.data)


def _groups(small: list[_Small]) -> Iterator[list[_Small]]:
    """Yield the blocks that become one: they follow one another, and are not too large together."""
    group: list[_Small] = []
    rows = size = 0
    for each in small:
        first, count, length = each.stored.first, each.stored.rows, each.stored.length
        follows = bool(group) and first == group[-1].stored.first + group[-1].stored.rows
        fits = rows + count <= MERGED_ROWS and size + length <= MERGED_BYTES
        if group and not (
            follows and fits and can_merge(head_of(each.stored)) and can_merge(head_of(group[0].stored))
        ):
            yield group
            group, rows, size = [], 0, 0
        group.append(each)
        rows, size = rows + count, size + length
    yield group


def _chunk(objects: ObjectStore, group: list[_Small]) -> _Chunk:
    first = group[0].stored
    blocks = [load_block(objects, each.stored) for each in group]
    if len(group) == 1:
        # alone, its bytes go as they are: to encode them again would give the same
        entry, data, block = first.entry, first.data or b"", blocks[0]
    else:
        block = merge_blocks(blocks)
        head, pieces = encode_block(block)
        entry, data = to_msgpack(head), b"".join(pieces)
    return _Chunk(
        first.first,
        sum(each.stored.rows for each in group),
        min(each.min_ns for each in group),
        max(each.max_ns for each in group),
        entry,
        data,
        summary_of(block, least=1),
        packed_ranks((each.writer, each.stored.rows) for each in group),
    )
