"""Attempts of one experiment on machines whose clocks differ: the later attempt is the later one, whatever they say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.journal.index import JournalIndex
from ml_dash.query.runs import writer_runs
from ml_dash.server.runner import EmbeddedServer
from tests.support.processes import PREFIX
from tests.support.scripts import python
from tests.support.seen import until

pytestmark = [
    pytest.mark.usefixtures("settings"),
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is no signal there"),
]

ATTEMPT = """
    import os, signal, sys, time

    ahead, real_ns, real = {ahead}, time.time_ns, time.time
    time.time_ns = lambda: real_ns() + ahead * 10**9
    time.time = lambda: real() + ahead

    from ml_dash import Experiment

    exp = Experiment({prefix!r}, dash_url={url!r}, dash_root={root!r}, echo=False)
    exp.run.start()
    exp.params.set(lr={number}, model={{"a{number}": {number}}})
    exp.metrics("train").log(number={number})
    exp.log("attempt {number}")
    saved = exp.files("out").save_text("{number}", to="result.txt")
    if {number} > 0:
        first = (exp.files("first.txt").list() or [exp.files().save_text("first", to="first.txt")])[0]
    else:
        first = exp.files().save_text("first", to="first.txt")
    exp.files(file_id=first["id"], description="attempt {number}").update()
    exp.flush()
    {end}
"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"


def attempt(cwd: Path, url: str | None, root: str | None, number: int, ahead: int, end: str) -> None:
    script = ATTEMPT.format(prefix=PREFIX, url=url, root=root, number=number, ahead=ahead, end=end)
    python(script, cwd, status=-9 if end == KILLED else 0)


@pytest.mark.slow
@pytest.mark.parametrize("clocks", [(0, -60), (3600, 0, -60)], ids=str)
@pytest.mark.parametrize("end", ["exp.run.fail()", KILLED], ids=["failed", "killed"])
@pytest.mark.parametrize("mode", ["local", "hybrid", "remote-only"])
def test_a_later_attempt_wins_whatever_its_clock_says(
    mode: str, end: str, clocks: tuple[int, ...], server: EmbeddedServer, tmp_path: Path
) -> None:
    url = None if mode == "local" else server.url
    root = None if mode == "remote-only" else str(tmp_path / "dash")
    last = len(clocks) - 1
    for number, ahead in enumerate(clocks):
        attempt(tmp_path, url, root, number, ahead, "exp.run.complete()" if number == last else end)

    for place in ({"dash_root": root}, {"dash_url": url, "dash_root": None}):
        if not any(place.values()):
            continue
        exp = Experiment(PREFIX, dash_url=place.get("dash_url"), dash_root=place["dash_root"])
        assert exp.params.get() == {"lr": last, **{f"model.a{n}": n for n in range(last + 1)}}
        assert [row["data"]["number"] for row in exp.metrics("train").read()["data"]] == [*range(last + 1)]
        assert [row["message"] for row in exp.logs.read()["data"]] == [
            f"attempt {n}" for n in range(last + 1)
        ]
        assert exp.files("out/result.txt").read_text() == str(last)
        (first,) = exp.files("first.txt").list()
        assert first["description"] == f"attempt {last}"
        if end == KILLED and place["dash_root"] is None:
            continue  # for a minute and a half the server takes those that were killed for alive
        run = exp.view.run()
        assert (run.status, run.stale, run.error) == ("COMPLETED", False, None)
        assert run.ended_at is not None
        assert run.started_at is not None
        assert run.started_at < run.ended_at


@pytest.mark.slow
def test_a_run_at_a_server_that_was_begun_on_a_machine_whose_clock_is_behind_is_the_newest(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    """Killed as well: what it says of itself counts, and not the end of the one before."""
    attempt(tmp_path, server.url, None, 0, 3600, "exp.run.fail('at first')")
    attempt(tmp_path, server.url, None, 1, 0, KILLED)
    run = Experiment(PREFIX, dash_url=server.url, dash_root=None).view.run(stale_after=0)
    assert (run.status, run.ended_at) == ("RUNNING", None)


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False], ids=["hybrid", "remote-only"])
def test_a_run_that_is_begun_again_comes_behind_one_of_another_process(
    *, keeps: bool, server: EmbeddedServer, tmp_path: Path
) -> None:
    root = str(tmp_path / "dash") if keeps else None
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False)
    for number in (0, 2):
        with exp.run:
            exp.params.set(lr=number)
            exp.metrics("train").log(number=number)
        if number == 0:
            attempt(tmp_path, server.url, root, 1, -60, "exp.run.complete()")
    for place in (root, None):
        seen = Experiment(PREFIX, dash_url=server.url, dash_root=place)
        assert [row["data"]["number"] for row in seen.metrics("train").read()["data"]] == [0, 1, 2]
        assert seen.params.get()["lr"] == 2
    status = exp.status()
    assert (status.logged, status.acknowledged, status.pending, status.dropped) == (4, 4, 0, {})


@pytest.mark.slow
def test_an_update_is_not_undone_when_the_start_is_put_behind_a_clock_that_is_ahead(
    server: EmbeddedServer, tmp_path: Path, settings: pytest.MonkeyPatch
) -> None:
    """What the start says once more is what is said by then."""
    attempt(tmp_path, server.url, None, 0, 3600, "exp.run.complete()")
    settings.setenv("ML_DASH_START_TIMEOUT", "0")
    settings.setenv("ML_DASH_HEARTBEAT", "0.05")
    server.stop()
    root = tmp_path / "dash"
    with Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False, tags=["given"]) as exp:
        exp.tags = ["said"]
        server.start()
        until(lambda: exp.flush(1).online and _is_repeated(exp), "the start was put once more")
    Path(exp.directory, "experiment.json").unlink()
    assert Experiment(PREFIX, dash_root=root).tags == ["said"]
    assert Experiment(PREFIX, dash_url=server.url, dash_root=None).tags == ["said"]


def _is_repeated(exp: Experiment) -> bool:
    index = JournalIndex(os.path.join(exp.directory, "journal"))
    index.refresh()
    return any(row.get("again") for runs in writer_runs(index).values() for _, row in runs.rows)
