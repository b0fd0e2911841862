"""A run that is asked to stop from its page, and from the workspace, by whoever may write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ml_dash import Experiment
from tests.browser.ui import Ui
from tests.browser.window import Window
from tests.support.serving import until

PREFIX = "alice/sweep/live"


@pytest.mark.slow
def test_a_run_is_asked_to_stop_and_sees_it(open_window: Callable[..., Window], tmp_path: Path) -> None:
    root = str(tmp_path / "runs")
    window = open_window()
    window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
    page = window.page
    with Experiment(PREFIX, dash_root=root, echo=False).run as exp:
        exp.metrics("train").log(step=0, loss=1.0)
        exp.flush()
        ui = Ui(root)
        try:
            page.goto(ui.address())
            expect(page.get_by_role("heading", name="Runs")).to_be_visible()  # signed in
            address = page.evaluate("location.origin")
            page.goto(f"{address}/experiments/{PREFIX}")
            page.get_by_text("Change", exact=True).click()
            page.get_by_role("button", name="Ask to stop").click()
            said = page.locator(".experiment-head [role=status]")
            expect(said).to_contain_text("it has not seen that yet, and goes on")
            page.get_by_role("button", name="Undo").click()
            expect(said).to_have_count(0)

            page.goto(f"{address}/p/alice/sweep")
            page.get_by_label("Tick live").check()
            page.get_by_role("button", name="Ask to stop").click()
            expect(page.get_by_role("region", name="Ticked runs")).to_contain_text("1 run asked to stop")
            until(lambda: exp.should_stop, "the run sees it")
            page.goto(f"{address}/experiments/{PREFIX}")
            expect(said).to_contain_text("stopping")
        finally:
            ui.stop()
    assert exp.run.status == "CANCELLED"
