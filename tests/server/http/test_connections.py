"""Connections that ask for nothing: they take nobody's place, and fill no log."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ml_dash.server.http.connections import connections_max, raise_descriptor_limit
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import TOKEN, Client, ServerProcess, frames, until

_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
os.execv(sys.argv[3], sys.argv[3:])
"""


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@contextmanager
def silent(url: str, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that say nothing, or begin a request and go no further."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(stack.enter_context(socket.create_connection(("127.0.0.1", port_of(url)))))
            opened[-1].sendall(first)
        yield opened


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed it."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("first", [b"", b"GET /api/v1/health HTTP/1.1\r\nHo"], ids=["nothing", "half a head"])
def test_silent_connections_take_nobodys_place(
    first: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        EmbeddedServer(data=tmp_path, admin_token=TOKEN, connections=10, head_timeout=3600.0) as server,
        silent(server.url, 40, first) as opened,
    ):
        client = Client(server.url, TOKEN)
        experiment = client.create()

        assert client.stored(experiment, *frames(1, 3)) == 3
        assert sum(is_closed(each) for each in opened) >= 31
        told = [message for message in caplog.messages if "asked for nothing" in message]
        assert len(told) == 1  # for all of them


@pytest.mark.slow
def test_a_connection_has_some_seconds_for_its_first_request(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, head_timeout=0.2) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        with silent(server.url, 3) as quiet, silent(server.url, 3, b"POST / HT") as slow:
            until(lambda: all(map(is_closed, quiet + slow)), "silent connections are closed")
        assert client.stored(experiment, *frames(1, 3)) == 3  # on the connection that it had before


@pytest.mark.slow
def test_connections_that_are_at_work_are_not_closed_for_others(tmp_path: Path) -> None:
    """Two are all there may be, and bodies are on their way on both; a third waits, and nobody is cut."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, connections=2) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        client.close()
        body = b"".join(frames(1, 3))
        head = (
            f"POST /api/v1/experiments/{experiment}/writers/%s/frames HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/vnd.ml-dash.frames\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with silent(server.url, 2) as busy:
            for number, each in enumerate(busy):
                each.sendall((head % f"w{number}").encode() + body[:100])
            store = server.store
            assert store is not None
            until(lambda: store.telemetry.in_flight._value.get() == 2, "both are in work")
            third = threading.Thread(
                target=lambda: Client(server.url, TOKEN).stored(experiment, *frames(1, 2), writer="w2")
            )
            third.start()
            third.join(1.5)  # longer than a connection may be idle before it can be closed
            assert third.is_alive()
            for each in busy:
                each.sendall(body[100:])
                assert b" 200 " in each.recv(100)
            third.join()
        watermarks = Client(server.url, TOKEN).get(f"/experiments/{experiment}/writers")["watermarks"]
        assert watermarks == {"w0": 3, "w1": 3, "w2": 2}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of descriptors of this kind")
@contextmanager
def unread(url: str, count: int) -> Iterator[list[socket.socket]]:
    """Connections that ask for more than fits on the way to them, and read nothing of it; no token is needed."""
    asked = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port_of(url)))
            connection.sendall(asked)
            opened.append(connection)
        yield opened


@pytest.mark.slow
def test_connections_that_read_none_of_their_answers_take_nobodys_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_dash.server.http.connections._STUCK_SECONDS", 0.1)
    monkeypatch.setattr("ml_dash.server.http.connections._SWEEP_SECONDS", 0.1)
    with (
        EmbeddedServer(data=tmp_path, admin_token=TOKEN, connections=10) as server,
        unread(server.url, 30),
    ):
        for _ in range(5):
            assert Client(server.url, TOKEN).get("/whoami")["admin"] is True


def test_a_connection_may_take_nothing_of_an_answer_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is closed, with room for others or without."""
    monkeypatch.setattr("ml_dash.server.http.connections._SWEEP_SECONDS", 0.1)
    with (
        EmbeddedServer(data=tmp_path, admin_token=TOKEN, body_timeout=1.0) as server,
        unread(server.url, 3) as opened,
    ):
        until(lambda: all(is_reset(each) for each in opened), "an end")
        assert Client(server.url, TOKEN).get("/whoami")["admin"] is True


def is_reset(connection: socket.socket) -> bool:
    """Whether the other side has let go of it, by what it says to a further request."""
    connection.setblocking(False)
    try:
        connection.send(b"G")
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return False


@pytest.mark.slow
def test_a_server_with_few_descriptors_answers_beside_more_silent_connections(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    launcher = [sys.executable, "-c", _LIMITED, "300", "300"]
    server = ServerProcess(tmp_path, launcher=launcher)
    try:
        with silent(server.url, 320):
            client = server.client()
            experiment = client.create()
            for seq in range(1, 20):
                assert client.stored(experiment, *frames(seq, 1)) == seq
            client.close()
    finally:
        server.stop()
    logged = capfd.readouterr().err
    assert "Traceback" not in logged
    assert len(logged) < 10_000


@pytest.mark.slow
def test_a_server_may_open_as_many_files_as_its_process_may(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, launcher=[sys.executable, "-c", _LIMITED, "64", "400"])
    try:
        with silent(server.url, 100, b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n") as opened:
            for each in opened:
                assert b" 200 " in each.recv(100)
    finally:
        server.stop()


def test_room_is_left_for_the_database_and_its_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(300, 300)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    assert connections_max(8192) == 172
    limits.append((100, 100))
    assert connections_max(8192) == 50
    limits.append((1 << 20, 1 << 20))
    assert connections_max(8192) == 8192
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert connections_max(8192) == 8192
    raise_descriptor_limit()  # there is nothing to raise


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x00\xa5nonsense\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n\r\n",
    ],
)
def test_what_is_not_http_is_answered_without_a_version_and_without_a_traceback(
    head: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server, silent(server.url, 1, head) as (raw,):
        answer = b""
        while more := raw.recv(10_000):
            answer += more
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"Server: ml-dash\r\n" in answer
    assert b"aiohttp" not in answer
    assert not [record for record in caplog.records if record.exc_info and record.levelno > logging.DEBUG]


async def test_a_stop_answers_what_was_begun_and_takes_nothing_new(tmp_path: Path) -> None:
    server = EmbeddedServer(data=tmp_path, admin_token=TOKEN).start()
    client = Client(server.url, TOKEN)
    experiment = await asyncio.to_thread(client.create)
    assert await asyncio.to_thread(client.stored, experiment, *frames(1, 2)) == 2
    with silent(server.url, 5) as opened:
        await asyncio.to_thread(server.stop)
        assert all(map(is_closed, opened))
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", port_of(server.url)))
