"""Tracks: entries by topic and time."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.sdk.tracks import TrackBuilder


@pytest.fixture
def pose(exp: Experiment) -> TrackBuilder:
    """A track with entries at 1, 2, 3 and 4 seconds, which did not come in that order."""
    track = exp.tracks("robot/pose")
    for moment in (3, 1, 4, 2):
        track.append(_ts=moment, x=moment * 10, q=[0.5, moment])
    return track


def test_entries_are_read_in_order_of_time(pose: TrackBuilder) -> None:
    """`{"entries": [{"timestamp": s, fields…}], "count": n}`."""
    assert pose.read() == {
        "entries": [
            {"timestamp": float(moment), "x": moment * 10, "q": [0.5, moment]} for moment in (1, 2, 3, 4)
        ],
        "count": 4,
    }


def test_bounds_are_inclusive(pose: TrackBuilder) -> None:
    """`read(start_timestamp, end_timestamp)`."""

    def found(*bounds: Any, **named: Any) -> list[int]:
        return [entry["x"] for entry in pose.read(*bounds, **named)["entries"]]

    assert found(2, 3) == [20, 30]
    assert found(start_timestamp=2.5) == [30, 40]
    assert found(end_timestamp=1) == [10]
    assert found(5, 9) == []
    assert found(3, 2) == []
    assert found(-math.inf, math.inf) == [10, 20, 30, 40]


def test_columns_may_be_picked(exp: Experiment, pose: TrackBuilder) -> None:
    """Entries that have none of them are left out."""
    pose.append(_ts=9, y=5)

    assert pose.read(columns=["x"], start_timestamp=4)["entries"] == [{"timestamp": 4.0, "x": 40}]
    assert pose.read(columns=["y"])["entries"] == [{"timestamp": 9.0, "y": 5}]


def test_entries_of_one_topic_and_one_time_are_merged(exp: Experiment) -> None:
    """The later one wins."""
    track = exp.tracks("robot")
    track.append(_ts=1.5, x=1, y=2)
    track.append(_ts=2, x=5)
    exp.flush()
    track.append(_ts=1.5, y=3, z=4)
    exp.tracks("other").append(_ts=1.5, x=9)

    assert track.read()["entries"] == [
        {"timestamp": 1.5, "x": 1, "y": 3, "z": 4},
        {"timestamp": 2.0, "x": 5},
    ]


def test_an_entry_without_a_time_is_of_now(exp: Experiment) -> None:
    """And -1 is the time of the previous call."""
    exp.tracks("robot").append(x=1)
    exp.tracks("robot").append(y=2, _ts=-1)

    (entry,) = exp.tracks("robot").read()["entries"]
    assert (entry["x"], entry["y"]) == (1, 2)
    assert entry["timestamp"] > 1.7e9


def test_a_slice_finds_entries_by_their_times(pose: TrackBuilder) -> None:
    """`slice(start, end)` with `findByTime(t)`: the entry at that time, else the last one before."""
    part = pose.slice(2, 4)

    assert [entry["x"] for entry in part.entries] == [20, 30, 40]
    assert len(part) == 3
    for moment, expected in ((2, 20), (2.99, 20), (3, 30), (100, 40)):
        found = part.findByTime(moment)
        assert found
        assert found["x"] == expected
    assert part.findByTime(1.99) is None
    assert pose.slice().findByTime(1) is not None


def test_append_and_flush(exp: Experiment) -> None:
    """`append` returns the track, `flush` nothing, and what was appended is durable."""
    track = exp.tracks("robot")

    assert track.append(x=1) is track
    assert track.flush() is None
    assert exp.tracks.flush() is None
    assert exp.status().durable == 1


def test_json_lines(pose: TrackBuilder) -> None:
    """`format="jsonl"`: a line an entry."""
    text = pose.read(start_timestamp=3, format="jsonl")

    assert [json.loads(line) for line in text.splitlines()] == pose.read(3)["entries"]


def test_parquet(exp: Experiment) -> None:
    """`format="parquet"`: bytes of a file."""
    parquet = pytest.importorskip("pyarrow.parquet")
    exp.tracks("robot").append(_ts=2, x=1.5, name="b")
    exp.tracks("robot").append(_ts=1, x=0.5)

    table = parquet.read_table(io.BytesIO(exp.tracks("robot").read(format="parquet")))

    assert table.to_pydict() == {"timestamp": [1.0, 2.0], "x": [0.5, 1.5], "name": [None, "b"]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "csv"),
        ("start_timestamp", "yesterday"),
        ("end_timestamp", math.nan),
        ("columns", "x"),
        ("columns", [1]),
    ],
)
def test_bad_arguments_of_a_read_are_refused(name: str, value: Any, pose: TrackBuilder) -> None:
    """With the name and the value."""
    with pytest.raises(InvalidArgumentError) as caught:
        pose.read(**{name: value})
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize("topic", ["", None, 5, "a\nb", "x" * 1025])
def test_what_is_no_topic_is_refused(topic: Any, exp: Experiment) -> None:
    """The same names are allowed as for metrics, but for the unnamed one."""
    with pytest.raises(InvalidArgumentError) as caught:
        exp.tracks(topic)
    assert repr(topic)[:20] in str(caught.value)


def test_a_track_and_a_metric_of_one_name_are_apart(exp: Experiment) -> None:
    """They are of different kinds."""
    exp.tracks("train").append(x=1, _ts=1)
    exp.metrics("train").log(y=2, _ts=1)

    assert exp.tracks("train").read()["entries"] == [{"timestamp": 1.0, "x": 1}]
    assert exp.metrics("train").read()["data"][0]["data"] == {"y": 2, "_ts": 1.0}
    assert exp.tracks("nothing").read() == {"entries": [], "count": 0}


def test_an_entry_may_have_any_fields(exp: Experiment) -> None:
    """Names of our own arguments too; one called `timestamp` gives way to the entry's own."""
    exp.tracks("robot").append(self=1, fields=2, topic=3, timestamp=4, _ts=1)

    assert exp.tracks("robot").read()["entries"] == [
        {"timestamp": 1.0, "self": 1, "fields": 2, "topic": 3, "timestamp_": 4}
    ]
