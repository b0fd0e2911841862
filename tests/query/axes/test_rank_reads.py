"""Rows of a distributed training, read by rank: alike on a disk and at a server, before and after it merges blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.series import Kind, Series
from ml_dash.server.db.tables import SERIES
from ml_dash.server.local.view import LocalView
from ml_dash.storage.survey import survey
from tests.support.seen import Seen
from tests.support.two_places import KINDS, TestPlace, new_place

PREFIX = "alice/vision/ddp"
STEPS = 5
RANKS = (0, 1, 12)


@pytest.fixture(scope="module", params=[*KINDS, "merged"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlace]:
    """Ranks that log side by side, frame by frame in turn; and a process that is none."""
    kind = "root" if request.param == "root" else "server"
    found = new_place(kind, tmp_path_factory.mktemp(kind))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ML_DASH_QUIET", "1")
        found.settings(monkeypatch)
        several = [found.experiment(PREFIX, rank=rank) for rank in (*RANKS, None)]
        for exp in several:
            exp.run.start()
        for step in range(STEPS):
            for exp in several:
                rank = exp.rank
                if rank is None:
                    exp.metrics("alone").log(at=step, _ts=step + 0.5)
                    continue
                exp.metrics("train").log(step=step, loss=step + rank / 100, _ts=step + rank / 100)
                exp.metrics("own").log(rank=f"mine {rank}", _ts=step)
                if not rank:
                    exp.metrics("val").log(acc=step / 10, _ts=step)
                exp.flush()
        several[-1].metrics("train").log(step=99, loss=99.0, _ts=99)
        for exp in several:
            exp.run.complete()
        if request.param == "merged":
            merge(found)
    yield found
    if found.server is not None:
        found.server.stop()


def merge(place: TestPlace) -> None:
    """Have the server make one block of those of several ranks."""
    assert place.server is not None
    assert place.server.store is not None
    store, id_ = place.server.store, Seen(place.server, PREFIX).record["id"]
    numbers = select(SERIES.c.number).where(SERIES.c.experiment_id == id_, SERIES.c.kind == int(Kind.METRIC))
    with store.database.read() as connection:
        found = connection.execute(numbers).scalars().all()
    assert sum(store.compactor.compact(id_, number) for number in found) > len(RANKS) * STEPS


@pytest.fixture
def exp(written: TestPlace, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The experiment, for reading."""
    written.settings(monkeypatch)
    return written.experiment(PREFIX)


def losses(rank: int | None) -> list[float]:
    return [99.0] if rank is None else [step + rank / 100 for step in range(STEPS)]


def test_each_way_to_read_tells_the_rows_of_a_rank(exp: Experiment) -> None:
    train = exp.metrics("train")
    assert train.ranks() == {None: 1, 0: STEPS, 1: STEPS, 12: STEPS}
    assert exp.metrics("val").ranks() == {0: STEPS}
    assert exp.metrics("nowhere").ranks() == {}
    for rank in RANKS:
        found = train.read(rank=rank)
        assert [row["data"]["loss"] for row in found["data"]] == losses(rank)
        assert [row["rank"] for row in found["data"]] == [rank] * STEPS
        assert (found["total"], found["hasMore"]) == (STEPS, False)
        paged: list[float] = []
        at, has_more = 0, True
        while has_more:
            page = train.read(at, 2, rank=rank)
            paged += [row["data"]["loss"] for row in page["data"]]
            at, has_more = page["endIndex"] + 1, page["hasMore"]
        assert paged == losses(rank)
        columns = train.to_numpy(rank=rank)
        assert columns["loss"].tolist() == losses(rank)
        assert columns["rank"].tolist() == [rank] * STEPS
        assert columns["index"].tolist() == [row["index"] for row in found["data"]]
        stats = train.stats(rank=rank)
        assert (stats["count"], stats["fields"]["loss"]["max"]) == (STEPS, max(losses(rank)))
        best = train.best("loss", "min", rank=rank)
        assert best is not None
        assert best.value == rank / 100
        assert train.read(rank=rank, attempt=1)["total"] == STEPS
        listed = {each["name"]: each for each in exp.metrics.list(rank=rank)}
        assert listed.keys() == {"train", "own", "val"} if not rank else {"train", "own"}
        assert listed["train"]["count"] == STEPS
        assert listed["train"]["lastDataAt"] > listed["train"]["firstDataAt"]
    # what a rank has not logged is empty, as what nobody has
    assert exp.metrics("val").read(rank=1)["total"] == 0
    assert exp.metrics("val").stats(rank=12)["count"] == 0


def test_without_a_rank_all_rows_come_each_with_its_own(exp: Experiment) -> None:
    rows = exp.metrics("train").read()["data"]
    assert [(row["data"]["loss"], row.get("rank")) for row in rows if "rank" not in row] == [(99.0, None)]
    for rank in RANKS:
        assert [row["data"]["loss"] for row in rows if row.get("rank") == rank] == losses(rank)
    columns = exp.metrics("train").to_numpy()
    np.testing.assert_array_equal(columns["rank"], [row.get("rank", np.nan) for row in rows])
    assert exp.metrics("val").to_numpy()["rank"].dtype == np.int64
    assert exp.metrics("train").stats()["count"] == len(RANKS) * STEPS + 1
    # no process of it is a rank
    assert "rank" not in exp.metrics("alone").to_numpy()
    assert "rank" not in exp.metrics("alone").read()["data"][0]
    # a field of that name stays what it is
    own = exp.metrics("own").to_pandas()
    assert own[own["rank_"] == 12]["rank"].tolist() == ["mine 12"] * STEPS


def test_a_rank_that_there_is_not_is_refused(exp: Experiment) -> None:
    for ask in (exp.metrics("train").read, exp.metrics("train").to_numpy, exp.metrics.list):
        with pytest.raises(InvalidArgumentError, match="rank=2: there is no such rank, there are 0, 1, 12"):
            ask(rank=2)
        with pytest.raises(InvalidArgumentError, match="rank='1' is not a rank"):
            ask(rank="1")  # type: ignore[arg-type]


def test_a_clock_is_that_of_the_rank_or_where_it_has_none_of_all(exp: Experiment) -> None:
    train = exp.metrics("train")
    # of the rank: 12's first step is later than this row
    assert [row["x"] for row in exp.metrics("own").read(rank=12, x="train/step")["data"]] == [
        None,
        0,
        1,
        2,
        3,
    ]
    assert [row["x"] for row in exp.metrics("own").read(rank=0, x="train/step")["data"]] == [0, 1, 2, 3, 4]
    # of all: only rank 0 evaluates
    assert [row["x"] for row in train.read(rank=12, x="val/acc")["data"]] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert train.to_numpy(rank=1, x="val/acc")["val/acc"].tolist() == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_charts_have_a_line_for_each_rank(written: TestPlace, exp: Experiment) -> None:
    if written.server is None:
        view = LocalView(survey(written.where).experiments[0], 90.0)
        for rank in RANKS:
            drawn = view.chart(Series(Kind.METRIC, "train"), "loss", "step", None, None, 10, None, rank)
            assert drawn["buckets"]["mean"] == losses(rank)
        return
    seen = Seen(written.server, PREFIX)
    asked = {"name": "train", "field": "loss", "x": "step", "stop": "50", "width": "100"}
    drawn = seen.get("metrics/series", by="rank", **asked)
    # a band over the ranks, and a line of each
    assert drawn["buckets"]["min"] == losses(0)
    assert drawn["buckets"]["max"] == losses(12)
    assert [line["rank"] for line in drawn["lines"]] == list(RANKS)
    for line in drawn["lines"]:
        assert line["buckets"]["mean"] == losses(line["rank"])
        assert (line["points"], line["exact"]) == (STEPS, True)
    assert seen.get("metrics/series", rank="1", **asked)["buckets"]["mean"] == losses(1)
    assert [line["rank"] for line in seen.get("metrics/series", rank="1", by="rank", **asked)["lines"]] == [1]


def test_the_launcher_tells_the_rank_and_the_argument_wins(
    written: TestPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    assert written.experiment("alice/vision/a").rank == 3
    assert written.experiment("alice/vision/a", rank=0).rank == 0
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("SLURM_PROCID", "7")
    assert written.experiment("alice/vision/a").rank == 7
    wrong: list[Any] = [-1, True, 1.5, "2"]
    for value in wrong:
        with pytest.raises(InvalidArgumentError, match="is not a rank"):
            written.experiment("alice/vision/a", rank=value)
