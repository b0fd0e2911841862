"""Ranks on a run's page and in the workspace, from a server and from a root."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.browser.ui import Ui
from tests.browser.window import Window, sign_in

PREFIX = "alice/vision/ddp"


def log(**where: Any) -> None:
    """Log as two ranks of one training, and a metric that rank 0 alone has."""
    ranks = [Experiment(PREFIX, rank=rank, echo=False, **where) for rank in range(2)]
    for exp in ranks:
        exp.run.start()
    for step in range(50):
        for rank, exp in enumerate(ranks):
            exp.metrics("train").log(step=step, loss=1 / (step + 1) + 10 * rank)
    ranks[0].metrics("eval").log(step=1, acc=0.5)
    for exp in ranks:
        exp.run.complete()


@pytest.fixture(params=["server", "root"])
def page(
    request: pytest.FixtureRequest,
    server: EmbeddedServer,
    at_home: None,
    tmp_path: Path,
    open_window: Callable[..., Window],
) -> Iterator[Page]:
    """A run's page."""
    del at_home
    window = open_window()
    ui = None
    if request.param == "server":
        log(dash_url=server.url, dash_root=None)
        sign_in(window.page, server.url)
        window.page.goto(f"{server.url}/experiments/{PREFIX}")
    else:
        log(dash_root=str(tmp_path / "dash"))
        ui = Ui(str(tmp_path / "dash"))
        window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
        window.page.goto(ui.address())
        window.page.get_by_role("link", name="ddp").first.click()
    yield window.page
    if ui is not None:
        ui.stop()


@pytest.mark.slow
def test_a_switch_shows_all_ranks_together_each_or_one(page: Page) -> None:
    """The choice is in the address; a metric that one rank has not logged says so."""
    page.get_by_role("tab", name="Charts").click()
    switch = page.get_by_label("Ranks")
    expect(switch).to_have_value("all")
    loss = page.get_by_role("figure", name="train/loss")
    expect(loss.locator("canvas")).to_be_visible()
    expect(page.get_by_text("rank 0")).to_have_count(1)  # in the switch alone

    switch.select_option("each")
    lines = loss.get_by_role("group", name="Lines")
    expect(lines.get_by_role("button")).to_have_text(["rank 0", "rank 1"])
    expect(page).to_have_url(re.compile("ranks=each"))
    expect(loss.locator("canvas")).to_be_visible()
    expect(page.get_by_role("figure", name="eval/acc").locator("canvas")).to_be_visible()

    switch.select_option("1")
    expect(lines).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Ranks")).to_have_value("1")
    expect(page.get_by_role("figure", name="train/loss").locator("canvas")).to_be_visible()
    loss.get_by_role("button", name="Table").click()
    expect(loss.get_by_role("row").nth(1)).to_contain_text("11")  # of rank 1 alone


@pytest.mark.slow
def test_the_workspace_shows_all_rows_a_mean_with_its_band_or_one_rank(page: Page) -> None:
    """The choice is in the address, and the mean is that of both ranks at each step."""
    expect(page.get_by_role("tab", name="Charts")).to_be_visible()
    page.goto(f"{page.evaluate('location.origin')}/p/alice/vision")
    toolbar = page.get_by_role("toolbar", name="All charts")
    switch = toolbar.get_by_label("Ranks")
    expect(switch).to_have_value("all")
    loss = page.locator('[data-chart="train/loss"] .plot')

    switch.select_option("mean")
    expect(page).to_have_url(re.compile("ranks=mean"))
    expect(loss).to_have_attribute("aria-label", re.compile(r"ddp: last 5\.02"))
    switch.select_option("1")
    expect(page).to_have_url(re.compile("ranks=1"))
    expect(loss).to_have_attribute("aria-label", re.compile(r"ddp: last 10\.02"))
    page.reload()
    expect(switch).to_have_value("1")
    switch.select_option("0")
    expect(loss).to_have_attribute("aria-label", re.compile(r"ddp: last 0\.02"))
    switch.select_option("all")
    expect(page).not_to_have_url(re.compile("ranks="))
