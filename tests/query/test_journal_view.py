"""What a reader asks of a journal: rows, columns, metrics, logs, parameters; and what is said of damage."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash.errors import InvalidArgumentError, JournalDamageWarning, MissingExtraError
from ml_dash.journal.disk import RealDisk
from ml_dash.journal.writer import JournalWriter
from ml_dash.query.columns import to_arrays
from ml_dash.query.journal_view import JournalView
from ml_dash.query.times import iso_time, iso_times, seconds, seconds_array
from ml_dash.series import Kind, Series
from ml_dash.values.params import fold_params
from tests.support.counting_disk import CountingDisk
from tests.support.view_journals import SECOND, TRAIN, Row, block_of, metric_rows, write, write_rows

UNNAMED = Series(Kind.METRIC, None)
LOGS = Series(Kind.LOG, None)
PARAMS = Series(Kind.PARAMS, None)


def view_of(directory: Path, *rows: dict[str, Any], per_frame: int = 2) -> JournalView:
    """A journal with these rows of one metric, a second apart."""
    write_rows(directory, TRAIN, [(at * SECOND, row) for at, row in enumerate(rows)], per_frame=per_frame)
    return JournalView(str(directory))


def spoil(path: str, needle: bytes) -> int:
    """Flip a bit of the first place where these bytes are in a file."""
    data = bytearray(Path(path).read_bytes())
    at = data.index(needle)
    data[at] ^= 1
    Path(path).write_bytes(data)
    return at


def indices(page: dict[str, Any]) -> list[int]:
    return [row["index"] for row in page["data"]]


def follow(read: Callable[..., dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Read page after page, as a reader does who looks at `endIndex` and `hasMore`."""
    page = read(start_index=0)
    yield page
    while page["hasMore"]:
        page = read(start_index=page["endIndex"] + 1)
        yield page


# rows


def test_a_row_has_its_index_its_fields_and_its_time(tmp_path: Path) -> None:
    write_rows(tmp_path, TRAIN, [(1_700_000_000_123_456_789, {"loss": 0.5, "note": None})])
    found = JournalView(str(tmp_path)).read(TRAIN)
    assert found == {
        "data": [
            {
                "index": 0,
                "data": {"loss": 0.5, "note": None, "_ts": 1_700_000_000.1234567},
                "createdAt": "2023-11-14T22:13:20.123456Z",
            }
        ],
        "startIndex": 0,
        "endIndex": 0,
        "total": 1,
        "hasMore": False,
    }


def test_values_come_back_as_the_types_they_were(tmp_path: Path) -> None:
    row = {
        "f": 1.0,
        "i": 1,
        "b": True,
        "s": "\udc80",
        "none": None,
        "big": 2**64 - 1,
        "d": {"a": [1, {"k": b""}]},
    }
    [found] = view_of(tmp_path, row, {"other": -0.0}).read(TRAIN, limit=1)["data"]
    assert found["data"].pop("_ts") == 0.0
    assert repr(found["data"]) == repr(row)


@pytest.mark.parametrize("per_frame", [1, 7, 100])
def test_any_page_is_a_slice_of_the_rows(tmp_path: Path, per_frame: int) -> None:
    write_rows(tmp_path, TRAIN, metric_rows(25), per_frame=per_frame)
    view = JournalView(str(tmp_path))
    for start in (0, 1, 6, 7, 24, 25, 30):
        for limit in (0, 1, 7, 8, 100):
            found = view.read(TRAIN, start, limit)
            expected = list(range(25))[start : start + limit]
            assert [row["index"] for row in found["data"]] == expected
            assert [row["data"]["step"] for row in found["data"]] == expected
            assert (found["startIndex"], found["endIndex"]) == (start, start + len(expected) - 1)
            assert (found["total"], found["hasMore"]) == (25, start + limit < 25)


def test_a_series_that_is_not_there_is_empty(tmp_path: Path) -> None:
    empty = {"data": [], "startIndex": 5, "endIndex": 4, "total": 0, "hasMore": False}
    assert JournalView(str(tmp_path / "missing")).read(TRAIN, 5) == empty
    write_rows(tmp_path, TRAIN, metric_rows(1))
    assert JournalView(str(tmp_path)).read(UNNAMED, 5) == empty


@pytest.mark.parametrize("value", [-1, 1.0, "1", None, True, math.nan])
def test_a_start_or_limit_that_is_no_whole_number_is_refused(tmp_path: Path, value: Any) -> None:
    view = JournalView(str(tmp_path))
    for call in (partial(view.read, TRAIN), view.logs):
        with pytest.raises(InvalidArgumentError, match=r"start_index=.* is not a whole number from 0 on"):
            call(start_index=value)
        with pytest.raises(InvalidArgumentError, match=r"limit=.* is not a whole number from 0 on"):
            call(limit=value)


def test_numpy_integers_are_whole_numbers(tmp_path: Path) -> None:
    found = view_of(tmp_path, {"x": 1}, {"x": 2}).read(TRAIN, np.int64(1), np.uint8(1))
    assert [row["data"]["x"] for row in found["data"]] == [2]


def test_every_read_sees_what_was_written_before_it(tmp_path: Path) -> None:
    view = JournalView(str(tmp_path))
    writer = JournalWriter(str(tmp_path), "writer")
    for at in range(5):
        assert view.read(TRAIN)["total"] == at
        writer.append([block_of(TRAIN, metric_rows(1, at))])
    writer.close()
    assert len(view.to_numpy(TRAIN)["loss"]) == view.stats(TRAIN)["count"] == 5


def test_rows_of_several_writers_are_numbered_one_writer_after_the_other(tmp_path: Path) -> None:
    write_rows(tmp_path, TRAIN, metric_rows(3, start=10), "writer-b")
    write_rows(tmp_path, TRAIN, metric_rows(2), "writer-a")
    found = JournalView(str(tmp_path)).read(TRAIN)["data"]
    assert [(row["index"], row["data"]["step"]) for row in found] == [
        (0, 0),
        (1, 1),
        (2, 10),
        (3, 11),
        (4, 12),
    ]


def test_a_page_reads_only_the_frames_that_it_needs(tmp_path: Path) -> None:
    path = write_rows(tmp_path, TRAIN, metric_rows(20_000), per_frame=1000)
    disk = CountingDisk()
    view = JournalView(str(tmp_path), disk=disk)
    view.refresh()
    before = disk.bytes_read
    assert view.read(TRAIN, 9_500, 100)["endIndex"] == 9_599
    assert disk.bytes_read - before < 2 * Path(path).stat().st_size / 20


def test_threads_may_ask_at_once(tmp_path: Path) -> None:
    write_rows(tmp_path, TRAIN, metric_rows(200), per_frame=10)
    view = JournalView(str(tmp_path))
    found: list[Any] = []

    def ask() -> None:
        for start in range(0, 200, 20):
            found.append(
                [row["index"] for row in view.read(TRAIN, start, 20)["data"]]
                == list(range(start, start + 20))
            )
            found.append(len(view.to_numpy(TRAIN)["loss"]) == 200)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80


class InterruptedDisk(RealDisk):
    """Lets a signal handler of the script run in the middle of each read from the disk, but not in one of its own."""

    def __init__(self) -> None:
        self.handler: Callable[[], object] | None = None

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        handler, self.handler = self.handler, None
        if handler is not None:
            handler()
            self.handler = handler
        return super().read_at(path, offset, length)


def test_a_signal_handler_may_ask_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    directory = str(tmp_path)
    write_rows(tmp_path, TRAIN, metric_rows(20), per_frame=5)
    disk = InterruptedDisk()
    view = JournalView(directory, disk=disk)
    answers: list[Any] = []

    def ask() -> Any:
        return view.read(TRAIN, 0, 20), view.metrics(), view.files(), view.params()

    expected = JournalView(directory).read(TRAIN, 0, 20)

    def interrupted() -> None:
        disk.handler = lambda: answers.append(ask())
        answers.append(ask())
        disk.handler = None

    # a thread of its own: one that waits for itself must fail the test, and not hang it
    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert len(answers) > 3
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == expected
    assert ask() == answers[0]


# times


@given(st.integers(-(2**63), 2**63 - 1))
def test_times_are_iso_8601_with_microseconds_and_z(time_ns: int) -> None:
    text = iso_time(time_ns)
    parsed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    since = parsed - datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds == time_ns // 1000


@given(
    st.lists(
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(2**30 * SECOND, 2**31 * SECOND)), max_size=20
    )
)
def test_arrays_of_times_have_the_floats_and_texts_of_single_times(times: list[int]) -> None:
    assert iso_times(np.array(times, np.int64)) == [iso_time(time) for time in times]
    assert seconds_array(np.array(times, np.int64)).tolist() == [seconds(time) for time in times]
    recent = [time for time in times if time >= 2**30 * SECOND]
    assert seconds_array(np.array(recent, np.int64)).tolist() == [seconds(time) for time in recent]


# statistics


def test_stats_of_a_metric(tmp_path: Path) -> None:
    view = view_of(tmp_path, {"loss": 4.0}, {"loss": math.nan}, {"loss": 1.0})
    assert view.stats(TRAIN) == {
        "name": "train",
        "count": 3,
        "totalDataPoints": 3,
        "firstValue": 4.0,
        "lastValue": 1.0,
        "firstDataAt": "1970-01-01T00:00:00.000000Z",
        "lastDataAt": "1970-01-01T00:00:02.000000Z",
        "fields": {"loss": {"count": 3, "nan": 1, "min": 1.0, "max": 4.0, "mean": 2.5, "last": 1.0}},
    }


def test_stats_of_a_metric_that_is_not_there(tmp_path: Path) -> None:
    assert JournalView(str(tmp_path)).stats(TRAIN) == {
        "name": "train",
        "count": 0,
        "totalDataPoints": 0,
        "firstValue": None,
        "lastValue": None,
        "firstDataAt": None,
        "lastDataAt": None,
        "fields": {},
    }


# metrics


def test_metrics_come_in_order_of_first_appearance_with_their_fields(tmp_path: Path) -> None:
    other = Series(Kind.METRIC, "a/../b")
    write(
        tmp_path,
        [
            [block_of(TRAIN, [(SECOND, {"loss": 1.0})]), block_of(LOGS, [(SECOND, {"message": "x"})])],
            [block_of(UNNAMED, [(2 * SECOND, {"epoch": 1, "eval": {"loss": 1}})])],
            [block_of(other, [(3 * SECOND, {})]), block_of(TRAIN, [(4 * SECOND, {"acc": 1, "loss": 0.5})])],
        ],
    )
    second = "1970-01-01T00:00:0{}.000000Z"
    assert JournalView(str(tmp_path)).metrics() == [
        {
            "name": "train",
            "count": 2,
            "fields": ["loss", "acc"],
            "firstDataAt": second.format(1),
            "lastDataAt": second.format(4),
        },
        {
            "name": None,
            "count": 1,
            "fields": ["epoch", "eval"],
            "firstDataAt": second.format(2),
            "lastDataAt": second.format(2),
        },
        {
            "name": "a/../b",
            "count": 1,
            "fields": [],
            "firstDataAt": second.format(3),
            "lastDataAt": second.format(3),
        },
    ]


def test_a_journal_without_metrics_lists_none(tmp_path: Path) -> None:
    assert JournalView(str(tmp_path)).metrics() == []


# columns


def columns(directory: Path, *rows: dict[str, Any], per_frame: int = 2) -> dict[str, Any]:
    """The fields' arrays as (dtype, values), without index and time."""
    arrays = view_of(directory, *rows, per_frame=per_frame).to_numpy(TRAIN)
    assert arrays.pop("index").tolist() == list(range(len(rows)))
    assert arrays.pop("_ts").tolist() == [float(at) for at in range(len(rows))]
    return {name: (str(array.dtype), array.tolist()) for name, array in arrays.items()}


def test_types_that_every_row_has_are_kept(tmp_path: Path) -> None:
    found = columns(tmp_path, *({"f": i / 2, "i": i, "b": i > 1} for i in range(4)))
    assert found == {
        "f": ("float64", [0.0, 0.5, 1.0, 1.5]),
        "i": ("int64", [0, 1, 2, 3]),
        "b": ("bool", [False, False, True, True]),
    }


@pytest.mark.parametrize("missing", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("per_frame", [1, 2, 5])
def test_a_row_without_the_field_is_nan(tmp_path: Path, missing: int, per_frame: int) -> None:
    rows = [{"i": at, "b": True, "f": 0.5, "s": "x"} if at != missing else {"other": 1} for at in range(5)]
    found = columns(tmp_path, *rows, per_frame=per_frame)
    nan = repr(math.nan)
    assert repr(found["i"]) == repr(
        ("float64", [math.nan if at == missing else float(at) for at in range(5)])
    )
    assert repr(found["b"]) == repr(("float64", [math.nan if at == missing else 1.0 for at in range(5)]))
    assert found["f"][1].count(0.5) == 4
    assert repr(found["f"][1][missing]) == nan
    assert found["s"] == ("object", [None if at == missing else "x" for at in range(5)])
    assert repr(found["other"][1]) == repr([1.0 if at == missing else math.nan for at in range(5)])


def test_ints_and_floats_together_are_floats(tmp_path: Path) -> None:
    assert columns(tmp_path, {"x": 1}, {"x": 2}, {"x": 0.5}, {"x": 3})["x"] == (
        "float64",
        [1.0, 2.0, 0.5, 3.0],
    )


def test_bools_and_ints_together_are_ints(tmp_path: Path) -> None:
    assert columns(tmp_path, {"x": True}, {"x": True}, {"x": 7})["x"] == ("int64", [1, 1, 7])


def test_objects_keep_the_numbers_before_them_as_they_were(tmp_path: Path) -> None:
    rows = [2**53 + 1, None, True, 0.5, "text", [1, 2], [3, 4], b"raw", 2**64 - 1]
    dtype, values = columns(tmp_path, *({"x": value} for value in rows), {}, per_frame=3)["x"]
    assert dtype == "object"
    assert repr(values) == repr([*rows, None])


def test_none_among_numbers_is_a_missing_value(tmp_path: Path) -> None:
    assert repr(columns(tmp_path, {"x": 1}, {"x": None}, {"x": 2})["x"]) == repr(
        ("float64", [1.0, math.nan, 2.0])
    )
    assert columns(tmp_path / "none", {"x": None}, {"x": None})["x"] == ("object", [None, None])


def test_nested_dicts_are_columns_with_dotted_names(tmp_path: Path) -> None:
    found = columns(
        tmp_path, {"e": {"loss": 0.5, "n": {"k": 1}}}, {"e": {"loss": 1.5, "n": {"k": 2}}}, {"e": {}}
    )
    assert list(found) == ["e.loss", "e.n.k", "e"]
    assert repr(found["e.loss"]) == repr(("float64", [0.5, 1.5, math.nan]))
    assert found["e"] == ("object", [None, None, {}])
    mark = {"__repr__": "f", "__type__": "function"}
    assert columns(tmp_path / "mark", {"x": mark})["x"] == ("object", [mark])


def test_fields_with_the_names_of_index_and_time_give_way(tmp_path: Path) -> None:
    found = columns(tmp_path, {"index": 5, "_ts": 0.5, "index_": "mine"})
    assert found == {
        "index_": ("int64", [5]),
        "_ts_": ("float64", [0.5]),
        "index__": ("object", ["mine"]),
    }


def test_a_series_that_is_not_there_has_empty_arrays(tmp_path: Path) -> None:
    found = JournalView(str(tmp_path)).to_numpy(TRAIN)
    assert {name: (str(array.dtype), len(array)) for name, array in found.items()} == {
        "index": ("int64", 0),
        "_ts": ("float64", 0),
    }


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=3), st.just([1])
)
ROWS = st.lists(st.dictionaries(st.sampled_from("xyz"), VALUES), max_size=12)


@given(ROWS, st.integers(1, 5))
@settings(deadline=None)
def test_arrays_agree_with_the_rows(rows: list[dict[str, Any]], per_frame: int) -> None:
    """Whatever the types and the gaps: each row's value is in the array, or NaN or None where it has none."""
    timed: list[Row] = [(at, row) for at, row in enumerate(rows)]
    starts = range(0, len(rows), per_frame)
    blocks = [(at, block_of(TRAIN, timed[at : at + per_frame])) for at in starts]
    arrays = to_arrays(lambda: blocks, len(rows))
    assert set(arrays) == {"index", "_ts"} | {name for row in rows for name in row}
    for name in set(arrays) - {"index", "_ts"}:
        column = [row.get(name) for row in rows]
        array = arrays[name]
        if array.dtype == object:
            assert repr(array.tolist()) == repr(column)
            continue
        assert all(value is None or type(value) in {bool, int, float} for value in column)
        expected = [math.nan if value is None else value for value in column]
        np.testing.assert_array_equal(array, np.array(expected, array.dtype))
        types = {type(value) for value in column}
        assert (array.dtype == np.int64) == (int in types and types <= {bool, int})
        assert (array.dtype == bool) == (types == {bool})


def test_pandas_has_index_and_time_as_columns(tmp_path: Path) -> None:
    frame = view_of(tmp_path, {"loss": 1.0, "tag": "a"}, {"loss": 0.5}).to_pandas(TRAIN)
    assert list(frame.columns) == ["index", "_ts", "loss", "tag"]
    assert frame["index"].tolist() == [0, 1]
    assert frame["loss"].tolist() == [1.0, 0.5]


def test_to_pandas_without_pandas_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install pandas"):
        JournalView(str(tmp_path)).to_pandas(TRAIN)


# logs


def logs_of(directory: Path) -> JournalView:
    """Eleven logs, of all levels in turn; the last two have metadata, and nothing but a message."""
    levels = ["debug", "info", "warn", "error", "fatal"]
    rows: list[Row] = [
        (at * SECOND, {"level": levels[at % 5], "message": f"Message {at}", "metadata": None})
        for at in range(9)
    ]
    rows.append((9 * SECOND, {"level": "fatal", "message": "Straße", "metadata": {"epoch": 1}}))
    rows.append((10 * SECOND, {"message": "plain"}))
    write_rows(directory, LOGS, rows, per_frame=3)
    return JournalView(str(directory))


def test_a_log_row_has_level_message_metadata_and_time(tmp_path: Path) -> None:
    rows = logs_of(tmp_path).logs(start_index=9)["data"]
    assert rows == [
        {
            "index": 9,
            "timestamp": "1970-01-01T00:00:09.000000Z",
            "level": "fatal",
            "message": "Straße",
            "metadata": {"epoch": 1},
        },
        {
            "index": 10,
            "timestamp": "1970-01-01T00:00:10.000000Z",
            "level": "info",
            "message": "plain",
            "metadata": None,
        },
    ]


def test_logs_without_a_filter_are_paged_by_index(tmp_path: Path) -> None:
    view = logs_of(tmp_path)
    for start in range(13):
        for limit in (0, 1, 4, 11, 20):
            found = view.logs(start_index=start, limit=limit)
            expected = list(range(11))[start : start + limit]
            assert indices(found) == expected
            assert (found["startIndex"], found["endIndex"]) == (start, start + len(expected) - 1)
            assert (found["total"], found["hasMore"]) == (11, start + limit < 11)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("warn", [2, 7]), ("WARNING", [2, 7]), ("Warn", [2, 7]), ("info", [1, 6, 10]), ("fatal", [4, 9])],
)
def test_a_level_is_taken_in_any_case(tmp_path: Path, level: str, expected: list[int]) -> None:
    found = logs_of(tmp_path).logs(level=level)
    assert indices(found) == expected
    assert (found["total"], found["startIndex"], found["endIndex"]) == (
        len(expected),
        expected[0],
        expected[-1],
    )


@pytest.mark.parametrize("level", ["loud", "", 3, b"info"])
def test_an_unknown_level_is_refused_with_the_five(tmp_path: Path, level: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"level=.*: use one of debug, info, warn, error, fatal"):
        JournalView(str(tmp_path)).logs(level=level)


def test_search_is_for_any_part_of_the_message_in_any_case(tmp_path: Path) -> None:
    view = logs_of(tmp_path)
    assert indices(view.logs(search="MESSAGE 3")) == [3]
    assert indices(view.logs(search="strasse")) == [9]
    assert indices(view.logs(search="e", level="info")) == [1, 6]
    assert indices(view.logs(search="")) == list(range(11))
    assert view.logs(search="no such") == {
        "data": [],
        "startIndex": 0,
        "endIndex": -1,
        "total": 0,
        "hasMore": False,
    }
    with pytest.raises(InvalidArgumentError, match="search=5 is not a text"):
        view.logs(search=5)  # type: ignore[arg-type]  # which is the point


def test_search_passes_over_colours(tmp_path: Path) -> None:
    """What is read is found, whatever a terminal is told in between; the message is returned as it was logged."""
    coloured = "\x1b[31mloss\x1b[0m is \x1b[1mNaN\x1b[0m"
    write_rows(tmp_path, LOGS, [(0, {"message": "all is well"}), (SECOND, {"message": coloured})])
    view = JournalView(str(tmp_path))
    found = view.logs(search="Loss is nan")
    assert [(row["index"], row["message"]) for row in found["data"]] == [(1, coloured)]
    assert view.logs(search="31m")["data"] == []


def test_filtered_pages_follow_each_other(tmp_path: Path) -> None:
    """`start_index` is a place among all logs, `limit` and `total` count those that match."""
    view = logs_of(tmp_path)
    pages = list(follow(partial(view.logs, search="message", limit=2)))
    assert [indices(page) for page in pages] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert {page["total"] for page in pages} == {9}
    assert indices(view.logs(level="warn", start_index=3)) == [7]


# parameters


def params_of(directory: Path, *sets: dict[str, Any]) -> dict[str, Any]:
    rows: list[Row] = [(at * SECOND, {"set": values}) for at, values in enumerate(sets)]
    write_rows(directory, PARAMS, rows)
    return JournalView(str(directory)).params()


def test_no_parameters_are_an_empty_dict(tmp_path: Path) -> None:
    assert JournalView(str(tmp_path)).params() == {}


def test_later_parameters_replace_and_add(tmp_path: Path) -> None:
    found = params_of(
        tmp_path, {"lr": 0.1, "model.layers": 5}, {"lr": 0.2, "model.name": "r"}, {"seed": None}
    )
    assert found == {"lr": 0.2, "model.layers": 5, "model.name": "r", "seed": None}


def test_a_value_replaces_what_was_below_it(tmp_path: Path) -> None:
    assert params_of(tmp_path, {"model.a.b": 1, "model.c": 2, "modelling": 3}, {"model": 4}) == {
        "model": 4,
        "modelling": 3,
    }


def test_a_value_below_replaces_the_one_above(tmp_path: Path) -> None:
    assert params_of(tmp_path, {"model": 4, "x": {}}, {"model.a.b": 1, "x.y": 1}) == {
        "model.a.b": 1,
        "x.y": 1,
    }
    assert params_of(tmp_path / "inner", {"m.a.b": 1, "m.c": 2}, {"m.a": 3}) == {"m.a": 3, "m.c": 2}


def test_parameters_of_several_writers_are_folded_by_time(tmp_path: Path) -> None:
    write_rows(tmp_path, PARAMS, [(3 * SECOND, {"set": {"lr": 3}})], "writer-a")
    write_rows(tmp_path, PARAMS, [(1 * SECOND, {"set": {"lr": 1, "b": 1}})], "writer-b")
    write_rows(tmp_path, PARAMS, [(2 * SECOND, {"set": {"lr": 2}}), (4 * SECOND, {"other": 1})], "writer-c")
    assert JournalView(str(tmp_path)).params() == {"lr": 3, "b": 1}


KEYS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)


@given(st.lists(st.dictionaries(KEYS, st.integers(), max_size=4), max_size=6))
def test_parameters_agree_with_the_plain_rule(sets: list[dict[str, int]]) -> None:
    expected: dict[str, int] = {}
    for values in sets:
        for key, value in values.items():
            for old in list(expected):
                if old.startswith(key + ".") or key.startswith(old + "."):
                    del expected[old]
            expected[key] = value
    assert fold_params(sets) == expected


# damage


def test_a_damaged_block_is_left_out_and_told_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path, TRAIN, metric_rows(30), per_frame=10)
    spoil(path, np.array([15 / 2]).tobytes())
    view = JournalView(str(tmp_path))
    with pytest.warns(JournalDamageWarning) as told:
        found = view.read(TRAIN)
    [warning] = told
    message = str(warning.message)
    assert path in message
    assert "10 events lost" in message
    assert Path(warning.filename) == Path(__file__), "the warning is about what was asked here"
    assert indices(found) == [*range(10), *range(20, 30)]
    assert (found["total"], found["startIndex"], found["endIndex"], found["hasMore"]) == (30, 0, 29, False)
    assert indices(view.read(TRAIN, 10, 5)) == [20, 21, 22, 23, 24], "rows behind the damage fill the limit"
    assert view.to_numpy(TRAIN)["index"].tolist() == [*range(10), *range(20, 30)]
    assert view.stats(TRAIN)["fields"]["step"]["count"] == 20
    assert view.metrics()[0]["count"] == 30
    with pytest.warns(JournalDamageWarning):
        JournalView(str(tmp_path)).stats(TRAIN)


def test_a_reader_that_follows_the_pages_gets_past_damage(tmp_path: Path) -> None:
    path = write_rows(tmp_path, TRAIN, metric_rows(40), per_frame=10)
    for value in (3, 12, 38):
        spoil(path, np.array([value / 2]).tobytes())
    view = JournalView(str(tmp_path))
    with pytest.warns(JournalDamageWarning):
        pages = list(follow(partial(view.read, TRAIN, limit=5)))
    assert [index for page in pages for index in indices(page)] == list(range(20, 30))


def test_objects_after_damage_stay_with_their_rows(tmp_path: Path) -> None:
    rows: list[Row] = [(at * SECOND, {"x": float(at) if at < 6 else f"row {at}"}) for at in range(9)]
    path = write_rows(tmp_path, TRAIN, rows, per_frame=2)
    spoil(path, np.array([2.0, 3.0]).tobytes())
    view = JournalView(str(tmp_path))
    with pytest.warns(JournalDamageWarning):
        found = view.to_numpy(TRAIN)
    assert found["index"].tolist() == [0, 1, 4, 5, 6, 7, 8]
    assert found["x"].tolist() == [0.0, 1.0, 4.0, 5.0, "row 6", "row 7", "row 8"]


def test_a_block_lost_between_the_two_passes_leaves_the_others_in_place() -> None:
    """Objects are read in a second pass; what can no longer be read then is missing, and nothing shifts."""
    rows: list[Row] = [(at, {"x": f"row {at}"}) for at in range(6)]
    blocks = [(at, block_of(TRAIN, rows[at : at + 2])) for at in (0, 2, 4)]
    passes = iter([[blocks[0], blocks[2]], [blocks[1], blocks[2]]])
    found = to_arrays(lambda: next(passes), 6)
    assert found["index"].tolist() == [0, 1, 4, 5]
    assert found["x"].tolist() == [None, None, "row 4", "row 5"]


def test_a_damaged_head_loses_a_frame_and_no_more(tmp_path: Path) -> None:
    path = write_rows(tmp_path, TRAIN, metric_rows(30), per_frame=10)
    spoil(path, b"\xf1mD\x9a")
    with pytest.warns(JournalDamageWarning, match="an unknown number of events lost"):
        found = JournalView(str(tmp_path)).read(TRAIN)
    assert [row["data"]["step"] for row in found["data"]] == list(range(10, 30))


def test_a_torn_end_is_not_yet_damage(tmp_path: Path) -> None:
    path = write_rows(tmp_path, TRAIN, metric_rows(30), per_frame=10)
    data = Path(path).read_bytes()
    view = JournalView(str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Path(path).write_bytes(data[:-5])
        assert view.read(TRAIN)["total"] == 20
        Path(path).write_bytes(data)
        assert view.read(TRAIN)["total"] == 30


def test_importing_the_reader_loads_no_heavy_package() -> None:
    heavy = "numpy anyio aiohttp cryptography pandas pyarrow"
    code = f"import sys, ml_dash.query.journal_view; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
