"""The pages of a server below a path of a host, as a proxy has it there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.browser.window import Window
from tests.support.seen import TOKEN


@pytest.mark.slow
def test_links_addresses_and_what_is_asked_stay_below_the_path(
    open_window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    with EmbeddedServer(data=tmp_path / "data", admin_token=TOKEN, base_path="/lab/ml-dash") as server:
        with Experiment(
            "alice/vision/run", dash_url=server.url, dash_root=tmp_path / "root", echo=False
        ).run as exp:
            exp.metrics("train").log(loss=0.5)
            exp.flush()
            address = exp.page
        page = open_window().page
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}?tab=logs")
        expect(page).to_have_url(re.compile(r"/lab/ml-dash/sign-in\?to=%2Fexperiments"))
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("tab", name="Logs")).to_have_attribute("aria-selected", "true")
        assert page.url.startswith(f"{address}?")
        page.get_by_role("link", name="Experiments").first.click()
        expect(page.get_by_role("table", name="Runs")).to_be_visible()
        assert page.url.rstrip("/") == server.url
        page.go_back()
        expect(page.get_by_role("tab", name="Logs")).to_be_visible()
        assert asked
        assert [each for each in asked if not each.startswith(f"{server.url}/")] == []
        page.close()  # before its server: it would go on asking, in vain
