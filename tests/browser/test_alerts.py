"""Alerts on the pages: the bell with their number, the list of runs, and the tab of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ml_dash import Experiment
from tests.browser.ui import Ui
from tests.browser.window import Window

HOSTILE = "<b onclick=alert(1)>x</b>"


@pytest.mark.slow
def test_a_bell_leads_to_the_alerts_of_runs(open_window: Callable[..., Window], tmp_path: Path) -> None:
    for name, count in (("quiet", 0), ("loud", 3), ("louder", 4)):
        with Experiment(f"alice/p/{name}", dash_root=tmp_path, echo=False, capture=False).run as exp:
            exp.metrics("train").log(loss=1.0)
            for number in range(count):
                exp.alert(f"title {number}", HOSTILE, "error" if number else "warning", wait=0)
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]
        page = window.page
        page.goto(ui.address())
        bell = page.get_by_role("button", name="7 alerts in 2 runs")
        bell.click()
        runs = page.locator(".bell-runs li")
        expect(runs).to_have_count(2)
        expect(runs.first).to_contain_text("louder")
        runs.last.get_by_role("link").click()
        expect(page.get_by_role("tab", name="Alerts")).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("status")).to_have_text("3 alerts")
        expect(page.locator(".log").nth(1)).to_contain_text(f"title 1: {HOSTILE}")
        expect(page.locator(".log-error")).to_have_count(2)
        page.get_by_label("Level").select_option("warning")
        expect(page.get_by_role("status")).to_have_text("1 alert")
        expect(page.get_by_role("link", name="3 alerts")).to_be_visible()
    finally:
        assert ui.stop() == 0
