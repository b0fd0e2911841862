"""`ml_dash.experiments`, of a local root and of a server: the same filters, orders, tables and series."""

from __future__ import annotations

import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import ml_dash
from ml_dash import (
    InvalidArgumentError,
    InvalidFilterError,
    MissingExtraError,
    NotStartedError,
    ServerUnavailableError,
)
from ml_dash.journal.frame import decode_segment_header
from tests.support.journals import later_version
from tests.support.seen import TOKEN
from tests.support.serving import Client
from tests.support.two_places import TestPlace
from tests.support.unreadable import forbidden

NOBODY = "http://127.0.0.1:9"  # nothing listens there


def names(found: Any) -> list[str]:
    return [each.name for each in found]


def found(
    place: TestPlace, filter: str = "", order: str | None = None, limit: int | None = None
) -> list[str]:
    return names(ml_dash.experiments(place.where, filter, order, limit))


# --- filter, order, limit


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("", "5 4 3 2 1 0"),
        ("tag:sweep", "5 3 1"),
        ("alice/vision/** tag:sweep status:completed", "5 1"),
        ("alice/vision/* ", ""),
        ("run-[0-2]*", "2 1 0"),
        ("**/sweep/*-5", "5"),
        ("status:failed", "3"),
        ("params.lr<0.01", "5 4 3"),
        ("lr=1", "0"),
        ("opt=sgd", "0"),
        ("model.depth>=4", "5 4"),
        ("layers=[64,64] n1", "1"),
        ("best(val/acc)>0.435", "5 4"),
        ("max(val/acc)>0.435 val/acc<0.35", "4"),
        ("metrics.val/acc>=0.35", "5"),
        ("min(train/loss)=0.2 mean(train/loss)<1 count(train/loss)=5", "5 4 3 2 1 0"),
        ("only/here/score=*", "3"),
        ("attempts=1 rows=10", "5 4 2 1 0"),
        ("readme:why owner:alice project:vision name:run-2", "2"),
        ("started>2020 duration<1h 'why not'", "5 4 3 2 1 0"),
        ("nothing-has-this", ""),
    ],
)
def test_a_filter_finds_the_same_in_both_places(sweep: TestPlace, filter: str, expected: str) -> None:
    assert found(sweep, filter) == [f"run-{number}" for number in expected.split()]


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("lr", "543210"),
        ("-params.lr", "012345"),
        ("-best(val/acc)", "543210"),
        ("min(val/acc)", "012345"),
        ("only/here/score", "354210"),
        ("-only/here/score", "354210"),
        ("name", "012345"),
        ("-started", "543210"),
        ("opt", "543210"),
        ("-opt", "054321"),
    ],
)
def test_an_order_sorts_and_what_has_no_value_comes_last(sweep: TestPlace, order: str, expected: str) -> None:
    assert found(sweep, order=order) == [f"run-{number}" for number in expected]
    assert found(sweep, order=order, limit=2) == [f"run-{number}" for number in expected[:2]]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (dict(filter="lr < "), ["filter='lr < '", "‘<’ needs a value"]),
        (dict(filter="lrr<1"), ["at ‘lrr<1’ (character 1)", "did you mean lr"]),
        (dict(filter="tag:x max(val/ac)>1"), ["at ‘max(val/ac)>1’ (character 7)", "did you mean val/acc"]),
        (dict(filter="lr<high"), ["‘lr’ is a number everywhere, and ‘high’ is not one"]),
        (dict(order="-max(val/ac)"), ["order='-max(val/ac)'", "did you mean val/acc"]),
        (dict(order="tags"), ["has no order"]),
    ],
)
def test_what_cannot_be_understood_is_told_with_what_is_possible(
    sweep: TestPlace, arguments: Any, parts: list[str]
) -> None:
    with pytest.raises(InvalidFilterError) as raised:
        found(sweep, **arguments)
    for part in parts:
        assert part in str(raised.value)
    assert raised.value.problems


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (dict(where=[]), "names no place"),
        (dict(where=3), "where"),
        (dict(filter=3), "filter=3 is not a text"),
        (dict(order=3), "order=3 is not a text"),
        (dict(limit=-1), "limit=-1 is not a number"),
        (dict(limit=True), "limit=True is not a number"),
        (dict(limit="2"), "limit='2' is not a number"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: Any, part: str) -> None:
    with pytest.raises(InvalidArgumentError, match=part):
        ml_dash.experiments(**arguments)


def test_a_wrong_keyword_is_told_with_the_right_one() -> None:
    with pytest.raises(ml_dash.InvalidCallError, match=r"write ml_dash.experiments\(order="):
        ml_dash.experiments(sort="lr")  # type: ignore[call-arg]


# --- the list


def test_it_is_a_list_of_experiments_that_are_read_only(sweep: TestPlace) -> None:
    runs = ml_dash.experiments(sweep.where)
    assert (len(runs), bool(runs)) == (6, True)
    assert (runs[0].name, runs[-1].name, names(runs[1:3])) == ("run-5", "run-0", ["run-4", "run-3"])
    exp = runs[2]
    assert (exp.prefix, exp.owner, exp.tags) == ("alice/vision/sweep/run-3", "alice", ["sweep", "n3"])
    assert (exp.readme, exp.metadata) == ("Why not?", {"gpu": "H100"})
    assert exp.params.get()["lr"] == 0.001
    assert exp.metrics("train").to_numpy()["loss"].tolist() == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert exp.summary == {"val/acc": 0.4 + 0.03, "train/loss": 0.2, "only/here/score": 1}
    assert "opened for reading" in repr(exp)
    with pytest.raises(NotStartedError, match="opened for reading"):
        exp.run.start()
    with pytest.raises(IndexError, match="there are 6"):
        runs[6]


def test_nothing_is_read_before_it_is_looked_at(sweep: TestPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = NOBODY if sweep.server else os.path.join(sweep.where, "nowhere")
    runs = ml_dash.experiments(nowhere, "tag:sweep", "-lr")
    assert repr(runs) == f"<some experiments of {runs._places[0].name!r}, filter='tag:sweep', order='-lr'>"
    with pytest.raises(
        (ServerUnavailableError, InvalidArgumentError), match=r"refuses the connection|no directory"
    ):
        len(runs)


def test_what_is_logged_in_this_process_is_seen(place: TestPlace) -> None:
    with place.experiment("alice/p/live") as exp:
        exp.params.set(lr=1)
        exp.metrics("train").log(loss=0.5)
        if place.server is not None:
            exp.flush()
        (seen,) = ml_dash.experiments(place.where, "status:running train/loss=0.5")
        assert seen.summary == {"train/loss": 0.5}
        exp.metrics("train").log(loss=0.25)
        if place.server is not None:
            exp.flush()
        assert exp.summary == {"train/loss": 0.25}
        assert seen.metrics("train").read()["total"] == 2  # read now, and not when it was found


def test_an_empty_place_has_nothing_and_knows_no_names(place: TestPlace) -> None:
    runs = ml_dash.experiments(place.where, "lr<1", "-max(val/acc)")
    assert (list(runs), bool(runs), len(runs)) == ([], False, 0)
    assert ml_dash.experiments(place.where).to_pandas().shape[0] == 0
    assert ml_dash.experiments(place.where).to_arrow().num_rows == 0
    assert ml_dash.experiments(place.where).metrics("train").to_pandas().shape[0] == 0


def test_runs_are_written_and_deleted_while_one_iterates(place: TestPlace) -> None:
    for number in range(3):
        with place.experiment(f"alice/p/run-{number}") as exp:
            exp.metrics("train").log(loss=number)
    runs = ml_dash.experiments(place.where)
    seen = []
    for run in runs:
        seen.append(run.name)
        if run.name == "run-2":
            with place.experiment("alice/p/late") as exp:
                exp.metrics("train").log(loss=9)
            _delete(place, "alice/p/run-0")
    assert seen == ["run-2", "run-1", "run-0"]  # as of when it was looked at first
    assert found(place) == ["late", "run-2", "run-1"]
    with pytest.warns(UserWarning, match="there is no experiment 'alice/p/run-0'"):
        assert runs.metrics("train").to_pandas()["loss"].tolist() == [2, 1]


def test_a_run_that_is_moved_meanwhile_is_told_and_found_under_its_new_name(place: TestPlace) -> None:
    for number in range(2):
        with place.experiment(f"alice/p/run-{number}") as exp:
            exp.metrics("train").log(loss=number)
    runs = ml_dash.experiments(place.where)
    assert names(runs) == ["run-1", "run-0"]
    moved = ml_dash.open("alice/p/run-0", place.where).move("alice/q/moved")
    with pytest.warns(UserWarning, match="there is no experiment 'alice/p/run-0'"):
        assert runs.metrics("train").to_pandas()["loss"].tolist() == [1]
    assert [row["data"]["loss"] for row in moved.metrics("train").read()["data"]] == [0]
    assert sorted(found(place)) == ["moved", "run-1"]
    assert found(place, "alice/q/**") == ["moved"]


def _delete(place: TestPlace, prefix: str) -> None:
    if place.server is None:
        shutil.rmtree(os.path.join(place.where, *prefix.split("/")))
        return
    client = Client(place.server.url, TOKEN)
    (record,) = [each for each in client.get("/experiments")["data"] if each["prefix"] == prefix]
    assert client.ask("DELETE", f"/experiments/{record['id']}").status == 200
    client.close()


# --- tables


def test_a_table_has_a_row_for_each_and_columns_as_filters_call_them(sweep: TestPlace) -> None:
    frame = ml_dash.experiments(sweep.where, order="name").to_pandas()
    assert frame["prefix"].tolist() == [f"alice/vision/sweep/run-{number}" for number in range(6)]
    assert frame["params.lr"].tolist() == [10.0**-number for number in range(6)]
    assert frame["params.model.depth"].tolist() == list(range(6))
    assert frame["params.layers"].tolist() == [[64, 64]] * 6
    assert frame["status"].tolist() == ["completed"] * 3 + ["failed"] + ["completed"] * 2
    assert frame["tags"][1] == ["sweep", "n1"]
    np.testing.assert_allclose(frame["best(val/acc)"], [0.4 + number / 100 for number in range(6)])
    np.testing.assert_allclose(frame["val/acc"], [0.3 + number / 100 for number in range(6)])
    assert [math.isnan(value) for value in frame["only/here/score"]] == [True, True, True, False, True, True]
    assert "val/step" not in frame
    assert str(frame["started"].dtype) == "datetime64[ns, UTC]"
    assert frame["rows"].tolist() == [10, 10, 10, 11, 10, 10]
    assert set(frame.columns) <= {*ml_dash.experiments(sweep.where).columns, "best(val/acc)"}


def test_a_table_has_the_columns_that_are_asked_for(sweep: TestPlace) -> None:
    runs = ml_dash.experiments(sweep.where, "tag:sweep", "lr")
    frame = runs.to_pandas(["name", "lr", "max(val/acc)", "duration", "readme"])
    assert list(frame.columns) == ["name", "lr", "max(val/acc)", "duration", "readme"]
    assert frame["name"].tolist() == ["run-5", "run-3", "run-1"]
    table = runs.to_arrow(["name", "opt", "started", "tags", "params.layers"])
    assert table.column("started").type == pa.timestamp("ns", "UTC")
    assert table.to_pylist()[1]["tags"] == ["sweep", "n3"]
    for column, part in (
        ("lrr", "did you mean lr"),
        ("max(lr)", "no experiment has"),
        ("lr<1", "write one name"),
    ):
        with pytest.raises(InvalidFilterError, match=part):
            runs.to_pandas([column])
    with pytest.raises(InvalidArgumentError, match="3 names no column"):
        runs.to_pandas([3])  # type: ignore[list-item]


@pytest.mark.sample(2)
def test_values_of_several_types_and_sizes_fit_into_tables(place: TestPlace) -> None:
    values: list[Any] = [1, "x", None, 2.5, 2**63, [1, "a"], True, float("nan")]
    for number, value in enumerate(values):
        with place.experiment(f"alice/p/run-{number}") as exp:
            exp.params.set(mixed=value, seed=2**62 + number, half=number if number % 2 else number / 2)
    runs = ml_dash.experiments(place.where, order="name")
    frame = runs.to_pandas(["mixed", "seed", "half"])
    assert frame["mixed"].tolist()[:7] == values[:7]
    assert frame["seed"].tolist() == [2**62 + number for number in range(8)]
    assert frame["half"].dtype == np.float64
    table = runs.to_arrow(["mixed", "seed", "half"])
    assert table.column("mixed").to_pylist()[:6] == ["1", "x", None, "2.5", str(2**63), '[1,"a"]']
    assert table.column("seed").type == pa.int64()


@pytest.mark.parametrize(("package", "call"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow")])
def test_a_package_that_is_not_there_is_named(
    sweep: TestPlace, package: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    runs = ml_dash.experiments(sweep.where)
    for each in (runs, runs.metrics("val")):
        with pytest.raises(MissingExtraError, match=f"pip install {package}"):
            getattr(each, call)()


# --- series


def test_a_metric_of_all_runs_is_read_in_one_call(sweep: TestPlace) -> None:
    runs = ml_dash.experiments(sweep.where, "tag:sweep", "name")
    frame = runs.metrics("val").to_pandas(["step", "acc"])
    assert list(frame.columns) == ["prefix", "index", "_ts", "step", "acc"]
    assert frame["prefix"].tolist() == [each.prefix for each in runs for _ in range(5)]
    assert isinstance(frame["prefix"].dtype, pd.CategoricalDtype)
    assert frame["step"].tolist() == [0, 10, 20, 30, 40] * 3
    assert frame.groupby("prefix", observed=True)["acc"].max().round(2).tolist() == [0.41, 0.43, 0.45]
    arrays = runs.metrics("val").to_numpy()
    assert list(arrays) == [each.prefix for each in runs]
    table = runs.metrics("val").to_arrow(["acc"])
    assert table.column("prefix").to_pylist() == frame["prefix"].tolist()
    assert table.column("acc").to_pylist() == frame["acc"].tolist()


@pytest.mark.sample(2)
def test_one_rank_of_all_runs_is_read_and_placed_by_another_metric(place: TestPlace) -> None:
    """A run without the rank has no rows, one without the x has nothing there; as of each row's time."""
    for name, ranks in (("two", (0, 1)), ("one", (0,)), ("alone", (None,))):
        for rank in ranks:
            exp = place.experiment(f"alice/vision/{name}", rank=rank)
            exp.run.start()
            for step in range(3):
                if name != "alone":
                    exp.metrics("clock").log(epoch=step / 2, _ts=10.0 * step)
                exp.metrics("train").log(step=step, loss=step + (rank or 0) * 100, _ts=10.0 * step + 1)
            exp.run.complete()
    train = ml_dash.experiments(place.where, order="name").metrics("train")

    of_one = train.to_pandas(["loss"], rank=1)
    assert of_one["loss"].tolist() == [100, 101, 102]
    assert set(of_one["prefix"]) == {"alice/vision/two"}
    assert list(of_one.columns) == ["prefix", "index", "_ts", "loss"]
    assert [len(each["index"]) for each in train.to_numpy(rank=1).values()] == [0, 0, 3]

    placed = train.to_arrow(["loss"], rank=0, x="clock/epoch")
    assert placed.column("clock/epoch").to_pylist() == [0, 0.5, 1] * 2
    assert placed.column("prefix").to_pylist() == ["alice/vision/one"] * 3 + ["alice/vision/two"] * 3
    everything = train.to_pandas(["loss", "rank"], x="clock/epoch")
    assert everything["clock/epoch"].isna().sum() == 3  # of the run that has no such metric
    assert sorted(everything["rank"].dropna()) == [0] * 6 + [1] * 3
    assert "step" in train.to_pandas(["loss"], x="step")

    for given, why in (
        ({"rank": 7}, "none of these experiments has it: rank=7"),
        ({"x": "clock/epoc"}, "none of these experiments has it: x='clock/epoc'.*'clock/epoch'"),
        ({"rank": -1}, "rank=-1 is not a rank"),
        ({"x": 3}, "x=3 is not what rows can be placed by"),
        ({"attempt": 9, "x": "clock/epoch"}, "attempt"),
    ):
        for call in (train.to_numpy, train.to_pandas, train.to_arrow):
            with pytest.raises(InvalidArgumentError, match=why):
                call(**given)
    assert ml_dash.experiments(place.where, "name:nobody").metrics("train").to_pandas(rank=7).empty


def test_a_metric_that_few_runs_have_has_their_rows_alone(sweep: TestPlace) -> None:
    runs = ml_dash.experiments(sweep.where)
    frame = runs.metrics("only/here").to_pandas()
    assert frame["score"].tolist() == [1]
    with pytest.raises(InvalidArgumentError, match="'accc'"):
        runs.metrics("val").to_pandas(["accc"])
    with pytest.raises(InvalidArgumentError, match="cannot name a metric"):
        runs.metrics("")


@pytest.mark.sample(2)
def test_fields_that_some_runs_lack_are_filled(place: TestPlace) -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": True}, {"a": 2.5}, {"a": 3, "c": "x"}, {"c": "y", "b": False}]
    for number, row in enumerate(rows):
        with place.experiment(f"alice/p/run-{number}") as exp:
            exp.metrics(None).log(row)
    frame = ml_dash.experiments(place.where, order="name").metrics(None).to_pandas()
    assert frame["a"].tolist()[:3] == [1, 2.5, 3]
    assert math.isnan(frame["a"][3])
    assert frame["b"].tolist() == [True, None, None, False]
    assert frame["c"].tolist()[2:] == ["x", "y"]


# --- several places, and what is wrong with one


def test_several_places_are_one_list(place: TestPlace, tmp_path: Path) -> None:
    other = TestPlace("root", str(tmp_path / "other"), tmp_path)
    with place.experiment("alice/p/one") as exp:
        exp.params.set(lr=0.1)
        exp.metrics("val").log(acc=0.9)
    with other.experiment("alice/p/two") as exp:
        exp.params.set(lr=0.2, width=3)
        exp.metrics("val").log(acc=0.8)
    with other.experiment("alice/p/one") as exp:
        exp.metrics("val").log(acc=0.7)
    both: list[str | Path] = [place.where, Path(other.where)]
    runs = ml_dash.experiments(both)
    assert names(runs) == ["one", "two", "one"]
    assert [each.summary["val/acc"] for each in runs] == [0.7, 0.8, 0.9]
    assert names(ml_dash.experiments(both, order="-val/acc", limit=2)) == ["one", "two"]
    assert names(ml_dash.experiments(both, "width=3")) == [
        "two"
    ]  # which one of the places has never heard of
    with pytest.raises(InvalidFilterError, match="did you mean width"):
        len(ml_dash.experiments(both, "widht=3"))
    frame = runs.metrics("val").to_pandas()
    assert frame["place"].tolist() == [runs._places[1].name] * 2 + [runs._places[0].name]
    assert len(runs.metrics("val").to_numpy()) == 3


def test_what_cannot_be_read_of_a_root_is_told_and_the_rest_is_found(tmp_path: Path) -> None:
    place = TestPlace("root", str(tmp_path / "dash"), tmp_path)
    for name in ("open", "closed"):
        with place.experiment(f"alice/{name}/run") as exp:
            exp.metrics("train").log(loss=1)
    with (
        forbidden(Path(place.where, "alice", "closed")),
        pytest.warns(UserWarning, match="closed.*is not listed"),
    ):
        assert found(place) == ["run"]


def test_an_experiment_whose_journal_cannot_be_read_is_told_and_listed(tmp_path: Path) -> None:
    place = TestPlace("root", str(tmp_path / "dash"), tmp_path)
    for name in ("open", "closed"):
        with place.experiment(f"alice/p/{name}") as exp:
            exp.metrics("train").log(loss=1)
    told = "the journal of 'alice/p/closed' cannot be read, and what filters"
    (segment,) = Path(place.where, "alice", "p", "closed", "journal").iterdir()
    raw = segment.read_bytes()
    header = decode_segment_header(raw, "")
    assert header is not None
    segment.write_bytes(later_version(raw[: header.length]) + raw[header.length :])
    with pytest.warns(UserWarning, match=told):
        assert found(place) == ["closed", "open"]
    with pytest.warns(UserWarning, match=told):
        assert found(place, "train/loss=1") == ["open"]
    segment.write_bytes(raw)
    assert found(place, "train/loss=1") == ["closed", "open"]


def test_a_root_within_a_tree_and_one_experiment_are_places_too(tmp_path: Path) -> None:
    place = TestPlace("root", str(tmp_path / "dash"), tmp_path)
    with place.experiment("alice/vision/run") as exp:
        exp.metrics("train").log(loss=1)
    for where in ("alice", "alice/vision", "alice/vision/run"):
        (seen,) = ml_dash.experiments(os.path.join(place.where, where))
        assert (seen.prefix, seen.metrics("train").read()["total"]) == ("alice/vision/run", 1)
