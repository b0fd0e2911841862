"""Importing what MLflow keeps: `tests/importers/data/mlflow-*` was written by MLflow 3.17."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from ml_dash import Experiment, InvalidArgumentError
from ml_dash.importers.importing import import_runs
from ml_dash.importers.mlflow.names import typed
from ml_dash.importers.mlflow.source import Mlflow
from ml_dash.importers.report import RunReport
from tests.support.public_trees import bytes_below, metric, problems
from tests.support.serving import until
from tests.support.trackers import MLFLOW, check, interpreter, kept, made

FIRST = "zoe/vision/first"
PARAMS = {"lr": 0.1, "n": 3, "flag": True, "name": "it's: x", "none": None, "zeros": "007"}


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "zoe")


def bring_in(where: Path | str, root: Path) -> list[RunReport]:
    return list(import_runs(Mlflow(str(where)), str(root)))


@pytest.mark.parametrize("name", ["mlflow-sql", "mlflow-files"])
def test_all_that_was_logged_is_here(name: str, tmp_path: Path) -> None:
    """Value by value, with what was said of it, and files; what was deleted there is not here."""
    place, read = kept(name, tmp_path)
    before = bytes_below(place)
    root = tmp_path / "root"
    reports = bring_in(place, root)
    assert problems(reports) == ""
    assert [report.prefix for report in reports] == [FIRST, "zoe/vision/second"]
    check(root, read)
    exp = Experiment(FIRST, dash_root=root)
    assert exp.params.get() == PARAMS
    assert (exp.readme, exp.metadata["team"], exp.status().status) == ("A *try*", "blue", "COMPLETED")
    assert exp.files("notes/note.txt").read_text() == "an artifact"
    assert not any(report.has_news for report in bring_in(place, root))
    assert bytes_below(place) == before


def test_parameters_get_the_types_that_their_texts_stand_for() -> None:
    """Where the text of the value is that text again; else it stays a text."""
    assert [typed(text) for text in ("1", "-2.5", "1e-05", "True", "None", "007", "1_0", "nan", "0.10")] == [
        1, -2.5, 1e-05, True, None, "007", "1_0", "nan", "0.10",
    ]  # fmt: skip


def test_files_that_grow_and_lines_that_are_none(tmp_path: Path) -> None:
    """Lines with a data set behind them, and those of the first versions, too."""
    place, _ = kept("mlflow-files", tmp_path)
    root = tmp_path / "root"
    acc = next(place.rglob("metrics/acc"))
    whole = acc.read_bytes()
    acc.write_bytes(whole[:-5])
    assert "the last line is cut off" in problems(bring_in(place, root))
    acc.write_bytes(whole + b"1796009350676 7.5 41 data abcd\nnothing\n1796009350677 8.5\n")
    reports = bring_in(place, root)
    assert "a line is no time, value and step" in problems(reports)
    assert [(row["step"], row["acc"]) for row in metric(root, None, FIRST) if "acc" in row][-3:] == [
        (39, 39.0),
        (41, 7.5),
        (0, 8.5),
    ]
    shutil.copytree(place / "mlruns", tmp_path / "half")
    meta = next((tmp_path / "half").glob("*/*/meta.yaml"))
    meta.write_bytes(b"")
    reports = bring_in(tmp_path / "half", root)
    assert "meta.yaml cannot be read: it is empty, or half copied" in [str(each.refused) for each in reports]
    acc.write_bytes(b"1 2 3\n")
    assert "written anew" in problems(bring_in(place, root))


def test_a_database_that_was_vacuumed_is_gone_on_with(tmp_path: Path) -> None:
    """Its rows have other numbers then; and one that was replaced is noticed."""
    place, _ = kept("mlflow-sql", tmp_path)
    root = tmp_path / "root"
    bring_in(place, root)
    database = sqlite3.connect(place / "mlflow.db")
    (run,) = database.execute("SELECT run_uuid FROM runs WHERE name = 'first'").fetchone()
    database.execute("DELETE FROM metrics WHERE run_uuid != ?", (run,))
    row = "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)"
    database.execute(row, ("acc", 0.25, 1_900_000_000_000, 99, run))
    database.execute(row, ("a\nb/c", 0.25, 1_900_000_000_000, 99, run))
    database.commit()
    database.execute("VACUUM")
    first = bring_in(place / "mlflow.db", root)[0]
    assert first.rows == 1
    assert metric(root, None, FIRST)[-1]["acc"] == 0.25
    database.execute("DELETE FROM metrics WHERE key = 'odd'")
    database.commit()
    database.close()
    assert "are others than were imported" in problems(bring_in(place, root)[:1])


def test_artifacts_that_are_elsewhere_are_not_read(tmp_path: Path) -> None:
    """A database that somebody has sent must not lead to the user's own files."""
    place, _ = kept("mlflow-sql", tmp_path)
    elsewhere = tmp_path / "elsewhere" / "artifacts"
    elsewhere.mkdir(parents=True)
    (elsewhere / "secret.txt").write_text("secret")
    with sqlite3.connect(place / "mlflow.db") as database:
        database.execute("UPDATE runs SET artifact_uri = ?", (str(elsewhere),))
    database.close()
    reports = bring_in(place, tmp_path / "root")
    assert "artifacts are not beside the database" in problems(reports)
    assert all(report.files == 0 for report in reports)


def test_what_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"")
    for where in (tmp_path / "nothing", tmp_path / "other.db"):
        with pytest.raises(InvalidArgumentError, match="there is no run of MLflow in"):
            bring_in(where, tmp_path / "root")


class _Answers(BaseHTTPRequestHandler):
    """Answers as a server of MLflow does, of one run with values in pages of ten."""

    values: ClassVar[list[tuple[int, Any]]] = []

    def log_message(self, *_: object) -> None:
        return

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if "experiments/search" in self.path:
            self._say({"experiments": [{"experiment_id": "1", "name": "vision"}]})
        else:
            info = {"run_id": "r1", "run_name": "first", "status": "FINISHED", "start_time": "1700000000000",
                    "end_time": 1700000100000, "experiment_id": "1"}  # fmt: skip
            data = {"params": [{"key": "lr", "value": "0.1"}], "metrics": [{"key": "loss"}]}
            self._say({"runs": [{"info": info, "data": data}]})

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path.endswith("get-history"):
            start = int(query.get("page_token", ["0"])[0])
            page = self.values[start : start + 10]
            metrics = [
                {"key": "loss", "value": value, "timestamp": str(1_700_000_000_000 + step), "step": step}
                for step, value in page
            ]
            more = {"next_page_token": str(start + 10)} if start + 10 < len(self.values) else {}
            self._say({"metrics": metrics, **more})
        elif path.endswith("artifacts/list"):
            below = query.get("path", [""])[0]
            files = (
                [{"path": "notes/a.txt", "file_size": "5"}] if below else [{"path": "notes", "is_dir": True}]
            )
            self._say({"files": files})
        elif path == "/get-artifact":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")
        else:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.2:1/")
            self.end_headers()

    def _say(self, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_address[1]}"
        finally:
            listening.shutdown()
            thread.join()


def test_a_server_is_asked_page_by_page(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is here is not asked for again, or not taken twice; where it stops answering, what came is here."""
    monkeypatch.setattr(_Answers, "values", [(step, step / 4) for step in range(23)] + [(23, "NaN")])
    root = tmp_path / "root"
    (report,) = bring_in(server, root)
    assert (report.prefix, report.rows, report.files, problems([report])) == (FIRST, 24, 1, "")
    rows = metric(root, None, FIRST)
    assert [(row["step"], row["loss"]) for row in rows[:23]] == [(step, step / 4) for step in range(23)]
    exp = Experiment(FIRST, dash_root=root)
    assert exp.params.get() == {"lr": 0.1}
    assert exp.files("notes/a.txt").read_text() == "hello"
    assert not bring_in(server, root)[0].has_news
    monkeypatch.setattr(_Answers, "values", [*_Answers.values, (24, 9.0)])
    assert bring_in(server, root)[0].rows == 1
    monkeypatch.setattr(_Answers, "values", [(-1, 0.5), *_Answers.values])
    assert "values came between" in problems(bring_in(server, root))
    assert len(metric(root, None, FIRST)) == 25


def test_a_server_that_does_not_answer_is_told(server: str, tmp_path: Path) -> None:
    """A token goes to no other server, wherever it is redirected to."""
    from ml_dash import ServerUnavailableError
    from ml_dash.importers.mlflow.server import Server

    with pytest.raises(ServerUnavailableError, match="which is another server"):
        Server(server).ask("nowhere")
    with pytest.raises(ServerUnavailableError, match="cannot be asked"):
        bring_in("http://127.0.0.1:9/", tmp_path / "root")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sql", "files"])
def test_what_mlflow_writes_now_is_read(kind: str, tmp_path: Path) -> None:
    read = made("mlflow", MLFLOW, tmp_path / "new", kind)
    bring_in(tmp_path / "new", tmp_path / "root")
    check(tmp_path / "root", read)


@pytest.mark.slow
@pytest.mark.timeout(360)  # two interpreters import all of MLflow
def test_a_server_of_mlflow_is_read(tmp_path: Path) -> None:
    """Values, parameters and artifacts, as it hands them out; a second time nothing is new."""
    place = tmp_path / "server"
    place.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(interpreter("mlflow")), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{place}/mlflow.db", "--artifacts-destination", str(place / "art"),
               "--workers", "1"]  # fmt: skip
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=place,
            env={**clean, "HOME": str(place)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url), "MLflow's server answers")
        read = made("mlflow", MLFLOW, tmp_path / "client", url)
        root = tmp_path / "root"
        reports = bring_in(url, root)
        assert problems(reports) == ""
        check(root, read)
        exp = Experiment(FIRST, dash_root=root)
        assert exp.params.get() == PARAMS
        assert exp.files("notes/note.txt").read_text() == "an artifact"
        assert not any(report.has_news for report in bring_in(url, root))
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
