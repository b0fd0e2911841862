"""Remote mode without a journal that stays, and what earlier runs have left to be sent."""

from __future__ import annotations

import os
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, ServerUnavailableError
from ml_dash.client.destination import destination
from ml_dash.errors import ValueWarning
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.server.runner import EmbeddedServer
from ml_dash.upload.outbox import Replay, clear, leftovers
from tests.support.processes import PREFIX, Scripts, expect_line, finish
from tests.support.seen import Seen, law, until
from tests.support.unreadable import forbidden, unreadable

pytestmark = pytest.mark.usefixtures("settings")

ROWS = 200

LOG_OFFLINE = f"""
    import os
    from ml_dash import Experiment

    exp = Experiment({PREFIX!r}, dash_url=True, dash_root={{root}}, echo=False).run.start()
    for step in range({ROWS}):
        exp.metrics("train").log(step=step)
    exp.flush()
    {{end}}
    """


def _done(event: threading.Event, work: Future[Any]) -> None:
    """Let a thread go on, to its end."""
    event.set()
    work.result()


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Where journals lie that are only kept until the server has them."""
    return tmp_path / "config" / "outbox"


@pytest.fixture
def remote(server: EmbeddedServer) -> Experiment:
    """An experiment of remote mode, not started."""
    return Experiment(PREFIX, dash_url=server.url, dash_root=None, echo=False)


def files_in(directory: Path) -> list[str]:
    """Return the names of all files below a directory."""
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def test_reads_see_what_was_logged_before_them(remote: Experiment, seen: Seen) -> None:
    """All of it, by the server's word, in the shapes of local mode."""
    with remote.run:
        remote.params.set(lr=0.1, model={"layers": 3})
        for step in range(ROWS):
            remote.metrics("train").log(step=step, loss=float("nan") if step == 1 else step / 2)
        page = remote.metrics("train").read(start_index=1, limit=2)
        assert (page["total"], page["startIndex"], page["endIndex"], page["hasMore"]) == (ROWS, 1, 2, True)
        assert [row["data"]["step"] for row in page["data"]] == [1, 2]
        assert remote.params.get(flatten=False) == {"lr": 0.1, "model": {"layers": 3}}
        remote.log("beginning", level="warn", lr=0.1)
        assert remote.logs.read(level="warn")["data"][0]["metadata"] == {"lr": 0.1}
        remote.tracks("pose").append(x=1.0, _ts=2.0)
        assert remote.tracks("pose").read()["entries"] == [{"timestamp": 2.0, "x": 1.0}]
        assert remote.metrics("train").stats()["fields"]["loss"]["nan"] == 1
        assert remote.metrics("train").to_numpy()["step"].tolist() == list(range(ROWS))
        assert [metric["name"] for metric in remote.metrics.list()] == ["train"]
        assert remote.metrics("none").read()["total"] == 0
        law(remote)
    assert remote.view.run().status == "COMPLETED"
    assert seen.values("step") == list(range(ROWS))


def test_a_read_does_not_wait_for_what_is_logged_after_it_began(
    remote: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another thread, which logs on: the server can answer for all that came before."""
    with remote.run:
        remote.metrics("train").log(step=0)
        session = remote._session
        status = session.status

        def log_one_more() -> Any:
            monkeypatch.setattr(session, "status", status)
            remote.metrics("train").log(step=1)
            return status()

        monkeypatch.setattr(session, "status", log_one_more)
        assert remote.metrics("train").read()["data"][0]["data"]["step"] == 0
    law(remote)


def test_what_another_process_sends_that_lives_is_not_taken_from_it(
    server: EmbeddedServer, scripts: Scripts
) -> None:
    """It has ended its run, and would take what it finds removed for lost."""
    server.stop()
    env = {"ML_DASH_FLUSH_TIMEOUT": "0", "ML_DASH_START_TIMEOUT": "0", "ML_DASH_EXIT_TIMEOUT": "0"}
    text = LOG_OFFLINE.format(root=None, end="exp.run.complete(); print(exp.directory, flush=True); input()")
    process = scripts.start(text, env=env)
    directory = expect_line(process)
    assert list(leftovers([directory], server.url, are_removed=True)) == []
    assert [each.directory for each in leftovers([directory], server.url)] == [directory]
    finish(process, "\n")
    assert [each.directory for each in leftovers([directory], server.url, are_removed=True)] == [directory]


def test_what_two_processes_remove_is_gone(tmp_path: Path) -> None:
    """Each of them a journal that the server has: the later one finds no directory, or no file."""
    directory = tmp_path / "owner" / "project" / "name"
    clear(str(tmp_path), str(directory), ["0123456789abcdef-1f-00000001"])
    assert not directory.exists()


def test_a_row_that_takes_longer_than_its_run_is_sent(remote: Experiment, seen: Seen, outbox: Path) -> None:
    """Another thread's: the journal is gone when it comes, and nobody sends what is in it."""
    began, ended = threading.Event(), threading.Event()

    class Slow:
        def __repr__(self) -> str:
            began.set()
            ended.wait()
            return "slow"

    with ThreadPoolExecutor() as pool, remote.run:
        remote.metrics("train").log(step=0)
        late = pool.submit(lambda: remote.metrics("train").log(step=1, x=Slow()))
        began.wait()
        remote.run.complete()
        assert files_in(outbox) == []
        with pytest.warns(ValueWarning, match="cannot be stored as it is"):
            _done(ended, late)
        assert remote.flush().pending == 0
    assert seen.values("step") == [0, 1]
    with remote.run:
        remote.metrics("train").log(step=2)
    assert seen.values("step") == [0, 1, 2]
    law(remote)
    assert remote.status().dropped == {}
    assert files_in(outbox) == []


def test_an_experiment_is_read_without_a_start(remote: Experiment, server: EmbeddedServer) -> None:
    """And one that the server does not have is an empty one, of which it is told once."""
    with pytest.warns(UserWarning, match=f"no experiment '{PREFIX}' at {server.url}"):
        assert remote.metrics("train").read()["total"] == 0
    assert remote.params.get() == {}
    with Experiment(PREFIX, dash_url=server.url, dash_root=None, echo=False).run as exp:
        exp.metrics("train").log(step=1)
    assert remote.metrics("train").read()["total"] == 1
    assert remote.run.status is None


def test_the_journal_is_gone_when_the_server_has_it_and_the_run_has_ended(
    remote: Experiment, outbox: Path, seen: Seen
) -> None:
    """Until then it is there; and a run that begins again in the same process goes on as if nothing had been."""
    remote.run.start()
    remote.metrics("train").log(step=0)
    assert remote.flush().pending == 0
    assert any(name.endswith(".mldj") for name in files_in(outbox))
    remote.run.complete()
    assert files_in(outbox) == []

    with remote.run:
        remote.metrics("train").log(step=1)
        assert remote.metrics("train").read()["total"] == 2
        assert remote.status().acknowledged == remote.status().logged == 2
        law(remote)
    assert files_in(outbox) == []
    assert seen.values("step") == [0, 1]


@pytest.mark.slow
def test_a_read_says_why_the_server_does_not_answer(
    remote: Experiment, server: EmbeddedServer, outbox: Path, seen: Seen
) -> None:
    """And what waits, and where; nothing is lost, and a later read has it all."""
    remote.run.start()
    server.stop()
    remote.metrics("train").log(step=0)
    with pytest.raises(ServerUnavailableError, match=r"1 events have not arrived yet.*since") as caught:
        remote.metrics("train").read()
    assert isinstance(caught.value, ConnectionError)
    law(remote)
    assert any(name.endswith(".mldj") for name in files_in(outbox))
    server.start()
    until(lambda: remote.status().online, "the client found the server again")
    assert remote.metrics("train").read()["total"] == 1
    remote.run.complete()
    assert seen.values("step") == [0]


def test_a_reader_of_a_server_that_is_away_is_told_so(remote: Experiment, server: EmbeddedServer) -> None:
    """There is nothing here that could answer."""
    server.stop()
    with pytest.raises(ServerUnavailableError, match="refuses the connection"):
        remote.metrics("train").read()


@pytest.mark.sample(4)
@pytest.mark.parametrize("end", ["", "os._exit(0)"], ids=["completed", "killed"])
@pytest.mark.parametrize("root", ["'.dash'", "None"], ids=["hybrid", "remote"])
def test_the_next_run_sends_what_earlier_ones_left(
    root: str, end: str, server: EmbeddedServer, scripts: Scripts, seen: Seen
) -> None:
    """In the background, once; with the same root and server, whatever its own name is."""
    environment = {"ML_DASH_CONFIG_DIR": str(scripts.home / "config")}
    server.stop()
    assert scripts.run(LOG_OFFLINE.format(root=root, end=end), env=environment).returncode == 0
    server.start()
    next_run = f"""
        import sys, time
        from ml_dash import Experiment
        from ml_dash.pipeline.runtime import RUNTIME

        with Experiment("alice/vision/next", dash_url=True, dash_root={root}, echo=False).run as exp:
            exp.metrics("train").log(step=0)
            for replay in RUNTIME._replays.values():
                assert replay.finished.wait(60)
        """
    finished = scripts.run(next_run, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    assert seen.values("step") == list(range(ROWS))
    if root == "None":
        assert files_in(scripts.home / "config" / "outbox") == []


def test_a_run_of_local_mode_is_not_sent_because_another_of_its_name_was(
    server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    """Who asks for local mode gets it, in the same process and the same directory."""
    root = tmp_path / "dash"
    with Experiment(PREFIX, dash_url=server.url, dash_root=root, echo=False).run as sent:
        sent.metrics("train").log(step=0)
    with Experiment(PREFIX, dash_root=root, echo=False).run as local:
        local.metrics("train").log(step=1)
        assert local.url is None
        assert local.flush().acknowledged == 1
        assert local.metrics("train").read()["total"] == 2
    assert seen.values("step") == [0]


def test_a_run_that_begins_while_another_one_s_journal_is_removed_has_one_of_its_own(
    remote: Experiment, seen: Seen, outbox: Path
) -> None:
    """Of the same experiment, in another thread: what it logs must not be in a file that is about to go."""
    other = Experiment(PREFIX, dash_url=seen.server.url, dash_root=None, echo=False)
    cleared: list[tuple[Any, ...]] = []

    def clear_late(*which: Any) -> None:
        patch.undo()
        with other.run:
            other.metrics("train").log(step=1)
            clear(*which)
            cleared.append(which)
            other.metrics("train").log(step=2)
        law(other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml_dash.upload.outbox.clear", clear_late)
        with remote.run:
            remote.metrics("train").log(step=0)
    assert cleared
    assert seen.values("step") == [0, 1, 2]
    for exp in (remote, other):
        law(exp)
        assert exp.status().dropped == {}
    assert files_in(outbox) == []


@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.slow) for turn in range(1, 10))])
def test_runs_of_one_experiment_that_begin_and_end_in_many_threads_are_sent_whole(
    server: EmbeddedServer, seen: Seen, outbox: Path, turn: int
) -> None:
    logged: dict[str, int] = {}

    def work(name: str) -> None:
        chance = random.Random(f"{turn} {name}")
        logged[name] = 0
        for _ in range(5):
            exp = Experiment(PREFIX, dash_url=server.url, dash_root=None, echo=False)
            with exp.run:
                for _ in range(chance.randrange(1, 20)):
                    exp.metrics(name).log(step=logged[name])
                    logged[name] += 1
            law(exp)
            assert exp.status().dropped == {}
            time.sleep(chance.choice([0, 0.01 * chance.random()]))

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(work, name) for name in "abc"]:
            done.result()
    for name, count in logged.items():
        assert seen.values("step", name) == list(range(count))
    assert files_in(outbox) == []


def test_the_configuration_directory_is_private(remote: Experiment, tmp_path: Path) -> None:
    """Journals in the outbox are as private as the tokens beside them."""
    with remote.run:
        remote.metrics("train").log(step=0)
    assert os.stat(tmp_path / "config").st_mode & 0o077 == 0


@pytest.mark.slow
def test_what_was_left_for_another_server_stays(
    server: EmbeddedServer, seen: Seen, scripts: Scripts, tmp_path: Path
) -> None:
    """A replay sends only what was meant for the server that it replays to."""
    log = LOG_OFFLINE.format(root="'.dash'", end="")
    assert scripts.run(log, env={"ML_DASH_API_URL": "http://127.0.0.1:9"}).returncode == 0
    next_run = """
        from ml_dash import Experiment
        from ml_dash.pipeline.runtime import RUNTIME

        with Experiment("alice/vision/next", dash_url=True, echo=False).run as exp:
            for replay in RUNTIME._replays.values():
                assert replay.finished.wait(60)
        """
    assert scripts.run(next_run).returncode == 0
    assert not seen.known


def test_what_an_earlier_run_left_and_cannot_be_read_is_told(
    server: EmbeddedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not taken for nothing: an experiment, and a directory above some."""
    server.stop()
    root = tmp_path / "dash"
    for prefix in (PREFIX, "alice/other/run"):
        with Experiment(prefix, dash_url=server.url, dash_root=root, echo=False).run as left:
            left.metrics("train").log(step=0)
    server.start()
    markers = Path(left.directory, "files", "unsent")
    markers.mkdir(parents=True)
    with unreadable(markers), forbidden(root / "alice/vision"):
        replay = Replay(destination(server.url, root), frozenset, RUNTIME.read, RUNTIME.look_up)
        assert replay._find() == []
    told = [message for message in caplog.messages if "whether all of it was sent is not known" in message]
    assert [str(root / "alice/vision") in told[0], left.directory in told[1]] == [True, True]
    assert {left.directory for left in replay._find()} == {str(root / PREFIX), left.directory}
