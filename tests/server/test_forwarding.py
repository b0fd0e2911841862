"""Proxies before a server: who is believed what, and a server below a path of a host."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from ml_dash import Experiment
from ml_dash.client.login import begin
from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import API
from ml_dash.server.accounts.attempts import address_of
from ml_dash.server.api.pages import page_routes
from ml_dash.server.forwarding import (
    address_of_server,
    base_of,
    below,
    forwarded,
    is_https,
    parse_base,
    parse_proxies,
)
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import Client

BASE = "/ml-dash"
OURS = "10.0.0.5"
PROXIES = parse_proxies(["10.0.0.0/8"])


async def asked(headers: list[tuple[str, str]], remote: str = OURS, base: str = "") -> tuple[bool, str, str]:
    """Whether a request was made by https, below which path, and the server's address for who asks."""
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((is_https(request), base_of(request), address_of_server(request)))
        return web.Response()

    mocked = make_mocked_request("GET", "/", headers=[("Host", "lab.test"), *headers])
    await forwarded(PROXIES, base)(mocked.clone(remote=remote), handler)
    return seen[0]


@pytest.mark.parametrize(
    ("remote", "told", "address"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # nobody's proxy: anybody may write the header
        ("10.0.0.5", "198.51.100.1", "198.51.100.1"),
        (
            "10.0.0.5",
            "192.0.2.66, 198.51.100.1",
            "198.51.100.1",
        ),  # the left one is the client's own invention
        ("10.0.0.5", "198.51.100.1, 10.1.2.3", "198.51.100.1"),  # two proxies of ours
        ("10.0.0.5", "198.51.100.1:4711", "198.51.100.1"),
        ("::ffff:10.0.0.5", "[2001:db8:1:2::7]:443", "2001:db8:1:2::/64"),
        ("10.0.0.5", "unknown", "10.0.0.5"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.5", None, "10.0.0.5"),
        ("/run/socket", "198.51.100.1", "/run/socket"),
    ],
)
async def test_a_proxy_of_ours_is_believed_for_whom_it_asks(
    remote: str, told: str | None, address: str
) -> None:
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(address_of(request))
        return web.Response()

    headers = {} if told is None else {"X-Forwarded-For": told}
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=remote)
    await forwarded(parse_proxies(["10.0.0.0/8"]))(request, handler)
    assert seen == [address]


def test_a_proxy_that_is_no_address_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgumentError, match=r"--trusted-proxy: 'proxy\.local' .*10\.0\.0\.0/8"):
        parse_proxies(["proxy.local"])


async def test_a_proxy_of_ours_is_believed_how_and_where_it_was_asked() -> None:
    told = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Prefix", "/ml-dash/")]
    assert await asked(told) == (True, BASE, "https://lab.test/ml-dash")
    # anybody can write these headers
    assert await asked(told, remote="192.0.2.66") == (False, "", "http://lab.test")
    assert await asked(told, remote="") == (False, "", "http://lab.test")


@pytest.mark.parametrize(
    ("hops", "told", "is_secure"),
    [
        ("198.51.100.1", "https", True),
        ("198.51.100.1", "https, http", False),  # the left one is the client's own invention
        ("198.51.100.1, 10.1.2.3", "https, http", True),  # two proxies of ours, and TLS before both
        ("198.51.100.1, 10.1.2.3", "https", True),
        ("192.0.2.66, 198.51.100.1", "https, http", False),
        ("198.51.100.1", "javascript", False),
        ("198.51.100.1", "", False),
    ],
)
async def test_of_several_proxies_the_farthest_of_ours_counts(hops: str, told: str, is_secure: bool) -> None:
    found, _, _ = await asked([("X-Forwarded-For", hops), ("X-Forwarded-Proto", told)])
    assert found is is_secure


@pytest.mark.parametrize(
    "lie",
    [
        "//evil.test",
        "/a/../b",
        "/a/..",
        "/.",
        '/"><script>',
        "/a b",
        "/a;Path=/",
        "ml-dash",
        "/é",
        "/" + "a" * 300,
        "/%2e",
    ],
)
async def test_a_prefix_that_would_mean_something_is_not_believed(lie: str) -> None:
    assert (await asked([("X-Forwarded-Prefix", lie)]))[1] == ""
    with pytest.raises(InvalidArgumentError, match="--base-path"):
        parse_base(lie)


async def test_the_path_that_was_given_counts_whatever_a_proxy_says() -> None:
    assert (await asked([("X-Forwarded-Prefix", "/other")], base=BASE))[1] == BASE


@pytest.mark.parametrize(
    ("given", "base"), [("", ""), ("/", ""), ("/ml-dash/", BASE), ("/a/b.c_~-1", "/a/b.c_~-1")]
)
def test_a_path_is_taken_with_or_without_a_slash_at_its_end(given: str, base: str) -> None:
    assert parse_base(given) == base


async def test_a_page_below_a_path_finds_its_assets_and_tells_its_script(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-abc.js").write_text("1")
    (tmp_path / "index.html").write_text('<head><script src="/assets/index-abc.js"></script>')
    app = web.Application(middlewares=[forwarded([], BASE)])
    app.add_routes(below(BASE, page_routes(str(tmp_path))))
    async with TestClient(TestServer(app)) as client:
        # with the path, as a proxy passes it on, or without, as one that takes it off
        for path in (BASE, f"{BASE}/", f"{BASE}/experiments/a/b/c", "/", "/compare"):
            text = await (await client.get(path)).text()
            assert '<meta name="ml-dash-base" content="/ml-dash" />' in text
            assert 'src="/ml-dash/assets/index-abc.js"' in text
        assert (await client.get(f"{BASE}/assets/index-abc.js")).status == 200
        assert (await client.get("/ml-dashboard/")).status == 404


async def test_a_page_of_the_whole_host_is_as_it_was_built(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text('<head><script src="/assets/index-abc.js"></script>')
    app = web.Application(middlewares=[forwarded([])])
    app.add_routes(below("", page_routes(str(tmp_path))))
    async with TestClient(TestServer(app)) as client:
        assert await (await client.get("/")).text() == '<head><script src="/assets/index-abc.js"></script>'


def test_a_whole_server_below_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SDK, API, document, device login, cookie, the header against other sites, redirects, counters, addresses."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    with EmbeddedServer(data=tmp_path / "data", base_path=BASE) as server:
        assert server.url.endswith(BASE)
        host = server.url.removesuffix(BASE)
        monkeypatch.setenv("ML_DASH_TOKEN", server.admin_token)
        with Experiment(
            "alice/vision/run", dash_url=server.url, dash_root=tmp_path / "root", echo=False
        ).run as exp:
            exp.metrics("train").log(loss=0.5)
            assert exp.flush().acknowledged == 1
            assert exp.page == f"{server.url}/experiments/alice/vision/run"
        client = Client(host, server.admin_token)
        for path in (f"/{BASE}{API}/openapi.json", "/openapi.json"):
            assert client.ask("GET", path).body["servers"] == [{"url": BASE}]
        assert client.ask("GET", f"/{BASE}{API}/experiments/alice").status == 404
        slashed = client.ask("GET", f"/{BASE}{API}/health/")
        assert (slashed.status, slashed.headers["Location"]) == (308, "../health")
        signed_in = client.ask(
            "POST",
            f"/{BASE}{API}/session",
            b'{"token": "%s"}' % server.admin_token.encode(),
            headers={"X-ML-Dash": "1", "Content-Type": "application/json"},
        )
        cookie = signed_in.headers["Set-Cookie"]
        assert "Path=/;" in f"{cookie};"
        nobody = Client(host, None)
        mine = {"Cookie": cookie.partition(";")[0]}
        assert nobody.ask("GET", f"/{BASE}{API}/experiments", headers=mine).status == 200
        assert nobody.ask("DELETE", f"/{BASE}{API}/session", headers=mine).status == 403
        other_site = {**mine, "X-ML-Dash": "1", "Sec-Fetch-Site": "cross-site"}
        assert nobody.ask("DELETE", f"/{BASE}{API}/session", headers=other_site).status == 403
        counters = client.ask("GET", "//metrics").body.decode()
        assert f'route="{API}/session"' in counters
        assert f'route="{BASE}' not in counters
        before = server.url
        server.stop()
        assert server.start().url == before


async def test_a_login_below_a_path_leads_there(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path / "data", base_path=BASE) as server:
        authorization = await begin(server.url)
        assert authorization.where == f"{server.url}/device"


async def test_without_a_proxy_of_ours_nobody_makes_a_cookie_secure(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path / "data") as server:
        client = Client(server.url, None)
        body = b'{"token": "%s"}' % server.admin_token.encode()
        headers = {"X-ML-Dash": "1", "Content-Type": "application/json", "X-Forwarded-Proto": "https"}
        assert "Secure" not in client.ask("POST", "/session", body, headers=headers).headers["Set-Cookie"]
