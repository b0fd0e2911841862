"""`log_columns`: many rows in a call leave what a `log` of each would have left."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections import UserList, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from ml_dash import Experiment, InvalidArgumentError, InvalidCallError, NotStartedError
from ml_dash.sdk.series_port import row_time
from ml_dash.sdk.table import Table

FEW, MANY = 3, 200
"""Rows that go one by one, and rows that go as columns."""

RNG = np.random.default_rng(0)

COLUMNS: dict[str, Any] = {
    "floats": [float(n) / 3 for n in range(MANY)],
    "not finite": [math.nan, math.inf, -math.inf, -0.0] * (MANY // 4),
    "ints": list(range(MANY)),
    "beyond int64": [2**63 + n for n in range(MANY)],
    "beyond every integer of msgpack": [2**70 + n for n in range(MANY)],
    "bools": [n % 3 == 0 for n in range(MANY)],
    "ints and floats": [n if n % 2 else n / 7 for n in range(MANY)],
    "bools and ints": [n if n % 2 else True for n in range(MANY)],
    "with None": [None if n % 5 == 0 else n for n in range(MANY)],
    "texts": [f"row {n}" for n in range(MANY)],
    "dicts": [{"x": n, "y": {"z": n / 2}} for n in range(MANY)],
    "lists": [[n, n + 1] for n in range(MANY)],
    "a tuple": tuple(range(MANY)),
    "a range": range(0, -MANY, -1),
    "a deque": deque(range(MANY)),
    "a list of another make": UserList(range(MANY)),
    "a series": pd.Series(np.arange(MANY) / 4),
    "a series of another index": pd.Series(np.arange(MANY), index=np.arange(MANY)[::-1]),
    "a series of ints that may be missing": pd.Series([1, None] * (MANY // 2), dtype="Int64"),
    "categories": pd.Series(["a", "b"] * (MANY // 2), dtype="category"),
    "numpy scalars": [np.float32(n) / 3 for n in range(MANY)],
    "several of a row": RNG.random((MANY, 2)),
    "a slice": np.arange(3 * MANY)[::3],
    "of the other byte order": np.arange(MANY, dtype=">f8"),
    "texts in an array": np.array([f"row {n}" for n in range(MANY)]),
    "times": np.arange(MANY).astype("datetime64[s]"),
    "objects": np.array([n if n % 2 else str(n) for n in range(MANY)], object),
    "half masked": np.ma.masked_array(np.arange(MANY), mask=[n % 2 == 0 for n in range(MANY)]),
    "masked at its end": np.ma.masked_array(RNG.random(MANY), mask=[n > 190 for n in range(MANY)]),
    "masked nowhere": np.ma.masked_array(np.arange(MANY) / 3),
    "all masked": np.ma.masked_array(np.arange(MANY), mask=True),
    "complex": np.arange(MANY) * 1j,
    **{
        f"of {kind}": np.arange(MANY).astype(kind)
        for kind in ("f2", "f4", "f8", "g", "i1", "i2", "i4", "i8", "u1", "u4", "u8", "?")
    },
    "uint64 beyond int64": np.arange(MANY, dtype="u8") + np.uint64(2**63),
}

CONSTANTS: dict[str, Any] = {
    "a float": 0.5, "an int": 7, "a bool": True, "a text": "greedy", "nothing": None, "a dict": {"a": 1},
    "a numpy scalar": np.float32(0.1), "an array of no dimension": np.array(3), "bytes": b"abc",
    "a large int": 2**63, "a NaN": math.nan,
}  # fmt: skip


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come; the deadline only ends a test that has failed."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def row_values(column: Any, count: int) -> list[Any]:
    """What a loop over a column would hand to `log`; `masked` for nothing."""
    return list(column)[:count]


def plain(row: dict[str, Any]) -> str:
    """A row that was read, as something that compares: NaN is NaN, 1 is neither True nor 1.0."""
    return repr(row["data"])


def rows_of(exp: Experiment, name: str) -> list[str]:
    return [plain(row) for row in exp.metrics(name).read(limit=10 * MANY)["data"]]


@pytest.mark.sample(2)
@pytest.mark.filterwarnings("ignore::ml_dash.ValueWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("count", [FEW, MANY])
def test_columns_leave_what_a_log_of_each_row_leaves(exp: Experiment, count: int) -> None:
    stamps = [1_700_000_000.25 + n for n in range(count)]
    for number, (kind, column) in enumerate({**COLUMNS, **CONSTANTS}.items()):
        is_constant = kind in CONSTANTS
        values = [column] * count if is_constant else row_values(column, count)
        for stamp, value in zip(stamps, values, strict=True):
            fields = {} if value is np.ma.masked else {"value": value}
            exp.metrics(f"one by one {number}").log(step=0, **fields, _ts=stamp)
        shown = column if is_constant else column[:count] if not isinstance(column, deque) else values
        exp.metrics(f"at once {number}").log_columns(step=[0] * count, value=shown, _ts=stamps)
        assert rows_of(exp, f"at once {number}") == rows_of(exp, f"one by one {number}"), kind


@given(
    st.lists(
        st.one_of(
            st.integers(-(2**33), 2**33),
            st.floats(-9.3e9, 9.3e9, allow_nan=False),
            st.floats(1.7e9, 1.8e9),
            st.just(-1),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_times_are_those_of_single_rows(stamps: list[Any]) -> None:
    """As a list, and as arrays of one type; -1 is the time of the row before."""
    for given_stamps in (stamps, np.array(stamps, float), np.array([int(stamp) for stamp in stamps])):
        try:
            expected: list[int] = []
            for stamp in list(given_stamps):
                expected.append(expected[-1] if stamp == -1 and expected else row_time(stamp))
        except InvalidArgumentError:
            with pytest.raises(InvalidArgumentError, match="is not a time"):
                Table({"n": [0] * len(stamps), "_ts": given_stamps})
        else:
            if given_stamps[0] != -1:  # that of this thread's latest row, or now
                table = Table({"n": [0] * len(stamps), "_ts": given_stamps})
                assert table.times.tolist() == expected


def test_the_time_is_one_for_all_rows_or_one_a_row_and_can_be_taken_up(exp: Experiment) -> None:
    metric = exp.metrics("train")
    metric.log_columns(n=range(100), _ts=5)
    metric.log(n=100, _ts=-1)
    metric.log_columns(n=range(101, 200), _ts=[-1] * 98 + [7])
    metric.log(n=200, _ts=-1)
    stamps = [row["data"]["_ts"] for row in metric.read(limit=1000)["data"]]
    assert stamps == [5.0] * (100 + 1 + 98) + [7.0] * 2
    metric.log_columns(n=range(100))
    (now,) = {row["createdAt"] for row in metric.read(201, 1000)["data"]}
    assert now > "2020"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "no column"),
        ({"loss": 0.5}, r"log_columns\(loss=0.5\) was given no column"),
        ({"loss": "abc"}, r"loss='abc'\) was given no column"),
        ({"loss": {1, 2}}, r"loss=\{1, 2\}\) was given no column"),
        ({"loss": None}, r"loss=None\) was given no column"),
        ({"_ts": 5.0, "loss": 0.5}, "no column"),
        ({"step": [1, 2, 3], "loss": np.zeros(4)}, r"different lengths \(step: 3, loss: 4\)"),
        ({"step": [1, 2, 3], "_ts": [1.0, 2.0]}, r"different lengths \(step: 3, _ts: 2\)"),
        ({"step": (n for n in range(3))}, "step=… is a generator"),
        ({"step": iter([1])}, "step=… is a list_iterator"),
        ({"step": [1], "_ts": [math.nan]}, "_ts=nan is not a time"),
        ({"step": np.arange(100), "_ts": np.full(100, math.inf)}, "_ts=inf is not a time"),
        ({"step": [1], "_ts": "now"}, "_ts='now' is not a time"),
        ({"step": [1], "_ts": ["now"]}, "_ts='now' is not a time"),
        ({"step": [1], "_ts": [True]}, "_ts=True is not a time"),
        ({"step": [1], "_ts": np.array(["2020-01-01"], "M8[s]")}, "is not a time"),
        ({"step": [1], "_ts": [10**10]}, "is not a time"),
        ({"step": np.arange(100), "_ts": np.full(100, 10**10)}, "is not a time"),
    ],
)
def test_what_is_no_table_is_refused_before_anything_is_logged(
    exp: Experiment, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        exp.metrics("train").log_columns(**columns)
    assert exp.metrics("train").read()["total"] == 0
    assert exp.status().logged == 0


def test_columns_of_no_rows_log_nothing(exp: Experiment) -> None:
    assert exp.metrics("train").log_columns(step=[], loss=np.zeros(0), _ts=[]) is exp.metrics("train")
    assert exp.status().logged == 0


def test_times_alone_are_rows_without_fields(exp: Experiment) -> None:
    exp.metrics("ticks").log_columns(_ts=np.arange(100))
    rows = exp.metrics("ticks").read(limit=1000)["data"]
    assert [row["data"] for row in rows] == [{"_ts": float(n)} for n in range(100)]


def test_columns_are_refused_where_rows_are(root: str) -> None:
    experiment = Experiment("a/b/c", dash_root=root, echo=False)
    for count in (FEW, MANY):
        with pytest.raises(NotStartedError):
            experiment.metrics("train").log_columns(n=range(count))


def test_the_arrays_may_be_filled_anew_after_the_call(exp: Experiment) -> None:
    array, stamps = np.arange(MANY), np.arange(MANY) * 1.0
    exp.metrics("train").log_columns(n=array, _ts=stamps)
    array[:] = stamps[:] = -7
    data = [row["data"] for row in exp.metrics("train").read(limit=MANY)["data"]]
    assert data == [{"n": n, "_ts": float(n)} for n in range(MANY)]


def test_rows_and_columns_keep_the_order_of_the_calls_and_are_counted_as_rows(exp: Experiment) -> None:
    metric, number = exp.metrics("train"), 0
    for count in (1, MANY, FEW, 5, MANY, MANY, 1):
        if count == 1:
            metric.log(n=number)
        else:
            metric.log_columns(n=range(number, number + count))
        number += count
    exp.flush()
    assert [row["data"]["n"] for row in metric.read(limit=10 * MANY)["data"]] == list(range(number))
    status = exp.status()
    assert (status.logged, status.acknowledged) == (number, number)
    assert metric.stats()["fields"]["n"]["max"] == number - 1


def test_large_events_do_not_wait_for_the_linger_one_slice_after_the_other(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of texts and of columns: what is left is less than a slice."""
    monkeypatch.setenv("ML_DASH_LINGER", "3600")
    with Experiment("a/b/c", dash_root=root, echo=False).run as experiment:
        channel = experiment._session.channel
        assert channel is not None
        for _ in range(20):
            experiment.metrics("texts").log(text="x" * 1_000_000)
        wait_until(lambda: len(channel.queue) < 5)
        experiment.metrics("columns").log_columns(n=np.arange(1_000_000))
        wait_until(lambda: not channel.queue.has_columns)


def test_memory_and_frames_are_bounded_however_many_rows_come(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 64 MB no more is in memory than the queue holds, and no frame is larger than is easily sent."""
    monkeypatch.setenv("ML_DASH_QUEUE_BYTES", "4_000_000".replace("_", ""))
    count = 4_000_000
    array = np.arange(count)
    with Experiment("a/b/c", dash_root=root, echo=False).run as experiment:
        experiment.metrics("train").log_columns(n=range(100))  # what is imported once
        tracemalloc.start()
        experiment.metrics("train").log_columns(n=array, _ts=0)
        experiment.flush()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert experiment.metrics("train").stats()["count"] == count + 100
    # its own times, the queue, what is written and not yet synced, and a frame or two
    assert peak < 8 * count + 4_000_000 + 16 * 2**20 + 8 * 2**20
    segments = list(Path(experiment.directory, "journal").glob("*.mldj"))
    assert sum(path.stat().st_size for path in segments) < 16.1 * (count + 100)


@pytest.mark.parametrize("given", [[1, 2], 5, "loss", np.zeros(3)])
def test_what_is_given_by_position_is_told_a_call_that_works(exp: Experiment, given: Any) -> None:
    with pytest.raises(
        InvalidCallError, match=r"write exp.metrics\('\w+'\).log_columns\(loss=\[0.5, 0.4\]\)"
    ):
        exp.metrics("train").log_columns(given)
    exp.metrics("train").log_columns(loss=[0.5, 0.4])
    assert exp.status().logged == 2
