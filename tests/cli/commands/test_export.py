"""`ml-dash export`."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import stat
import subprocess
import sys
import threading
import tracemalloc
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from ml_dash import Experiment
from ml_dash.cli.exporting import parquet as parquet_format
from ml_dash.cli.exporting.text_formats import iso_exact, seconds_exact
from ml_dash.journal.index import JournalIndex
from ml_dash.series import Kind, Series
from ml_dash.slabs.slab import REGION_BYTES
from ml_dash.storage.placing import writing
from tests.support.cli_experiments import in_frames, log_ranks, make, training
from tests.support.examples import many
from tests.support.shell import COMMAND, environment, invoke, shell, succeed

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def exported(root: Path, name: str, *options: str | Path) -> str:
    return succeed("export", name, "--root", root, *options)


def json_rows(root: Path, name: str, *options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported(root, name, "--format", "jsonl", *options).splitlines()]


def table(root: Path, name: str, *options: str) -> pa.Table:
    path = root / "out.parquet"
    done = invoke("export", name, "--root", root, "-o", path, *options)
    assert done.code == 0
    return pq.read_table(path)


def same(one: Any, other: Any) -> bool:
    """Whether values are the same to the bit and the type."""
    return repr(one) == repr(other)


def test_csv_has_a_line_for_each_row(root: Path) -> None:
    """The metric's name, the row's index, its time, and its fields; nothing where it lacks one."""
    header, *lines = exported(root, "first").splitlines()
    assert header == "metric,index,_ts,step,loss,acc,epoch,best"
    assert len(lines) == 105
    metric, index, _, *fields = lines[0].split(",")
    assert (metric, index, fields) == ('"train"', "0", ["0", "1.0", "0.0", "", ""])
    assert lines[-1].startswith('"eval",4,')
    assert lines[-1].endswith(",,0.2,,4,true")


def test_a_metric_by_itself_needs_no_name(root: Path) -> None:
    """By a pattern it has one, for it may take several."""
    assert exported(root, "first", "--metric", "eval").startswith("index,_ts,epoch,loss,best\n0,")
    assert exported(root, "first", "--metric", "ev*").startswith(
        'metric,index,_ts,epoch,loss,best\n"eval",0,'
    )


def test_a_name_wins_over_a_pattern(root: Path) -> None:
    """A metric that is called ``*`` is meant by ``*``, and has no need of a name; without one, all are."""
    every = exported(root, "first", "--metric", "*")
    assert every == exported(root, "first")
    make(root, "dora/p/star", lambda exp: [exp.metrics(name).log(x=1) for name in ("*", "a", "a[0]", "a0")])
    assert exported(root, "star", "--metric", "*").splitlines()[0] == "index,_ts,x"
    assert exported(root, "star", "--metric", "a[0]").count("\n") == 2
    both = exported(root, "star", "--metric", "a[0]", "--metric", "a*").splitlines()
    assert [line.split(",")[0] for line in both] == ["metric", '"a"', '"a[0]"', '"a0"']
    for command in ("tail", "show"):
        assert "a0" not in succeed(command, "dora/p/star", "--root", root, "--metric", "*")


def test_json_lines_have_an_object_for_each_row(root: Path) -> None:
    """With the same times and values as the rows that a script reads."""
    rows = json_rows(root, "first", "--metric", "train")
    read = Experiment("alice/vision/first", dash_root=root).metrics("train").read(limit=1000)["data"]
    assert [{"index": row["index"], **row["data"]} for row in read] == rows
    assert {row["metric"] for row in json_rows(root, "first")} == {"train", "eval"}


def test_parquet_has_a_column_for_each_field(root: Path) -> None:
    """Of the field's own type, with nulls where a row has none."""
    read = table(root, "first")
    assert {field.name: str(field.type) for field in read.schema} == {
        "metric": "string",
        "index": "int64",
        "_ts": "double",
        "createdAt": "timestamp[ns, tz=UTC]",
        "step": "int64",
        "loss": "double",
        "acc": "double",
        "epoch": "int64",
        "best": "bool",
    }
    assert read["step"].to_pylist() == [*range(100), *[None] * 5]
    assert read["best"].to_pylist()[-2:] == [False, True]
    assert read["metric"].to_pylist() == [*["train"] * 100, *["eval"] * 5]


def test_all_formats_tell_the_same(root: Path) -> None:
    """Floats to the last bit."""
    rows = json_rows(root, "first")
    read = table(root, "first").to_pylist()
    cells = list(csv.DictReader(io.StringIO(exported(root, "first"))))
    assert len(rows) == len(read) == len(cells) == 105
    for row, other, texts in zip(rows, read, cells, strict=True):
        del other["createdAt"]
        assert row == {name: value for name, value in other.items() if value is not None}
        assert texts.pop("metric") == row.pop("metric")
        known = {name: json.loads(text) for name, text in texts.items() if text}
        assert row == known


def test_the_format_is_what_the_name_of_the_file_says(root: Path, tmp_path: Path) -> None:
    """Unless it is given; without a name for it, it is CSV."""
    paths = [
        tmp_path / name for name in ("a.csv", "a.jsonl", "a.PARQUET", "a.txt", "a.b.csv", "a.ndjson", "a-0.5")
    ]
    for path in paths:
        assert invoke("export", "first", "--root", root, "-o", path).code == 0
    starts = [path.read_bytes()[:4] for path in paths]
    assert starts == [b"metr", b'{"me', b"PAR1", b"metr", b"metr", b'{"me', b"metr"]
    invoke("export", "first", "--root", root, "-o", paths[0], "--format", "jsonl")
    assert paths[0].read_bytes()[:4] == b'{"me'


@pytest.mark.parametrize("name", ["a.xlsx", "a.json", "a.csv.gz", "a.TSV"])
def test_a_name_that_promises_another_format_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    """CSV under the name of a spreadsheet is a file that nothing opens; --format says that it is meant."""
    done = invoke("export", "first", "--root", root, "-o", tmp_path / name)
    assert (done.code, done.out) == (2, "")
    assert ".parquet" in done.err
    assert "--format" in done.err
    assert not (tmp_path / name).exists()
    assert invoke("export", "first", "--root", root, "-o", tmp_path / name, "--format", "csv").code == 0
    assert (tmp_path / name).read_text().startswith("metric,index")


VALUES: dict[str, list[Any]] = {
    "float": [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e16],
    "special": [math.nan, math.inf, -math.inf],
    "int": [0, -1, 2**63 - 1, -(2**63)],
    "huge": [2**64 - 1],
    "bool": [True, False],
    "text": ["", "nan", "1", 'quote " comma , newline \n', "\x1b\x00", "损失 👩‍🔬", "true"],
    "none": [None],
    "list": [[1, 2.5, [None, "x"]], []],
    "bytes": [b"\x00\xff"],
    "mixed": [1, 0.5, True, "x", None, [1]],
    "near": [1, 0.5, 2**53],
    "far": [1, 0.5, 2**53 + 1],
}


@pytest.fixture
def values(tmp_path: Path) -> Path:
    """An experiment with every kind of value, each in a metric and a field of its own."""

    def script(exp: Experiment) -> None:
        for name, some in VALUES.items():
            for value in some:
                exp.metrics(name).log(**{name: value})

    make(tmp_path, "a/p/values", script)
    return tmp_path


def test_json_lines_keep_every_value(values: Path) -> None:
    """Only bytes, which JSON has not, become their representation."""
    rows = json_rows(values, "values")
    for name, some in VALUES.items():
        got = [row[name] for row in rows if row["metric"] == name]
        expected = (
            [{"__repr__": repr(value), "__type__": "builtins.bytes"} for value in some]
            if name == "bytes"
            else some
        )
        assert same(got, expected)


def test_csv_keeps_every_value_and_tells_texts_from_numbers(values: Path) -> None:
    """Texts are quoted, numbers are not."""
    cells = {}
    for name in VALUES:
        text = exported(values, "values", "--metric", name)
        cells[name] = [line.split(",", 2)[2] for line in text.replace(" \n", " <newline>").splitlines()[1:]]
    assert cells["special"] == ["nan", "inf", "-inf"]
    assert [float(cell) for cell in cells["float"]] == VALUES["float"]
    assert cells["float"][4] == "-0.0"
    assert [int(cell) for cell in cells["int"] + cells["huge"]] == VALUES["int"] + VALUES["huge"]
    assert cells["bool"] == ["true", "false"]
    assert cells["text"][:4] == ['""', '"nan"', '"1"', '"quote "" comma , newline <newline>"']
    assert cells["none"] == [""]
    assert cells["mixed"] == ["1", "0.5", "true", '"x"', "", '"[1]"']
    rows = list(csv.DictReader(io.StringIO(exported(values, "values"), newline="")))
    assert [row["text"] for row in rows if row["metric"] == "text"] == VALUES["text"]
    assert [json.loads(row["list"]) for row in rows if row["metric"] == "list"] == VALUES["list"]


def test_parquet_keeps_every_value(values: Path) -> None:
    """Of the field's own type, or as JSON text where there is none for all of them."""
    read = table(values, "values").to_pylist()
    cells = {name: [row[name] for row in read if row["metric"] == name] for name in VALUES}
    for name in ("float", "special", "int", "bool", "text", "none", "bytes"):
        assert same(cells[name], VALUES[name])
    assert same(cells["near"], [1.0, 0.5, float(2**53)])
    for name in ("huge", "list", "mixed", "far"):
        assert same([value if value is None else json.loads(value) for value in cells[name]], VALUES[name])


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=2)
plain = st.one_of(
    st.floats(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.text(max_size=3), st.none()
)


@given(st.lists(st.dictionaries(names, plain, max_size=4), min_size=1, max_size=8))
@settings(max_examples=many(20))
def test_any_rows_survive_the_way_through_json_lines_and_parquet(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    """Whatever their fields are called, and whatever types come together."""
    root = tmp_path_factory.mktemp("dash")
    make(root, "a/p/any", lambda exp: [exp.metrics("m").log(**row) for row in rows])
    got = json_rows(root, "any", "--metric", "m")
    fields = [{name: row[name] for name in row if name not in {"index", "_ts"}} for row in got]
    assert same([sorted(row.items()) for row in fields], [sorted(row.items()) for row in rows])
    read = table(root, "any", "--metric", "m")
    assert read.num_rows == len(rows)
    for name in {name for row in rows for name in row}:
        expected = [row.get(name) for row in rows]
        types = {type(value) for value in expected if value is not None}
        column = read[name].to_pylist()
        if read[name].type == pa.string() and types != {str}:
            column = [None if value is None else json.loads(value) for value in column]
        if types == {int, float} and read[name].type == pa.float64():
            expected = [None if value is None else float(value) for value in expected]
        assert same(column, expected)


def test_nested_fields_have_dotted_columns_and_stay_nested_in_json(root: Path) -> None:
    """As in `to_numpy` and in `read`."""
    make(root, "dora/p/nested", lambda exp: exp.metrics("m").log(a={"b": 1, "c": {"d": 2.5}}, e={}))
    assert exported(root, "nested", "--metric", "m").splitlines()[0] == "index,_ts,a.b,a.c.d,e"
    assert json_rows(root, "nested")[0]["a"] == {"b": 1, "c": {"d": 2.5}}
    assert table(root, "nested").to_pylist()[0]["a.c.d"] == 2.5


def test_fields_with_the_names_of_other_columns_give_way(root: Path) -> None:
    """As in `to_numpy`."""

    def script(exp: Experiment) -> None:
        exp.metrics("m").log(index=7, metric="x", createdAt=1, _ts=2.5)
        exp.metrics("m").log(**{"a,b": 1, 'c"d': 2, "e\nf": 3})

    make(root, "dora/p/names", script)
    header = next(csv.reader(io.StringIO(exported(root, "names"), newline="")))
    assert header == ["metric", "index", "_ts", "index_", "metric_", "createdAt", "a,b", 'c"d', "e\nf"]
    first = json_rows(root, "names")[0]
    assert first == {"metric": "m", "index": 0, "_ts": 2.5, "index_": 7, "metric_": "x", "createdAt": 1}
    row = table(root, "names").to_pylist()[0]
    assert (row["index"], row["index_"], row["createdAt_"]) == (0, 7, 1)


def test_times_are_exact_to_the_nanosecond(root: Path) -> None:
    """A float64 of seconds is not; read as one, the text is the number that a script gets."""
    make(root, "dora/p/times", in_frames(1, 2, 3))
    index = JournalIndex(str(root / "dora/p/times/journal"))
    index.refresh()
    series = Series(Kind.METRIC, "train")
    times = [int(time_ns) for _, block in index.blocks(series) for time_ns in block.times]
    lines = exported(root, "times", "--metric", "train").splitlines()[1:]
    assert [int(line.split(",")[1].replace(".", "")) for line in lines] == times
    assert [float(line.split(",")[1]) for line in lines] == [time_ns / 10**9 for time_ns in times]
    assert table(root, "times")["createdAt"].cast(pa.int64()).to_pylist() == times
    assert table(root, "times")["_ts"].to_pylist() == [time_ns / 10**9 for time_ns in times]


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_time_has_an_exact_text(time_ns: int) -> None:
    """Before 1970 too."""
    assert int(seconds_exact(time_ns).replace(".", "")) == time_ns
    assert float(seconds_exact(time_ns)) == time_ns / 10**9
    text = iso_exact(time_ns)
    whole = datetime.strptime(f"{text[:19]}+0000", "%Y-%m-%dT%H:%M:%S%z") - EPOCH
    assert (whole.days * 86_400 + whole.seconds) * 10**9 + int(text[20:-1]) == time_ns


def test_logs_have_level_message_and_metadata(root: Path) -> None:
    """Metadata as JSON where there is no nesting."""
    logs = ["--logs"]
    rows = list(csv.DictReader(io.StringIO(exported(root, "first", *logs), newline="")))
    assert [(row["index"], row["level"], row["message"], row["metadata"]) for row in rows] == [
        ("0", "info", "training begins", '{"gpu": 3}'),
        ("1", "warn", "done", ""),
    ]
    assert len(rows[0]["timestamp"]) == len("2026-01-01T00:00:00.123456789Z")
    assert json_rows(root, "first", *logs)[0]["metadata"] == {"gpu": 3}
    read = table(root, "first", *logs)
    assert read.schema.names == ["index", "timestamp", "level", "message", "metadata"]
    assert read.to_pylist()[0]["metadata"] == '{"gpu": 3}'
    assert str(read.schema.field("timestamp").type) == "timestamp[ns, tz=UTC]"


def test_tracks_have_topic_and_time(root: Path) -> None:
    """In order of time, with entries of the same time merged, as a script reads them."""

    def script(exp: Experiment) -> None:
        for time in range(3):
            exp.tracks("straight").append(x=time, _ts=time)
        for time, fields in ((2, {"x": 1}), (1, {"x": 2}), (2, {"y": {"z": 3}}), (1, {"x": 4})):
            exp.tracks("crooked").append(_ts=time, **fields)

    make(root, "dora/p/tracks", script)
    rows = json_rows(root, "tracks", "--tracks")
    exp = Experiment("dora/p/tracks", dash_root=root)
    expected = [
        {"topic": topic, **entry}
        for topic in ("straight", "crooked")
        for entry in exp.tracks(topic).read()["entries"]
    ]
    assert rows == expected
    assert expected[-1] == {"topic": "crooked", "timestamp": 2.0, "x": 1, "y": {"z": 3}}
    lines = exported(root, "tracks", "--tracks").splitlines()
    assert lines[0] == "topic,timestamp,x,y.z"
    assert lines[-1] == '"crooked",2.000000000,1,3'
    read = table(root, "tracks", "--tracks")
    assert read.schema.names == ["topic", "timestamp", "createdAt", "x", "y.z"]
    assert read["x"].to_pylist() == [0, 1, 2, 4, 1]


def test_texts_that_are_not_unicode_are_exported_all_the_same(root: Path) -> None:
    """Exactly as JSON, with an escape elsewhere: files of UTF-8 cannot hold them."""

    def script(exp: Experiment) -> None:
        exp.metrics("m").log(**{"f\udc80": "x\udc80"})

    make(root, "dora/p/odd", script)
    assert json_rows(root, "odd")[0]["f\udc80"] == "x\udc80"
    assert exported(root, "odd").splitlines()[0].endswith(r",f\udc80")
    read = table(root, "odd")
    assert json.loads(read[r"f\udc80"].to_pylist()[0]) == "x\udc80"


def test_an_unnamed_metric_has_no_name(root: Path) -> None:
    """Nothing in CSV, null elsewhere."""
    make(root, "dora/p/unnamed", lambda exp: exp.metrics.log(x=1))
    assert exported(root, "unnamed").splitlines()[1].startswith(",0,")
    assert json_rows(root, "unnamed")[0]["metric"] is None
    assert table(root, "unnamed")["metric"].to_pylist() == [None]
    assert json_rows(root, "unnamed", "--metric", "")[0]["x"] == 1


def test_an_experiment_without_rows_gives_a_file_without_rows(root: Path, tmp_path: Path) -> None:
    """It can be read like any other."""
    assert exported(root, "empty") == "metric,index,_ts\n"
    assert exported(root, "empty", "--format", "jsonl") == ""
    assert table(root, "empty").num_rows == 0
    assert table(root, "empty", "--logs").num_rows == 0


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with an experiment that was ended behind step 5, and went on from step 3."""
    root = tmp_path_factory.mktemp("again")
    exp = Experiment("a/p/again", dash_root=root, echo=False)
    for first, last, resume_from in ((0, 6, None), (3, 7, 3)):
        exp.run.start(resume_from=resume_from)
        for step in range(first, last):
            exp.metrics("train").log(step=step, again=resume_from is not None)
            exp.metrics("eval").log(epoch=step)
        exp.tracks("pose").append(x=first, _ts=float(first))
        exp.run.complete()
    return root


def test_superseded_rows_are_left_out_and_told_of(again: Path) -> None:
    """As `read` does. The order and the indices of the others stay."""
    done = invoke("export", "again", "--root", again, "--format", "jsonl", "--metric", "train")
    rows = [json.loads(line) for line in done.out.splitlines()]
    read = Experiment("a/p/again", dash_root=again).metrics("train").read()["data"]
    assert [row["index"] for row in rows] == [row["index"] for row in read] == [0, 1, 2, 6, 7, 8, 9]
    assert [row["step"] for row in rows] == list(range(7))
    assert (
        done.err == "Note: without 3 rows that a later attempt has superseded: --attempt all has them, too\n"
    )


@pytest.mark.parametrize(
    ("attempt", "steps"), [("1", range(6)), ("2", range(3, 7)), ("all", [*range(6), *range(3, 7)])]
)
def test_an_attempt_can_be_chosen(again: Path, attempt: str, steps: list[int]) -> None:
    """In every format, and where several metrics lie mixed in the journal; rows without a step are in it, too."""
    rows = json_rows(again, "again", "--attempt", attempt)
    for metric, field in (("train", "step"), ("eval", "epoch")):
        assert [row[field] for row in rows if row["metric"] == metric] == list(steps)
    assert table(again, "again", "--attempt", attempt).num_rows == len(rows)
    assert len(exported(again, "again", "--attempt", attempt).splitlines()) == len(rows) + 1


def test_a_rank_can_be_chosen_and_a_column_says_which_has_logged(tmp_path: Path) -> None:
    """In every format; a process without a rank has none."""
    log_ranks(tmp_path)
    make(tmp_path, "a/p/ddp", lambda exp: exp.metrics("train").log(step=9, loss=9.0))
    rows = json_rows(tmp_path, "ddp", "--attempt", "all", "--metric", "train")
    assert [row.get("rank") for row in rows] == [*[0] * 5, *[1] * 5, None]
    assert [row.get("rank", 9) for row in rows] == [row["loss"] for row in rows]
    assert table(tmp_path, "ddp", "--attempt", "all").column("rank").to_pylist() == [
        row.get("rank") for row in rows
    ]
    own = json_rows(tmp_path, "ddp", "--attempt", "all", "--rank", "1", "--metric", "train")
    assert own == rows[5:10]
    assert (
        exported(tmp_path, "ddp", "--rank", "1", "--attempt", "all").splitlines()[0]
        == "metric,index,_ts,rank,step,loss"
    )
    code, out, err = invoke("export", "ddp", "--root", tmp_path, "--rank", "7")
    assert (code, out) == (2, "")
    assert "rank=7: there is no such rank, there are 0, 1" in err


def test_attempts_that_supersede_nothing_are_told_of(tmp_path: Path) -> None:
    """All rows are written, as `read` gives them; whoever takes them for one run would average two."""
    for _ in range(2):
        make(tmp_path, "a/p/twice", in_frames(1, 2))
    done = invoke("export", "twice", "--root", tmp_path)
    assert len(done.out.splitlines()) == 5
    assert done.err == "Note: these are the rows of 2 attempts: --attempt 2 has the newest's\n"
    assert invoke("export", "twice", "--root", tmp_path, "--attempt", "2").err == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--attempt", "3"], "there is no such attempt, but 2 of them"),
        (["--attempt", "0"], "'all'"),
        (["--attempt", "newest"], "'newest'"),
        (["--attempt", "1", "--logs"], "--attempt chooses rows of metrics"),
        (["--attempt", "1", "--tracks"], "--attempt chooses rows of metrics"),
    ],
)
def test_an_attempt_that_there_is_not_is_a_usage_error(
    again: Path, arguments: list[str], reason: str
) -> None:
    code, out, err = invoke("export", "again", "--root", again, *arguments)
    assert (code, out) == (2, "")
    assert reason in err


def test_messages_and_entries_are_counted_as_what_they_are(again: Path, root: Path, tmp_path: Path) -> None:
    """Rows are those of metrics."""
    for name, where, option, counted in (
        ("again", again, "--tracks", "2 entries"),
        ("first", root, "--logs", "2 messages"),
        ("again", again, "--attempt=2", "8 rows"),
    ):
        out = tmp_path / "out.csv"
        assert (
            f"{counted} written to {out}\n" in invoke("export", name, "--root", where, option, "-o", out).err
        )


def test_row_groups_are_of_a_bounded_size(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory does not grow with the number of rows, nor with that of columns."""
    make(root, "dora/p/groups", lambda exp: [exp.metrics("m").log(x=n, y=n) for n in range(20_000)])
    monkeypatch.setattr(parquet_format, "_VALUES_MAX", 4_000)
    read = table(root, "groups")
    assert read["x"].to_pylist() == list(range(20_000))
    groups = pq.ParquetFile(root / "out.parquet").metadata
    sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
    assert max(sizes) <= 2_000 + REGION_BYTES // 16, "a frame has no more than a region of a slab"


def test_damage_is_reported_and_the_rest_is_exported(root: Path, damaged: Path, tmp_path: Path) -> None:
    """The rows keep their indices; the exit code says that some are missing."""
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        code, _, err = invoke("export", "damaged", "--root", root, "-o", tmp_path / name)
        assert code == 1
        assert "1 event lost" in err
        assert "2 rows written" in err
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines] == ["index", "0", "2"]
    assert pq.read_table(tmp_path / "out.parquet")["index"].to_pylist() == [0, 2]


def test_a_file_is_replaced_when_all_is_written(root: Path, tmp_path: Path) -> None:
    """With its rights, through a link, and without a trace beside it."""
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(0o600)
    (tmp_path / "link.csv").symlink_to(path)
    assert invoke("export", "first", "--root", root, "-o", tmp_path / "link.csv").code == 0
    assert path.read_text().startswith("metric,index")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "link.csv").is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dash", "link.csv", "out.csv"]


def test_a_failure_leaves_the_old_file_and_no_other(root: Path, tmp_path: Path, newer: Path) -> None:
    """Whether before or while it is written."""
    path = tmp_path / "out.csv"
    path.write_text("old")
    assert invoke("export", "newer", "--root", root, "-o", path).code == 1
    assert invoke("export", "first", "--root", root, "-o", path, "--metric", "nothing").code == 2

    def fail() -> None:
        with writing(str(path)) as out:
            out.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dash", "out.csv"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_written_and_not_replaced(root: Path, tmp_path: Path) -> None:
    """As is a device: /dev/null must stay what it is."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got = []
    reader = threading.Thread(target=lambda: got.append(path.read_text()))
    reader.start()
    assert invoke("export", "first", "--root", root, "-o", path).code == 0
    reader.join()
    assert got[0].startswith("metric,index")
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_dev_stdout_is_standard_output(root: Path, tmp_path: Path, form: str) -> None:
    """A pipe, or a file that a shell has written something to."""
    whole = invoke("export", "first", "--root", root, "--format", form, "-o", tmp_path / "whole")
    assert whole.code == 0
    expected = (tmp_path / "whole").read_bytes()
    command = [*COMMAND, "export", "first", "--root", str(root), "--format", form, "-o", "/dev/stdout"]
    piped = subprocess.run(command, stdout=subprocess.PIPE, env=environment(), check=True, timeout=60)
    assert piped.stdout == expected
    with (tmp_path / "out").open("wb", buffering=0) as file:
        file.write(b"title\n")
        subprocess.run(command, stdout=file, env=environment(), check=True, timeout=60)
    assert (tmp_path / "out").read_bytes() == b"title\n" + expected


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--format", "parquet"], "-o FILE"),
        (["--format", "xml"], "xml"),
        (["--logs", "--tracks"], "one at a time"),
        (["--logs", "--metric", "train"], "one at a time"),
        (["-o", "nowhere/out.csv"], "no directory"),
        (["-o", "."], "is a directory"),
    ],
)
def test_what_cannot_be_exported_is_a_usage_error(
    root: Path, options: list[str], part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In words, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke("export", "first", "--root", root, *options)
    assert (code, out) == (2, "")
    assert part in err
    assert os.listdir(tmp_path) == ["dash"]


def test_without_pyarrow_parquet_says_what_to_install(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written; the other formats do without it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = invoke("export", "first", "--root", root, "-o", tmp_path / "out.parquet")
    assert (code, out) == (2, "")
    assert "pip install pyarrow" in err
    assert not (tmp_path / "out.parquet").exists()
    assert exported(root, "first")


@pytest.mark.slow
def test_standard_output_is_utf8_whatever_the_locale(root: Path) -> None:
    """It is data, not a message."""
    make(root, "dora/p/utf8", lambda exp: exp.metrics("损失").log(x=1))
    done = shell("export", "utf8", "--root", root, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.code == 0
    assert '"损失",0,' in done.out


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_rows(root: Path) -> None:
    """Block by block: what is held is far less than what is written."""
    peaks = []
    for count in (20_000, 200_000):
        make(root, f"dora/p/rows{count}", partial(training, steps=count))
        tracemalloc.start()
        done = invoke("export", f"rows{count}", "--root", root, "-o", os.devnull, "--format", "csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert done.code == 0
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.slow
def test_names_that_clash_in_an_export_both_stay(tmp_path: Path) -> None:
    """A field `index` gives way to the row's own, and not into the place of a field `index_`."""
    exp = Experiment("alice/vision/clash", dash_root=tmp_path, echo=False)
    with exp.run:
        exp.metrics("m").log(index=1, index_=2)
    command = [sys.executable, "-m", "ml_dash.cli", "export", exp.directory, "--metric", "m", "--format"]
    for form, expected in (("csv", "index__"), ("jsonl", '"index__": 1')):
        text = subprocess.run([*command, form], capture_output=True, text=True, check=True, timeout=60).stdout
        assert expected in text
        assert "2" in text
