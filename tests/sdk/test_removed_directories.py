"""Directories that are removed or moved under a process that uses them, and used again by it."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.errors import JournalDamageWarning
from ml_dash.journal.disk import Disk
from ml_dash.journal.verify import verify
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage import side_file
from tests.support.seen import TOKEN, Seen, law, until
from tests.support.shell import invoke

PREFIX = "alice/p/run"


def remove(root: Path) -> None:
    shutil.rmtree(root / PREFIX)


def remove_root(root: Path) -> None:
    shutil.rmtree(root)


def move(root: Path) -> None:
    os.rename(root / PREFIX, root / "alice/p/old")


def log(exp: Experiment, start: int, stop: int) -> None:
    for step in range(start, stop):
        exp.metrics("train").log(step=step)


def steps(exp: Experiment) -> list[int]:
    return [row["data"]["step"] for row in exp.metrics("train").read()["data"]]


@pytest.mark.sample(3)
@pytest.mark.parametrize("ends", [True, False], ids=["ended", "open"])
@pytest.mark.parametrize("gets_rid_of_it", [remove, remove_root, move])
def test_a_run_that_begins_again_where_its_directory_is_gone_is_whole(
    tmp_path: Path, gets_rid_of_it: Callable[[Path], None], *, ends: bool
) -> None:
    """Also where the same object begins it again, and where an earlier one has never ended it, as in a notebook."""
    root = tmp_path / "dash"
    first = Experiment(PREFIX, dash_root=root, echo=False).run.start()
    log(first, 0, 10)
    first.flush()
    if ends:
        first.run.complete()
    gets_rid_of_it(root)
    with warnings.catch_warnings():
        warnings.simplefilter("error", JournalDamageWarning)
        again = Experiment(PREFIX, dash_root=root, echo=False).run.start()
        log(again, 10, 20)
        assert steps(again) == list(range(10, 20))
        again.params.set(lr=0.1)
        again.flush()
        law(again)
        again.run.complete()
        first.run.complete()
        remove(root)
        first.run.start()
        log(first, 20, 30)
        assert steps(first) == list(range(20, 30))
        first.run.complete()
    report = verify(os.path.join(first.directory, "journal"))
    assert (report.ok, report.damage) == (True, ())
    if gets_rid_of_it is move:
        moved = Experiment("alice/p/old", dash_root=root)
        assert steps(moved) == list(range(10))
        assert verify(os.path.join(moved.directory, "journal")).damage == ()


@pytest.mark.slow
def test_rows_that_were_removed_before_the_server_had_them_are_lost_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of both runs are at the server; nothing is pending for ever."""
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    root = tmp_path / "dash"
    server = EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN).start()
    try:
        exp = Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False).run.start()
        log(exp, 0, 10)
        exp.files.save_text("there", to="there.txt")
        until(lambda: exp.flush(60).pending == 0, "the first rows at the server")
        server.stop()
        log(exp, 10, 15)
        exp.flush()
        exp.run.complete()
        remove(root)
        server.start()
        exp.run.start()
        law(exp)
        log(exp, 15, 20)
        until(lambda: exp.flush(60).pending == 0, "the last rows at the server")
        law(exp)
        status = exp.status()
        assert (status.logged, status.acknowledged, status.dropped) == (21, 16, {"lost": 5})
        exp.run.complete()
        assert Seen(server, PREFIX).values("step") == [*range(10), *range(15, 20)]
        assert steps(exp) == list(range(15, 20))
    finally:
        server.stop()


@pytest.mark.sample(40)
@pytest.mark.parametrize(
    "is_up", [pytest.param(True, marks=pytest.mark.slow), False], ids=["online", "offline"]
)
def test_a_run_whose_directory_is_moved_while_it_is_open_loses_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_up: bool
) -> None:
    """Rows that are only in the moved directory count as lost to the run, and are sent under the new name."""
    root = tmp_path / "dash"
    with EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN) as server:
        monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
        monkeypatch.setenv("ML_DASH_API_URL", server.url)
        monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
        exp = Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False).run.start()
        log(exp, 0, 10)
        until(lambda: exp.flush(60).pending == 0, "the first rows at the server")
        if not is_up:
            server.stop()
        log(exp, 10, 15)
        assert exp.flush(60 if is_up else None).durable == 15
        move(root)
        log(exp, 15, 20)
        if not is_up:
            server.start()

        def end() -> None:
            until(lambda: exp.flush(60).pending == 0, "nothing pending")
            law(exp)
            assert exp.status().dropped == ({} if is_up else {"lost": 5})
            exp.run.complete()
            steps(exp)

        with pytest.warns(JournalDamageWarning, match="missing"):
            end()

        done = invoke("sync", root)
        assert done.code == 0
        assert "local mode" not in done.err
        there = {*Seen(server, PREFIX).values("step"), *Seen(server, "alice/p/old").values("step")}
        assert there == set(range(20))
        assert Seen(server, "alice/p/old").values("step")[:15] == list(range(15))


def test_a_run_whose_directory_is_removed_while_it_is_open_goes_on(tmp_path: Path) -> None:
    """What was removed is reported as missing, what is logged later is there, and the law holds."""
    root = tmp_path / "dash"
    with Experiment(PREFIX, dash_root=root, echo=False).run as exp:
        log(exp, 0, 10)
        exp.flush()
        remove(root)
        log(exp, 10, 20)
        until(lambda: exp.flush().pending == 0, "the disk works again")
        law(exp)
        assert exp.status().dropped == {}
        with pytest.warns(JournalDamageWarning, match="missing"):
            assert steps(exp) == list(range(10, 20))
    assert verify(os.path.join(exp.directory, "journal")).rows >= 10


@pytest.mark.parametrize("when", ["before", "behind", "side file"])
def test_a_run_begins_while_another_one_removes_the_empty_directories_that_it_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """As the end of a run of the outbox does, in any process: that is no want of permission, and nobody else's file."""
    root = tmp_path / "dash"
    make, read, places = os.makedirs, side_file.read_side_file, [root / PREFIX / "journal"]

    def make_in_vain(path: str, **how: bool) -> None:
        if when == "before" and places:
            make(places.pop().parent, **how)
            raise FileNotFoundError(path)
        make(path, **how)
        if when == "behind" and places:
            remove_root(root)
            places.clear()

    def read_in_vain(directory: str, disk: Disk) -> dict[str, Any]:
        shutil.rmtree(directory)
        return read(directory, disk)

    if when == "side file":
        (root / PREFIX).mkdir(parents=True)
        (root / PREFIX / "experiment.json").write_text("{}")
        monkeypatch.setattr(side_file, "read_side_file", read_in_vain)
    else:
        monkeypatch.setattr("ml_dash.sdk.directory.os.makedirs", make_in_vain)
    with Experiment(PREFIX, dash_root=root, echo=False).run as exp:
        log(exp, 0, 3)
    assert steps(exp) == [0, 1, 2]
    law(exp)
