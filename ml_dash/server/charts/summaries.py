"""Summaries: what a chart needs to know of a block, without its rows.

A block's rows are taken in runs of 1024, the *buckets*. For each the summary holds the times, and for each field that
has numbers how many are finite, NaN and infinite, and of the finite ones the lowest, the highest, the mean, the first
and the last. That is 48 bytes a field and bucket, for the 8192 bytes of its rows.

The bytes are (little-endian)::

    u16 version, u16 rows a bucket, u32 rows of the block, u32 bytes of the names
    names of the fields, a msgpack array of strings
    times: a record of TIMES for each bucket
    numbers: for each field, in the order of the names, a record of STATS for each bucket

so that each part is found by its offset, and the rest is never looked at. Numbers are float64, so ints beyond 2**53
are rounded. The mean is stored rather than the sum, which could overflow.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ml_dash.journal.block_ops import merge_blocks, slice_block
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.server.charts.numbers import Numbers, all_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml_dash.journal.blocks import Block
    from ml_dash.server.charts.numbers import Array


BUCKET = 1024
"""Rows of a bucket; the last one of a block may have fewer."""
BUCKET_MAX = 65_535
"""More rows cannot be counted by a u16."""

TIMES = np.dtype([("first", "<i8"), ("min", "<i8"), ("max", "<i8")])
"""Times of a bucket's rows, in nanoseconds since the epoch."""

STATS = np.dtype(
    [
        ("count", "<u2"),
        ("nan", "<u2"),
        ("pos_inf", "<u2"),
        ("neg_inf", "<u2"),
        ("min", "<f8"),
        ("max", "<f8"),
        ("mean", "<f8"),
        ("first", "<f8"),
        ("last", "<f8"),
    ]
)
"""Numbers of a field in a bucket. `count` is that of the finite ones; where it is 0, the floats are NaN."""

_VERSION = 1
_HEAD = struct.Struct("<HHII")
_CACHED_BYTES = 16_384
"""Longer names are parsed each time: the cache must stay small, whatever clients call their fields."""


def _nothing(buckets: int) -> Array:
    """Return the records of a field that no row has."""
    stats = np.zeros(buckets, STATS)
    for name in ("min", "max", "mean", "first", "last"):
        stats[name] = np.nan
    return stats


_NOTHING = _nothing(1).tobytes()


class Summary(NamedTuple):
    """The summary of one block; `times` and `stats` are views of its bytes.

    Attributes:
        bucket: Rows of a bucket.
        rows: Rows of the block.
        buckets: How many buckets there are.
        times: The bytes of a record of `TIMES` for each bucket.
        positions: The position of each field among the names.
        numbers: The bytes of the records of `STATS`, field by field.
    """

    bucket: int
    rows: int
    buckets: int
    times: memoryview
    positions: Mapping[str, int]
    numbers: memoryview

    def stats(self, field: str) -> memoryview | None:
        """Return the bytes of a field's records of `STATS`, one a bucket; None if the field has no number."""
        position = self.positions.get(field)
        if position is None:
            return None
        size = STATS.itemsize * self.buckets
        return self.numbers[position * size : (position + 1) * size]


class Buckets(NamedTuple):
    """The buckets of many blocks, as arrays of one item a bucket.

    Attributes:
        start: Index in the series of each bucket's first row.
        rows: How many rows each has.
        times: Records of `TIMES`.
        stats: Records of `STATS`, by field.
    """

    start: Array
    rows: Array
    times: Array
    stats: Mapping[str, Array]

    def where(self, chosen: Array) -> Buckets:
        """Return the buckets that a mask or an index array chooses."""
        stats = {name: records[chosen] for name, records in self.stats.items()}
        return Buckets(self.start[chosen], self.rows[chosen], self.times[chosen], stats)


def summarize(block: Block, bucket: int = BUCKET) -> bytes:
    """Return the summary of a block's rows.

    Args:
        block: Consecutive rows of one series.
        bucket: Rows of a bucket, 1 to `BUCKET_MAX`.
    """
    count = block.count
    starts = np.arange(0, count, bucket)
    fields = all_numbers(block)
    names = to_msgpack(list(fields))
    pieces = [_HEAD.pack(_VERSION, bucket, count, len(names)), names]
    if count:
        pieces.append(_times(np.asarray(block.times, np.int64), starts).tobytes())
        pieces += [_stats(numbers, count, starts).tobytes() for numbers in fields.values()]
    return b"".join(pieces)


def summarize_together(
    blocks: Iterable[tuple[int, Block]], start: int, stop: int, least: int = 8192
) -> Iterator[tuple[int, int, bytes]]:
    """Summarise small blocks together: a slow run has a block for every few rows.

    Args:
        blocks: Blocks of one series, each with the number of its first row, in their order.
        start: The first row to summarise.
        stop: The row to stop before.
        least: Rows that are summarised together, unless there are fewer before a gap or the end.

    Yields:
        The number of the first row, the number of rows, and their summary.
    """
    kept: list[Block] = []
    first = rows = 0
    for at, block in blocks:
        skipped = max(start - at, 0)
        # rows that are damaged are left out by a journal: a summary does not span such a gap
        if kept and (rows >= least or at + skipped != first + rows):
            yield first, rows, summarize(merge_blocks(kept))
            kept, rows = [], 0
        if not kept:
            first = at + skipped
        kept.append(slice_block(block, skipped, min(stop - at, block.count)))
        rows += kept[-1].count
    if kept:
        yield first, rows, summarize(merge_blocks(kept))


def parse_summary(data: bytes | memoryview) -> Summary:
    """Return the summary in these bytes, without a copy; the cost does not depend on the number of fields.

    Raises:
        ValueError: The bytes are no valid summary, or one that only a newer version can read.
    """
    view = memoryview(data)
    if len(view) < _HEAD.size:
        raise ValueError(f"a summary has at least {_HEAD.size} bytes, not {len(view)}")
    # every length is checked against the bytes: a damaged summary must end in a message, not in a wrong picture
    version, bucket, rows, name_bytes = _HEAD.unpack_from(view)
    if version != _VERSION:
        raise ValueError(
            f"a summary of version {version} cannot be read: this server reads version {_VERSION}"
        )
    if not bucket:
        raise ValueError("a summary with no rows a bucket was not written by summarize")
    names_end = _HEAD.size + name_bytes
    positions = _positions(view[_HEAD.size : names_end])
    buckets = -(-rows // bucket)
    times_end = names_end + TIMES.itemsize * buckets
    end = times_end + STATS.itemsize * buckets * len(positions)
    if end != len(view):
        raise ValueError(
            f"a summary of {rows} rows and {len(positions)} fields has {end} bytes, not {len(view)}"
        )
    return Summary(bucket, rows, buckets, view[names_end:times_end], positions, view[times_end:])


def gather(summaries: Iterable[tuple[int, int, bytes]], fields: Sequence[str]) -> Buckets:
    """Return the buckets of many blocks; of each summary only the times and these fields are touched.

    Args:
        summaries: Index of the first row, number of rows and bytes of each block's summary.
        fields: The fields to return. A block without a field has a count of 0 for it.

    Raises:
        ValueError: A summary is invalid.
    """
    # bytes are joined and read as one array each: arrays for every block would cost microseconds a field and block
    firsts, heads, times = [], [], []
    numbers: dict[str, list[bytes | memoryview]] = {field: [] for field in fields}
    for first, _, data in summaries:
        summary = parse_summary(data)
        firsts.append(first)
        heads.append((summary.bucket, summary.rows, summary.buckets))
        times.append(summary.times)
        for field, pieces in numbers.items():
            pieces.append(summary.stats(field) or _NOTHING * summary.buckets)
    start, rows = _extents(np.array(firsts, np.int64), *np.array(heads, np.int64).reshape(-1, 3).T)
    stats = {field: np.frombuffer(b"".join(pieces), STATS) for field, pieces in numbers.items()}
    return Buckets(start, rows, np.frombuffer(b"".join(times), TIMES), stats)


def _extents(firsts: Array, bucket: Array, rows: Array, buckets: Array) -> tuple[Array, Array]:
    """Return where each bucket starts and how many rows it has, of what is known of each block."""
    before = np.cumsum(buckets) - buckets
    size = np.repeat(bucket, buckets)
    offset = (np.arange(buckets.sum()) - np.repeat(before, buckets)) * size
    return np.repeat(firsts, buckets) + offset, np.minimum(size, np.repeat(rows, buckets) - offset)


def _positions(names: memoryview) -> Mapping[str, int]:
    """Return each name's position. Blocks of a series have mostly the same names, so they are parsed once."""
    return _cached_names(bytes(names)) if len(names) <= _CACHED_BYTES else _parse_names(bytes(names))


def _parse_names(names: bytes) -> Mapping[str, int]:
    found = from_msgpack(names)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError("a summary's names are a msgpack array of strings")
    return {name: position for position, name in enumerate(found)}


_cached_names = lru_cache(maxsize=256)(_parse_names)


def _times(times: Array, starts: Array) -> Array:
    records = np.empty(len(starts), TIMES)
    records["first"] = times[starts]
    records["min"] = np.minimum.reduceat(times, starts)
    records["max"] = np.maximum.reduceat(times, starts)
    return records


def _stats(numbers: Numbers, count: int, starts: Array) -> Array:
    """Return a record for each bucket that begins at `starts`."""
    rows, values = numbers
    records = _nothing(len(starts))
    finite = np.isfinite(values)
    if not finite.all():
        rows = np.arange(count) if rows is None else rows
        _count_others(records, rows[~finite], values[~finite], starts)
        rows, values = rows[finite], values[finite]
    if len(values):
        _fill(records, values, starts if rows is None else np.searchsorted(rows, starts))
    return records


def _count_others(records: Array, rows: Array, values: Array, starts: Array) -> None:
    """Count the values that are not finite."""
    # few: values that are not finite are rare, so a search for each is cheaper than another pass over all rows
    buckets = np.searchsorted(starts, rows, side="right") - 1
    for name, chosen in (
        ("nan", np.isnan(values)),
        ("pos_inf", values == np.inf),
        ("neg_inf", values == -np.inf),
    ):
        records[name] = np.bincount(buckets[chosen], minlength=len(starts))


def _fill(records: Array, values: Array, cuts: Array) -> None:
    """Set the records of finite values, of which those of a bucket lie between two cuts.

    For an empty part, `reduceat` returns the value at the cut: so only buckets that have values take part.
    """
    counts = np.diff(cuts, append=len(values))
    some = counts > 0
    cuts, counts = cuts[some], counts[some]
    lowest, highest = np.minimum.reduceat(values, cuts), np.maximum.reduceat(values, cuts)
    found = {
        "count": counts,
        "min": lowest,
        "max": highest,
        # rounding must not put a mean outside
        "mean": np.clip(_means(values, cuts, counts), lowest, highest),
        "first": values[cuts],
        "last": values[cuts + counts - 1],
    }
    for name, column in found.items():
        records[name][some] = column


def _means(values: Array, cuts: Array, counts: Array) -> Array:
    # what rounding makes infinite in the end is cut to the highest value by the caller
    with np.errstate(over="ignore", invalid="ignore"):
        means: Array = np.add.reduceat(values, cuts) / counts
        if not np.isfinite(means).all():
            # the sum was beyond the largest float, which a mean is not
            means = np.add.reduceat(values / np.repeat(counts, counts), cuts)
    return means
