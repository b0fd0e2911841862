"""A view of a server's experiment answers as one of its journal does: the same journal, sent to a real server."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash.client.api import Client
from ml_dash.client.download import Frames
from ml_dash.client.http import AiohttpTransport
from ml_dash.client.view import RemoteView
from ml_dash.errors import InvalidArgumentError, RemoteError, ServerUnavailableError
from ml_dash.journal.frame import encode_frame
from ml_dash.query.files import FileQuery
from ml_dash.query.journal_view import JournalView
from ml_dash.series import Kind, Series
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage.manifest import Manifest
from ml_dash.tokens.token import Token
from ml_dash.upload.sync import sync_experiment
from tests.support.changed_answers import Recorded, Recorder
from tests.support.journals import numbers
from tests.support.one_server import Call
from tests.support.view_journals import (
    EMPTY,
    ODD,
    POSE,
    PREFIX,
    SECOND,
    TRAIN,
    UNNAMED,
    something_of_everything,
    write_rows,
)

Views = tuple[RemoteView, JournalView]


@pytest.fixture
def views(tmp_path: Path, client: Client, call: Call) -> Views:
    return sent(tmp_path, client, call)


def sent(tmp_path: Path, client: Client, call: Call) -> Views:
    """A view of the experiment at a server, and one of its journal."""
    directory = something_of_everything(tmp_path)
    report = call(sync_experiment(directory, client, asyncio.to_thread))
    assert report.left_behind is None
    for path in Path(directory, "journal").iterdir():
        os.utime(
            path, (1_700_100_000, 1_700_100_000)
        )  # as old as its rows say: else a run in it would be alive
    return RemoteView(client, call, lambda: None, PREFIX), JournalView(f"{directory}/journal")


QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "all": lambda view: [
        view.read(series, start, limit)
        for series in (TRAIN, ODD, UNNAMED, EMPTY)
        for start, limit in ((0, 100), (3, 2), (0, 0), (499, 3), (25_499, 10), (10**9, 5))
    ],
    "many rows": lambda view: view.read(TRAIN, 7, 22_000),
    "stats": lambda view: [view.stats(series) for series in (TRAIN, ODD, UNNAMED, EMPTY)],
    "metrics": lambda view: sorted(view.metrics(), key=repr),
    "logs": lambda view: [
        view.logs(),
        view.logs("WARNING"),
        view.logs(search="NUMBER 1"),
        view.logs("info", "number", 5, 3),
        view.logs(start_index=28),
        view.logs(limit=0),
    ],
    "params": lambda view: view.params(),
    "tracks": lambda view: [
        view.track(POSE.name),
        view.track(POSE.name, 1_700_000_000.5, 1_700_000_001.0),
        view.track(POSE.name, end_timestamp=math.inf, columns=["rot.z"]),
        view.track(POSE.name, start_timestamp=1_700_000_001.0, columns=["x"]),
        view.track(POSE.name, format="jsonl"),
        view.track("nothing"),
    ],
    "files": lambda view: [
        view.files(),
        view.files(FileQuery("models")),
        view.files(FileQuery("/models/best.pt", versions=True)),
        view.files(FileQuery(pattern="*.pt")),
        view.files(FileQuery(pattern="/models/**", tags=("new", "v2"))),
        view.files(FileQuery(deleted=True, versions=True)),
        view.files(FileQuery("nothing")),
        *(view.file(f"file_{i}") for i in (0, 2, 3, 9)),
    ],
    "by time": lambda view: [view.find_by_time(POSE.name, t) for t in (0.0, 1_700_000_001.2, math.inf)],
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("wanted", [1_700_002_500.1, 1_700_000_000.0, 1_702_600_000.0, math.inf, 1.6e9])
def test_an_entry_of_a_long_track_is_found_by_its_time_without_the_others(
    tmp_path: Path, client: Client, server: EmbeddedServer, call: Call, wanted: float
) -> None:
    """At the server too; in the middle of a burst, at its beginning, a month behind its end, or before it."""
    track = Series(Kind.TRACK, "long")
    times = [1_700_000_000 * SECOND + at * SECOND // 4 for at in range(20_000)]
    write_rows(tmp_path / "exp/journal", track, [(at, {"t": at}) for at in times], per_frame=1000)
    manifest = Manifest(str(tmp_path / "exp"), name=PREFIX)
    call(sync_experiment(str(tmp_path / "exp"), client, asyncio.to_thread, manifest=manifest))
    answers: Recorded = {}
    recorder = Recorder(AiohttpTransport(server.url, lambda: Token(server.admin_token)), answers)
    remote = RemoteView(Client(recorder), call, lambda: None, PREFIX)
    before = [at for at in times if at / SECOND <= wanted]
    found = remote.find_by_time("long", wanted)
    assert (found and found["t"]) == (before[-1] if before else None)
    assert found == JournalView(str(tmp_path / "exp/journal")).find_by_time("long", wanted)
    assert len(answers) < 60
    assert sum(len(answer.body) for answer in answers.values()) < 150_000


@pytest.mark.sample(3)
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_server_answers_as_the_journal_does(views: Views, question: str) -> None:
    remote, local = views
    assert repr(QUESTIONS[question](remote)) == repr(QUESTIONS[question](local))  # NaN is not equal to itself


@pytest.mark.slow
def test_what_comes_in_many_pages_is_whole(tmp_path: Path, call: Call) -> None:
    """Of a server whose pages have room for an item or two, a view gives what the journal does."""
    with EmbeddedServer(data=tmp_path / "server", page_bytes=150) as server:
        client = Client(AiohttpTransport(server.url, lambda: Token(server.admin_token)))
        remote, local = sent(tmp_path, client, call)
        assert remote.read(TRAIN, 7, 50) == local.read(TRAIN, 7, 50)
        for question in ("stats", "metrics", "logs", "params", "tracks", "files", "by time"):
            assert repr(QUESTIONS[question](remote)) == repr(QUESTIONS[question](local)), question


def test_arrays_are_the_same_to_the_last_bit(views: Views) -> None:
    remote, local = views
    for series in (TRAIN, ODD, UNNAMED, EMPTY):
        here, there = local.to_numpy(series), remote.to_numpy(series)
        assert list(here) == list(there)
        for name in here:
            assert here[name].dtype == there[name].dtype
            np.testing.assert_array_equal(here[name], there[name])


def test_pandas_gets_the_same_frame(views: Views) -> None:
    pandas = pytest.importorskip("pandas")
    remote, local = views
    pandas.testing.assert_frame_equal(remote.to_pandas(TRAIN), local.to_pandas(TRAIN))


def test_the_run_is_the_same_to_the_microsecond(views: Views) -> None:
    remote, local = (view.run() for view in views)
    assert (remote.status, remote.error, remote.stale, remote.writers) == ("FAILED", "it broke", False, 2)
    assert (remote.host, remote.pid) == (local.host, local.pid)
    for name in ("started_at", "ended_at", "last_activity"):
        assert getattr(remote, name) // 1000 == getattr(local, name) // 1000


def test_an_experiment_that_the_server_does_not_have_is_an_empty_one(
    client: Client, call: Call, tmp_path: Path
) -> None:
    local = JournalView(str(tmp_path / "nothing"))
    for known in (None, "exp_00000000000000000000"):
        remote = RemoteView(client, call, lambda known=known: known, PREFIX)  # type: ignore[misc]
        for ask in QUESTIONS.values():
            assert repr(ask(remote)) == repr(ask(local))
        assert remote.run() == local.run()
        assert list(remote.to_numpy(TRAIN)) == ["index", "_ts"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda view: view.read(TRAIN, -1),
        lambda view: view.read(TRAIN, 0, 1.5),
        lambda view: view.logs("loud"),
        lambda view: view.logs(search=7),
        lambda view: view.track("t", format="xml"),
        lambda view: view.track("t", "soon"),
        lambda view: view.find_by_time("t", math.nan),
        lambda view: view.read(Series(Kind.METRIC, "\ud800")),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_asked(ask: Callable[[RemoteView], Any]) -> None:
    def call(_: Any) -> Any:
        raise AssertionError("the server was asked")

    with pytest.raises(InvalidArgumentError):
        ask(RemoteView(None, call, lambda: "exp_1", PREFIX))  # type: ignore[arg-type]


def test_a_server_that_is_away_is_a_connection_error(views: Views, server: EmbeddedServer) -> None:
    server.stop()
    with pytest.raises(ServerUnavailableError, match="refuses") as caught:
        views[0].read(TRAIN)
    assert isinstance(caught.value, ConnectionError)


def _frames() -> bytes:
    return b"".join(encode_frame(seq, [numbers(*range(seq))]) for seq in range(1, 30))


@pytest.mark.parametrize("size", [1, 7, 28, 100, 10_000])
def test_a_download_is_put_together_from_any_pieces(size: int) -> None:
    raw, frames = _frames(), Frames()
    for at in range(0, len(raw), size):
        frames.add(raw[at : at + size])

    assert [block.count for block in frames.finish()] == list(range(1, 30))


def test_a_download_that_is_cut_damaged_or_out_of_order_is_refused() -> None:
    raw = _frames()
    cut = Frames()
    cut.add(raw[:-1])
    with pytest.raises(RemoteError, match="middle of frame 29"):
        cut.finish()
    for at in (0, 5, 13, 40, 60, len(raw) - 1):
        with pytest.raises(RemoteError, match=r"damaged|makes no sense|middle"):
            _take(raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :])
    with pytest.raises(RemoteError, match="frame 1 "):
        _take(encode_frame(2, []))


def _take(raw: bytes) -> None:
    frames = Frames()
    frames.add(raw)
    frames.finish()
