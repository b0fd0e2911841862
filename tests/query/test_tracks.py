"""Tracks: entries in order of time, in bounds, in three formats."""

from __future__ import annotations

import io
import json
import math
import random
import sys
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.journal.blocks import Block
from ml_dash.query.journal_view import JournalView
from ml_dash.query.stretches import Stretch, blocks_by_time
from ml_dash.query.tracks import Earliest, TrackQuery, find_by_time, last_before, renderer
from ml_dash.series import Kind, Series
from tests.support.view_journals import SECOND, block_of, write_rows

POSE = Series(Kind.TRACK, "robot/pose")


def view_of(directory: Path, *rows: tuple[float, dict[str, Any]], per_frame: int = 2) -> JournalView:
    """A journal with these rows of one topic, at these seconds."""
    timed = [(round(time * SECOND), fields) for time, fields in rows]
    write_rows(directory, POSE, timed, per_frame=per_frame)
    return JournalView(str(directory))


def entries(view: JournalView, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
    found = view.track("robot/pose", *args, **kwargs)
    assert found["count"] == len(found["entries"])
    listed: list[dict[str, Any]] = found["entries"]
    return listed


def parquet(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    data = renderer("parquet")(rows)
    assert isinstance(data, bytes)
    columns: dict[str, list[Any]] = pq.read_table(io.BytesIO(data)).to_pydict()
    return columns


def test_a_topic_that_is_not_there_has_no_entries(tmp_path: Path) -> None:
    assert JournalView(str(tmp_path)).track("no") == {"entries": [], "count": 0}


def test_entries_come_in_order_of_time_whatever_order_they_were_logged_in(tmp_path: Path) -> None:
    view = view_of(tmp_path, (3, {"x": 3.0}), (1, {"x": 1.0}), (2.5, {"x": 2.5}))
    assert entries(view) == [
        {"timestamp": 1.0, "x": 1.0},
        {"timestamp": 2.5, "x": 2.5},
        {"timestamp": 3.0, "x": 3.0},
    ]


def test_rows_of_one_nanosecond_are_merged_and_the_later_wins(tmp_path: Path) -> None:
    view = view_of(tmp_path, (1, {"x": 1, "y": 1}), (2, {"x": 5}), (1, {"y": 2, "z": None}))
    assert entries(view) == [{"timestamp": 1.0, "x": 1, "y": 2, "z": None}, {"timestamp": 2.0, "x": 5}]


def test_rows_a_nanosecond_apart_are_two_entries(tmp_path: Path) -> None:
    write_rows(tmp_path, POSE, [(1_700_000_000 * SECOND + i, {"x": i}) for i in range(2)])
    assert [entry["x"] for entry in entries(JournalView(str(tmp_path)))] == [0, 1]


def test_bounds_are_inclusive(tmp_path: Path) -> None:
    times = [1_700_000_000.1, 1_700_000_000.2, 1_700_000_000.3]
    view = view_of(tmp_path, *((time, {"x": time}) for time in times))
    assert [entry["timestamp"] for entry in entries(view)] == times
    assert [entry["x"] for entry in entries(view, times[1], times[1])] == [times[1]]
    assert [entry["x"] for entry in entries(view, start_timestamp=times[1])] == times[1:]
    assert [entry["x"] for entry in entries(view, end_timestamp=times[1])] == times[:2]
    assert entries(view, times[2], times[0]) == []
    assert len(entries(view, -math.inf, math.inf)) == len(entries(view, -(10**400), 10**400)) == 3
    assert len(entries(view, np.float32(0), np.int64(2_000_000_000))) == 3


@pytest.mark.parametrize("bound", [math.nan, "1", True, [1]])
def test_a_bound_that_is_no_time_is_refused(tmp_path: Path, bound: Any) -> None:
    view = JournalView(str(tmp_path))
    with pytest.raises(InvalidArgumentError, match=r"start_timestamp=.* is not a time"):
        view.track("t", start_timestamp=bound)
    with pytest.raises(InvalidArgumentError, match=r"end_timestamp=.* is not a time"):
        view.track("t", end_timestamp=bound)
    with pytest.raises(InvalidArgumentError, match=r"timestamp=.* is not a time"):
        view.find_by_time("t", bound)


def test_columns_keep_fields_and_leave_out_entries_without_any(tmp_path: Path) -> None:
    view = view_of(
        tmp_path,
        (1, {"x": 1, "y": 2}),
        (2, {"y": 3}),
        (3, {"pose": {"q": [1, 2], "at": {"x": 0.5, "y": 0.6}}, "x": 4}),
    )
    assert entries(view, columns=["x"]) == [{"timestamp": 1.0, "x": 1}, {"timestamp": 3.0, "x": 4}]
    assert entries(view, columns=["pose.at.y", "pose.q"]) == [
        {"timestamp": 3.0, "pose": {"at": {"y": 0.6}, "q": [1, 2]}}
    ]
    whole = {"q": [1, 2], "at": {"x": 0.5, "y": 0.6}}
    assert entries(view, columns=["pose", "pose.at.x"]) == [{"timestamp": 3.0, "pose": whole}]
    assert entries(view, columns=["x.y", "no", "pose.no"]) == []
    assert entries(view, columns=[]) == []


@pytest.mark.parametrize("columns", ["x", [1], ["x", None]])
def test_columns_that_are_no_list_of_names_are_refused(tmp_path: Path, columns: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="is not a list of field names"):
        JournalView(str(tmp_path)).track("t", columns=columns)


def test_a_field_called_timestamp_gives_way_to_the_time(tmp_path: Path) -> None:
    view = view_of(tmp_path, (1, {"timestamp": "mine", "x": 1}))
    assert entries(view) == [{"timestamp": 1.0, "timestamp_": "mine", "x": 1}]


def test_the_entry_at_a_time_is_that_or_the_last_before_it(tmp_path: Path) -> None:
    view = view_of(tmp_path, (3, {"x": 3}), (1, {"x": 1}), (2, {"x": 2}))
    assert view.find_by_time("robot/pose", 2) == {"timestamp": 2.0, "x": 2}
    assert view.find_by_time("robot/pose", 2.9) == {"timestamp": 2.0, "x": 2}
    assert view.find_by_time("robot/pose", 100) == {"timestamp": 3.0, "x": 3}
    assert view.find_by_time("robot/pose", 0.9) is None
    assert view.find_by_time("no", 1) is None


@given(st.lists(st.floats(-1e6, 1e6), max_size=20), st.floats(-1e6, 1e6))
def test_find_by_time_agrees_with_a_plain_search(times: list[float], wanted: float) -> None:
    listed = [{"timestamp": time} for time in sorted(times)]
    before = [entry for entry in listed if entry["timestamp"] <= wanted]
    assert find_by_time(listed, wanted) == (before[-1] if before else None)


def test_jsonl_has_an_entry_a_line(tmp_path: Path) -> None:
    view = view_of(
        tmp_path, (1, {"x": math.nan, "s": "\udc80 é\n"}), (2, {"b": b"\x00", "d": {"k": [1, None]}})
    )
    text = view.track("robot/pose", format="jsonl")
    assert isinstance(text, str)
    first, second = (json.loads(line) for line in text.splitlines())
    assert math.isnan(first.pop("x"))
    assert first == {"timestamp": 1.0, "s": "\udc80 é\n"}
    mark = {"__repr__": "b'\\x00'", "__type__": "builtins.bytes"}
    assert second == {"timestamp": 2.0, "b": mark, "d": {"k": [1, None]}}
    assert view.track("no", format="jsonl") == ""


def test_parquet_has_a_column_for_each_field_with_dotted_names(tmp_path: Path) -> None:
    view = view_of(tmp_path, (1, {"x": 1.5, "pose": {"q": [1.0, 2.0]}}), (2, {"name": "b", "x": 2.0}))
    data = view.track("robot/pose", format="parquet")
    assert isinstance(data, bytes)
    assert pq.read_table(io.BytesIO(data)).to_pydict() == {
        "timestamp": [1.0, 2.0],
        "x": [1.5, 2.0],
        "pose.q": [[1.0, 2.0], None],
        "name": [None, "b"],
    }


def test_parquet_takes_what_it_has_no_type_for_as_json_text() -> None:
    found = parquet(
        [
            {"timestamp": 1.0, "mixed": 1, "empty": {}, "rows": [{"a": 1}], "text": "\udc80", "\udc80": 1},
            {"timestamp": 2.0, "mixed": "one", "a.b": 1, "a": {"b": 2}, "flag": True, "raw": b"\x00"},
        ]
    )
    assert found["mixed"] == ["1", '"one"']
    assert found["empty"] == ["{}", None]
    assert found["rows"] == ['[{"a": 1}]', None]
    assert found["text"] == ['"\\udc80"', None]
    assert found["a.b"] == [None, 1], "the name that was written out"
    assert (found["flag"], found["raw"]) == ([None, True], [None, b"\x00"])


def test_parquet_of_nothing_has_times_without_entries() -> None:
    assert parquet([]) == {"timestamp": []}


def test_an_unknown_format_is_refused_with_those_known(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgumentError, match="format='csv' is not known: use one of json, jsonl, parquet"
    ):
        JournalView(str(tmp_path)).track("t", format="csv")


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install pyarrow"):
        JournalView(str(tmp_path)).track("t", format="parquet")


@pytest.mark.parametrize("seconds", [-1e12, -math.inf, 1e12, math.inf, 10**400, 0.5])
def test_bounds_are_times_that_a_database_can_compare(seconds: float) -> None:
    for bound in (*TrackQuery(seconds).bounds_ns, *TrackQuery(None, seconds).bounds_ns):
        assert bound is None or -(2**63) <= bound < 2**63


# few times, so that many meet; rows of some length, so that bytes are what a page ends by
disorder = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["a", "b" * 40])), min_size=1, max_size=6),
    max_size=6,
)


@given(disorder, st.integers(1, 5), st.integers(1, 300), st.sampled_from([None, ["x"], ["none"]]))
def test_pages_of_entries_are_all_of_them_once(
    written: list[list[tuple[int, str]]], limit: int, size: int, columns: list[str] | None
) -> None:
    """Whatever order they came in, and however small the pages."""
    blocks: list[tuple[int, Block]] = []
    count = 0
    for rows in written:
        fields = [
            (time, {"x" if len(text) == 1 else "y": count + at, "z": text})
            for at, (time, text) in enumerate(rows)
        ]
        blocks.append((count, block_of(POSE, fields)))
        count += len(rows)
    query = TrackQuery(columns=columns)
    paged: list[dict[str, Any]] = []
    after: int | None = None
    for _ in range(count + 1):
        page = Earliest(query, after, limit, size)
        for start, block in blocks:
            page.add(start, block)
        found = list(page.entries())
        assert len(found) <= limit
        paged += [entry for _, entry in found]
        if page.ceiling is None:
            break
        after = page.last_ns
    else:
        pytest.fail("the pages have no end")
    assert paged == query.entries(blocks)


def test_a_page_of_a_long_track_reads_what_is_on_it() -> None:
    """Blocks lie in any order, and are read in that of their times, up to the end of the page."""
    rows_of_block, many = 100, 50
    blocks = {
        at: block_of(POSE, [((many - at) * 1000 + row, {"x": row}) for row in range(rows_of_block)])
        for at in range(many)
    }
    read: list[int] = []

    def reading(first: int, stop: int) -> Any:
        for at in range(first // rows_of_block, (stop - 1) // rows_of_block + 1):
            read.append(at)
            yield at * rows_of_block, blocks[at]

    stretches = [
        Stretch(int(block.times[0]), at * rows_of_block, (at + 1) * rows_of_block)
        for at, block in blocks.items()
    ]
    page = Earliest(TrackQuery(), None, 150, 1 << 20)
    for start, block in blocks_by_time(
        stretches, reading, lambda ns: page.ceiling is None or ns < page.ceiling
    ):
        page.add(start, block)
    assert [entry["x"] for _, entry in page.entries()] == [*range(100), *range(50)]
    assert read == [many - 1, many - 2]


@pytest.mark.parametrize("seed", range(30))
def test_the_last_one_before_a_time_is_found_by_asking_for_few(seed: int) -> None:
    """Where times lie close, far apart, or are as good as the same; with a server that never comes to an end too."""
    rng = random.Random(seed)
    base = rng.choice((0.0, 1.7e9, -5.0))
    step = rng.choice((1e-7, 0.01, 30.0, 1e6))
    listed = [{"timestamp": base + round(rng.expovariate(1) * 50) * step, "x": at} for at in range(200)]
    listed.sort(key=itemgetter("timestamp"))

    def between(start: float | None, end: float) -> list[dict[str, Any]]:
        low = -math.inf if start is None else start
        return [entry for entry in listed if low <= entry["timestamp"] <= end]

    for _ in range(20):
        wanted = rng.choice((rng.choice(listed)["timestamp"], base + rng.uniform(-1, 400) * step, math.inf))
        found = last_before(
            wanted, lambda low, end: (between(low, end)[:3], len(between(low, end)) > 3), between
        )
        assert found == find_by_time(listed, wanted)
    assert last_before(wanted, lambda _low, _end: (listed[:1], True), lambda _low, _end: listed[:1]) in (
        listed[0],
        None,
    )
