"""Files of runs with a server: their contents get there, whatever happens on the way, and the law holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli import main
from ml_dash.errors import ContentError, FileMissingError, ServerUnavailableError
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage.blobs import Staging, add_marker, markers
from tests.remote_mode.line import Line
from tests.support.processes import PREFIX, Scripts, finish
from tests.support.seen import TOKEN, Seen, law, until
from tests.support.shell import written_on_terminal

pytestmark = pytest.mark.usefixtures("settings")

LARGE = os.urandom(9 << 20) * 2
"""A content of three parts."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the journals lie."""
    return tmp_path / "dash"


@pytest.fixture(params=["hybrid", "remote"])
def exp(request: pytest.FixtureRequest, server: EmbeddedServer, root: Path) -> Experiment:
    """An experiment with a server, with a journal that is kept and without."""
    return Experiment(PREFIX, dash_url=server.url, dash_root=root if request.param == "hybrid" else None)


def parts_received(server: EmbeddedServer) -> float:
    """How many parts the server has stored since it started."""
    assert server.store is not None
    return float(server.store.telemetry.parts._value.get())


def at_server(server: EmbeddedServer) -> Experiment:
    """The experiment as the server has it."""
    return Experiment(PREFIX, dash_url=server.url, dash_root=None)


@pytest.mark.sample(2)
def test_files_are_at_the_server_when_flush_says_so(
    exp: Experiment, server: EmbeddedServer, tmp_path: Path
) -> None:
    """Large ones, small ones and empty ones; whatever is read is read as it was saved."""
    with exp.run:
        large = exp.files("models").save_blob(LARGE, to="large.bin", tags=["best"])
        small = exp.files("configs").save_json({"lr": 0.1}, to="config.json")
        empty = exp.files.save_blob(b"", to="empty.bin")
        law(exp)
        result = exp.flush(60)
        assert (result.pending, result.acknowledged) == (0, 3)
        assert exp.status().pending_files == 0
        law(exp)
        assert exp.files.list() == [empty, small, large]

    there = at_server(server)
    assert there.files.list() == [empty, small, large]
    assert there.files(tags=["best"]).list() == [large]
    assert there.files("configs/*.json").list() == [small]
    path = there.files(file_id=large["id"]).download(str(tmp_path / "got.bin"))
    assert Path(path).read_bytes() == LARGE
    assert there.files("configs/config.json").read_text() == '{\n  "lr": 0.1\n}'
    assert there.files("empty.bin").read_bytes() == b""


@pytest.mark.slow
def test_files_are_changed_and_deleted_at_the_server(exp: Experiment, server: EmbeddedServer) -> None:
    with exp.run:
        row = exp.files("models").save_blob(b"weights", to="a.pt")
        exp.files("models").save_blob(b"newer", to="a.pt")
        exp.files(file_id=row["id"], description="old", tags=["x"]).update()
        exp.files("notes").save_text("x", to="x.txt")
        deleted = exp.files("notes/x.txt").delete()
        exp.flush(60)
    there = at_server(server)
    assert [each["filename"] for each in there.files.list()] == ["a.pt"]
    assert there.files("models/a.pt").read_bytes() == b"newer"
    assert there.files(file_id=row["id"]).list()[0]["description"] == "old"
    with pytest.raises(FileMissingError, match="was deleted at"):
        there.files(file_id=deleted["id"]).download()


@pytest.mark.sample(2)
def test_equal_contents_are_sent_once(exp: Experiment, server: EmbeddedServer) -> None:
    with exp.run:
        for number in range(5):
            exp.files("copies").save_blob(b"the same" * 1000, to=f"{number}.bin")
        exp.files.duplicate("copies/0.bin", to="another.bin")
        assert exp.flush(60).pending == 0
    assert parts_received(server) == 1
    assert len(at_server(server).files.list()) == 6


@pytest.mark.slow
def test_files_saved_in_an_outage_are_sent_when_it_is_over(server: EmbeddedServer, root: Path) -> None:
    """They are pending until then, and nobody waits for them."""
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
    exp.files.save_text("before", to="before.txt")
    assert exp.flush(60).pending == 0
    server.stop()
    row = exp.files.save_blob(LARGE, to="large.bin")
    exp.metrics("train").log(step=0)
    result = exp.flush(60)
    law(exp)
    # a file whose row has not arrived either is taken off twice: never is too much said to have arrived
    assert (result.durable, result.acknowledged, result.pending) == (3, 0, 3)
    assert exp.status().pending_files == 1
    assert exp.status().pending_bytes >= len(LARGE)
    assert exp._session.channel is not None
    assert markers(exp.directory) == [(row["checksum"], exp._session.channel.writer_id)]
    server.start()
    until(lambda: exp.status().pending == 0, "all that was saved in the outage to be sent")
    law(exp)
    exp.run.complete()
    assert at_server(server).files("large.bin").read_bytes() == LARGE
    assert markers(exp.directory) == []


def restored(server: EmbeddedServer, data: Path, backup: Path) -> None:
    """Make the server what it was when the backup was made."""
    server.stop()
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    server.start()


@pytest.mark.slow
def test_a_server_restored_from_a_backup_gets_the_files_of_a_run_that_goes_on(
    exp: Experiment, server: EmbeddedServer, seen: Seen, tmp_path: Path
) -> None:
    """They are pending until it has them again; those that only the server had are lost, which is told."""
    data, backup = tmp_path / "server", tmp_path / "backup"
    exp.run.start()
    exp.files.save_blob(b"before", to="before.bin")
    assert exp.flush(60).pending == 0
    server.stop()
    shutil.copytree(data, backup)
    server.start()
    for name, content in (("large.bin", LARGE), ("small.bin", b"small"), ("again.bin", b"small")):
        exp.files.save_blob(content, to=name)
    exp.files.save_blob(b"before", to="same.bin")
    until(lambda: exp.flush(60).pending == 0, "all of it at the server")

    restored(server, data, backup)
    exp.metrics("train").log(step=0)
    until(lambda: seen.has(1) and exp.status().online, "the restored server found")
    until(lambda: exp.flush(60).pending == 0, "nothing pending")
    law(exp)
    there = {row["filename"]: row["available"] for row in seen.get("files")["data"]}
    kept = exp._session.destination.keeps
    assert there == {
        "before.bin": True,
        "same.bin": True,
        "large.bin": kept,
        "small.bin": kept,
        "again.bin": kept,
    }
    assert exp.status().dropped == ({} if kept else {"damaged": 3})
    exp.run.complete()
    assert markers(exp.directory) == []


@pytest.mark.slow
def test_a_blob_that_came_before_its_row_is_missed_when_the_row_comes_to_a_restored_server(
    server: EmbeddedServer, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row of the backup names it, so that the server says at first that nothing is missing."""
    monkeypatch.setenv("ML_DASH_LINGER", "3600")
    data, backup = tmp_path / "server", tmp_path / "backup"
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root)
    with exp.run:
        exp.metrics("train").log(step=0)
        assert exp.flush(45).pending == 0
        server.stop()
        shutil.copytree(data, backup)
        server.start()
        exp.files.save_blob(b"weights", to="w.bin")
        until(lambda: not exp.status().pending_files, "the blob there, and its row still waiting here")
        law(exp)
        restored(server, data, backup)
        assert exp._session.channel is not None
        delivery = exp._session.channel.delivery
        assert delivery is not None
        delivery._uploader.introduce()
        until(lambda: delivery._uploader.has_introduced, "the restored server found")
        time.sleep(0.5)  # it has been asked meanwhile what it lacks, if that is asked at once
        law(exp)
        assert exp.flush(45).pending == 0
        law(exp)
        assert at_server(server).files("w.bin").read_bytes() == b"weights"


@pytest.mark.slow
def test_markers_tell_the_next_run_which_files_a_restored_server_lacks(
    server: EmbeddedServer, seen: Seen, root: Path, tmp_path: Path
) -> None:
    """A run may die between the server's answer and the sending."""
    data, backup = tmp_path / "server", tmp_path / "backup"
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
    assert server.store is not None
    server.store.limits.change("alice", {"quota_bytes": 1})
    server.stop()
    shutil.copytree(data, backup)
    server.start()
    server.store.limits.change("alice", {"quota_bytes": None})
    row = exp.files.save_blob(b"weights", to="a.bin")
    until(lambda: exp.flush(60).pending == 0, "all of it at the server")
    assert exp._session.channel is not None
    marker = (row["checksum"], exp._session.channel.writer_id)
    assert markers(exp.directory) == []

    restored(server, data, backup)  # and takes no file now
    exp.metrics("train").log(step=0)
    until(lambda: markers(exp.directory) == [marker], "the file marked as not sent")
    law(exp)
    server.store.limits.change("alice", {"quota_bytes": None})
    until(lambda: exp.flush(60).pending == 0, "the file sent")
    assert [each["available"] for each in seen.get("files")["data"]] == [True]
    assert markers(exp.directory) == []
    exp.run.complete()


@pytest.mark.slow
@pytest.mark.crash
def test_files_of_a_killed_run_are_sent_by_sync(
    server: EmbeddedServer, scripts: Scripts, home: Path, server_down: None
) -> None:
    """Its rows and its contents; a second `sync` sends nothing."""
    process = scripts.start(
        """
        import os, signal
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash", dash_url=True).run.start()
        exp.files("models").save_blob(bytes(range(256)) * 80_000, to="large.bin")
        exp.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    finish(process)
    server.start()
    assert main(["sync", str(home)]) == 0
    assert at_server(server).files("models/large.bin").read_bytes() == bytes(range(256)) * 80_000
    before = parts_received(server)
    assert main(["sync", str(home)]) == 0
    assert parts_received(server) == before


@pytest.mark.slow
@pytest.mark.crash
def test_the_next_run_sends_the_contents_that_a_killed_one_left_though_its_rows_had_arrived(
    server: EmbeddedServer, scripts: Scripts, home: Path
) -> None:
    """Markers on the disk are what is looked for."""
    finished = scripts.run(
        """
        from ml_dash import Experiment

        with Experiment("alice/vision/resnet", dash_root=".dash", dash_url=True).run as exp:
            row = exp.files.save_text("killed", to="a.txt")
            assert exp.flush(60).pending == 0
            print(exp._session.channel.writer_id)
        """
    )
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=home)
    (row,) = exp.files.list()
    assert server.store is not None
    with server.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM content_parts")
        connection.exec_driver_sql("DELETE FROM contents")
    add_marker(exp.directory, row["checksum"], finished.stdout.strip())
    with pytest.raises(FileMissingError, match=r"not been uploaded|not here"):
        at_server(server).files("a.txt").read_bytes()

    with Experiment("alice/vision/other", dash_url=server.url, dash_root=home).run:
        until(lambda: not markers(exp.directory), "the replay of what the earlier run left")
    assert at_server(server).files("a.txt").read_text() == "killed"


@pytest.mark.slow
def test_a_server_that_has_lost_contents_gets_them_from_sync(server: EmbeddedServer, root: Path) -> None:
    """A backup that was restored, for instance: it is asked what it lacks."""
    with Experiment(PREFIX, dash_url=server.url, dash_root=root).run as exp:
        exp.files.save_blob(LARGE, to="large.bin")
        assert exp.flush(60).pending == 0
    assert server.store is not None
    with server.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM content_parts")
        connection.exec_driver_sql("DELETE FROM contents")
    assert main(["sync", str(root)]) == 0
    assert at_server(server).files("large.bin").read_bytes() == LARGE


@pytest.mark.slow
def test_a_content_that_is_damaged_on_this_disk_is_counted_and_not_sent_for_ever(
    server: EmbeddedServer, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before it could be sent; the others are sent."""
    server.stop()
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
    bad = exp.files.save_text("it was so", to="bad.txt")
    exp.files.save_text("good", to="good.txt")
    exp.flush(60)
    path = Path(Staging(exp.directory).path_of(bad["checksum"]))
    path.write_text("it is not")
    server.start()
    until(lambda: exp.status().pending == 0, "the contents to be sent, or given up")
    law(exp)
    assert exp.status().dropped == {"damaged": 1}
    assert "is damaged on this disk" in caplog.text
    exp.run.complete()
    assert at_server(server).files("good.txt").read_text() == "good"
    with pytest.raises((ContentError, FileMissingError)):
        exp.files("bad.txt").download(str(root / "x"))
    assert main(["sync", str(root)]) == 1


@pytest.mark.slow
def test_a_quota_keeps_a_file_back_and_nothing_else(
    settings: pytest.MonkeyPatch, tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once; rows and smaller files go on, and the content is sent when there is room."""
    with EmbeddedServer(data=tmp_path / "small", admin_token=TOKEN, quota_bytes=1000) as server:
        settings.setenv("ML_DASH_API_URL", server.url)
        exp = Experiment(PREFIX, dash_url=server.url, dash_root=root).run.start()
        exp.files.save_blob(bytes(2000), to="too-large.bin")
        exp.files.save_blob(b"fits", to="fits.bin")
        exp.metrics("train").log(step=0)
        until(lambda: exp.status().pending == 1, "all but the large file to be sent")
        law(exp)
        result = exp.flush(30)
        assert (result.pending, result.acknowledged) == (1, 2)
        exp.run.complete()
        assert caplog.text.count("does not take the content") == 1
        assert at_server(server).files("fits.bin").read_bytes() == b"fits"
        assert main(["sync", str(root)]) == 1
        assert server.store is not None
        server.store.limits.change("alice", {"quota_bytes": None})
        assert main(["sync", str(root)]) == 0
        assert at_server(server).files("too-large.bin").read_bytes() == bytes(2000)


def test_remote_only_leaves_nothing_behind_when_all_has_arrived(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with Experiment(PREFIX, dash_url=server.url, dash_root=None).run as exp:
        exp.files.save_blob(LARGE, to="large.bin")
    until(lambda: not os.path.exists(exp.directory), "the outbox to be emptied")


@pytest.mark.slow
def test_remote_only_keeps_its_files_until_the_server_is_back(server: EmbeddedServer, tmp_path: Path) -> None:
    server.stop()
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=None).run.start()
    exp.files.save_blob(LARGE, to="large.bin")
    exp.run.complete()
    with pytest.raises(ServerUnavailableError):
        exp.files.list()
    server.start()
    until(lambda: exp.status().pending == 0, "what was saved to be sent")
    assert at_server(server).files("large.bin").read_bytes() == LARGE


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_sends_its_own_files(server: EmbeddedServer, scripts: Scripts) -> None:
    finished = scripts.run(
        """
        import os
        from ml_dash import Experiment

        exp = Experiment("alice/vision/resnet", dash_root=".dash", dash_url=True)
        with exp.run:
            exp.files.save_text("parent", to="parent.txt")
            child = os.fork()
            if child == 0:
                exp.files.save_text("child", to="child.txt")
                assert exp.flush(60).pending == 0
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert exp.flush(60).pending == 0
        """
    )
    assert finished.returncode == 0, finished.stderr
    there = at_server(server)
    assert [row["filename"] for row in there.files.list()] == ["child.txt", "parent.txt"]
    assert there.files("child.txt").read_text() == "child"


@pytest.mark.slow
def test_a_large_file_gets_through_a_line_that_is_cut_again_and_again(
    server: EmbeddedServer, root: Path
) -> None:
    """Each part that arrives counts: none is sent much more than once, and none is given up for another's sake."""
    size = 12 * (8 << 20)
    with Experiment(PREFIX, dash_root=root).run as exp:
        exp.files.save_blob(os.urandom(1 << 20) * (size >> 20), to="large.bin")
    with Line(server.url, cut_after=9 << 20) as line:
        assert main(["sync", str(root), "--to", line.url]) == 0
        assert line.cuts >= 6
        assert line.carried < 2.5 * size
    assert at_server(server).files("large.bin").list()[0]["sizeBytes"] == size
    assert parts_received(server) == 12


@pytest.mark.slow
def test_a_small_file_does_not_wait_for_a_large_one(server: EmbeddedServer, root: Path) -> None:
    """It goes between two parts."""
    with Line(server.url, per_second=12 << 20) as line:
        exp = Experiment(PREFIX, dash_url=line.url, dash_root=root)
        with exp.run:
            large = exp.files.save_blob(os.urandom(1 << 20) * 120, to="large.bin")
            until(lambda: parts_received(server) >= 1, "the first part")
            small = exp.files.save_text("small", to="small.txt")
            assert server.store is not None
            contents = server.store.blob_catalogue

            def has_small() -> bool:
                found = contents.find("alice", small["checksum"])
                return found is not None and found.complete

            until(has_small, "the small file")
            upload = contents.find("alice", large["checksum"])
            assert upload is not None
            assert not upload.complete
            assert len(upload.parts) < 15
            until(lambda: exp.status().pending == 0, "the rest")
            law(exp)


@pytest.mark.slow
def test_a_content_that_was_damaged_after_it_was_sent_is_not_sent_again(
    server: EmbeddedServer, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server asks for it, having lost it; what is here is read before any of it is sent."""
    with Experiment(PREFIX, dash_url=server.url, dash_root=root).run as exp:
        row = exp.files.save_blob(LARGE, to="large.bin")
    path = Path(Staging(exp.directory).path_of(row["checksum"]))
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"damaged")
    assert server.store is not None
    with server.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM content_parts")
        connection.exec_driver_sql("DELETE FROM contents")
    before = parts_received(server)
    for _ in range(2):
        assert main(["sync", str(root)]) == 1
        assert "large.bin is damaged" in capsys.readouterr().err
    assert parts_received(server) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_who_waits_at_exit_on_a_terminal_sees_how_far_it_is(
    server: EmbeddedServer, scripts: Scripts, tmp_path: Path
) -> None:
    """After the first second; and in a pipe there is a line, and no bar."""
    script = tmp_path / "script.py"
    with Line(server.url, per_second=6 << 20) as line:
        script.write_text(
            "import os\n"
            "from ml_dash import Experiment\n"
            f"exp = Experiment({PREFIX!r}, dash_url={line.url!r}, dash_root={str(tmp_path / 'dash')!r}, echo=False)\n"
            "exp.run.start()\n"
            "exp.files.save_blob(os.urandom(1 << 20) * 40, to=os.urandom(4).hex())\n"
        )
        env = {
            **scripts.environ,
            "ML_DASH_TOKEN": TOKEN,
            "ML_DASH_EXIT_TIMEOUT": "40",
            "ML_DASH_FLUSH_TIMEOUT": "1",
        }
        shown = written_on_terminal([sys.executable, str(script)], 100, env)
        assert "Sending the last events" in shown
        assert "files" in shown
        assert re.search(r"\d+(\.\d+)?/41\.9 MB", shown)
        assert "%" in shown
        piped = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, check=True)
        assert "Sending the last events" in piped.stderr
        assert "%" not in piped.stderr


@pytest.mark.slow
def test_remote_only_a_content_leaves_the_disk_when_it_has_arrived(server: EmbeddedServer) -> None:
    """And not when the run ends; one that is saved again, at any moment, is there as before."""
    exp = Experiment(PREFIX, dash_url=server.url, dash_root=None)
    with exp.run:
        for number in range(50):
            exp.files.save_blob(b"the same", to=f"same-{number}.bin")
            exp.files.save_blob(b"%d" % number, to="own.bin")
            if number % 10 == 0:
                exp.flush(30)
        exp.files.save_blob(LARGE, to="large.bin")
        assert exp.flush(60).pending == 0
        law(exp)
        assert dict(exp.status().dropped) == {}
        contents = [path for path in Path(exp.directory, "files").rglob("*") if path.is_file()]
        assert contents == []
        assert exp.files("large.bin").read_bytes() == LARGE
        assert exp.files("same-49.bin").read_bytes() == b"the same"
        assert exp.files("own.bin").read_bytes() == b"49"


def test_a_content_that_was_removed_here_and_is_at_the_server_is_not_lost(
    server: EmbeddedServer, root: Path
) -> None:
    """The marker is still here, as after a crash between the two: the server is asked before anything is given up."""
    with Experiment(PREFIX, dash_url=server.url, dash_root=root).run as exp:
        row = exp.files.save_text("sent", to="a.txt")
        assert exp._session.channel is not None
        writer = exp._session.channel.writer_id
    add_marker(exp.directory, row["checksum"], writer)
    Path(Staging(exp.directory).path_of(row["checksum"])).unlink()
    assert main(["sync", str(root)]) == 0
    assert markers(exp.directory) == []
    assert exp.files("a.txt").read_text() == "sent"
