"""A series to draw, with what the server would have stored of it, and a plain reference of what its chart shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ml_dash.journal.blocks import Block, Column, decode_block
from ml_dash.journal.frame import FrameHeader, decode_meta, encode_frame, parse_frame_header
from ml_dash.query.times import seconds
from ml_dash.series import Kind, Series
from ml_dash.server.charts.chart import ChartLimits
from ml_dash.server.charts.summaries import BUCKET, summarize

TRAIN = Series(Kind.METRIC, "train")
SECOND = 1_000_000_000

Row = tuple[int, dict[str, Any]]

ROWS_ONLY = ChartLimits(exact_rows=1000, most_rows=1000)
BUCKETS = ChartLimits(exact_rows=0, most_rows=1000)

SMALL = st.integers(-5, 5)
VALUES = st.one_of(
    st.floats(),
    SMALL.map(float),
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.none(),
    st.text(max_size=2),
    st.lists(SMALL, max_size=2),
)
TIMES = SMALL.map(lambda at: (1_700_000_000 + at) * SECOND) | st.integers(-(10**18), 4 * 10**18)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "y": VALUES,
        "step": SMALL | st.floats(),
        "deep": st.fixed_dictionaries({}, optional={"y": VALUES}),
    },
)
ROWS = st.lists(st.tuples(TIMES, FIELDS), max_size=60)
BOUNDS = st.none() | SMALL | st.floats(allow_nan=False) | SMALL.map(lambda at: 1_700_000_000.5 + at)
ASKED = st.fixed_dictionaries(
    {
        "field": st.sampled_from(["y", "deep.y", "step", "unknown"]),
        "x": st.sampled_from(["index", "time", "step", "y"]),
        "bounds": st.tuples(BOUNDS, BOUNDS),
        "width": st.integers(1, 12),
    }
)


class Charted:
    """A series in blocks: gives what is asked for, and counts it."""

    def __init__(self, blocks: Sequence[Block], bucket: int = BUCKET) -> None:
        self.rows = sum(block.count for block in blocks)
        self.rows_read = 0
        self.summaries_read = 0
        self.reads: list[tuple[int, int]] = []
        self._stored: list[tuple[int, Block, bytes]] = []
        start = 0
        for block in blocks:
            self._stored.append((start, block, summarize(block, bucket)))
            start += block.count

    def summaries(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        for first, block, summary in self._stored:
            if first < stop and start < first + block.count:
                self.summaries_read += 1
                yield first, block.count, summary

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Block]]:
        self.reads.append((start, stop))
        for first, block, _ in self._stored:
            if first < stop and start < first + block.count:
                self.rows_read += block.count
                yield first, block


def block_of(rows: Sequence[Row]) -> Block:
    """The block of these rows after its way through a frame's bytes."""
    columns: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
    for position, (_, fields) in enumerate(rows):
        for field, value in fields.items():
            positions, values = columns.setdefault((field, _type_of(value)), ([], []))
            positions.append(position)
            values.append(value)
    made = [
        Column(field, kind, None if len(positions) == len(rows) else positions, values)
        for (field, kind), (positions, values) in columns.items()
    ]
    return through_a_frame(Block(TRAIN, [time_ns for time_ns, _ in rows], made))


def through_a_frame(block: Block) -> Block:
    """The block as the server finds it in the frame that a client sends."""
    frame = encode_frame(1, [block])
    header = parse_frame_header(frame)
    assert isinstance(header, FrameHeader)
    data_at = len(frame) - header.data_len
    (head,) = decode_meta(frame[data_at - header.meta_len : data_at], header.data_len)
    return decode_block(head, frame[data_at:])


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return "i"
    return "f" if isinstance(value, float) else "o"


def points(
    rows: Sequence[Row], field: str, x: str, start: float | None, stop: float | None
) -> list[tuple[float, float]]:
    """The (x, value) of all rows in range that have both, one by one."""
    found = []
    for index, (time_ns, fields) in enumerate(rows):
        value = number(fields, field)
        along = {"index": float(index), "time": seconds(time_ns)}.get(x, number(fields, x))
        if value is None or along is None or not math.isfinite(along):
            continue
        if (start is None or along >= start) and (stop is None or along < stop):
            found.append((along, value))
    return found


def number(fields: dict[str, Any], path: str) -> float | None:
    """The number at a dotted path, as a float; None where there is none."""
    value: Any = fields
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, (int, float)) else None


def pixels(found: Sequence[tuple[float, float]], width: int) -> dict[int, list[tuple[float, float]]]:
    """The points of each pixel, the extent of their x being divided into `width` equal ones."""
    by_pixel: dict[int, list[tuple[float, float]]] = {}
    low, high = min((x for x, _ in found), default=0.0), max((x for x, _ in found), default=0.0)
    scale = 0.5 if math.isinf(high - low) else 1.0
    for x, value in found:
        share = (x * scale - low * scale) / (high * scale - low * scale) if high > low else 0.0
        by_pixel.setdefault(min(int(share * width), width - 1), []).append((x, value))
    return dict(sorted(by_pixel.items()))


def tallies(values: Sequence[float]) -> dict[str, Any]:
    """What a pixel tells of these values, but for the mean."""
    finite = [value for value in values if math.isfinite(value)]
    return {
        "count": len(finite),
        "min": min(finite, default=None),
        "max": max(finite, default=None),
        "first": finite[0] if finite else None,
        "last": finite[-1] if finite else None,
        "nan": sum(math.isnan(value) for value in values),
        "posInf": values.count(math.inf),
        "negInf": values.count(-math.inf),
    }


def totals(chart: dict[str, Any]) -> dict[str, Any]:
    """What all pixels tell together."""
    columns = chart["buckets"]
    known = [column for column in columns["min"] if column is not None]
    return {
        "count": sum(columns["count"]),
        "min": min(known, default=None),
        "max": max((column for column in columns["max"] if column is not None), default=None),
        "nan": sum(columns["nan"]),
        "posInf": sum(columns["posInf"]),
        "negInf": sum(columns["negInf"]),
    }


def ordered(bounds: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    """Bounds that make a range."""
    low, high = bounds
    return (high, low) if low is not None and high is not None and low > high else (low, high)


def rising(count: int, per_block: int, **more: Any) -> Charted:
    """Rows whose y is their index."""
    blocks = []
    for start in range(0, count, per_block):
        values = np.arange(start, min(start + per_block, count), dtype=np.float64)
        columns = [Column("y", "f", None, values), Column("step", "i", None, values.astype(np.int64))]
        columns += [Column(name, "f", None, make(values)) for name, make in more.items()]
        blocks.append(through_a_frame(Block(TRAIN, (values * SECOND).astype(np.int64), columns)))
    return Charted(blocks)
