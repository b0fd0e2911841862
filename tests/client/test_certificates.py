"""A certificate that is pinned: that one is accepted and no other, before anything of a request is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.client.transport import TransportError
from ml_dash.tokens.token import Token
from ml_dash.tokens.trusting import choose, forget
from ml_dash.trust import NONE, Trust, parse_fingerprint, trust_in
from tests.support.names import ELSEWHERE, call_this_machine
from tests.support.sockets import MSGPACK, certificate, fingerprint_of, listening, plain, showing

TOKEN = Token("mld_" + "t" * 43)
HEALTHY = plain("200 OK", b"\x80", MSGPACK)


@pytest.fixture(autouse=True)
async def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    for name in (
        "HTTPS_PROXY",
        "ALL_PROXY",
        "https_proxy",
        "all_proxy",
        "ML_DASH_CA",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    yield
    await close_session()


def pinned(path: Path) -> Trust:
    return Trust(parse_fingerprint(fingerprint_of(path)))


async def failure(url: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await AiohttpTransport(url, lambda: TOKEN).request("GET", "/", timeout=20)
    return caught.value


async def test_the_pinned_certificate_is_accepted_whatever_host_it_names(tmp_path: Path) -> None:
    path = certificate(tmp_path / "server.pem", name="somewhere.test")
    async with listening(HEALTHY, showing(path)) as server:
        choose(server.url, pinned(path))
        answer = await AiohttpTransport(server.url, lambda: TOKEN).request("GET", "/", timeout=20)
        assert answer.status == 200
        assert b"Bearer" in server.requests[0]


async def test_another_certificate_is_refused_with_both_fingerprints_and_nothing_is_sent(
    tmp_path: Path,
) -> None:
    old, new = certificate(tmp_path / "old.pem"), certificate(tmp_path / "new.pem")
    async with listening(HEALTHY, showing(new)) as server:
        choose(server.url, pinned(old))
        error = await failure(server.url)
        assert error.kind == "tls"
        assert fingerprint_of(old) in str(error)
        assert fingerprint_of(new) in str(error)
        assert "Somebody may be in between" in str(error)
        assert server.requests == []
        choose(server.url, pinned(new))  # while this process runs
        assert (
            await AiohttpTransport(server.url, lambda: TOKEN).request("GET", "/", timeout=20)
        ).status == 200


async def test_one_that_is_vouched_for_does_not_take_the_place_of_the_pinned_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = certificate(tmp_path / "old.pem"), certificate(tmp_path / "new.pem")
    monkeypatch.setenv("ML_DASH_CA", str(new))
    async with listening(HEALTHY, showing(new)) as server:
        choose(server.url, pinned(old))
        assert fingerprint_of(old) in str(await failure(server.url))


async def test_a_pinned_one_that_ran_out_is_refused_with_the_day_and_the_remedy(tmp_path: Path) -> None:
    path = certificate(tmp_path / "server.pem", days=-1, ago=3)
    async with listening(HEALTHY, showing(path)) as server:
        choose(server.url, pinned(path))
        error = await failure(server.url)
        assert "ran out on 20" in str(error)
        assert "renew it" in str(error)
        assert server.requests == []


async def test_one_of_an_authority_that_ran_out_is_refused_with_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path / "server.pem", days=-1, ago=3)
    monkeypatch.setenv("ML_DASH_CA", str(path))
    async with listening(HEALTHY, showing(path)) as server:
        error = await failure(server.url)
    assert error.kind == "tls"
    assert "ran out on 20" in str(error)


async def test_one_of_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path / "server.pem", name="somewhere.test")
    monkeypatch.setenv("ML_DASH_CA", str(path))
    async with listening(HEALTHY, showing(path)) as server:
        error = await failure(server.url)
        assert error.kind == "tls"
        assert "127.0.0.1" in str(error)
        assert server.requests == []


async def test_the_pin_is_of_one_origin(tmp_path: Path) -> None:
    path = certificate(tmp_path / "server.pem")
    async with listening(HEALTHY, showing(path)) as server, listening(HEALTHY, showing(path)) as other:
        choose(server.url, pinned(path))
        assert "ml-dash login" in str(await failure(other.url))
        assert trust_in(other.url) == NONE


async def test_a_pin_that_is_taken_back_counts_for_connections_that_are_open(tmp_path: Path) -> None:
    path = certificate(tmp_path / "server.pem")
    async with listening(HEALTHY, showing(path)) as server:
        choose(server.url, pinned(path))
        line = AiohttpTransport(server.url, lambda: TOKEN)
        assert (await line.request("GET", "/", timeout=20)).status == 200
        assert forget(server.url)
        with pytest.raises(TransportError):
            await line.request("GET", "/", timeout=20)
        assert len(server.requests) == 1


async def test_plain_http_that_is_not_chosen_any_more_is_refused_while_a_process_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call_this_machine(monkeypatch)
    async with listening(HEALTHY) as server:
        url = f"http://{ELSEWHERE}:{server.port}"
        choose(url, Trust(plain=True))
        line = AiohttpTransport(url, lambda: TOKEN)
        assert (await line.request("GET", "/", timeout=20)).status == 200
        forget(url)
        with pytest.raises(TransportError, match="login --insecure-http"):
            await line.request("GET", "/", timeout=20)
        assert len(server.requests) == 1


async def test_a_file_of_servers_that_makes_no_sense_stops_what_is_sent(
    tmp_path: Path,
) -> None:
    path = certificate(tmp_path / "server.pem")
    async with listening(HEALTHY, showing(path)) as server:
        choose(server.url, pinned(path))
        (tmp_path / "config" / "servers.json").write_text("rubbish")
        error = await failure(server.url)
        assert "servers.json" in str(error)
        assert server.requests == []


async def test_to_look_at_a_certificate_sends_nothing(tmp_path: Path) -> None:
    path = certificate(tmp_path / "server.pem")
    async with listening(HEALTHY, showing(path)) as server:
        found = await AiohttpTransport(server.url, lambda: TOKEN).certificate()
        assert found.fingerprint == parse_fingerprint(fingerprint_of(path))
        assert server.requests == []


async def test_through_a_proxy_the_servers_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = certificate(tmp_path / "right.pem"), certificate(tmp_path / "wrong.pem")
    async with listening(HEALTHY, showing(right)) as server, tunnel(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        url = f"https://{ELSEWHERE}:7007"
        choose(url, pinned(right))
        assert (await AiohttpTransport(url, lambda: TOKEN).request("GET", "/", timeout=20)).status == 200
        choose(url, pinned(wrong))
        assert fingerprint_of(right) in str(await failure(url))
        assert len(server.requests) == 1


@asynccontextmanager
async def tunnel(port: int) -> AsyncIterator[str]:
    """An http proxy that leads to one server, whatever it is asked for."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        beyond_reader, beyond_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(carry(reader, beyond_writer), carry(beyond_reader, writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        await close_session()
        listener.close()
