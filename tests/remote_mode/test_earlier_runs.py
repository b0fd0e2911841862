"""A server that comes later: what runs of an experiment logged before they had one goes there too, each row once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage.blobs import markers
from ml_dash.upload.outbox import earlier, keep_marks
from tests.support.processes import PREFIX, Scripts
from tests.support.seen import Seen, law, until
from tests.support.shell import invoke

pytestmark = pytest.mark.usefixtures("settings")

FIRST = 1_000
CONTENT = bytes(range(256)) * 1_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dash"


def log_locally(root: Path, steps: range, prefix: str = PREFIX) -> Experiment:
    """A run in local mode, with everything that an experiment may have."""
    exp = Experiment(prefix, readme="why", tags=["a"], metadata={"seed": 7}, dash_root=root, echo=False)
    with exp.run:
        exp.params.set(lr=0.1, model={"layers": 3})
        exp.log("training begins", gpu=3)
        for step in steps:
            exp.metrics("train").log(step=step)
        exp.tracks("pose").append(x=1.0, _ts=1.5)
        exp.files("models").save_blob(CONTENT, to="w.bin")
    return exp


def remote(server: EmbeddedServer, root: Path, **arguments: object) -> Experiment:
    return Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False, **arguments)  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_local_runs_logged_is_at_the_server_when_the_first_run_with_one_has_ended(
    server: EmbeddedServer, seen: Seen, root: Path
) -> None:
    """With parameters, messages, tracks and files, and what was said of it; the later word wins."""
    log_locally(root, range(FIRST))
    with remote(server, root, tags=["b"]).run as exp:
        for step in range(FIRST, FIRST + 50):
            exp.metrics("train").log(step=step)
        law(exp)
    assert seen.values("step") == list(range(FIRST + 50))
    assert seen.get("params")["params"] == {"lr": 0.1, "model.layers": 3}
    assert [row["message"] for row in seen.get("logs")["data"]] == ["training begins"]
    assert seen.get("tracks")["data"] == [{"topic": "pose", "count": 1}]
    record = seen.record
    assert (record["readme"], record["tags"], record["metadata"]) == ("why", ["b"], {"seed": 7})
    there = Experiment(PREFIX, dash_url=server.url, dash_root=None)
    assert there.files("models/w.bin").read_bytes() == CONTENT
    # the law is one of this run: what others have logged is told beside it
    status = exp.status()
    assert (status.logged, status.acknowledged, status.pending, status.earlier_bytes) == (50, 50, 0, 0)
    assert markers(exp.directory) == []


def test_a_flush_waits_for_it_and_each_row_is_stored_once(
    server: EmbeddedServer, seen: Seen, root: Path
) -> None:
    """However often a run begins, and whichever kinds of runs follow one another, in one process or in several."""
    log_locally(root, range(10))
    with remote(server, root).run as exp:
        result = exp.flush()
        assert (result.pending, result.reason) == (0, None)
        assert seen.values("step") == list(range(10))
    local = log_locally(root, range(10, 20))
    assert seen.values("step") == list(range(10))
    for step in range(20, 23):
        with exp.run:
            exp.metrics("train").log(step=step)
    assert seen.values("step") == list(range(23))
    law(exp)
    law(local)


def test_other_experiments_below_the_root_are_not_sent_unasked(
    server: EmbeddedServer, seen: Seen, root: Path
) -> None:
    """Nor is what was logged for another server."""
    log_locally(root, range(3), "alice/vision/other")
    for url in ("http://127.0.0.1:9", None):
        with Experiment(PREFIX, dash_url=url, dash_root=root, echo=False).run as exp:
            exp.metrics("train").log(step=1 if url is None else 0)
    with remote(server, root).run:
        pass
    assert seen.values("step") == [1]
    assert not Seen(server, "alice/vision/other").known


@pytest.mark.slow
def test_an_outage_holds_up_neither_a_flush_nor_the_end_and_is_told(
    server: EmbeddedServer, seen: Seen, scripts: Scripts, home: Path
) -> None:
    """`ml-dash sync` sends all of it then, without being told where to: the experiment has a server now."""
    log_locally(home, range(10))
    server.stop()
    script = f"""
        from ml_dash import Experiment

        with Experiment({PREFIX!r}, dash_url=True, echo=False).run as exp:
            exp.metrics("train").log(step=10)
            result = exp.flush(timeout=30)
            print(result.pending, result.online)
        """
    done = scripts.run(script)
    assert done.stdout == "1 False\n"
    assert "does not have 1 event, and what earlier runs have logged yet, safe in the journal" in done.stderr
    server.start()
    code, out, err = invoke("sync", home)
    assert (code, err) == (0, "")
    assert f"{PREFIX} -> {server.url}: 15 events sent, 1 file sent" in out
    assert seen.values("step") == list(range(11))


@pytest.mark.slow
def test_a_server_that_comes_back_gets_it_while_the_run_goes_on(
    server: EmbeddedServer, seen: Seen, root: Path
) -> None:
    log_locally(root, range(10))
    server.stop()
    with remote(server, root).run as exp:
        exp.flush()
        server.start()
        until(lambda: exp.status().online, "the server is back")
        until(lambda: seen.values("step") == list(range(10)), "what was logged before is there")


def test_what_the_process_is_killed_over_is_sent_by_the_next(
    server: EmbeddedServer, seen: Seen, scripts: Scripts, home: Path
) -> None:
    """And where all ended well, the exit says nothing."""
    log_locally(home, range(FIRST))
    start = f"exp = Experiment({PREFIX!r}, dash_url=True, echo=False).run.start()"
    killed = scripts.run(f"import os\nfrom ml_dash import Experiment\n{start}\nos._exit(3)")
    assert killed.returncode == 3
    finished = scripts.run(f"from ml_dash import Experiment\n{start}\nexp.metrics('train').log(step={FIRST})")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert seen.values("step") == list(range(FIRST + 1))


@pytest.mark.slow
def test_files_are_remembered_when_the_rows_have_arrived_before_them(
    server: EmbeddedServer, seen: Seen, root: Path
) -> None:
    """A run of local mode has marked no blob: they are marked before the first of its rows is sent."""
    directory = log_locally(root, range(3)).directory
    left = earlier(directory, server.url, frozenset())
    assert left is not None
    keep_marks(left)
    keep_marks(left)
    (mark,) = markers(directory)
    assert mark.writer in left.writers
    with remote(server, root).run:
        pass
    assert markers(directory) == []
    # the cursor of the run itself is written now and then, and its end may have come behind the last time
    until(lambda: earlier(directory, server.url, frozenset()) is None, "nothing is left")
    os.remove(next(Path(directory, "files").glob("??/*")))
    there = Experiment(PREFIX, dash_url=server.url, dash_root=None)
    assert there.files("models/w.bin").read_bytes() == CONTENT
