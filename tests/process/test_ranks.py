"""Ranks of a training as real processes, each its own writer: killed, forking and restarted, here and at a server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scripts import start_python
from tests.support.two_places import KINDS, TestPlace, new_place

pytestmark = pytest.mark.slow

PREFIX = "alice/vision/ddp"
ROWS = 300
SCRIPT = f"""
    import multiprocessing, os, signal
    from ml_dash import Experiment

    kind, where = os.environ["KIND"], os.environ["WHERE"]
    place = dict(dash_root=where) if kind == "root" else dict(dash_url=where, dash_root=None)
    exp = Experiment("alice/vision/ddp", echo=False, resume="never", **place)

    def load(worker):
        for item in range(50):
            exp.metrics("loader").log(worker=worker, item=item)

    with exp.run:
        for step in range({ROWS}):
            exp.metrics("train").log(step=step, loss=exp.rank + step / 1000)
            if step % 100 == 50:
                exp.flush()
        if exp.rank == 0:
            exp.metrics("val").log(acc=0.5)
        workers = [multiprocessing.get_context("fork").Process(target=load, args=(each,)) for each in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        exp.flush()
        if os.environ.get("DIES") == os.environ["RANK"]:
            exp.metrics("train").log(step={ROWS}, loss=exp.rank + {ROWS} / 1000)
            os.kill(os.getpid(), signal.SIGKILL)
    """


@pytest.fixture(params=KINDS)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestPlace]:
    found = new_place(request.param, tmp_path)
    found.settings(monkeypatch)
    yield found
    if found.server is not None:
        found.server.stop()


def launch(place: TestPlace, size: int, **more: str) -> list[int]:
    """As torchrun does: all at once, told by variables who they are. Returns how each has ended."""
    processes = [
        start_python(
            SCRIPT,
            place.directory,
            KIND=place.kind,
            WHERE=place.where,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(size),
            **more,
        )
        for rank in range(size)
    ]
    told = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in told if "Error" in error] == []
    return [process.returncode for process in processes]


def test_each_rank_has_its_own_rows_and_its_children_are_of_it(place: TestPlace) -> None:
    """One is killed: what it had logged is its own all the same, read by whoever comes next."""
    assert launch(place, 3, DIES="2") == [0, 0, -signal.SIGKILL]
    if place.server is not None:
        # the outbox of the killed one is sent by the next run at this place
        with place.experiment("alice/vision/next").run as following:
            assert following.flush(timeout=30).pending == 0
    exp = place.experiment(PREFIX)
    train = exp.metrics("train")
    counts = train.ranks()
    assert counts.keys() == {0, 1, 2}
    assert (counts[0], counts[1]) == (ROWS, ROWS)
    # the last row of the killed one may still be in the outbox of a place that keeps no journal
    assert counts[2] in ((ROWS + 1,) if place.server is None else (ROWS, ROWS + 1))
    for rank in range(3):
        steps = train.to_numpy(rank=rank)
        assert steps["step"].tolist() == list(range(counts[rank]))
        assert (abs(steps["loss"] - rank - steps["step"] / 1000) < 1e-9).all()
        assert exp.metrics("loader").ranks()[rank] == 100
    assert exp.metrics("val").ranks() == {0: 1}
    assert train.read()["total"] == sum(counts.values())
    assert exp.view.run().attempts == 1
