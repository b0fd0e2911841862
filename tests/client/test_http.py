"""The transport over real sockets: whatever the other side does, there is an answer or a `TransportError`, in time."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import msgpack
import pytest

from ml_dash.client import http
from ml_dash.client.api import Client
from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.client.transport import NotMlDashError, ServerError, TransportError
from ml_dash.errors import InvalidArgumentError, MLDashError, ServerUnavailableError
from ml_dash.journal.frame import encode_frame
from ml_dash.protocol import FRAMES
from ml_dash.tokens.token import Token
from tests.support.journals import numbers
from tests.support.sockets import MSGPACK, listening, plain, untrusted

_T = TypeVar("_T")

SECRET = "mld_" + "s3cret" * 6
HEALTHY = plain("200 OK", msgpack.packb({"status": "ok"}), MSGPACK)


@pytest.fixture(autouse=True)
async def one_session() -> AsyncIterator[None]:
    """Every loop closes its session at its end."""
    yield
    await close_session()


def transport(url: str) -> AiohttpTransport:
    return AiohttpTransport(url, lambda: Token(SECRET))


async def ask(url: str, timeout: float = 20.0) -> bytes:
    return (await transport(url).request("GET", "/api/v1/health", timeout=timeout)).body


async def failure(url: str, timeout: float = 20.0) -> TransportError:
    """How it fails; the error shows the address, and no secret."""
    with pytest.raises(TransportError) as caught:
        await ask(url, timeout)
    assert isinstance(caught.value, ServerUnavailableError)
    assert isinstance(caught.value, ConnectionError)
    assert url in str(caught.value)
    assert SECRET not in repr(caught.value) + str(caught.value)
    return caught.value


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


async def test_an_answer_comes_back_with_status_headers_and_body() -> None:
    async with listening(plain("200 OK", b"hello", "X-Some: thing\r\n")) as server:
        answer = await transport(server.url).request(
            "POST", "/a%20b", query={"q": "ä&="}, body=b"body", headers={"X-Own": "1"}, timeout=20
        )

    assert (answer.status, answer.body, answer.headers["x-some"]) == (200, b"hello", "thing")
    head = server.requests[0]
    assert head.startswith(b"POST /a%20b?q=%C3%A4%26%3D HTTP/1.1\r\n")
    assert head.endswith(b"\r\n\r\nbody")
    assert b"X-Own: 1" in head
    assert f"Authorization: Bearer {SECRET}".encode() in head


async def test_a_server_below_a_path_is_asked_there() -> None:
    async with listening(HEALTHY) as server:
        await ask(server.url + "/ml-dash/")

    assert server.requests[0].startswith(b"GET /ml-dash/api/v1/health HTTP/1.1\r\n")


async def test_without_a_token_none_is_sent() -> None:
    async with listening(HEALTHY) as server:
        await AiohttpTransport(server.url, lambda: None).request("GET", "/x", timeout=20)

    assert b"Authorization" not in server.requests[0]


async def test_the_token_is_asked_for_each_time() -> None:
    tokens = iter([Token("mld_first"), Token("mld_second")])
    async with listening(HEALTHY) as server:
        one = AiohttpTransport(server.url, lambda: next(tokens))
        await one.request("GET", "/x", timeout=20)
        await one.request("GET", "/x", timeout=20)

    assert [b"first" in request for request in server.requests] == [True, False]


async def test_transports_of_one_loop_share_a_connection() -> None:
    async with listening(HEALTHY) as server:
        for _ in range(5):
            await ask(server.url)

    assert (server.connections, len(server.requests)) == (1, 5)


async def test_nobody_listens() -> None:
    error = await failure(f"http://127.0.0.1:{free_port()}")
    assert error.kind == "refused"
    assert "refuses" in str(error)


async def test_nobody_listens_at_any_address_of_a_name() -> None:
    assert (await failure(f"http://localhost:{free_port()}")).kind == "refused"


async def test_a_name_that_does_not_exist() -> None:
    """Looked up on the thread that the caller provides, and never in an executor of the event loop."""
    threads: list[str] = []

    async def look_up(work: Callable[[], _T]) -> _T:
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def do() -> None:
            threads.append(threading.current_thread().name)
            try:
                loop.call_soon_threadsafe(future.set_result, work())
            except OSError as error:
                loop.call_soon_threadsafe(future.set_exception, error)

        threading.Thread(target=do, name="names", daemon=True).start()
        return await future

    with pytest.raises(TransportError, match="looked up") as caught:
        await AiohttpTransport("https://dash.invalid", lambda: None, look_up).request("GET", "/", timeout=20)
    assert caught.value.kind == "dns"
    assert threads == ["names"]


async def test_a_name_that_exists_is_looked_up_on_that_thread() -> None:
    async def look_up(work: Callable[[], _T]) -> _T:
        return await asyncio.to_thread(work)

    async with listening(HEALTHY) as server:
        url = f"http://localhost:{server.port}"
        answer = await AiohttpTransport(url, lambda: None, look_up).request("GET", "/", timeout=20)

    assert answer.status == 200


async def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    async with listening(HEALTHY, untrusted(tmp_path)) as server:
        error = await failure(server.url)

    assert error.kind == "tls"
    assert "certificate" in str(error)
    assert server.requests == []


async def test_a_server_that_speaks_no_tls() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        error = await failure(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    assert error.kind == "tls"


async def test_silence_ends_with_the_timeout() -> None:
    async def silent(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with listening(silent) as server:
        assert (await failure(server.url, timeout=0.2)).kind == "timeout"


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"]
)
async def test_an_answer_that_drips_in_for_ever_ends_with_the_timeout(head: bytes) -> None:
    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with listening(drip) as server:
        assert (await failure(server.url, timeout=0.4)).kind == "timeout"


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it"]
)
async def test_a_cut_at_any_point(sent: bytes) -> None:
    async def cut(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with listening(cut) as server:
        assert (await failure(server.url)).kind == "cut"


async def test_what_is_no_http() -> None:
    async def other(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()

    async with listening(other) as server:
        assert (await failure(server.url)).kind in {"other", "cut"}


async def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_BYTES_MAX", 1 << 20)

    async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    async with listening(flood) as server:
        assert (await failure(server.url)).kind == "too_large"


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
async def test_a_redirect_to_another_origin_is_not_followed_and_the_token_stays(status: str) -> None:
    async with listening(HEALTHY) as elsewhere:
        target = f"{elsewhere.url}/api/v1/experiments?mld_token=1"
        async with listening(plain(status, b"", f"Location: {target}\r\n")) as server:
            with pytest.raises(NotMlDashError, match="redirects to") as caught:
                await Client(transport(server.url)).upsert("a/b/c")

    assert elsewhere.requests == []
    assert elsewhere.connections == 0
    assert elsewhere.url in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_path_cannot_lead_to_another_server() -> None:
    async with listening(HEALTHY) as elsewhere, listening(HEALTHY) as server:
        with pytest.raises(ValueError, match="another server"):
            await transport(f"http://127.0.0.1:{server.port}").request(
                "GET", f"@127.0.0.1:{elsewhere.port}/", timeout=20
            )

    assert elsewhere.requests == server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://dash.example.org",
        "http://10.0.0.5:7007",
        "ftp://dash.example.org",
        "dash.example.org",
        f"https://me:{SECRET}@dash.example.org",
        f"https://dash.example.org?token={SECRET}",
        "https://dash.example.org#x",
        "",
    ],
)
def test_an_address_that_is_none_or_unsafe_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        transport(url)
    assert SECRET not in str(caught.value)


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(HEALTHY) as proxy, listening(HEALTHY) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await ask(server.url)

    assert (len(proxy.requests), len(server.requests)) == (0, 1)


async def test_through_a_proxy_the_token_is_never_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked for a tunnel, and sees the name of the server alone."""
    async with listening(plain("403 Forbidden")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("http://", "http://user:pass@"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(TransportError, match="403 Forbidden") as caught:
            await transport("https://dash.invalid").request("GET", "/", timeout=20)

    assert "pass" not in str(caught.value)
    assert proxy.requests[0].startswith(b"CONNECT dash.invalid:443 ")
    assert SECRET.encode() not in proxy.requests[0]


@pytest.mark.parametrize(
    ("status", "after"),
    [("500 Oops", None), ("502 Bad Gateway", None), ("429 Slow Down", 7.0), ("503 Busy", 30.0)],
)
async def test_a_gateway_that_fails_is_a_server_error_with_its_wish(status: str, after: float | None) -> None:
    headers = f"Retry-After: {after:.0f}\r\n" if after else ""
    async with listening(
        plain(status, b"<html>Sorry</html>", f"Content-Type: text/html\r\n{headers}")
    ) as server:
        with pytest.raises(ServerError, match="Sorry") as caught:
            await Client(transport(server.url)).upsert("a/b/c")

    assert caught.value.status == int(status[:3])
    assert caught.value.retry_after == after


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "405 Method Not Allowed"])
async def test_html_from_a_proxy_or_another_server_is_not_ml_dash(status: str) -> None:
    page = b"<html><title>Hotel \x00 network</title></html>"
    async with listening(plain(status, page, "Content-Type: text/html\r\n")) as server:
        with pytest.raises(NotMlDashError, match="is not an ML-Dash server") as caught:
            await Client(transport(server.url)).upsert("a/b/c")

    assert isinstance(caught.value, MLDashError)
    assert "Hotel" in str(caught.value)
    assert "\x00" not in str(caught.value)


async def test_a_stream_comes_in_pieces_and_its_end_is_known() -> None:
    frames = b"".join(encode_frame(seq, [numbers(*range(1000))]) for seq in range(1, 50))
    async with listening(plain("200 OK", frames, f"Content-Type: {FRAMES}\r\n")) as server:
        found = b"".join([piece async for piece in Client(transport(server.url)).frames("/x")])
    assert found == frames

    async def cut(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {FRAMES}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + b"5\r\nabcde\r\n")
        await writer.drain()
        writer.transport.abort()

    async with listening(cut) as server:
        with pytest.raises(TransportError):
            async for _ in Client(transport(server.url)).frames("/x"):
                pass


async def test_a_stream_that_is_an_error_is_raised_as_one() -> None:
    body = msgpack.packb({"error": {"code": "not_found", "message": "no such thing"}})
    async with listening(plain("404 Not Found", body, MSGPACK)) as server:
        with pytest.raises(ServerError, match="no such thing"):
            async for _ in Client(transport(server.url)).frames("/x"):
                pass


def test_the_session_of_a_loop_that_is_gone_is_not_used_by_another() -> None:
    async def once() -> None:
        async with listening(HEALTHY) as server:
            await ask(server.url)
        await close_session()

    asyncio.run(once())
    asyncio.run(once())
