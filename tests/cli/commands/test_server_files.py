"""Files at a server: listed, downloaded, uploaded, and sent by `sync`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli.commands.upload import Addition, NewFile, make_experiment
from ml_dash.client.destination import destination
from ml_dash.sdk.files.details import Details
from ml_dash.sdk.files.names import Place
from ml_dash.server.runner import EmbeddedServer
from tests.cli.commands.saved import PREFIX, below, content_of, names, rows, saving
from tests.support.listening import Quiet, listening
from tests.support.shell import COMMAND, SECONDS, environment, invoke, succeed, wait_for

LARGE = bytes(range(256)) * 80_000
"""More than goes in one request."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    """A server, whose token this process has."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    with EmbeddedServer(data=tmp_path / "server") as running:
        monkeypatch.setenv("ML_DASH_TOKEN", running.admin_token)
        monkeypatch.setenv("ML_DASH_API_URL", running.url)
        yield running


@pytest.fixture
def saved(server: EmbeddedServer) -> Path:
    """The root of an experiment with files, all of which the server has."""
    with Experiment(PREFIX, dash_url=server.url, echo=False).run as exp:
        saving(exp)
        exp.files.save_blob(LARGE, to="large.bin")
        assert exp.flush(60).pending == 0
    return Path(".dash").absolute()


def at(server: EmbeddedServer, *arguments: str) -> list[dict[str, object]]:
    """Return the rows that the server lists."""
    found: list[dict[str, object]] = json.loads(
        succeed("files", PREFIX, *arguments, "--url", server.url, "--json")
    )
    return found


@pytest.mark.sample(5)
@pytest.mark.parametrize("arguments", [(), ("models",), ("*.pt", "--versions"), ("--deleted",), ("*.gif",)])
def test_a_server_lists_what_this_disk_does(
    server: EmbeddedServer, saved: Path, arguments: tuple[str, ...]
) -> None:
    here = invoke("files", PREFIX, *arguments, "--root", saved, "--json")
    there = invoke("files", PREFIX, *arguments, "--url", server.url, "--json")
    assert (there.code, json.loads(there.out)) == (here.code, json.loads(here.out))


def test_files_are_downloaded_from_a_server(server: EmbeddedServer, saved: Path, tmp_path: Path) -> None:
    """Whatever is on this disk; and not again where they are there."""
    out = tmp_path / "out"
    succeed("download", PREFIX, "-o", out, "--url", server.url)
    assert below(out) == {
        "configs/config.json": b'{"lr": 0.1}',
        "empty.bin": b"",
        "large.bin": LARGE,
        "models/best.pt": b"newer",
    }
    assert succeed("download", PREFIX, "-o", out, "--url", server.url).count("already there") == 4
    (old,) = [row for row in at(server, "models", "--versions") if row["sizeBytes"] == 3]
    succeed("download", PREFIX, "--id", str(old["id"]), "--force", "-o", out, "--url", server.url)
    assert (out / "models" / "best.pt").read_bytes() == b"old"


@pytest.mark.slow
def test_what_is_not_on_this_disk_comes_from_the_server(
    server: EmbeddedServer, saved: Path, tmp_path: Path
) -> None:
    """That is told; a content that is damaged here counts as one that is not here. `verify` knows the difference."""
    content_of(saved, "large.bin").unlink()
    content_of(saved, "models").write_bytes(b"never")
    done = invoke("download", PREFIX, "-o", tmp_path / "out", "--root", saved)
    assert done.code == 0
    assert done.err.count("asking the server") == 2
    assert below(tmp_path / "out")["large.bin"] == LARGE
    assert below(tmp_path / "out")["models/best.pt"] == b"newer"
    verified = invoke("verify", PREFIX, "--root", saved).out
    assert "1 more at the server only" in verified
    assert "models/best.pt: its contents are damaged" in verified


@pytest.mark.slow
def test_a_server_that_is_away_costs_no_more_than_what_it_alone_has(
    server: EmbeddedServer, saved: Path, tmp_path: Path
) -> None:
    content_of(saved, "large.bin").unlink()
    content_of(saved, "configs").unlink()
    server.stop()
    done = invoke("download", PREFIX, "-o", tmp_path / "out", "--root", saved)
    assert done.code == 1
    assert set(below(tmp_path / "out")) == {"empty.bin", "models/best.pt"}
    assert done.err.count("refuses the connection") == 2


def test_an_experiment_or_a_server_that_there_is_not_is_named(server: EmbeddedServer, tmp_path: Path) -> None:
    Path("x.txt").write_text("x")
    for command in (["files", PREFIX], ["download", PREFIX, "-o", "out"], ["upload", PREFIX, "x.txt"]):
        unknown = invoke(*command, "--url", server.url)
        assert unknown.code == 2
        assert PREFIX in unknown.err
        assert server.url in unknown.err
        wrong = invoke(*command, "--url", "http://dash.example.com")
        assert wrong.code == 2
        assert "https" in wrong.err
    assert not Path("out").exists()
    server.stop()
    away = invoke("files", PREFIX, "--url", server.url)
    assert away.code == 1
    assert "refuses the connection" in away.err


@pytest.mark.slow
def test_an_upload_is_sent_where_the_experiments_runs_are(
    server: EmbeddedServer, saved: Path, tmp_path: Path
) -> None:
    """And the status of its run at the server stays."""
    (tmp_path / "more.bin").write_bytes(LARGE + b"more")
    done = invoke("upload", PREFIX, "more.bin", "--to", "extra/", "--tag", "t", "--root", saved)
    assert done.code == 0
    assert f"1 file sent to {server.url}" in done.err
    assert at(server, "extra") == rows(saved, "extra")
    succeed("download", PREFIX, "extra", "-o", tmp_path / "out", "--url", server.url)
    assert below(tmp_path / "out") == {"extra/more.bin": LARGE + b"more"}
    assert Experiment(PREFIX, dash_url=server.url, dash_root=None).view.run().status == "COMPLETED"


@pytest.mark.slow
def test_an_upload_that_cannot_be_sent_stays_for_sync(
    server: EmbeddedServer, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, and a line that says so."""
    (tmp_path / "more.bin").write_bytes(b"more")
    token = server.admin_token
    monkeypatch.setenv("ML_DASH_TOKEN", "mld_wrong")
    done = invoke("upload", PREFIX, "more.bin", "--root", saved)
    assert done.code == 1
    assert "1 file added, but not sent" in done.err
    assert "ml-dash sync" in done.err
    assert names(saved, "more.bin") == ["more.bin"]

    monkeypatch.setenv("ML_DASH_TOKEN", token)
    synced = invoke("sync", saved)
    assert synced.code == 0
    assert "1 file" in synced.out
    succeed("download", PREFIX, "more.bin", "-o", tmp_path / "out", "--url", server.url)
    assert below(tmp_path / "out") == {"more.bin": b"more"}


@pytest.mark.slow
def test_an_upload_to_a_server_leaves_nothing_on_this_disk(
    server: EmbeddedServer, saved: Path, tmp_path: Path
) -> None:
    """As in remote mode, it waits in the outbox only until the server has it."""
    before = sorted(path for path in saved.rglob("*") if path.is_file())
    (tmp_path / "more.bin").write_bytes(LARGE + b"!")
    assert invoke("upload", PREFIX, "more.bin", "--url", server.url).code == 0
    assert [path for path in (tmp_path / "config").rglob("*") if path.is_file()] == []
    assert sorted(path for path in saved.rglob("*") if path.is_file()) == before
    succeed("download", PREFIX, "more.bin", "-o", tmp_path / "out", "--url", server.url)
    assert below(tmp_path / "out") == {"more.bin": LARGE + b"!"}


def test_what_an_upload_left_in_the_outbox_is_synced(
    server: EmbeddedServer, saved: Path, tmp_path: Path
) -> None:
    """No run says where it was meant to go; the outbox does."""
    (tmp_path / "more.bin").write_bytes(b"more")
    target = destination(server.url, None)
    directory = str(Path(target.root, PREFIX))
    make_experiment(directory, PREFIX, server.url)
    with Addition(directory, for_server=True) as addition:
        addition.add(NewFile(str(tmp_path / "more.bin"), Place("/", "more.bin"), Details()))
    assert invoke("sync").code == 0
    assert [path for path in Path(target.root).rglob("*") if path.is_file()] == []
    assert [row["filename"] for row in at(server, "more.bin")] == ["more.bin"]


class _Endless(Quiet, BaseHTTPRequestHandler):
    """An ML-Dash server with one file, whose content never ends."""

    def do_GET(self) -> None:
        if self.path.endswith("/content"):
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 40))
            self.end_headers()
            self.wfile.write(b"x" * (8 << 20))
            self.wfile.flush()
            threading.Event().wait(SECONDS)
            return
        row: dict[str, object] = {
            "id": "file_1",
            "path": "/",
            "filename": "big.bin",
            "description": None,
            "tags": [],
            "bindrs": [],
            "contentType": "application/octet-stream",
            "sizeBytes": 1 << 40,
            "checksum": "0" * 64,
            "metadata": None,
            "uploadedAt": "2026-11-25T06:00:00.000000Z",
            "updatedAt": "2026-11-25T06:00:00.000000Z",
            "deletedAt": None,
        }
        record = {"id": "exp_1", "prefix": PREFIX}
        data = [row if "/files" in self.path else record]
        raw = json.dumps({"data": data, "total": 1, "hasMore": False, "cursor": None}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _has_begun(directory: Path) -> bool:
    return any(path.stat().st_size for path in directory.glob(".big.bin.*.part"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals like these")
def test_ctrl_c_ends_a_download_and_leaves_nothing(tmp_path: Path) -> None:
    """Not even the temporary file, and no word but the exit code."""
    out = tmp_path / "out"
    with listening(_Endless) as url:
        with subprocess.Popen(
            [*COMMAND, "download", PREFIX, "--url", url, "-o", str(out)],
            env=environment(ML_DASH_CONFIG_DIR=str(tmp_path / "config")),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            wait_for(lambda: process.poll() is not None or _has_begun(out))
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=SECONDS)
        assert said == (b"", b"")
        assert process.returncode == 130
        assert list(out.iterdir()) == []
