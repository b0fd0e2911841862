"""The batcher: the way of numpy and the way of msgpack's unpacker give the same rows, whatever the mixture."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from ml_dash.events.batch import Batcher
from ml_dash.events.items import Item
from ml_dash.journal.blocks import Block, block_rows, decode_block
from ml_dash.journal.frame import FRAME_HEADER, decode_meta, encode_frame, parse_frame_header
from ml_dash.series import Kind, Series
from ml_dash.slabs.layout import MARK
from ml_dash.slabs.slab import Chunk, Slab
from ml_dash.values.pack import pack, unpack
from tests.support.examples import many
from tests.support.slabs import collect

Event = tuple[int, int, dict[str, Any]]
Rows = dict[Series, list[tuple[int, str]]]
"""The rows of each series: times, and fields as text, because NaN is not equal to itself and True is to 1."""

SERIES = [Series(Kind.METRIC, None), *(Series(Kind.METRIC, f"m{number}") for number in range(400))]
NOW = 1_700_000_000_000_000_000

EDGES = [
    *(0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1),
    *(-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63)),
    *(0.0, -0.0, 0.5, float("nan"), float("inf"), float("-inf"), 5e-324),
    *(True, False, None, "text", b"bytes", [1, 2], {"a": 1}, {}, []),
]
NUMBERS = st.sampled_from(EDGES[:30]) | st.floats() | st.integers(-(2**63), 2**64 - 1) | st.booleans()
ANYTHING = st.sampled_from(EDGES) | NUMBERS | st.text(max_size=40)
NAMES = st.sampled_from(["loss", "acc", "step", "", "a" * 31, "a" * 32, "é" * 130, "\ud800"])
SHAPES = st.dictionaries(NAMES, st.lists(NUMBERS, min_size=1, max_size=6), max_size=6)


def packed(events: list[Event]) -> list[bytes]:
    rows = []
    for event in events:
        try:
            rows.append(pack(list(event)))
        except ValueError:  # a lone surrogate: this is how such a row is packed
            rows.append(msgpack.packb(list(event), unicode_errors="surrogatepass"))
    return rows


def one_by_one(events: list[Event]) -> Rows:
    """What the rows are, event by event."""
    found: Rows = {}
    for series_id, time, fields in events:
        found.setdefault(SERIES[series_id], []).append((time, shown(fields)))
    return found


def shown(fields: dict[str, Any]) -> str:
    """Every value with its type; a float with its bits."""
    values = {name: value.hex() if type(value) is float else repr(value) for name, value in fields.items()}
    return repr(sorted(values.items()))


def through_a_frame(blocks: list[Block]) -> list[Block]:
    """The same blocks as a reader sees them."""
    raw = encode_frame(1, blocks)
    header = parse_frame_header(raw)
    assert header
    start = FRAME_HEADER.size + header.meta_len
    heads = decode_meta(raw[FRAME_HEADER.size : start], header.data_len)
    found = []
    for head in heads:
        found.append(decode_block(head, raw[start : start + head.nbytes]))
        start += head.nbytes
    return found


def rows_of(blocks: list[Block]) -> Rows:
    found: Rows = {}
    for block in blocks:
        assert block.series not in found, "the rows of a series fell apart into several blocks"
        rows = zip(map(int, block.times), map(shown, block_rows(block)), strict=True)
        found[block.series] = list(rows)
    return found


def assert_equal_rows(events: list[Event], batcher: Batcher | None = None) -> list[Block]:
    """Batch the events; the rows must be those of the events, directly and as a reader sees them."""
    blocks = (batcher or Batcher()).blocks(packed(events), SERIES)
    assert rows_of(blocks) == one_by_one(events)
    assert rows_of(through_a_frame(blocks)) == one_by_one(events)
    return blocks


def is_numpy(blocks: list[Block]) -> bool:
    """Whether the columns were made without touching the rows one by one."""
    return all(hasattr(column.values, "dtype") for block in blocks for column in block.columns)


def test_nothing_makes_no_blocks() -> None:
    """An empty batch is no frame."""
    assert Batcher().blocks([], SERIES) == []


@pytest.mark.parametrize("count", [1, 15, 16, 17, 5000])
def test_equal_rows_of_numbers_are_one_block_of_columns(count: int) -> None:
    """Few are unpacked, many are taken apart by numpy."""
    events = [(1, NOW + n, {"loss": n / 7, "acc": -n / 3, "lr": 1e-3}) for n in range(count)]

    (block,) = assert_equal_rows(events)

    assert [(column.field, column.type, column.rows) for column in block.columns] == [
        ("loss", "f", None),
        ("acc", "f", None),
        ("lr", "f", None),
    ]
    assert is_numpy([block]) == (count >= 16)


@pytest.mark.slow
def test_a_step_that_grows_changes_the_width_of_the_rows() -> None:
    """A counter is the normal case: it must not leave the way of numpy."""
    events = [(1, NOW + step, {"step": step, "loss": 0.5}) for step in range(70_000)]

    (block,) = assert_equal_rows(events)

    assert [(column.field, column.type, column.rows) for column in block.columns] == [
        ("step", "i", None),
        ("loss", "f", None),
    ]
    assert is_numpy([block])


def test_rows_of_alternating_shape_stay_in_one_block() -> None:
    """With sparse columns, and in order."""
    events = [
        (1, NOW + n, {"step": n, "loss": n / 7} if n % 3 else {"step": n, "lr": 0.5, "done": n % 2 == 0})
        for n in range(3000)
    ]

    (block,) = assert_equal_rows(events)

    assert {column.field: column.rows is None for column in block.columns} == {
        "step": True,
        "loss": False,
        "lr": False,
        "done": False,
    }


def test_the_rows_of_interleaved_series_keep_their_order() -> None:
    """One block a series."""
    events: list[Event] = [(n % 5, NOW + n, {"x": n, "y": 0.5}) for n in range(5000)]

    assert len(assert_equal_rows(events)) == 5


@pytest.mark.parametrize("series_id", [0, 127, 128, 255, 256, 399])
def test_series_ids_of_every_width(series_id: int) -> None:
    """A script may have hundreds of metrics."""
    assert is_numpy(assert_equal_rows([(series_id, NOW, {"x": 0.5})] * 100))


@pytest.mark.parametrize("time", [0, 1, 127, 128, 2**32, NOW, 2**63 - 1, -1, -32, -33, -(2**63)])
def test_times_of_every_width(time: int) -> None:
    """A `_ts` of the caller's own may be any int64."""
    assert is_numpy(assert_equal_rows([(1, time, {"x": 0.5})] * 100))


@pytest.mark.parametrize("fields", [0, 1, 15, 16, 40, 300])
def test_rows_of_any_number_of_fields(fields: int) -> None:
    """Maps of 16 fields and more are packed in another way than smaller ones."""
    row = {f"field {number}": float(number) for number in range(fields)}

    assert is_numpy(assert_equal_rows([(1, NOW + n, row) for n in range(100)]))


@pytest.mark.parametrize(
    "name", ["", "x", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 70_000, "é\0\ud800"]
)
def test_names_of_every_length(name: str) -> None:
    """Strings have four forms in msgpack."""
    assert is_numpy(assert_equal_rows([(1, NOW + n, {name: n / 7}) for n in range(50)]))


@pytest.mark.sample(3)
@pytest.mark.parametrize("first", EDGES, ids=repr)
def test_no_value_is_taken_for_another(first: Any) -> None:
    """Every pair of kinds and widths in one batch, alternating: equal lengths are not equal layouts."""
    events: list[Event] = []
    for second in EDGES:
        pair = [(1, NOW, {"x": first, "y": 0.5}), (1, NOW, {"x": second, "y": 0.5})]
        events += pair * 20
    assert_equal_rows(events)

    batcher = Batcher()
    for second in EDGES:
        assert_equal_rows([(1, NOW, {"x": first})] * 20, batcher)
        assert_equal_rows([(1, NOW, {"x": second})] * 20, batcher)


def test_values_of_all_kinds_side_by_side() -> None:
    """A column for each type that a field has."""
    events: list[Event] = [(1, NOW + n, {"x": EDGES[n % len(EDGES)]}) for n in range(1000)]

    (block,) = assert_equal_rows(events)

    assert sorted(column.type for column in block.columns) == ["b", "f", "i", "o"]


def test_unsigned_ints_beyond_int64_are_objects() -> None:
    """A column of int64 cannot carry them, and must not turn them into others."""
    events: list[Event] = [(1, NOW, {"x": 2**63 + n}) for n in range(100)]

    (block,) = assert_equal_rows(events)

    assert [column.type for column in block.columns] == ["o"]


def test_rows_without_fields_count() -> None:
    """They have a time and an index."""
    (block,) = assert_equal_rows([(1, NOW + n, {}) for n in range(100)])
    assert (block.count, list(block.columns)) == (100, [])

    assert_equal_rows([(1, NOW + n, {"x": 1.0} if n % 2 else {}) for n in range(100)])


def test_ever_new_shapes_do_not_fill_the_memory() -> None:
    """A script that makes up field names is slow, but right, and remembered only so far."""
    batcher = Batcher()
    for batch in range(30):
        assert_equal_rows([(1, NOW, {f"{batch:03}-{n // 20:03}": 0.5}) for n in range(400)], batcher)

    assert max(map(len, batcher._layouts.values())) <= 8


def test_one_batcher_serves_many_batches() -> None:
    """What it remembers of earlier ones never decides what later rows are."""
    randomly = random.Random(7)
    batcher = Batcher()
    for _ in range(100):
        names = randomly.sample(["a", "b", "c", "d"], randomly.randint(1, 4))
        kinds = [randomly.choice([0.5, 1, 300, -1, True, -(2**40), 2**63, None, "x"]) for _ in names]
        events = [
            (randomly.randrange(3), NOW + n, dict(zip(names, kinds, strict=True)))
            for n in range(randomly.choice([3, 20, 200]))
        ]
        assert_equal_rows(events, batcher)


@given(
    shapes=st.lists(SHAPES, min_size=1, max_size=5),
    strange=st.lists(st.dictionaries(NAMES, ANYTHING, max_size=4), max_size=3),
    count=st.integers(1, 400),
    series=st.lists(st.integers(0, 399), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=many(150))
@example(shapes=[{"x": [1, True]}, {"x": [-1]}], strange=[], count=100, series=[1], seed=0)
def test_any_mixture_of_rows_comes_out_as_it_went_in(
    shapes: list[dict[str, list[Any]]],
    strange: list[dict[str, Any]],
    count: int,
    series: list[int],
    seed: int,
) -> None:
    """Mixtures of builders, shapes, widths, types, with rows of no numbers in between."""
    randomly = random.Random(seed)
    events: list[Event] = []
    for number in range(count):
        if strange and randomly.random() < 0.1:
            fields = randomly.choice(strange)
        else:
            shape = shapes[number % len(shapes)] if seed % 2 else randomly.choice(shapes)
            fields = {name: randomly.choice(values) for name, values in shape.items()}
        events.append((randomly.choice(series), NOW + number, fields))

    assert_equal_rows(events)


def test_events_packed_by_either_encoder_are_the_same() -> None:
    """Rows that are not plain are packed by msgpack itself; both forms meet in one batch."""
    events: list[Event] = [(1, NOW + n, {"x": EDGES[n % 30], "y": n}) for n in range(600)]
    rows = [pack(list(e)) if n % 2 else msgpack.packb(list(e)) for n, e in enumerate(events)]

    blocks = Batcher().blocks(rows, SERIES)

    assert rows_of(blocks) == one_by_one(events)


def test_what_unpack_reads_is_what_was_packed() -> None:
    """The inverse, for every value that is stored as it is."""
    for value in EDGES:
        assert shown({"x": unpack(pack(value))}) == shown({"x": value})


def test_a_batch_of_numbers_makes_arrays_that_a_frame_takes_as_they_are() -> None:
    """float64, int64 and bool in the machine's order, so that encoding copies bytes and converts nothing."""
    (block,) = assert_equal_rows(
        [(1, NOW + n, {"f": 0.5, "i": n % 100, "b": n % 2 == 0}) for n in range(100)]
    )

    assert [np.asarray(column.values).dtype.str for column in block.columns] == ["<f8", "<i8", "|b1"]
    assert np.asarray(block.times).dtype.str == "<i8"


@pytest.mark.parametrize("seed", range(20))
def test_series_and_fields_are_in_the_order_of_their_first_rows(seed: int) -> None:
    """Whatever the lengths of the events, by which they are taken apart; lists of metrics show them so."""
    rng = random.Random(seed)
    names = [f"f{number}" for number in range(8)]
    some = [1.5, 2, 300, 2**40, "text", [1], True, None]
    events: list[Event] = []
    for _ in range(400):
        fields = {name: rng.choice(some) for name in rng.sample(names, rng.randint(1, 2))}
        events.append((rng.randrange(40), NOW, fields))
    blocks = Batcher().blocks(packed(events), SERIES)
    assert [block.series for block in blocks] == [
        SERIES[number] for number in dict.fromkeys(e[0] for e in events)
    ]
    for block in blocks:
        rows = [fields for number, _, fields in events if SERIES[number] == block.series]
        seen = dict.fromkeys(column.field for column in block.columns)
        first = {name: next(at for at, fields in enumerate(rows) if name in fields) for name in seen}
        assert list(first.values()) == sorted(first.values())


@pytest.mark.parametrize("levels", [100, 800])
def test_a_value_that_is_nested_deeper_than_readers_go_has_a_mark_at_that_depth(levels: int) -> None:
    """What packs goes deeper, and a server refuses the frame of such a row, with all others in it."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    ((_, row), *_), *_ = rows_of(Batcher().blocks(packed([(1, NOW, {"x": value})]), SERIES)).values()
    assert ("nested more than" in row) == (levels > 128)


def in_slab(events: list[Event], place: Path) -> list[Chunk]:
    """The chunks that these events are in shared memory, a region each."""
    slab = Slab(str(place), "0123456789abcdef-1f-00000001", str(place), 0, regions=8, region_bytes=4096)
    chunks: list[Chunk] = []
    for event in packed(events):
        for piece in (event, MARK):
            try:
                slab.write(piece)
            except ValueError:
                if piece is MARK:
                    slab.end()
                else:
                    assert slab.advance()
                    slab.write(piece)
    while (found := collect(slab, chunks[-1] if chunks else None)) is not None:
        chunks.append(found[0])
    return chunks


@pytest.mark.parametrize("shapes", [1, 2])
def test_rows_of_several_regions_and_what_lies_between_them_keep_their_order(
    shapes: int, tmp_path: Path
) -> None:
    events: list[Event] = [
        (3, NOW + n, {"loss": n / 2, "n": n + 256} if n % shapes == 0 else {"loss": n}) for n in range(300)
    ]
    chunks = in_slab(events, tmp_path)
    assert len(chunks) > 2
    between: list[Event] = [(3, NOW, {"loss": 0.5, "n": 7, "note": "by hand"}), (4, NOW, {"other": True})]
    first = chunks[0].rows
    items: list[Item] = [*packed(between), chunks[0], *packed(between), *chunks[1:]]

    blocks = Batcher().blocks(items, SERIES)

    order = [*between, *events[:first], *between, *events[first:]]
    assert rows_of(blocks) == one_by_one(order)


def test_rows_that_are_alike_are_not_cut_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever regions they lie in, and whatever row of another kind comes before them."""
    chunks = in_slab([(3, NOW + n, {"loss": n / 2, "acc": 0.5}) for n in range(250)], tmp_path)
    assert min(chunk.rows for chunk in chunks) > 16  # fewer are cut
    monkeypatch.setattr(Chunk, "events", lambda chunk: pytest.fail("cut one by one"))

    blocks = Batcher().blocks([*packed([(4, NOW, {"status": "running"})]), *chunks], SERIES)

    assert [block.count for block in blocks] == [1, 250]
