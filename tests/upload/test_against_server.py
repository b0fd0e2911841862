"""The uploader against the real server, over real sockets and a real disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash.client.api import Client, Sent
from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.client.view import RemoteView
from ml_dash.journal.writer import JournalWriter
from ml_dash.server.runner import EmbeddedServer
from ml_dash.tokens.token import Token
from ml_dash.upload.task import Target
from ml_dash.upload.uploader import Uploader
from tests.support.journals import WRITER
from tests.support.one_server import Call
from tests.support.view_journals import TRAIN, block_of, metric_rows

PREFIX = "alice/vision/resnet"


class Training:
    """A journal that is written, and the uploader that sends it."""

    def __init__(self, directory: Path, client: Client, *, poll: float = 5.0) -> None:
        self.writer = JournalWriter(str(directory / "journal"), WRITER, segment_bytes=20_000)
        self.rows = 0
        self.uploader = Uploader(
            Target(str(directory), PREFIX, client, asyncio.to_thread),
            lambda: [WRITER],
            settled=lambda _: lambda: self.writer.durable_seq,
            poll=poll,
        )

    def log(self, count: int) -> None:
        self.writer.append([block_of(TRAIN, metric_rows(count, self.rows))])
        self.rows += count
        self.uploader.nudge()

    @property
    def acknowledged(self) -> int:
        return sum(self.uploader.state.acknowledged_rows.values())

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.uploader.state
            await asyncio.sleep(0.01)


def steps(client: Client, call: Call) -> list[int]:
    page = RemoteView(client, call, lambda: None, PREFIX).read(TRAIN, 0, 10**6)
    return [row["data"]["step"] for row in page["data"]]


async def _in_the_end(uploader: Uploader, tell: Any) -> None:
    task = asyncio.ensure_future(uploader.run())
    try:
        await tell
    finally:
        uploader.stop()
        await task
        await close_session()


def test_rows_arrive_while_they_are_logged(tmp_path: Path, client: Client, call: Call) -> None:
    training = Training(tmp_path / "exp", client)

    async def tell() -> None:
        for _ in range(30):
            training.log(7)
            await asyncio.sleep(0.005)
        await training.until(lambda: training.acknowledged == training.rows)

    asyncio.run(_in_the_end(training.uploader, tell()))
    assert steps(client, call) == list(range(210))


@pytest.mark.slow
def test_a_server_that_is_stopped_and_started_again_gets_every_row_once(
    tmp_path: Path, server: EmbeddedServer, client: Client, call: Call
) -> None:
    training = Training(tmp_path / "exp", client)

    async def tell() -> None:
        for turn in range(3):
            training.log(50)
            await training.until(lambda: training.acknowledged == training.rows)
            await asyncio.to_thread(server.stop)
            training.log(50)
            await training.until(lambda: not training.uploader.state.online)
            assert training.uploader.state.pending_bytes > 0
            await asyncio.to_thread(server.start)
            drained = training.uploader.begin_drain()  # no need to wait for the back-off
            await training.until(lambda: training.acknowledged == training.rows)
            await training.until(drained.is_set)
            assert training.uploader.state.online, turn

    asyncio.run(_in_the_end(training.uploader, tell()))
    assert steps(client, call) == list(range(300))


def test_compressed_frames_are_the_same_rows(
    tmp_path: Path, server: EmbeddedServer, client: Client, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = AiohttpTransport(server.url, lambda: Token(server.admin_token))
    transport._address = transport._address._replace(is_loopback=False)
    encodings = []
    send = Client.send_frames

    async def watched(self: Client, *arguments: Any, encoding: str | None = None, **others: Any) -> Sent:
        encodings.append(encoding)
        return await send(self, *arguments, encoding=encoding, **others)

    monkeypatch.setattr(Client, "send_frames", watched)
    training = Training(tmp_path / "exp", Client(transport))

    async def tell() -> None:
        training.log(4_000)
        await training.until(lambda: training.acknowledged == training.rows)

    asyncio.run(_in_the_end(training.uploader, tell()))
    assert encodings[0] == "deflate"
    assert steps(client, call) == list(range(4_000))


def test_another_client_under_one_name_is_fenced_by_the_server(
    tmp_path: Path, client: Client, call: Call
) -> None:
    first, second = Training(tmp_path / "one", client), Training(tmp_path / "two", client)
    second.rows = 1000

    async def tell_first() -> None:
        for _ in range(5):
            first.log(10)
        await first.until(lambda: first.acknowledged == first.rows)

    async def tell_second() -> None:
        second.log(10)
        await second.until(lambda: second.uploader.state.last_error is not None)
        assert "two clients" in (second.uploader.state.last_error or "")

    asyncio.run(_in_the_end(first.uploader, tell_first()))
    asyncio.run(_in_the_end(second.uploader, tell_second()))
    assert steps(client, call) == list(range(50))


@pytest.mark.slow
def test_a_token_that_is_revoked_and_replaced(
    tmp_path: Path, server: EmbeddedServer, client: Client, call: Call
) -> None:
    tokens = [Token("mld_" + "0" * 43)]
    bench = Client(AiohttpTransport(server.url, lambda: tokens[0]))
    training = Training(tmp_path / "exp", bench)
    training.uploader._token = lambda: tokens[0]

    async def tell() -> None:
        training.log(10)
        await training.until(training.uploader.first_contact.is_set)
        assert "ml-dash login" in (training.uploader.state.last_error or "")
        tokens[0] = Token(server.admin_token)
        await training.until(lambda: training.acknowledged == 10)

    asyncio.run(_in_the_end(training.uploader, tell()))
    assert steps(client, call) == list(range(10))
