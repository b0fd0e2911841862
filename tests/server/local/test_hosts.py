"""By which names `ml-dash ui` can be asked, and what a person is told who came by another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.server.local.hosts import is_loopback
from ml_dash.server.local.sessions import OneTimeSessions
from tests.server.local.ui import serving


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:7008",
        "127.0.0.1:9000",
        "127.1.2.3:80",
        "localhost",
        "LocalHost:9000",
        "localhost.:9000",
        "runs.localhost:9000",
        "[::1]",
        "[::1]:9000",
    ],
)
def test_this_machine_has_these_names_at_any_port(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:7008",
        "127.0.0.1.evil.example",
        "localhost.evil.example:7008",
        "evillocalhost",
        "127.0.0.1@evil.example",
        "192.168.0.7:7008",
        "0.0.0.0:7008",
        "127.0.0.1:x",
        "[::1",
        "[evil]:1",
        "2130706433",
        "127.1",
        "::1",
    ],
)
def test_another_name_may_have_been_pointed_here_by_anybody(host: str) -> None:
    assert not is_loopback(host)


async def test_a_browser_that_is_refused_gets_a_page_that_says_what_to_do(tmp_path: Path) -> None:
    async with serving(tmp_path) as ui:
        headers = {"Host": "gpu-7.<script>.example:9000", "Accept": "text/html,application/xhtml+xml,*/*"}
        async with ui.client.get("/", headers=headers) as response:
            page = await response.text()
            assert (response.status, response.content_type) == (403, "text/html")
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "ssh -L" in page
        assert f"http://127.0.0.1:{ui.client.port}/" in page
        assert "gpu-7.&lt;script&gt;.example:9000" in page
        assert ui.sessions.token not in page
        headers["Accept"] = "application/json"
        async with ui.client.get("/", headers=headers) as response:
            assert (await response.json())["error"]["code"] == "forbidden"


def test_cookies_of_two_machines_behind_tunnels_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both listen on the same port there, and the browser sends cookies to all ports here."""
    names = set()
    for machine in ("gpu-1", "gpu-2", "gpu-1"):
        monkeypatch.setattr("platform.node", lambda machine=machine: machine)
        names.add(OneTimeSessions(7008, print, ".dash").cookie)
    assert len(names) == 2
