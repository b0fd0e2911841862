"""How much of a workspace is in sight, and what of it is put on paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from ml_dash import Experiment
from tests.browser.ui import Ui, over
from tests.browser.window import Window

RUNS, STEPS = 32, 12
GROUPS = ("train", "val", "test", "opt")
FIELDS = ("loss", "acc", "f1", "lr", "grad")
WHOLE = """elements => elements.filter(each => {
  const { top, left, bottom, right, height } = each.getBoundingClientRect();
  return height > 0 && top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
}).length"""
WHITE = ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """`ml-dash ui` over more runs than a table has in the page, with 20 metrics each."""
    root = str(tmp_path_factory.mktemp("dash"))
    for number in range(RUNS):
        exp = Experiment(f"alice/dense/run-{number:02}", dash_root=root, echo=False, capture=False)
        with exp.run:
            exp.params.set(lr=0.1 / (1 + number % 3), seed=number)
            for step in range(STEPS):
                for group in GROUPS:
                    exp.metrics(group).log(
                        step=step, **{each: math.exp(-step / 5) + number / 50 for each in FIELDS}
                    )
    yield from over(root)


def opened(ui: Ui, window: Window) -> Page:
    """The workspace, with charts drawn."""
    window.expected = ["ERR_CONNECTION_REFUSED"]
    page = window.page
    page.goto(ui.address())
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.goto(f"{page.evaluate('location.origin')}/p/alice/dense")
    expect(page.get_by_role("status").first).to_have_text(f"10 of {RUNS} drawn")
    expect(page.locator(".tile canvas").first).to_be_visible()
    return page


@pytest.mark.slow
def test_eight_charts_and_twenty_runs_are_in_sight(ui: Ui, open_window: Callable[..., Window]) -> None:
    page = opened(ui, open_window(1440, 900))
    assert page.locator(".tile").evaluate_all(WHOLE) >= 8
    assert page.locator(".run-row:not(.run-head)").evaluate_all(WHOLE) >= 20


def test_all_runs_are_on_white_paper_and_no_chart_is_cut(ui: Ui, open_window: Callable[..., Window]) -> None:
    """From a dark and low window, in which most of them are not even in the page."""
    page = opened(ui, open_window(900, 420, dark=True))
    rows = page.locator(".run-row:not(.run-head)")
    assert rows.count() < RUNS
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    # what is there when the browser asks for the last time is what is printed
    page.evaluate(
        """addEventListener("beforeprint", () => {
          const rows = document.querySelectorAll(".run-row:not(.run-head)");
          window.printed = [rows.length, document.documentElement.dataset.theme];
        })"""
    )
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.evaluate("window.printed") == [RUNS, "light"]
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")

    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.set_viewport_size({"width": 700, "height": 990})
    page.emulate_media(media="print")
    expect(rows).to_have_count(RUNS)
    expect(page.get_by_role("heading", name="Runs in alice/dense")).to_be_visible()
    last = rows.last
    expect(last).to_contain_text("run-00")
    inside = "each => each.getBoundingClientRect().right <= innerWidth + 1"
    assert last.evaluate(inside)
    ground = "each => getComputedStyle(each).backgroundColor"
    assert page.locator("html").evaluate(ground) in WHITE
    assert last.evaluate(ground) in WHITE
    for hidden in (
        ".toolbar",
        ".head",
        ".filter",
        ".segments",
        ".runs-tools",
        ".run-row input",
        ".tile .icon",
    ):
        assert not page.locator(hidden).first.is_visible(), hidden
    tiles = page.locator(".tile:visible")
    assert tiles.count() > 0
    assert tiles.evaluate_all(
        """tiles => tiles.every(tile => {
          const around = tile.getBoundingClientRect();
          const { width, left, right, bottom } = tile.querySelector("canvas").getBoundingClientRect();
          return width > 100 && left >= around.left && right <= around.right + 1 && bottom <= around.bottom + 1;
        })"""
    )
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator(".toolbar")).to_be_visible()
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")


def test_charts_that_were_never_in_sight_are_printed_as_well(
    ui: Ui, open_window: Callable[..., Window]
) -> None:
    """By the key for printing; behind that the page draws what is in sight alone, as before."""
    page = opened(ui, open_window(900, 420))
    before = page.locator(".tile canvas").count()
    page.evaluate(
        """() => void (window.print = () => {
          dispatchEvent(new Event("beforeprint"));
          const drawn = each => {
            const { width, height } = each;
            const pixels = each.getContext("2d").getImageData(0, 0, width, height).data;
            return new Set(new Uint32Array(pixels.buffer)).size > 4;
          };
          const plots = [...document.querySelectorAll(".tile .plot")];
          window.printed = {
            plots: plots.length,
            drawn: plots.filter(each => each.querySelector("canvas") && drawn(each.querySelector("canvas"))).length,
            said: document.querySelector(".charts-pane > .print-only").textContent,
          };
          dispatchEvent(new Event("afterprint"));
        })"""
    )
    page.keyboard.press("Control+p")
    page.wait_for_function("() => window.printed")
    charts = len(GROUPS) * len(FIELDS)
    assert before < 2 * charts, "else all of them are in sight"
    assert page.evaluate("window.printed") == {"plots": charts, "drawn": charts, "said": ""}
    expect(page.locator(".tile canvas")).to_have_count(before)


def test_the_name_of_a_folder_is_whole_on_a_phone(ui: Ui, open_window: Callable[..., Window]) -> None:
    page = opened(ui, open_window(390, 800))
    name = "distillation-of-a-very-large-teacher-into-a-small-student-2026-05"
    page.goto(f"{page.evaluate('location.origin')}/p/alice/{name}")
    shown = page.locator(".head-crumbs b")
    expect(shown).to_have_text(name)
    assert shown.evaluate(
        """each => {
          const { left, right, top, bottom } = each.getBoundingClientRect();
          const at = (x, y) => each === document.elementFromPoint(x, y);
          return left >= 0 && right <= innerWidth && at(left + 4, top + 4) && at(left + 4, bottom - 4);
        }"""
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("button", name="Other folders")).to_be_visible()
