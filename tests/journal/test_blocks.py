"""Blocks: what is encoded comes back exactly, and reading some rows touches no others."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.journal.blocks import (
    Block,
    BlockHead,
    Column,
    ColumnHead,
    block_rows,
    decode_block,
    encode_block,
)
from ml_dash.journal.frame import decode_meta
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.series import Kind, Series
from tests.support.examples import many

SERIES = Series(Kind.METRIC, "train")
INT64_MIN, INT64_MAX, UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1

floats = st.floats(allow_nan=True, allow_infinity=True)
ints = st.integers(INT64_MIN, INT64_MAX)
texts = st.text(st.characters(exclude_categories=()), max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(INT64_MIN, UINT64_MAX) | floats | texts | st.binary(max_size=8)
)
objects = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {"f": floats, "i": ints, "b": st.booleans(), "o": objects}


@st.composite
def columns(draw: st.DrawFn, count: int) -> Column:
    kind = draw(st.sampled_from("fibo"))
    rows = draw(st.none() | st.sets(st.integers(0, count - 1)).map(sorted)) if count else None
    size = count if rows is None else len(rows)
    return Column(draw(texts), kind, rows, draw(st.lists(VALUES[kind], min_size=size, max_size=size)))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    times = draw(st.lists(ints, max_size=12))
    series = Series(draw(st.sampled_from(Kind)), draw(st.none() | texts))
    return Block(series, times, draw(st.lists(columns(len(times)), max_size=4)))


def as_arrays(block: Block) -> Block:
    """The same block as the batcher makes it from many rows: numbers in numpy arrays."""
    dtypes = {"f": np.float64, "i": np.int64, "b": np.bool_}
    arrays = [
        column._replace(
            rows=None if column.rows is None else np.array(column.rows, np.int64),
            values=np.array(column.values, dtypes[column.type]) if column.type in dtypes else column.values,
        )
        for column in block.columns
    ]
    return Block(block.series, np.array(block.times, np.int64), arrays)


def encoded(block: Block) -> tuple[BlockHead, bytes]:
    entry, pieces = encode_block(block)
    data = b"".join(pieces)
    (head,) = decode_meta(to_msgpack([entry]), len(data))
    return head, data


def decoded(block: Block) -> Block:
    return decode_block(*encoded(block))


def exact(value: object) -> object:
    """Something that is equal only for values of the same type and the same bits."""
    if isinstance(value, float):
        return ("float", struct.pack("<d", value))
    if isinstance(value, dict):
        return ("dict", [(exact(key), exact(item)) for key, item in value.items()])
    if isinstance(value, list):
        return ("list", [exact(item) for item in value])
    return (type(value).__name__, value)


@given(blocks())
@settings(max_examples=many(150))
def test_every_block_comes_back_as_it_was(block: Block) -> None:
    back = decoded(block)

    assert back.series == block.series
    assert np.asarray(back.times).tolist() == list(block.times)
    assert [(column.field, column.type) for column in back.columns] == [
        (column.field, column.type) for column in block.columns
    ]
    assert exact(block_rows(back)) == exact(block_rows(block))


@given(blocks())
@settings(max_examples=many(100))
def test_lists_and_arrays_become_the_same_bytes(block: Block) -> None:
    assert encoded(as_arrays(block)) == encoded(block)


@given(blocks(), st.none() | st.integers(-3, 15), st.none() | st.integers(-3, 15))
@settings(max_examples=many(100))
def test_a_window_of_rows_is_the_slice_of_all_rows(block: Block, start: int | None, stop: int | None) -> None:
    back = decoded(block)

    assert exact(block_rows(back, start or 0, stop)) == exact(block_rows(back)[start or 0 : stop])


def test_floats_keep_every_bit() -> None:
    """Two NaNs with different payloads, both zeros, both infinities, the smallest number above zero."""
    bits = [0x7FF8000000000001, 0xFFF8000000ABCDEF, 0, 1 << 63, 0x7FF0000000000000, 0xFFF0000000000000, 1]
    values = [struct.unpack("<d", struct.pack("<Q", pattern))[0] for pattern in bits]

    rows = block_rows(decoded(Block(SERIES, [0] * len(bits), [Column("x", "f", None, values)])))

    assert [struct.unpack("<Q", struct.pack("<d", row["x"]))[0] for row in rows] == bits


def test_rows_hold_python_values_and_not_numpy_ones() -> None:
    block = Block(
        SERIES,
        [1, 2],
        [
            Column("f", "f", None, [1.5, math.inf]),
            Column("i", "i", None, [1, 2]),
            Column("b", "b", [1], [True]),
        ],
    )

    rows = block_rows(decoded(block))

    assert [{field: type(value) for field, value in row.items()} for row in rows] == [
        {"f": float, "i": int},
        {"f": float, "i": int, "b": bool},
    ]


def test_a_field_of_several_types_has_a_column_for_each() -> None:
    block = Block(
        SERIES,
        [10, 11, 12, 13],
        [
            Column("x", "i", [0, 3], [1, 4]),
            Column("x", "f", [1], [2.0]),
            Column("x", "o", [2], [None]),
        ],
    )

    rows = block_rows(decoded(block))

    assert exact(rows) == exact([{"x": 1}, {"x": 2.0}, {"x": None}, {"x": 4}])


def test_an_int_beyond_int64_is_an_object() -> None:
    rows = block_rows(decoded(Block(SERIES, [0, 0], [Column("n", "o", None, [UINT64_MAX, INT64_MIN])])))

    assert rows == [{"n": UINT64_MAX}, {"n": INT64_MIN}]


def test_lone_surrogates_survive_in_names_fields_and_values() -> None:
    block = Block(Series(Kind.TRACK, "a\udc80"), [0], [Column("f\ud800", "o", None, ["v\udfff"])])

    back = decoded(block)

    assert back.series.name == "a\udc80"
    assert block_rows(back) == [{"f\ud800": "v\udfff"}]


def test_fields_come_in_the_order_of_the_columns() -> None:
    block = Block(SERIES, [0], [Column(name, "i", None, [0]) for name in ("loss", "acc", "lr")])

    assert list(block_rows(decoded(block))[0]) == ["loss", "acc", "lr"]


def test_numbers_are_decoded_as_views_of_the_bytes() -> None:
    block = Block(
        SERIES,
        range(4),
        [
            Column("x", "f", None, [0.0] * 4),
            Column("n", "i", [1, 3], [7, 9]),
            Column("b", "b", None, [True] * 4),
        ],
    )
    head, data = encoded(block)
    source = np.frombuffer(data, np.uint8)

    back = decode_block(head, data)

    arrays = [back.times, back.columns[1].rows, *(column.values for column in back.columns)]
    assert all(np.shares_memory(np.asarray(array), source) for array in arrays)
    assert [column.values.dtype.kind for column in back.columns if isinstance(column.values, np.ndarray)] == [
        *"fib"
    ]


def test_decoding_takes_a_view_of_a_whole_frames_data() -> None:
    head, data = encoded(Block(SERIES, [5], [Column("x", "o", None, ["y"])]))
    around = memoryview(b"..." + data + b"...")

    assert block_rows(decode_block(head, around[3:-3])) == [{"x": "y"}]


class Watched(list[Any]):
    """A list that writes down which of its items were asked for."""

    def __init__(self, values: list[Any]) -> None:
        super().__init__(values)
        self.read: set[int] = set()

    def __getitem__(self, key: Any) -> Any:
        wanted = range(len(self))[key]
        self.read.update([wanted] if isinstance(wanted, int) else wanted)
        return super().__getitem__(key)


def test_reading_a_window_touches_no_value_outside_it() -> None:
    dense = Watched([float(n) for n in range(8192)])
    sparse = Watched([float(n) for n in range(0, 8192, 2)])
    block = Block(
        SERIES, range(8192), [Column("a", "f", None, dense), Column("b", "f", range(0, 8192, 2), sparse)]
    )

    rows = block_rows(block, 5000, 5100)

    assert rows[0] == {"a": 5000.0, "b": 5000.0}
    assert rows[99] == {"a": 5099.0}
    assert dense.read == set(range(5000, 5100))
    assert sparse.read == set(range(2500, 2550))


def test_encoding_lists_needs_no_numpy() -> None:
    """A slow run must not pay for the import of numpy."""
    script = (
        "import sys; from ml_dash.series import *; from ml_dash.journal.blocks import *;"
        "from ml_dash.journal.frame import encode_frame;"
        "encode_frame(1, [Block(Series(Kind.LOG, None), [1, 2], [Column('x', 'f', [0], [1.0])])]);"
        "print('numpy' in sys.modules)"
    )

    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "False"


def test_narrower_arrays_are_widened_without_loss() -> None:
    values: list[Any] = [np.array([1, 255], np.uint8), np.array([-1, 7], np.int32)]
    block = Block(SERIES, [0, 0], [Column(str(n), "i", None, array) for n, array in enumerate(values)])

    assert block_rows(decoded(block)) == [{"0": 1, "1": -1}, {"0": 255, "1": 7}]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (Column("x", "f", None, [1.0]), "1 values for 2 rows"),
        (Column("x", "f", [0], [1.0, 2.0]), "2 values for 1 rows"),
        (Column("x", "f", [2], [1.0]), "rows outside a block of 2"),
        (Column("x", "f", [-1], [1.0]), "rows outside a block of 2"),
        (Column("x", "f", None, ["a", "b"]), "not of type 'f'"),
        (Column("x", "i", None, [0, 2**63]), "not of type 'i'"),
        (Column("x", "i", None, [0, 1.5]), "not of type 'i'"),
        (Column("x", "i", None, np.array([0, 1], np.uint64)), "not of type 'i'"),
        (Column("x", "o", None, [0, object()]), "not of type 'o'"),
        (Column("x", "o", None, [0, 2**64]), "not of type 'o'"),
        (Column(7, "i", None, [0, 1]), "name is a str, not 7"),  # type: ignore[arg-type]
    ],
)
def test_a_column_that_no_reader_could_read_is_refused(column: Column, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        encode_block(Block(SERIES, [0, 0], [column]))


def test_a_time_beyond_int64_is_refused() -> None:
    with pytest.raises(ValueError, match="'time' is not of type 'i'"):
        encode_block(Block(SERIES, [2**63], []))


def test_a_column_of_an_unknown_type_is_skipped() -> None:
    """A later version's column: what stands before and after it is read."""
    head = BlockHead(
        SERIES,
        1,
        (
            ColumnHead("a", "i", 1, sparse=False, nbytes=8),
            ColumnHead("q", "quad", 1, sparse=True, nbytes=20),
            ColumnHead("b", "i", 1, sparse=False, nbytes=8),
        ),
        44,
    )
    data = struct.pack("<qq20sq", 0, 1, b"?" * 20, 2)

    assert block_rows(decode_block(head, data)) == [{"a": 1, "b": 2}]


def one_column(kind: str, count: int, *, sparse: bool, data: bytes) -> tuple[BlockHead, bytes]:
    column = ColumnHead("x", kind, count, sparse, len(data))
    return BlockHead(SERIES, 2, (column,), 16 + len(data)), bytes(16) + data


@pytest.mark.parametrize(
    ("head", "data", "reason"),
    [
        pytest.param(*one_column("b", 2, sparse=False, data=b"\x01\x02"), "neither 0 nor 1", id="bool"),
        pytest.param(
            *one_column("b", 2, sparse=True, data=struct.pack("<IIBB", 1, 1, 0, 0)),
            "ascending",
            id="repeated",
        ),
        pytest.param(
            *one_column("b", 1, sparse=True, data=struct.pack("<IB", 2, 0)), "below 2", id="outside the block"
        ),
        pytest.param(
            *one_column("o", 2, sparse=False, data=to_msgpack([1])), "holds 1 values, not 2", id="count"
        ),
        pytest.param(
            *one_column("o", 2, sparse=False, data=to_msgpack({1: 2, 3: 4})), "one msgpack array", id="map"
        ),
        pytest.param(*one_column("o", 2, sparse=False, data=b"\x92\x01"), "incomplete", id="incomplete"),
        pytest.param(*one_column("o", 2, sparse=False, data=to_msgpack([1, 2]) + b"x"), "extra", id="extra"),
        pytest.param(
            *one_column("o", 2, sparse=False, data=b"\xdd\xff\xff\xff\xff"),
            "exceeds max_array_len",
            id="too long",
        ),
    ],
)
def test_bytes_that_are_not_what_the_head_says_are_an_error(
    head: BlockHead, data: bytes, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_block(head, data)


def test_a_block_of_another_length_than_its_head_says_is_an_error() -> None:
    head, data = encoded(Block(SERIES, [5], []))

    with pytest.raises(ValueError, match="a block of 8 bytes was given 7"):
        decode_block(head, data[:-1])


def test_a_map_key_that_python_cannot_have_is_an_error() -> None:
    """{[1]: 2} is msgpack, but a list is no key of a dict."""
    with pytest.raises(ValueError, match="unhashable"):
        from_msgpack(b"\x81\x91\x01\x02")


def test_a_block_without_rows_or_columns_is_one_nevertheless() -> None:
    assert block_rows(decoded(Block(SERIES, [], [Column("x", "f", None, [])]))) == []
    assert block_rows(decoded(Block(SERIES, [7, 8], []))) == [{}, {}]
