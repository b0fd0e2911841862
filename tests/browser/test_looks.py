"""What can be held of how pages look: nothing jumps, nothing is cut, much is in sight, and each colour is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import ml_dash
from ml_dash import Experiment
from tests.browser.ui import Ui, over
from tests.browser.window import Window

RUNS = 24
SIZES = ((1440, 900), (1920, 1080), (390, 844))
WORKSPACE, RUN = "/p/alice/looks/sweep", "/experiments/alice/looks/run"
SHIFTS = 0.02
"""The sum of layout shifts that a page may have while it loads: 0.1 counts as good on the web."""
_WATCH = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) {
    const where = each.sources.map(({node}) => node && (node.className || node.nodeName));
    if (!each.hadRecentInput) window.shifts.push([each.value, String(where)]);
  }
}).observe({type: 'layout-shift', buffered: true});
"""
_CUT = """
(selectors) => [...document.querySelectorAll(selectors)]
  .filter((each) => each.checkVisibility() && each.clientWidth && each.scrollWidth > each.clientWidth + 1)
  .map((each) => `${each.className || each.nodeName}: ${each.textContent}`)
"""
_WORDS = (
    "h1, h2, button, .head-text, .tabs button, legend, .plot-axis, .chart-title, .tile-title, .run-name > a"
)
"""What nobody may have to guess. A long name of a run may be cut, these runs' are not long."""
_WHOLE = """
(selector) => [...document.querySelectorAll(selector)].filter((each) => {
  const {top, bottom, left, right, height} = each.getBoundingClientRect();
  return height > 0 && top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
}).length
"""


def _sweep(root: str) -> None:
    for number in range(RUNS):
        exp = Experiment(f"alice/looks/sweep/gpt-{number:02}", dash_root=root, echo=False, capture=False)
        with exp.run:
            exp.params.set(lr=10.0 ** -(number % 4), model={"size": ("125M", "350M", "1.3B")[number % 3]})
            for step in range(0, 10_000, 250):
                loss = 3 + math.exp(-step / 2000) + number / 100
                exp.metrics("val").log(step=step, loss=loss, accuracy=1 / loss, perplexity=math.exp(loss))
                exp.metrics("train").log(
                    step=step, loss=loss, lr=0.001, grad_norm=1 / (step + 1), tokens=step * 2**19
                )
                exp.metrics("eval").log(step=step, arc=loss / 9, piqa=loss / 8, lambada=loss / 7)


def _long(root: str) -> None:
    for number in range(3):
        name = f"alice/looks/sweep-long/a-name-that-leaves-no-room-{number:02}"
        with Experiment(name, dash_root=root, echo=False, capture=False).run as exp:
            schedule = {"name": ("constant", "cosine-with-warm-up")[number % 2], "steps": number}
            model = {"name": f"gpt-{number}", "width": 2**number, "dropout": 0.1 * number}
            exp.params.set(schedule=schedule, model=model, seed=number, decay=number / 10)
            exp.metrics("val").log(step=1, loss=0.5)


def _media(root: str) -> None:
    with Experiment("alice/looks/run", dash_root=root, echo=False, capture=False).run as exp:
        exp.params.set(lr=0.1)
        for step in range(0, 300, 10):
            exp.metrics("train").log(step=step, loss=1 / (step + 1), images_per_second=10_400.0 + step)
        for step in (100, 200):
            exp.metrics("samples").log(
                step=step,
                seen=ml_dash.Image(
                    np.zeros((48, 64, 3), np.uint8), boxes=[{"box": [8, 8, 40, 40], "label": "a"}]
                ),
                weights=ml_dash.Histogram(np.arange(100.0)),
            )


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    root = str(tmp_path_factory.mktemp("dash"))
    _sweep(root)
    _long(root)
    _media(root)
    yield from over(root)


@pytest.fixture
def visit(ui: Ui, open_window: Callable[..., Window]) -> Callable[..., Page]:
    """Return a page that is signed in, on a path."""

    def visited(path: str, width: int = 1440, height: int = 900) -> Page:
        window = open_window(width, height)
        window.expected = ["404 (Not Found)"]  # what a page is told that is not there
        page = window.page
        page.add_init_script(_WATCH)
        page.goto(ui.address())
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        page.goto(f"{page.evaluate('location.origin')}{path}")
        return page

    return visited


def settled(page: Page) -> None:
    """Wait until nothing is waited for any more, and two frames have been drawn since."""
    expect(page.locator(".loading, .skeleton, .waiting, .chart-wait")).to_have_count(0)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [WORKSPACE, f"{WORKSPACE}?table=1", RUN, f"{RUN}?tab=media", f"{RUN}?tab=overview"]
)
@pytest.mark.parametrize("size", [SIZES[0], SIZES[2]])
def test_nothing_jumps_while_a_page_loads(
    visit: Callable[..., Page], path: str, size: tuple[int, int]
) -> None:
    page = visit(path, *size)
    expect(page.locator("canvas, .run-row a, .media-card, .pairs").first).to_be_visible()
    settled(page)
    shifts: list[Any] = page.evaluate("window.shifts")
    assert sum(value for value, _ in shifts) <= SHIFTS, shifts


@pytest.mark.slow
def test_eight_charts_and_twenty_runs_are_in_sight(visit: Callable[..., Page]) -> None:
    page = visit(WORKSPACE)
    expect(page.locator(".tile canvas").first).to_be_visible()
    settled(page)
    assert page.evaluate(_WHOLE, ".tile") >= 8
    assert page.evaluate(_WHOLE, ".run-row:not(.run-head):not(.skeleton)") >= 20


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "path",
    [
        WORKSPACE,
        f"{WORKSPACE}?group=params.model.size",
        f"{WORKSPACE}?show=all&color=params.lr&turn=Sweep",
        f"{WORKSPACE}?table=1",
        RUN,
        f"{RUN}?tab=overview",
        f"{RUN}?tab=files",
        f"{RUN}?tab=tracks",
        "/rules?folder=alice",
        "/diff?e=alice/looks/sweep/gpt-00&e=alice/looks/sweep/gpt-01",
        "/trash",
        "/nowhere",
    ],
)
def test_no_word_is_cut_and_no_page_is_wider_than_the_window(
    visit: Callable[..., Page], path: str, size: tuple[int, int]
) -> None:
    page = visit(path, *size)
    expect(page.locator("canvas, .run-row a, .pairs, .files, .diff-table, .empty").first).to_be_visible()
    settled(page)
    assert page.evaluate(_CUT, _WORDS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.slow
def test_what_charts_say_that_move_along_is_in_their_heads(visit: Callable[..., Page]) -> None:
    page = visit(RUN)
    chart = page.locator('[data-chart="train/loss"]')
    expect(chart.locator("canvas")).to_be_visible()
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    other = page.locator('[data-chart="train/images_per_second"]')
    told = other.locator(".tooltip")
    expect(told).to_be_visible()
    inside, plot, frame = told.bounding_box(), other.locator(".u-over").bounding_box(), other.bounding_box()
    assert inside is not None
    assert plot is not None
    assert frame is not None
    assert inside["y"] + inside["height"] <= plot["y"]
    assert frame["x"] <= inside["x"]
    assert inside["x"] + inside["width"] <= frame["x"] + frame["width"]
    # and of a field that has no numbers there is no chart, nor room for one
    expect(page.locator('[data-chart^="samples/"]')).to_have_count(0)


@pytest.mark.slow
def test_boxes_lie_on_the_image_however_large_it_is_shown(visit: Callable[..., Page]) -> None:
    for path in (f"{RUN}?tab=media", "/p/alice/looks?show=none&but=run&turn=Media"):
        page = visit(path)
        image, boxes = page.locator(".boxed img"), page.locator(".boxed svg")
        expect(image).to_be_visible()
        settled(page)
        assert image.bounding_box() == boxes.bounding_box(), path


@pytest.mark.slow
def test_where_there_is_nothing_the_next_step_is_told_and_can_be_copied(visit: Callable[..., Page]) -> None:
    page = visit(f"{RUN}?tab=tracks")
    expect(page.get_by_text("This run has no tracks")).to_be_visible()
    expect(page.locator(".code")).to_contain_text("exp.tracks(")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()


@pytest.mark.slow
def test_runs_are_coloured_by_a_result_that_is_no_column(visit: Callable[..., Page]) -> None:
    page = visit(f"{WORKSPACE}?show=all&color=best(val/loss)&cols=params.lr")
    expect(page.locator(".color-scale")).to_be_visible()
    expect(page.locator(".run-dot").first).to_be_visible()
    dots = page.locator(".run-row .run-dot")
    assert dots.evaluate_all("dots => new Set(dots.map((each) => each.style.background)).size") > 4


@pytest.mark.slow
def test_runs_whose_names_begin_alike_show_how_they_end(visit: Callable[..., Page]) -> None:
    page = visit(f"{WORKSPACE}-long", 1280)
    name = page.get_by_role("link", name="a-name-that-leaves-no-room-00", exact=True)
    expect(name).to_be_visible()
    settled(page)
    ends = name.locator("bdi").evaluate("bdi => bdi.getBoundingClientRect().right")
    assert ends <= name.evaluate("link => link.getBoundingClientRect().right") + 1
    assert name.evaluate("link => link.scrollWidth > link.clientWidth")


@pytest.mark.slow
def test_a_wide_table_cuts_no_parameter_and_tells_columns_apart(visit: Callable[..., Page]) -> None:
    page = visit(f"{WORKSPACE}-long?table=1", 1920, 1080)
    expect(page.get_by_role("cell", name="cosine-with-warm-up").first).to_be_visible()
    settled(page)
    heads = page.locator(".run-head .head-text").all_inner_texts()
    assert {"schedule.name", "model.name", "seed", "width"} <= set(heads)
    assert page.evaluate(_CUT, ".run-row > .numbers") == []


@pytest.mark.slow
def test_on_a_phone_the_way_up_from_a_run_is_there(visit: Callable[..., Page]) -> None:
    page = visit(f"{WORKSPACE.replace('/p/', '/experiments/')}/gpt-00", 390, 844)
    page.get_by_role("navigation", name="Folders").get_by_role("link", name="sweep").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
