"""Proxies and certificates of the environment: what fails is named by its variable, and the server is not blamed."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.client.surroundings import trusted
from ml_dash.client.transport import TransportError
from ml_dash.forks import importing
from tests.support.sockets import MSGPACK, listening, plain, untrusted

SERVER = "https://dash.invalid"
HEALTHY = plain("200 OK", b"\x80", MSGPACK)
VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
TRUST = ("ML_DASH_CA", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
async def surroundings(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    for name in VARIABLES + TRUST:
        monkeypatch.delenv(name, raising=False)
    yield
    await close_session()


async def failure(url: str = SERVER) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await AiohttpTransport(url, lambda: None).request("GET", "/", timeout=20)
    return caught.value


def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
async def test_a_proxy_that_is_down_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv(variable, f"http://me:s3cret@{proxy}")
    error = await failure()
    assert error.kind == "proxy"
    assert f"the proxy http://{proxy} ({variable})" in str(error)
    assert "it refuses the connection" in str(error)
    assert "NO_PROXY=dash.invalid" in str(error)
    assert "s3cret" not in str(error)


async def test_a_proxy_that_is_unknown_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.invalid:3128")
    error = await failure()
    assert error.kind == "proxy"
    assert "the proxy http://proxy.invalid:3128 (HTTPS_PROXY)" in str(error)


@pytest.mark.parametrize(
    "url", ["socks5://127.0.0.1:1080", "socks5h://127.0.0.1:1080", "http://", "http://[::"]
)
async def test_what_is_no_proxy_of_http_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    error = await failure()
    assert error.kind == "proxy"
    assert f"{url} (ALL_PROXY)" in str(error)
    assert "SOCKS" in str(error)


@pytest.mark.parametrize(("status", "words"), [("407 Who", "wants a name"), ("403 No", "403 No")])
async def test_a_proxy_that_refuses_is_named(
    status: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(plain(status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = await failure()
    assert error.kind == "proxy"
    assert f"{proxy.url} (HTTPS_PROXY)" in str(error)
    assert words in str(error)


@pytest.mark.parametrize("variable", ["ML_DASH_CA", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_an_authority_of_ones_own_is_trusted(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(HEALTHY, untrusted(tmp_path)) as server:
        error = await failure(server.url)
        assert error.kind == "tls"
        assert "ML_DASH_CA" in str(error)
        await close_session()
        monkeypatch.setenv(variable, str(tmp_path / "somebody.pem"))
        answer = await AiohttpTransport(server.url, lambda: None).request("GET", "/", timeout=20)
    assert answer.status == 200


@pytest.mark.parametrize("variable", ["ML_DASH_CA", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cannot_be_read_are_named(
    variable: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(variable, str(path))
    async with listening(HEALTHY, untrusted(tmp_path)) as server:
        error = await failure(server.url)
    assert error.kind == "tls"
    assert f"{variable}={str(path)!r}" in str(error)


async def test_a_wrong_ssl_cert_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with listening(HEALTHY, untrusted(tmp_path)) as server:
        error = await failure(server.url)
    assert error.kind == "tls"
    assert f"SSL_CERT_FILE={str(tmp_path / 'none.pem')!r}" in str(error)


async def test_a_fork_waits_until_certificates_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That takes locks of OpenSSL's, for which a child that is forked meanwhile would wait for ever."""
    create = ssl.create_default_context
    seen: list[bool] = []

    def create_and_look() -> ssl.SSLContext:
        thread = threading.Thread(target=lambda: seen.append(importing()))
        thread.start()
        thread.join()
        return create()

    monkeypatch.setattr(ssl, "create_default_context", create_and_look)
    monkeypatch.setenv("ML_DASH_CA", str(tmp_path / "none.pem"))
    with pytest.raises(TransportError, match="ML_DASH_CA"):
        trusted()
    assert seen == [True], "a fork would not have waited"
