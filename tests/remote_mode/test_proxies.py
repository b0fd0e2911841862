"""A proxy before the server that takes small bodies only: everything gets through, and nothing is set aside."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.support.limiting_proxy import LimitingProxy
from tests.support.processes import PREFIX
from tests.support.seen import TOKEN, Seen, law, until
from tests.support.shell import invoke

pytestmark = pytest.mark.usefixtures("settings")

MEBIBYTE = 1 << 20
WIDE = 150_000
"""Numbers in a row: a frame of more than a MiB, which deflate makes no smaller."""


@pytest.fixture(params=[False, True], ids=["answers", "resets"])
def proxy(server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[LimitingProxy]:
    with LimitingProxy(server.url, MEBIBYTE, resets=request.param) as proxy:
        yield proxy


@pytest.fixture(params=[True, False], ids=["hybrid", "remote-only"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path | None:
    return tmp_path / "dash" if request.param else None


def log_large(exp: Experiment) -> None:
    """Rows of which each alone is more than the proxy takes, and small ones in the same frames."""
    exp.metrics("train").log(step=0, wide=[])
    exp.metrics("train").log(step=1, wide=[number * 1.1 for number in range(WIDE)])
    exp.log("é" * MEBIBYTE)
    exp.metrics("train").log(step=2, wide=[])


def nothing_is_set_aside(tmp_path: Path) -> bool:
    return not list(tmp_path.rglob("*.frame"))


@pytest.mark.slow
def test_frames_that_are_larger_than_a_proxy_takes_arrive(
    proxy: LimitingProxy, seen: Seen, root: Path | None, tmp_path: Path
) -> None:
    with Experiment(PREFIX, dash_url=proxy.url, dash_root=root, echo=False).run as exp:
        log_large(exp)
        until(lambda: not exp.flush().pending, "every row at the server")
        law(exp)
        assert exp.status().dropped == {}
    assert seen.values("step") == [0, 1, 2]
    assert seen.values("wide")[1] == [number * 1.1 for number in range(WIDE)]
    assert [len(row["message"]) for row in seen.get("logs")["data"]] == [MEBIBYTE]
    assert nothing_is_set_aside(tmp_path)
    assert proxy.refused
    assert proxy.largest <= MEBIBYTE


def test_many_small_frames_go_in_smaller_requests(server: EmbeddedServer, seen: Seen, tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path / "dash", echo=False).run as exp:
        for step in range(40):
            exp.metrics("train").log(step=step, wide=[step * 1.1 + number for number in range(10_000)])
            exp.flush()  # a frame a row
    asked: list[str] = []
    with LimitingProxy(server.url, MEBIBYTE) as proxy:
        proxy.early = lambda request: asked.append(request.path)
        assert invoke("sync", "--to", proxy.url, str(tmp_path / "dash")).code == 0
        assert proxy.refused > 0
    assert not [path for path in asked if "/bodies/" in path]  # none of the frames needs to be cut
    assert seen.values("step") == list(range(40))


@pytest.mark.slow
def test_files_and_metadata_get_through_as_well(server: EmbeddedServer, seen: Seen, tmp_path: Path) -> None:
    metadata: dict[str, Any] = {"vocabulary": [f"word {number}" for number in range(120_000)]}
    contents = bytes(range(256)) * (3 * MEBIBYTE // 256), bytes(range(256)) * (9 * MEBIBYTE // 256)
    with LimitingProxy(server.url, MEBIBYTE) as proxy:
        exp = Experiment(
            PREFIX, dash_url=proxy.url, dash_root=tmp_path / "dash", echo=False, metadata=metadata
        )
        with exp.run:
            for number, content in enumerate(contents):
                (tmp_path / f"{number}.bin").write_bytes(content)
                exp.files("models").save(str(tmp_path / f"{number}.bin"))
            until(lambda: not exp.flush().pending, "every file at the server")
        assert proxy.largest <= MEBIBYTE
    assert seen.record["metadata"] == metadata
    assert {row["filename"]: row["sizeBytes"] for row in seen.get("files")["data"]} == {
        f"{number}.bin": len(content) for number, content in enumerate(contents)
    }
    assert all(row["available"] for row in seen.get("files")["data"])


@pytest.mark.slow
def test_where_no_piece_is_small_enough_it_is_said_and_waited_for(
    server: EmbeddedServer,
    seen: Seen,
    root: Path | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    settings: pytest.MonkeyPatch,
) -> None:
    """Nothing is set aside or removed; when the limit is raised, all of it is sent."""
    with LimitingProxy(server.url, 10_000) as proxy:
        settings.setenv("ML_DASH_API_URL", proxy.url)
        with (
            caplog.at_level(logging.WARNING),
            Experiment(PREFIX, dash_url=proxy.url, dash_root=root, echo=False).run as exp,
        ):
            log_large(exp)
            until(lambda: exp.status().last_error, "a word of it")
            assert "client_max_body_size" in (exp.status().last_error or "")
            assert exp.status().dropped == {}
            law(exp)
        assert "client_max_body_size" in caplog.text
        assert nothing_is_set_aside(tmp_path)
        failed = invoke("sync", exp.directory)
        assert failed.code == 1
        assert "client_max_body_size" in failed.err
        proxy.limit = 100 * MEBIBYTE
        assert invoke("sync", "--patience", "3", exp.directory).code == 0
    assert seen.values("step") == [0, 1, 2]


@pytest.mark.slow
def test_a_disk_of_the_server_that_is_full_for_files_is_told_once_and_is_in_the_status(
    server: EmbeddedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However often they are tried; and that it is over is told, too."""
    tries: list[str] = []

    def full(request: web.Request) -> web.Response | None:
        if request.method != "PUT":
            return None
        tries.append(request.path)
        return web.json_response({"error": {"code": "disk_full", "message": "no room"}}, status=507)

    with LimitingProxy(server.url, MEBIBYTE) as proxy:
        proxy.early = full
        exp = Experiment(PREFIX, dash_url=proxy.url, dash_root=tmp_path / "dash", echo=False).run.start()
        exp.metrics("train").log(step=0)
        exp.files("models").save_blob(b"content", to="a.bin")
        until(lambda: len(tries) >= 4, "some tries")
        assert "is full (no room)" in (exp.status().last_error or "")
        assert "is full (no room)" in (exp.flush().reason or "")
        law(exp)
        assert caplog.text.count("is full") == 1
        proxy.early = lambda _request: None
        until(lambda: not exp.status().pending, "the file at the server")
        until(lambda: exp.status().last_error is None, "an end of the trouble")
        exp.run.complete()
        assert caplog.text.count("is full") == 1
        assert caplog.text.count("are sent to") == 1


def test_a_file_that_a_server_refuses_is_in_the_status(tmp_path: Path, settings: pytest.MonkeyPatch) -> None:
    with EmbeddedServer(data=tmp_path / "small", admin_token=TOKEN, quota_bytes=1000) as server:
        exp = Experiment(PREFIX, dash_url=server.url, dash_root=tmp_path / "dash", echo=False).run.start()
        exp.files.save_blob(bytes(2000), to="too-large.bin")
        until(lambda: exp.status().last_error, "a word of it")
        assert "1000" in (exp.status().last_error or "")
        exp.run.complete()
