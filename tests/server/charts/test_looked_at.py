"""What is kept of charts is what would be read, however the series grows, is merged, or is looked at by others."""

from __future__ import annotations

import numpy as np
import pytest

from ml_dash.journal.block_ops import merge_blocks
from ml_dash.journal.blocks import Block, Column
from ml_dash.server.charts.looked_at import LookedAt
from ml_dash.server.charts.summaries import Buckets, gather
from tests.server.charts.charted import SECOND, TRAIN, Charted

FIELDS = ("step", "y", "z")
KEY = "experiment", 1


def block(first: int, count: int) -> Block:
    steps = np.arange(first, first + count)
    columns = [Column("step", "i", None, steps), Column("y", "f", None, np.sin(steps / 9.0))]
    # a field that not every row has
    some = np.arange(0, count, 3)
    columns.append(Column("z", "f", some, steps[some] * 1.0))
    return Block(TRAIN, steps * SECOND, columns)


def blocks(*counts: int) -> list[Block]:
    starts = np.cumsum((0, *counts[:-1])).tolist()
    return [block(start, count) for start, count in zip(starts, counts, strict=True)]


def same(found: Buckets, series: Charted, *fields: str) -> bool:
    expected = gather(series.summaries(0, series.rows), fields)
    assert list(found.stats) == list(fields)
    pairs = [(found.start, expected.start), (found.rows, expected.rows), (found.times, expected.times)]
    pairs += [(found.stats[each], expected.stats[each]) for each in fields]
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def ask(kept: LookedAt, series: Charted, *fields: str, more: tuple[str, ...] = ()) -> Buckets:
    return kept.buckets(KEY, series.summaries, series.rows, fields, more)


def test_summaries_are_read_once_for_all_fields_that_will_be_asked_for() -> None:
    kept, series = LookedAt(), Charted(blocks(4096, 4096, 2048))
    assert same(ask(kept, series, "y", more=("z", "step")), series, "y")
    assert series.summaries_read == 3 + 3
    for fields in (("z",), ("step", "y"), ("y", "z")):
        before = series.summaries_read
        found = ask(kept, series, *fields)
        assert series.summaries_read == before
        assert same(found, series, *fields)


def test_a_field_that_nobody_had_asked_for_is_read_then_and_the_others_stay() -> None:
    kept, series = LookedAt(), Charted(blocks(4096, 2048))
    ask(kept, series, "y")
    assert same(ask(kept, series, "z"), series, "z")
    before = series.summaries_read
    ask(kept, series, "y", "z")
    assert series.summaries_read == before


@pytest.mark.parametrize("more", [(1,), (4096,), (1, 1, 4096, 7), (1023, 1024)])
def test_of_a_series_that_has_grown_only_what_is_new_is_read(more: tuple[int, ...]) -> None:
    kept = LookedAt()
    ask(kept, Charted(blocks(4096, 4096)), *FIELDS)
    grown = Charted(blocks(4096, 4096, *more))
    found = ask(kept, grown, *FIELDS)
    assert grown.summaries_read == len(more)
    assert same(found, grown, *FIELDS)
    # and again: small runs at the end go on, and are not kept
    assert same(ask(kept, grown, *FIELDS), grown, *FIELDS)


def test_what_was_merged_meanwhile_is_read_anew() -> None:
    kept, parts = LookedAt(), blocks(2048, 2048, 1500)
    ask(kept, Charted(parts), *FIELDS)
    merged = Charted([parts[0], merge_blocks([*parts[1:], block(5596, 100)])])
    assert ask(kept, merged, "y").rows.sum() == 5696
    assert same(ask(kept, merged, *FIELDS), merged, *FIELDS)


def test_who_looks_at_the_series_as_it_was_sees_no_later_rows() -> None:
    kept, before = LookedAt(), Charted(blocks(2048, 1024))
    ask(kept, Charted(blocks(2048, 1024, 2048)), *FIELDS)
    assert same(ask(kept, before, "y"), before, "y")


def test_of_another_series_nothing_is_known_and_of_one_without_rows_nothing_is_kept() -> None:
    kept, series = LookedAt(), Charted(blocks(2048))
    none = Charted([])
    assert len(ask(kept, none, "y").start) == 0
    assert same(ask(kept, series, "y"), series, "y")
    other = Charted([block(100_000, 2048)])
    assert same(kept.buckets(("other", 1), other.summaries, 2048, ["y"]), other, "y")


def test_where_there_is_no_room_all_is_read_each_time_and_right() -> None:
    kept, series = LookedAt(100, 100), Charted(blocks(4096))
    for _ in range(2):
        assert same(ask(kept, series, "y"), series, "y")
        assert rows_of(kept, series, 10, 20) == list(range(10, 20))
    assert len(series.reads) == 2


def rows_of(kept: LookedAt, series: Charted, start: int, stop: int) -> list[int]:
    found = []
    for first, piece in kept.pieces(KEY, series.blocks, start, stop):
        assert first == piece.columns[0].values[0]
        found += list(piece.columns[0].values)
    return found


def test_rows_are_cut_out_once_and_hold_nothing_of_the_block_that_they_are_from() -> None:
    kept, series = LookedAt(), Charted(blocks(4096, 4096))
    for _ in range(3):
        assert rows_of(kept, series, 4000, 4200) == list(range(4000, 4200))
    assert series.reads == [(4000, 4200)]
    for _, piece in kept.pieces(KEY, series.blocks, 4000, 4200):
        steps, _, some = piece.columns
        assert isinstance(steps.values, np.ndarray)
        assert steps.values.base is None
        # positions of rows are counted from the piece's own first row
        assert list(some.values) == [steps.values[row] for row in (() if some.rows is None else some.rows)]


def test_very_many_rows_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_dash.server.charts.looked_at._PIECE_ROWS", 100)
    kept, series = LookedAt(), Charted(blocks(4096))
    for _ in range(2):
        assert sum(piece.count for _, piece in kept.pieces(KEY, series.blocks, 0, 4096)) == 4096
    assert len(series.reads) == 2
