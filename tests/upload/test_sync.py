"""`ml-dash sync`: any journals, to a real server; twice, at once, and while they are written."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from ml_dash.client.api import Client
from ml_dash.client.http import AiohttpTransport
from ml_dash.client.transport import Answer, Stream, TransportError
from ml_dash.client.view import RemoteView
from ml_dash.journal.frame import encode_segment_header, segment_name
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage.manifest import Manifest
from ml_dash.tokens.token import Token
from ml_dash.upload.sync import SyncProgress, SyncReport, sync_experiment
from tests.support.journals import LATER_WRITER, WRITER, numbers
from tests.support.one_server import Call
from tests.support.simulated_clock import HandClock
from tests.support.view_journals import SECOND, TRAIN, block_of, metric_rows, write_rows

PREFIX = "alice/vision/resnet"
RUN = Series(Kind.RUN, None)


def experiment(tmp_path: Path, name: str = "exp", rows: int = 100) -> str:
    """An experiment of two writers."""
    directory = tmp_path / name
    directory.mkdir()
    about = {
        "prefix": f"alice/vision/{name}",
        "readme": "what it is",
        "tags": ["good"],
        "status": "COMPLETED",
    }
    (directory / "experiment.json").write_text(json.dumps(about))
    write_rows(directory / "journal", TRAIN, metric_rows(rows), WRITER)
    write_rows(directory / "journal", TRAIN, metric_rows(rows, rows), LATER_WRITER)
    return str(directory)


def steps(client: Client, call: Call, prefix: str = "alice/vision/exp") -> list[int]:
    """What the server has."""
    page = RemoteView(client, call, lambda: None, prefix).read(TRAIN, 0, 10**6)
    return [row["data"]["step"] for row in page["data"]]


def sync(call: Call, client: Client, directory: str, **options: object) -> SyncReport:
    return call(sync_experiment(directory, client, asyncio.to_thread, **options))  # type: ignore[arg-type]


def test_everything_is_sent_and_reported(tmp_path: Path, client: Client, call: Call) -> None:
    directory = experiment(tmp_path)
    progress: list[SyncProgress] = []
    report = sync(call, client, directory, on_progress=progress.append)

    assert sorted(steps(client, call)) == list(range(200))
    assert (report.prefix, report.left_behind, report.pending_bytes) == ("alice/vision/exp", None, 0)
    assert (report.sent_frames, report.sent_rows, report.known_rows) == (20, 200, 0)
    assert all(0 <= step.done <= step.total for step in progress)
    assert progress[-1].done == progress[-1].total > 0
    record = call(client.record("alice/vision/exp"))
    assert record is not None
    assert (record["readme"], record["tags"]) == ("what it is", ["good"])


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path, client: Client, call: Call) -> None:
    directory = experiment(tmp_path)
    sync(call, client, directory)
    again = sync(call, client, directory)
    for cursor in Path(directory).glob("*.cursor"):
        cursor.unlink()
    forgetful = sync(call, client, directory)

    assert (again.sent_frames, again.sent_rows, again.known_rows) == (0, 0, 200)
    assert forgetful.left_behind is None
    assert sorted(steps(client, call)) == list(range(200))


def test_several_at_once_send_every_row_once(tmp_path: Path, client: Client, call: Call) -> None:
    directory = experiment(tmp_path, rows=2000)

    async def at_once() -> list[SyncReport]:
        return list(
            await asyncio.gather(*(sync_experiment(directory, client, asyncio.to_thread) for _ in range(4)))
        )

    assert [report.left_behind for report in call(at_once())] == [None] * 4
    assert sorted(steps(client, call)) == list(range(4000))


def test_what_is_written_meanwhile_is_sent_by_the_next_one(
    tmp_path: Path, client: Client, call: Call
) -> None:
    directory = experiment(tmp_path, rows=10)
    writer = JournalWriter(f"{directory}/journal", "0123456789abcdf1-1-00000000")
    for number in range(5):
        writer.append([block_of(TRAIN, metric_rows(1, 1000 + number))])
        assert sync(call, client, directory).left_behind is None
    writer.close()

    assert sorted(steps(client, call)) == [*range(20), *range(1000, 1005)]


def test_experiments_are_sent_one_after_the_other_and_one_that_fails_stops_no_other(
    tmp_path: Path, client: Client, call: Call
) -> None:
    directories = [experiment(tmp_path, name) for name in ("one", "two", "three")]
    (Path(directories[1]) / "experiment.json").write_text("{")
    reports = [sync(call, client, directory) for directory in directories]

    assert [report.left_behind is None for report in reports] == [True, False, True]
    assert "what it is called" in (reports[1].left_behind or "")
    assert len(steps(client, call, "alice/vision/three")) == 200


def test_the_journal_says_what_it_is_called_where_the_side_file_does_not(tmp_path: Path) -> None:
    start = {
        "event": "start",
        "status": "RUNNING",
        "handle": "a",
        "experiment": {"prefix": PREFIX, "tags": ["t"]},
    }
    write_rows(tmp_path / "journal", RUN, [(SECOND, start)], WRITER)

    assert Manifest(str(tmp_path)).describe() == {"prefix": PREFIX, "tags": ["t"]}
    (tmp_path / "experiment.json").write_bytes(b"[1]")
    assert Manifest(str(tmp_path)).describe()["prefix"] == PREFIX
    assert Manifest(str(tmp_path / "nothing")).describe() == {}


def test_a_server_that_is_away_is_given_up_after_some_patience(tmp_path: Path, call: Call) -> None:
    directory = experiment(tmp_path)
    client = Client(AiohttpTransport("http://127.0.0.1:9", lambda: None))
    report = sync(call, client, directory, patience=0.0)

    assert "refuses" in (report.left_behind or "")
    assert report.pending_bytes > 0
    assert report.sent_rows == 0


class Silent:
    """A transport to a host that takes what is sent, and says nothing; `hang` is the silence.

    The first requests may be refused at once.
    """

    url = "https://dash.example.org"
    is_loopback = False

    def __init__(self, hang: Callable[[], Awaitable[object]], refused: int = 0) -> None:
        self.asked = 0
        self._hang = hang
        self._refused = refused

    async def request(self, method: str, path: str, **_: Any) -> Answer:
        self.asked += 1
        if self.asked > self._refused:
            await self._hang()
        raise TransportError("timeout", f"{self.url} does not answer in time")

    def stream(self, path: str, **_: Any) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError


def test_a_server_that_never_answers_is_given_up_when_all_patience_is_over(
    tmp_path: Path, call: Call
) -> None:
    """Its silence is a part of that, and not what comes before it."""
    clock = HandClock(SECOND)

    async def hang() -> None:
        clock.now_ns += 30 * SECOND

    async def no_time(_seconds: float) -> None:
        """Wait for nothing."""

    line = Silent(hang)
    report = sync(call, Client(line), experiment(tmp_path), patience=30.0, clock=clock, sleep=no_time)
    assert "does not answer in time" in (report.left_behind or "")
    assert (line.asked, report.away) == (1, True)


@pytest.mark.slow
def test_the_last_try_ends_with_the_patience(tmp_path: Path, call: Call) -> None:
    """However long the server would be waited for."""
    told: list[float] = []
    line = Silent(asyncio.Event().wait, refused=1)
    report = sync(
        call,
        Client(line),
        experiment(tmp_path),
        patience=1.0,
        on_trouble=lambda _, seconds: told.append(seconds),
    )
    assert "does not answer in time" in (report.left_behind or "")
    assert all(0 < seconds <= 1 for seconds in told)


def test_a_token_that_is_not_good_is_given_up_at_once(
    tmp_path: Path, server: EmbeddedServer, call: Call
) -> None:
    client = Client(AiohttpTransport(server.url, lambda: Token("mld_" + "0" * 43)))
    report = sync(call, client, experiment(tmp_path), patience=3600.0)

    assert f"ml-dash login {server.url}" in (report.left_behind or "")


def test_a_deleted_experiment_stays_behind_unless_it_is_to_be_recreated(
    tmp_path: Path, client: Client, call: Call
) -> None:
    directory = experiment(tmp_path)
    sync(call, client, directory)
    record = call(client.find("alice/vision/exp"))
    assert record is not None
    call(client._transport.request("DELETE", f"/api/v1/experiments/{record['id']}", timeout=60))

    assert "--recreate" in (sync(call, client, directory).left_behind or "")
    report = sync(call, client, directory, recreate=True)
    assert report.left_behind is None
    assert sorted(steps(client, call)) == list(range(200))


def test_damage_in_a_journal_whose_writer_is_gone_is_reported_and_the_rest_is_sent(
    tmp_path: Path, client: Client, call: Call
) -> None:
    """The last segment, with nothing behind it that would prove a loss: the run's end does."""
    directory = tmp_path / "exp"
    writer = JournalWriter(str(directory / "journal"), WRITER)
    start = {
        "event": "start",
        "status": "RUNNING",
        "handle": "a",
        "experiment": {"prefix": "alice/vision/exp"},
    }
    end = {"event": "end", "status": "COMPLETED", "handle": "a"}
    writer.append([block_of(RUN, [(SECOND, start)])])
    path = Path(writer.segment_path or "")
    places = []
    for number in range(10):
        places.append(path.stat().st_size)
        writer.append([block_of(TRAIN, metric_rows(1, number))])
    writer.append([block_of(RUN, [(2 * SECOND, end)])])
    writer.close()
    raw = bytearray(path.read_bytes())
    raw[places[4] + 10] ^= 0xFF
    path.write_bytes(raw + b"\xf1mD\x9a half a frame")
    report = sync(call, client, str(directory))

    assert steps(client, call) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert (report.lost_frames, report.left_behind) == (1, None)


def test_what_a_later_version_wrote_stays_behind(tmp_path: Path, client: Client, call: Call) -> None:
    directory = experiment(tmp_path)
    raw = bytearray(encode_segment_header("later-1-1", 1, 0, 1))
    raw[4] = 2
    raw[8:12] = zlib.crc32(raw[12:], zlib.crc32(raw[:8])).to_bytes(4, "little")
    (Path(directory) / "journal" / segment_name("later-1-1", 1)).write_bytes(raw)
    report = sync(call, client, directory)

    assert "install a newer version" in (report.left_behind or "")
    assert sorted(steps(client, call)) == list(range(200))


def test_one_frame_that_the_server_refuses_is_set_aside(tmp_path: Path, client: Client, call: Call) -> None:
    directory = experiment(tmp_path)
    writer = JournalWriter(f"{directory}/journal", "0123456789abcdf1-1-00000000")
    writer.append([numbers(1, series=Series(Kind.METRIC, "x" * 5000))])
    writer.append([block_of(TRAIN, metric_rows(1, 1000))])
    writer.close()
    report = sync(call, client, directory)

    assert (report.rejected_rows, report.left_behind) == (1, None)
    assert sorted(steps(client, call)) == [*range(200), 1000]
    assert len(list((Path(directory) / "rejected").iterdir())) == 1
