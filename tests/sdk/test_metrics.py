"""Metrics: rows and their times, groups, names, reading, statistics and columns."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment, InvalidArgumentError
from tests.support.project import PROJECT


def values(read: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of rows that were read, without their times."""
    return [{name: value for name, value in row["data"].items() if name != "_ts"} for row in read["data"]]


def times(read: dict[str, Any]) -> list[float]:
    return [row["data"]["_ts"] for row in read["data"]]


# --- rows


def test_a_row_has_an_index_data_and_the_time_of_its_creation(exp: Experiment) -> None:
    """`{"index": int, "data": {fields…, "_ts": float seconds}, "createdAt": ISO-8601 UTC}`."""
    before = time.time()
    exp.metrics("train").log(loss=0.5, step=3)
    after = time.time()

    (row,) = exp.metrics("train").read()["data"]
    assert list(row) == ["index", "data", "createdAt"]
    assert row["index"] == 0
    assert set(row["data"]) == {"loss", "step", "_ts"}
    assert type(row["data"]["_ts"]) is float
    # a float of seconds is within a microsecond of the nanoseconds it was made of
    assert before - 1e-6 <= row["data"]["_ts"] <= after + 1e-6
    created = datetime.strptime(row["createdAt"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    assert abs(created.timestamp() - row["data"]["_ts"]) < 2e-6


def test_a_row_may_have_any_fields(exp: Experiment) -> None:
    """Names that our own arguments have, names that are no identifiers, and none at all."""
    exp.metrics("train").log(self=1, data=2, name=3, prefix=4, index=5, time=6)
    exp.metrics("train").log(**{"a b": 1, "": 2, "é/模.型": 3, "\udc80": 4})
    exp.metrics("train").log()
    exp.metrics.log(self=1, data=2)

    assert values(exp.metrics("train").read()) == [
        {"self": 1, "data": 2, "name": 3, "prefix": 4, "index": 5, "time": 6},
        {"a b": 1, "": 2, "é/模.型": 3, "\udc80": 4},
        {},
    ]
    assert values(exp.metrics.read()) == [{"self": 1, "data": 2}]


def test_steps_and_epochs_are_fields_like_any_other_and_may_come_in_any_order(exp: Experiment) -> None:
    """Nothing is ever dropped for its step."""
    steps = [5, 3, 3, -1, 10, 0]
    for step in steps:
        exp.metrics("train").log(step=step, epoch=-step)

    assert values(exp.metrics("train").read()) == [{"step": step, "epoch": -step} for step in steps]


# --- groups


def test_groups_are_logged_to_their_metrics_with_the_plain_fields_merged_in(exp: Experiment) -> None:
    """One row in `train` and one in `eval`, of one time; the group's own fields win."""
    exp.metrics.log(epoch=1, lr=0.1, train=dict(loss=0.5), eval=dict(loss=0.6, lr=0.2))

    assert values(exp.metrics("train").read()) == [{"epoch": 1, "lr": 0.1, "loss": 0.5}]
    assert values(exp.metrics("eval").read()) == [{"epoch": 1, "lr": 0.2, "loss": 0.6}]
    assert times(exp.metrics("train").read()) == times(exp.metrics("eval").read())
    assert exp.metrics.read()["total"] == 0
    assert exp.status().logged == 2


def test_plain_fields_alone_are_a_row_of_the_unnamed_metric(exp: Experiment) -> None:
    """Readable with `exp.metrics.read()`."""
    exp.metrics.log(epoch=1)
    exp.metrics(None).log(epoch=2)

    assert values(exp.metrics.read()) == [{"epoch": 1}, {"epoch": 2}]
    assert exp.metrics.stats()["count"] == 2
    assert exp.metrics.read() == exp.metrics(None).read()


def test_a_group_may_have_a_time_of_its_own(exp: Experiment) -> None:
    """Otherwise it has that of the call."""
    exp.metrics.log(_ts=5, train=dict(loss=0.5), eval=dict(loss=0.6, _ts=7))

    assert times(exp.metrics("train").read()) == [5.0]
    assert times(exp.metrics("eval").read()) == [7.0]


@pytest.mark.parametrize(
    "groups", [{"eval": {"loss": 1, "_ts": math.nan}}, {"": {"loss": 1}}, {"_ts": math.inf}]
)
def test_nothing_of_a_call_with_a_bad_group_is_logged(groups: dict[str, Any], exp: Experiment) -> None:
    """Bad arguments raise before anything is queued."""
    with pytest.raises(InvalidArgumentError):
        exp.metrics.log(train=dict(loss=0.5), **groups)

    assert exp.status().logged == 0


def test_the_keys_of_a_group_become_names_of_fields(exp: Experiment) -> None:
    """Numbers as keys too: a class's index, say. No row around them is harmed."""
    exp.metrics.log(per_class={0: 0.5, 1: 0.25, None: 1.0})
    exp.metrics("per_class").log(after=True)

    assert values(exp.metrics("per_class").read()) == [{"0": 0.5, "1": 0.25, "None": 1.0}, {"after": True}]


def test_a_dict_given_to_a_named_metric_is_a_nested_field(exp: Experiment) -> None:
    """Groups are for the top level."""
    exp.metrics("train").log(epoch=1, loss=dict(ce=0.5, kl={"a": 0.25}))

    assert values(exp.metrics("train").read()) == [{"epoch": 1, "loss": {"ce": 0.5, "kl": {"a": 0.25}}}]


# --- names


@pytest.mark.parametrize(
    "name", ["train/loss", "a/b/c", "..", ".", "/", "a b", "模型", "train.loss", "None", "x" * 1024, "\ud800"]
)
def test_any_text_without_control_characters_is_a_name(name: str, exp: Experiment) -> None:
    """Up to 1 024 bytes; a name is never a path."""
    exp.metrics(name).log(x=1)

    assert exp.metrics(name).read()["total"] == 1
    assert [metric["name"] for metric in exp.metrics.list()] == [name]


def test_no_two_names_share_storage(exp: Experiment) -> None:
    """`train/loss` is neither `train` nor `loss` nor `train.loss`."""
    names = [None, "train", "train/loss", "train/", "/train", "Train", "train.loss", "loss", "é", "e\u0301"]
    for number, name in enumerate(names):
        exp.metrics(name).log(x=number)

    for number, name in enumerate(names):
        assert values(exp.metrics(name).read()) == [{"x": number}]


@pytest.mark.parametrize("name", ["", "a\nb", "\0", "\x7f", "a\x85", "x" * 1025, "é" * 513, 5, b"train", ()])
def test_what_is_no_name_is_a_value_error(name: Any, exp: Experiment) -> None:
    """The message shows it."""
    with pytest.raises(InvalidArgumentError) as caught:
        exp.metrics(name)

    assert isinstance(caught.value, ValueError)
    assert repr(name)[:20] in str(caught.value)


def test_metrics_are_listed_with_their_counts_and_fields(exp: Experiment) -> None:
    """`metrics.list()`; the unnamed metric's name is None."""
    assert exp.metrics.list() == []
    exp.metrics("train").log(loss=0.5, _ts=1)
    exp.metrics("train").log(acc=1, _ts=2.5)
    exp.metrics.log(epoch=1, _ts=3)

    assert exp.metrics.list() == [
        {
            "name": "train",
            "count": 2,
            "fields": ["loss", "acc"],
            "firstDataAt": "1970-01-01T00:00:01.000000Z",
            "lastDataAt": "1970-01-01T00:00:02.500000Z",
        },
        {
            "name": None,
            "count": 1,
            "fields": ["epoch"],
            "firstDataAt": "1970-01-01T00:00:03.000000Z",
            "lastDataAt": "1970-01-01T00:00:03.000000Z",
        },
    ]


# --- times


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (0, 0.0),
        (1.5, 1.5),
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000.123456, 1_700_000_000.123456),
        (-5.25, -5.25),
        (-0.0, 0.0),
        (9_223_372_036, 9_223_372_036.0),
        (np.float64(2.5), 2.5),
        (np.float32(2.5), 2.5),
        (np.int64(7), 7.0),
        (np.array(7.5), 7.5),
    ],
)
def test_a_number_is_the_time_of_a_row(given: Any, stored: float, exp: Experiment) -> None:
    """`_ts=` in seconds since the epoch."""
    exp.metrics("train").log(x=1, _ts=given)
    exp.tracks("pose").append(x=1, _ts=given)

    assert times(exp.metrics("train").read()) == [stored]
    assert exp.tracks("pose").read()["entries"][0]["timestamp"] == stored


@pytest.mark.parametrize("given", [None, "left out"])
def test_a_row_without_a_time_has_that_of_the_call(given: str | None, exp: Experiment) -> None:
    """Omitted → now; None says the same."""
    before = time.time()
    exp.metrics("train").log(x=1, **({} if given else {"_ts": None}))

    assert before - 1e-6 <= times(exp.metrics("train").read())[0] <= time.time() + 1e-6


@pytest.mark.parametrize("minus_one", [-1, -1.0, np.int64(-1), np.float32(-1)])
def test_minus_one_is_the_time_of_the_previous_call(minus_one: Any, exp: Experiment) -> None:
    """Of a metric or a track, in this thread."""
    exp.metrics("train").log(x=1)
    exp.metrics("eval").log(x=2, _ts=minus_one)
    exp.metrics.log(x=3, _ts=minus_one)
    exp.metrics.log(_ts=minus_one, group=dict(x=4))
    exp.tracks("pose").append(x=5, _ts=minus_one)
    exp.metrics("train").log(x=6, _ts=123.5)
    exp.metrics("eval").log(x=7, _ts=minus_one)
    exp.tracks("pose").append(x=8, _ts=0)
    exp.metrics("eval").log(x=9, _ts=minus_one)

    first = times(exp.metrics("train").read())[0]
    assert times(exp.metrics("train").read()) == [first, 123.5]
    assert times(exp.metrics("eval").read()) == [first, 123.5, 0.0]
    assert times(exp.metrics.read()) == times(exp.metrics("group").read()) == [first]
    assert [entry["x"] for entry in exp.tracks("pose").read()["entries"]] == [8, 5]


def test_minus_one_is_the_thread_s_own_previous_call(exp: Experiment) -> None:
    """Other threads do not come in between."""

    def log(who: int) -> None:
        exp.metrics("train").log(who=who, _ts=who)
        barrier.wait()
        exp.metrics("train").log(who=who, _ts=-1)

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=log, args=(who,)) for who in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    rows = [row["data"] for row in exp.metrics("train").read()["data"]]
    assert len(rows) == 8
    assert all(row["_ts"] == row["who"] for row in rows)


def test_minus_one_without_a_previous_call_is_now(exp: Experiment) -> None:
    """There is nothing else that it could be."""

    def log() -> None:
        exp.metrics("train").log(x=1, _ts=-1)

    before = time.time()
    thread = threading.Thread(target=log)
    thread.start()
    thread.join()

    assert times(exp.metrics("train").read())[0] >= before - 1e-6


@pytest.mark.parametrize(
    "given",
    [
        math.nan,
        math.inf,
        -math.inf,
        1e300,
        -1e300,
        10**400,
        9_223_372_037,
        -9_223_372_037,
        "5",
        [1],
        1j,
        object(),
    ],
    ids=lambda value: repr(value)[:20] if type(value) is not object else "object",
)
def test_what_is_no_time_is_a_value_error(given: Any, exp: Experiment) -> None:
    """NaN, Inf, outside int64 nanoseconds, or no number: nothing is logged."""
    for log in (exp.metrics.log, exp.metrics("train").log, exp.tracks("pose").append):
        with pytest.raises(InvalidArgumentError, match="_ts=") as caught:
            log(x=1, _ts=given)
        assert isinstance(caught.value, ValueError)
    assert exp.status().logged == 0


def test_rows_keep_the_order_of_the_calls_whatever_their_times(exp: Experiment) -> None:
    """The index is the order in which they were logged."""
    for moment in (5, 3, 9, -2):
        exp.metrics("train").log(_ts=moment)

    assert times(exp.metrics("train").read()) == [5.0, 3.0, 9.0, -2.0]


# --- reading


def test_a_page_says_where_it_is(exp: Experiment) -> None:
    """`startIndex` and `endIndex` are the first and last index returned; `total` counts all rows stored."""
    for step in range(10):
        exp.metrics("train").log(step=step)

    def page(start: int, limit: int) -> tuple[Any, ...]:
        read = exp.metrics("train").read(start_index=start, limit=limit)
        assert read["total"] == 10
        steps = [row["data"]["step"] for row in read["data"]]
        return steps, read["startIndex"], read["endIndex"], read["hasMore"]

    assert page(0, 4) == ([0, 1, 2, 3], 0, 3, True)
    assert page(6, 4) == ([6, 7, 8, 9], 6, 9, False)
    assert page(8, 100) == ([8, 9], 8, 9, False)
    assert page(0, 10) == (list(range(10)), 0, 9, False)
    assert page(10, 5) == ([], 10, 9, False)
    assert page(50, 5) == ([], 50, 49, False)
    assert page(3, 0) == ([], 3, 2, True)


def test_a_missing_metric_is_empty_and_no_error(exp: Experiment) -> None:
    """Nor does asking for it make it."""
    assert exp.metrics("nothing").read() == {
        "data": [],
        "startIndex": 0,
        "endIndex": -1,
        "total": 0,
        "hasMore": False,
    }
    assert exp.metrics.list() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_index", -1),
        ("limit", -1),
        ("start_index", 1.5),
        ("limit", None),
        ("limit", True),
        ("limit", "5"),
    ],
)
def test_pages_that_cannot_be_are_refused(name: str, value: Any, exp: Experiment) -> None:
    """With the argument's name and value."""
    with pytest.raises(InvalidArgumentError, match=f"{name}={value!r}"):
        exp.metrics("train").read(**{name: value})


def test_a_read_sees_everything_logged_before_it(exp: Experiment) -> None:
    """Read your writes, without a flush."""
    for step in range(300):
        exp.metrics("train").log(step=step)
        assert exp.metrics("train").read(start_index=step)["data"][0]["data"]["step"] == step
        if step % 50 == 0:
            assert exp.metrics("train").stats()["count"] == step + 1


def test_another_handle_sees_what_was_flushed(exp: Experiment, root: str) -> None:
    """Any process may read while the run goes on."""
    reader = Experiment("alice/proj/exp", dash_root=root)
    for step in range(10):
        exp.metrics("train").log(step=step)
        exp.flush()
        assert reader.metrics("train").read()["total"] == step + 1
    assert reader.run.status is None


def test_what_was_read_is_the_reader_s_own(exp: Experiment) -> None:
    """Changing it changes nothing."""
    exp.metrics("train").log(nested={"a": [1]})
    read = exp.metrics("train").read()
    read["data"][0]["data"]["nested"]["a"].append(2)
    read["data"].clear()

    assert values(exp.metrics("train").read()) == [{"nested": {"a": [1]}}]


# --- statistics


def test_statistics_of_one_field(exp: Experiment) -> None:
    """`firstValue` and `lastValue` are the value where the row has one field."""
    for moment, loss in enumerate([3.0, 1.0, math.nan, 2.0]):
        exp.metrics("train").log(loss=loss, _ts=moment)

    assert exp.metrics("train").stats() == {
        "name": "train",
        "count": 4,
        "totalDataPoints": 4,
        "firstValue": 3.0,
        "lastValue": 2.0,
        "firstDataAt": "1970-01-01T00:00:00.000000Z",
        "lastDataAt": "1970-01-01T00:00:03.000000Z",
        "fields": {"loss": {"count": 4, "nan": 1, "min": 1.0, "max": 3.0, "mean": 2.0, "last": 2.0}},
    }


def test_statistics_of_several_fields(exp: Experiment) -> None:
    """`firstValue` and `lastValue` are dicts then; nested numbers are addressed by dotted names."""
    exp.metrics("train").log(step=0, loss={"ce": 0.5, "kl": 1})
    exp.metrics("train").log(step=1, loss={"ce": 0.25}, note="x")

    stats = exp.metrics("train").stats()
    assert stats["firstValue"] == {"step": 0, "loss": {"ce": 0.5, "kl": 1}}
    assert stats["lastValue"] == {"step": 1, "loss": {"ce": 0.25}, "note": "x"}
    assert set(stats["fields"]) == {"step", "loss.ce", "loss.kl", "note"}
    assert stats["fields"]["loss.ce"] == {
        "count": 2,
        "nan": 0,
        "min": 0.25,
        "max": 0.5,
        "mean": 0.375,
        "last": 0.25,
    }
    assert stats["fields"]["loss.kl"]["count"] == 1
    assert (stats["fields"]["note"]["count"], stats["fields"]["note"]["last"]) == (1, "x")


def test_statistics_of_a_missing_metric(exp: Experiment) -> None:
    """`count` 0, values None."""
    assert exp.metrics("nothing").stats() == {
        "name": "nothing",
        "count": 0,
        "totalDataPoints": 0,
        "firstValue": None,
        "lastValue": None,
        "firstDataAt": None,
        "lastDataAt": None,
        "fields": {},
    }
    assert exp.metrics.stats()["name"] is None


# --- columns


def test_columns_have_the_type_of_their_values(exp: Experiment) -> None:
    """int64 and bool where every row has the field, float64 with NaN where one lacks it."""
    exp.metrics("train").log(step=0, loss=0.5, done=False, some=1, nested={"a": 1.5}, _ts=1)
    exp.metrics("train").log(step=1, loss=math.inf, done=True, nested={"a": 2}, _ts=2.5)

    arrays = exp.metrics("train").to_numpy()

    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "index": "int64",
        "_ts": "float64",
        "step": "int64",
        "loss": "float64",
        "done": "bool",
        "some": "float64",
        "nested.a": "float64",
    }
    assert arrays["index"].tolist() == [0, 1]
    assert arrays["_ts"].tolist() == [1.0, 2.5]
    assert arrays["step"].tolist() == [0, 1]
    assert arrays["loss"].tolist() == [0.5, math.inf]
    assert arrays["done"].tolist() == [False, True]
    assert np.array_equal(arrays["some"], [1.0, math.nan], equal_nan=True)
    assert arrays["nested.a"].tolist() == [1.5, 2.0]


def test_columns_are_of_full_resolution(exp: Experiment) -> None:
    """Never sampled: every row is there."""
    for step in range(30_000):
        exp.metrics("train").log(step=step, loss=step / 7)

    arrays = exp.metrics("train").to_numpy()
    assert np.array_equal(arrays["step"], np.arange(30_000))
    assert np.array_equal(arrays["loss"], np.arange(30_000) / 7)
    assert (np.diff(arrays["_ts"]) >= 0).all()


def test_columns_of_a_missing_metric_are_empty(exp: Experiment) -> None:
    """Index and times of no rows."""
    arrays = exp.metrics("nothing").to_numpy()

    assert {name: len(array) for name, array in arrays.items()} == {"index": 0, "_ts": 0}


def test_a_metric_is_a_data_frame_where_pandas_is_installed(exp: Experiment) -> None:
    """The same columns, of full resolution."""
    pandas = pytest.importorskip("pandas")
    for step in range(10):
        exp.metrics("train").log(step=step, loss=step / 2)

    frame = exp.metrics("train").to_pandas()

    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["index", "_ts", "step", "loss"]
    assert frame["loss"].tolist() == [step / 2 for step in range(10)]


def test_a_data_frame_has_lone_surrogates_as_they_were_logged(exp: Experiment) -> None:
    """In names and in values; the other columns have the types that they would have without them."""
    pandas = pytest.importorskip("pandas")
    for step in range(3):
        exp.metrics("plain").log(step=step, text="é")
        exp.metrics("odd").log(**{"\udce9": step, "step": step, "text": "é", "odd": "caf\udce9"})

    plain, odd = exp.metrics("plain").to_pandas(), exp.metrics("odd").to_pandas()

    assert isinstance(odd, pandas.DataFrame)
    assert list(odd.columns) == ["index", "_ts", "\udce9", "step", "text", "odd"]
    assert odd["odd"].tolist() == ["caf\udce9"] * 3
    assert odd["\udce9"].tolist() == [0, 1, 2]
    assert [odd.dtypes[name] for name in plain.columns] == list(plain.dtypes)


@pytest.mark.slow
def test_a_closed_standard_error_does_not_raise_in_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning about a value that cannot be stored has nowhere to go; the row is stored."""
    output = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys; from ml_dash import Experiment; sys.stderr.close()\n"
                "with Experiment('a/b/c', dash_root='root').run as exp:\n"
                "    exp.metrics('m').log(x=object())\n"
                "    print(exp.metrics('m').read()['total'])"
            ),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    assert output == b"1\n"


def test_a_masked_number_is_not_zero(tmp_path: Path) -> None:
    """What numpy calls `masked` says 0.0 when asked for its item; it has no value, and that is NaN."""
    exp = Experiment("alice/vision/masked", dash_root=tmp_path, echo=False)
    with exp.run:
        exp.metrics("m").log(x=np.ma.masked)
        exp.metrics("m").buffer(y=np.ma.masked)
        exp.metrics("m").buffer.log_summary("count")
    rows = exp.metrics("m").read()["data"]
    assert np.isnan(rows[0]["data"]["x"])
    assert rows[1]["data"]["y.count"] == 0
