"""What single charts, and columns of the run set, have of their own; kept in the address, and so in views."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from ml_dash import Experiment
from tests.browser.ui import Ui, over
from tests.browser.window import Window

RUNS, STEPS = 4, 200
FOLDER = "/p/alice/vision/panels"


def _write(root: str) -> None:
    for number in range(RUNS):
        exp = Experiment(f"alice/vision/panels/run-{number}", dash_root=root, echo=False, capture=False)
        with exp.run:
            exp.params.set(lr=10.0**-number, seed=number, data="digits", layers=[64, 64])
            for step in range(STEPS):
                loss = 1000.0 if step == 100 else 2 / (1 + step / 20) + number / 10
                exp.metrics("train").log(step=step, loss=loss, accuracy=1 - loss / 2000, seen=step * 32)
                if step % 10 == 9:
                    exp.metrics("val").log(step=step, loss=2 / (1 + step / 20) + number / 10)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    root = str(tmp_path_factory.mktemp("dash"))
    _write(root)
    yield from over(root)


@pytest.fixture
def page(ui: Ui, open_window: Callable[..., Window]) -> Page:
    window = open_window(1440, 900)
    window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
    page = window.page
    page.goto(ui.address())
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.goto(f"{page.evaluate('location.origin')}{FOLDER}")
    expect(plot(page, "val/loss")).to_have_attribute("aria-label", re.compile("run-0: last"))
    return page


def tile(page: Page, title: str) -> Locator:
    return page.locator(f'figure[data-chart="{title}"]')


def plot(page: Page, title: str) -> Locator:
    return tile(page, title).locator(".plot")


def axis(page: Page, title: str) -> Locator:
    """Return what its x is called."""
    return tile(page, title).locator(".plot-axis")


def settings(page: Page, title: str) -> Locator:
    """Open the settings of a chart."""
    tile(page, title).hover()
    page.get_by_role("button", name=f"Settings of {title}").click()
    form = page.get_by_role("form", name=f"Settings of {title}")
    expect(form).to_be_visible()
    return form


def height(target: Locator) -> float:
    box = target.bounding_box()
    assert box is not None
    return box["height"]


def width(target: Locator) -> float:
    box = target.bounding_box()
    assert box is not None
    return box["width"]


@pytest.mark.slow
def test_a_chart_has_an_x_smoothing_and_ranges_of_its_own_and_they_come_back(page: Page) -> None:
    form = settings(page, "train/loss")
    form.get_by_label("Along").select_option("seen")
    expect(axis(page, "train/loss")).to_have_text("seen")
    form.get_by_label("Kind of smoothing").select_option("gaussian")
    form.get_by_label("Standard deviation").fill("64")
    form.get_by_label("Standard deviation").press("Tab")
    form.get_by_label("Scale of y").select_option("log")
    form.get_by_label("Lowest x").fill("640")
    form.get_by_label("Lowest x").press("Tab")
    expect(page).to_have_url(re.compile(r"set=train/loss~x:seen~log:1~smooth:gaussian:64~xr:640:(&|$)"))
    # none of it is the other charts'
    expect(axis(page, "train/accuracy")).to_have_text("step")
    form.get_by_label("Highest x").fill("10")
    form.get_by_label("Highest x").press("Tab")
    expect(form.get_by_text("give the lower one first")).to_be_visible()
    page.reload()
    expect(axis(page, "train/loss")).to_have_text("seen")
    form = settings(page, "train/loss")
    expect(form.get_by_label("Standard deviation")).to_have_value("64")
    expect(form.get_by_label("Lowest x")).to_have_value("640")
    form.get_by_role("button", name="As all charts").click()
    expect(page).not_to_have_url(re.compile("set="))
    expect(axis(page, "train/loss")).to_have_text("step")


@pytest.mark.slow
def test_an_x_may_be_another_metrics_and_zoom_goes_with_the_same_x_only(page: Page) -> None:
    settings(page, "val/loss").get_by_label("Along").select_option("train/seen")
    page.keyboard.press("Escape")
    chart = plot(page, "val/loss")
    expect(axis(page, "val/loss")).to_have_text("train/seen")
    chart.focus()
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile("zoom=train/seen~"))
    expect(page.get_by_role("button", name="Show all of val/loss")).to_be_visible()
    expect(page.get_by_role("button", name="Show all of train/loss")).to_have_count(0)
    # a row is saved with the x that the other metric had by then
    page.keyboard.press("0")
    chart.hover()
    tile(page, "val/loss").get_by_role("button", name="Save val/loss").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV", exact=True).click()
    lines = Path(saved.value.path()).read_text().splitlines()
    assert lines[0] == "line,index,time,train/seen,val/loss"
    assert [line.split(",")[3] for line in lines[1:4]] == ["288", "608", "928"]


@pytest.mark.slow
def test_outliers_are_left_out_of_the_range(page: Page) -> None:
    """The scale of y is that of most points: the axis goes to thousands no more."""

    def highest() -> float:
        return float(settings(page, "train/loss").get_by_label("Highest y").get_attribute("placeholder") or 0)

    assert highest() > 1000
    page.get_by_role("form").get_by_label("Leave outliers out").check()
    page.keyboard.press("Escape")
    assert highest() < 3


def test_settings_are_made_by_the_keyboard_alone(page: Page) -> None:
    button = page.get_by_role("button", name="Settings of val/loss")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("form", name="Settings of val/loss")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Scale of x")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("form")).to_have_count(0)
    expect(button).to_be_focused()


@pytest.mark.slow
def test_a_chart_is_made_wider_and_higher_by_its_corner(page: Page) -> None:
    chart = tile(page, "train/loss")
    before = chart.bounding_box()
    corner = page.get_by_role("button", name="Size of train/loss")
    box = corner.bounding_box()
    assert before is not None
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + before["width"], box["y"] + 105, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"set=train/loss~wide:2~high:270"))
    after = chart.bounding_box()
    assert after is not None
    assert after["width"] > 1.9 * before["width"]
    corner.press("ArrowLeft")
    corner.press("ArrowUp")
    expect(page).to_have_url(re.compile(r"set=train/loss~high:250(&|$)"))
    corner.dblclick()
    expect(page).not_to_have_url(re.compile("set="))
    assert height(chart) == before["height"]


@pytest.mark.slow
def test_columns_are_made_wider_moved_and_pinned_and_it_comes_back(page: Page) -> None:
    page.get_by_role("button", name="Full table").click()
    heads = page.get_by_role("columnheader")
    lr = heads.filter(has_text="lr")
    edge = lr.get_by_role("separator")
    before = lr.bounding_box()
    box = edge.bounding_box()
    assert before is not None
    assert box is not None
    page.mouse.move(box["x"] + 3, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 43, box["y"] + 10, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"wide=params\.lr~112"))
    edge.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"wide=params\.lr~122"))
    # dragged before the first one; no sorting comes of it
    first = heads.nth(4)
    target = first.bounding_box()
    assert target is not None
    page.mouse.move(before["x"] + 12, before["y"] + 12)
    page.mouse.down()
    page.mouse.move(target["x"] + 4, target["y"] + 12, steps=6)
    page.mouse.up()
    expect(heads.nth(4)).to_have_text("lr")
    assert "sort=" not in page.url
    seed = heads.filter(has_text="seed")
    seed.hover()
    seed.get_by_role("button", name="This column").click()
    page.get_by_role("button", name="Pin beside the name").click()
    expect(heads.nth(4)).to_have_text("seed")
    page.reload()
    expect(heads.nth(4)).to_have_text("seed")
    expect(heads.nth(5)).to_have_text("lr")
    assert width(heads.nth(5)) == 122
    # what is pinned stays in sight
    page.set_viewport_size({"width": 700, "height": 800})
    page.locator(".runs-table .virtual").evaluate("each => { each.scrollLeft = 10000 }")
    expect(heads.nth(4)).to_be_in_viewport()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the table as CSV").click()
    head = Path(saved.value.path()).read_text().splitlines()[0]
    assert head.startswith("name,params.seed,params.lr,")
