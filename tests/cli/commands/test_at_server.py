"""`show`, `tail` and `export` of what a server has: the same as of its journal on this disk."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import TOKEN, until
from tests.support.shell import invoke

PREFIX = "alice/vision/run"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data=tmp_path_factory.mktemp("server"), admin_token=TOKEN).start()
    yield server
    server.stop()


@pytest.fixture
def place(tmp_path: Path, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_API_URL", server.url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(place: None, server: EmbeddedServer, request: pytest.FixtureRequest) -> str:
    """An experiment that lies in a root, and at the server."""
    prefix = f"{PREFIX}-{abs(hash(request.node.name)):x}"
    exp = Experiment(prefix, dash_url=server.url, readme="why\nso", tags=["a"], echo=False, capture=False)
    with exp.run:
        exp.params.set(lr=0.1, model={"layers": 3})
        exp.log("begins", gpu=3)
        for step in range(50):
            exp.metrics("train").log(step=step, loss=1 / (step + 1), text="x")
        exp.metrics("eval").log(acc=0.5)
        exp.tracks("pose").append(x=1.0, _ts=10.0)
        exp.tracks("pose").append(x=2.0, _ts=20.0)
        exp.files("models").save_json({"a": 1}, to="a.json")
        exp.log("ends", level="warn")
        assert exp.flush(60).pending == 0
    assert server.store is not None
    return prefix


def here_and_there(server: EmbeddedServer, *words: str) -> tuple[str, str]:
    here, there = invoke(*words), invoke(*words, "--url", server.url)
    assert (here.code, here.err) == (0, "")
    assert (there.code, there.err) == (0, "")
    return here.out, there.out


def test_all_about_one_is_what_its_journal_says(
    run: str, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # both are asked at one moment: a second later the ages of files are others
    now = SimpleNamespace(time_ns=partial(int, time.time_ns()))
    monkeypatch.setattr("ml_dash.cli.commands.show.time", now)
    here, there = (json.loads(each) for each in here_and_there(server, "show", run, "--json"))
    assert there["url"] == server.url
    for name in (
        "prefix",
        "status",
        "stale",
        "startedAt",
        "endedAt",
        "host",
        "pid",
        "error",
        "rows",
        "attempts",
    ):
        assert there[name] == here[name], name
    for name in ("params", "metrics", "tracks", "logs", "environment"):
        assert there[name] == here[name], name
    assert there["files"]["count"] == here["files"]["count"] == 1
    assert [there["experiment"][name] for name in ("readme", "tags")] == ["why\nso", ["a"]]

    here, there = here_and_there(server, "show", run)
    sections = [re.split(r"\n(?=\w)", text, maxsplit=1)[1] for text in (here, there)]
    assert sections[0] == sections[1], "from the parameters on, with sparklines, files and messages"
    assert re.search(rf"url +{server.url}", there)
    chosen = json.loads(invoke("show", run, "--metric", "eval", "--json", "--url", server.url).out)
    assert [each["name"] for each in chosen["metrics"]] == ["eval"]


@pytest.mark.slow
def test_one_attempt_is_shown_as_it_went(place: None, server: EmbeddedServer) -> None:
    """With its own status, times, host and surroundings, and its own rows of the metrics."""
    exp = Experiment(f"{PREFIX}-twice", dash_url=server.url, echo=False, capture=False)
    for resume_from, loss in ((None, 4.0), (2, 1.0)):
        exp.run.start(resume_from=resume_from)
        for step in range(resume_from or 0, 5):
            exp.metrics("train").log(step=step, loss=loss)
        if resume_from is None:
            exp.run.fail("out of memory")
        else:
            exp.run.complete()
    assert exp.flush(60).pending == 0
    for attempt, status, rows, error in (("1", "FAILED", 5, "out of memory"), ("2", "COMPLETED", 3, None)):
        words = ("show", exp.prefix, "--attempt", attempt)
        here, there = (json.loads(each) for each in here_and_there(server, *words, "--json"))
        for name in ("status", "startedAt", "endedAt", "host", "error", "attempt", "attempts", "metrics"):
            assert there[name] == here[name], name
        assert (here["status"], here["error"], here["attempt"]) == (status, error, int(attempt))
        assert [each["count"] for each in here["metrics"]] == [rows]
        for text in here_and_there(server, *words):
            title, _, rest = text.partition("\n")
            assert title.split() == [exp.prefix, status]
            assert re.search(rf"attempt +{attempt} of 2\n", rest)
            assert f"{rows} rows\n" in rest
    whole = json.loads(here_and_there(server, "show", exp.prefix, "--attempt", "all", "--json")[0])
    assert [each["count"] for each in whole["metrics"]] == [8]
    for where in ((), ("--url", server.url)):
        refused = invoke("show", exp.prefix, "--attempt", "3", *where)
        assert (refused.code, "no such attempt, but 2 of them" in refused.err) == (2, True)
        assert invoke("show", exp.prefix, "--attempt", "newest", *where).code == 2


def test_the_last_rows_are_those_of_the_journal(run: str, server: EmbeddedServer) -> None:
    for words in ([], ["-n", "3"], ["-n", "0"], ["--logs"], ["--metric", "train", "-n", "60"]):
        here, there = here_and_there(server, "tail", run, *words)
        assert there == here


@pytest.mark.slow
def test_rows_are_exported_as_from_the_journal(run: str, server: EmbeddedServer, tmp_path: Path) -> None:
    for words in (
        ["--metric", "train"],
        ["--metric", "train", "--format", "jsonl"],
        ["--logs"],
        ["--tracks"],
        ["--metric", "train", "--attempt", "1"],
    ):
        here, there = here_and_there(server, "export", run, *words)
        assert there == here
    here, there = here_and_there(server, "export", run)
    assert sorted(there.splitlines()) == sorted(here.splitlines())
    done = invoke("export", run, "-o", "out.csv", "--url", server.url)
    assert (done.code, done.err) == (0, "51 rows written to out.csv\n")
    for words, said in ((["--metric", "trian"], "train"), (["--metric", "none"], "there are")):
        refused = invoke("export", run, *words, "--url", server.url)
        assert (refused.code, said in refused.err) == (2, True)


@pytest.mark.parametrize("command", ["show", "tail", "export"])
def test_what_is_not_there_is_told(place: None, server: EmbeddedServer, command: str) -> None:
    refused = invoke(command, "alice/none/none", "--url", server.url)
    assert refused.code == 2
    assert "alice/none/none" in refused.err
    away = invoke(command, "alice/none/none", "--url", "http://127.0.0.1:9")
    assert (away.code, away.out) == (1, "")


def test_a_run_is_followed_to_its_end(
    place: None, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that come while it is followed are shown once, and the end is told."""
    monkeypatch.setattr("ml_dash.cli.commands.tail._ASK_SECONDS", 0.02)
    exp = Experiment(
        f"{PREFIX}-live", dash_url=server.url, dash_root=None, echo=False, capture=False
    ).run.start()
    exp.metrics("train").log(step=0)
    exp.flush(60)

    def go_on() -> None:
        for step in range(1, 20):
            exp.metrics("train").log(step=step)
            exp.flush(60)
        exp.run.complete()

    thread = threading.Thread(target=go_on)
    thread.start()
    done = invoke("tail", "-f", f"{PREFIX}-live", "-n", "100", "--metric", "train", "--url", server.url)
    thread.join()
    until(lambda: not thread.is_alive(), "the run over")
    assert [int(each) for each in re.findall(r"step=(\d+)", done.out)] == list(range(20))
    assert done.err.startswith("-- COMPLETED after ")
