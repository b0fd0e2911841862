"""The workspace, as somebody uses it who has made a sweep: the daily tasks, none of them more than a few clicks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

import ml_dash
from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.browser.ui import Ui, over
from tests.browser.window import Window, sign_in

RUNS, STEPS, MANY = 23, 60, 3000
SWEEP = "/p/alice/vision/sweep"


def _sweep(root: str) -> None:
    for number in range(RUNS):
        rate, seed = 10.0 ** -(1 + number % 3), number // 3
        exp = Experiment(
            f"alice/vision/sweep/run-{number:02}", dash_root=root, tags=["sweep"], echo=False, capture=False
        )
        with exp.run:
            exp.params.set(lr=rate, seed=seed, layers=[64] * (1 + number % 2), data="digits")
            for step in range(STEPS):
                loss = (1 + rate) * math.exp(-step / 20) + number / 100
                exp.metrics("train").log(step=step, loss=loss, accuracy=1 - loss / 3)
                if step % 10 == 9:
                    exp.metrics("val").log(step=step, loss=loss * 1.1, accuracy=0.9 - loss / 3)
                    exp.metrics("layer").log(epoch=step // 10, norm=loss)
            for step in (0, 10) if number == RUNS - 1 else ():
                spread = ml_dash.Histogram([step, step + 1.0])
                exp.metrics("val").log(
                    step=step, spread=spread, said=ml_dash.Text(f"at {step}"), word="no number"
                )


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """`ml-dash ui` over a sweep."""
    root = str(tmp_path_factory.mktemp("dash"))
    _sweep(root)
    yield from over(root)


@pytest.fixture
def window(ui: Ui, open_window: Callable[..., Window]) -> Window:
    """A window with the sweep's workspace."""
    window = open_window(1440, 900)
    window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
    window.page.goto(ui.address())
    expect(window.page.get_by_role("heading", name="Runs")).to_be_visible()
    window.page.goto(address(window.page, SWEEP))
    expect(window.page.get_by_role("status").first).to_have_text(f"10 of {RUNS} drawn")
    return window


@pytest.fixture
def page(window: Window) -> Page:
    return window.page


def address(page: Page, path: str) -> str:
    return f"{page.evaluate('location.origin')}{path}"


def names(page: Page) -> list[str]:
    return page.get_by_role("table", name="Runs").locator(".run-name a").all_inner_texts()


def plot(page: Page, title: str) -> Locator:
    return page.locator(f'[data-chart="{title}"] .plot')


def drag(page: Page, target: Locator, start: float, stop: float) -> None:
    """Select from one share of a chart's width to another."""
    box = target.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + stop * box["width"], middle, steps=4)
    page.mouse.up()


def test_a_sweep_is_overlaid_by_one_click_and_one_question(page: Page) -> None:
    """With twenty runs and eight charts in sight, and the run set as the legend of all of them."""
    assert page.locator(".run-row:not(.run-head)").count() >= 20
    expect(plot(page, "val/loss").locator("canvas").first).to_be_visible()
    assert page.locator("figure[data-chart]").count() >= 5
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/series" in request.url else None)
    page.get_by_role("button", name=f"All {RUNS}", exact=True).click()
    expect(plot(page, "val/loss")).to_have_attribute("aria-label", re.compile("run-22: last .* and 11 more$"))
    # one for all that is in sight, and one for what has come into sight meanwhile: neither by run nor by chart
    assert len(asked) <= 4
    assert "show=all" in page.url
    # what is hovered in a chart is marked in the run set, and told
    box = plot(page, "train/loss").bounding_box()
    assert box is not None
    for share in range(20, 90, 3):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * share / 100)
        if page.locator(".run-row.hovered").count():
            break
    expect(page.locator(".run-row.hovered")).to_have_count(1)
    expect(page.locator(".tip-row.active")).to_have_text(re.compile("^run-"))
    expect(page.locator(".tip-row")).to_have_count(8)


@pytest.mark.slow
def test_the_run_set_is_sorted_has_the_columns_that_differ_and_is_saved(page: Page) -> None:
    page.get_by_role("button", name="Full table").click()
    heads = page.get_by_role("columnheader")
    expect(heads).to_have_text(
        ["", "", "", "Name", "accuracymax", "layers", "lr", "seed", "Duration", re.compile("Started"), "Tags"]
    )
    heads.get_by_role("button", name=re.compile("^accuracy")).click()
    expect(heads.nth(4)).to_have_attribute("aria-sort", "descending")
    expect(page.locator(".run-name a").first).to_have_text("run-00")
    page.reload()
    expect(page.locator(".run-name a").first).to_have_text("run-00")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the table as CSV").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    assert lines[0] == "name,max(val/accuracy),params.layers,params.lr,params.seed,duration,started,tags"
    assert len(lines) == RUNS + 1
    assert lines[1].startswith("run-00,0.")


@pytest.mark.slow
def test_a_filter_is_completed_and_says_where_it_is_wrong(window: Window) -> None:
    page = window.page
    window.expected.append("400")
    field = page.get_by_label("Filter runs")
    field.press_sequentially("params.l")
    page.get_by_role("option", name="params.lr").click()
    field.press_sequentially("<0.05 val/acc")
    expect(page.get_by_role("option").first).to_contain_text("val/accuracy")
    page.keyboard.press("Tab")
    field.press_sequentially(">0")
    expect(page.get_by_role("status").first).to_have_text("10 of 15 drawn")
    field.press_sequentially(" nothing=1")
    expect(page.locator(".filter-problem mark")).to_have_text("nothing=1")
    # what was there stays
    assert len(names(page)) == 15
    field.fill("name:run-0*")
    expect(page.get_by_role("status").first).to_have_text("10 runs")


@pytest.mark.slow
def test_zoom_is_for_all_charts_of_an_axis_and_for_no_others(page: Page) -> None:
    chart = plot(page, "train/loss")
    expect(chart).to_have_attribute("aria-label", re.compile("last"))
    drag(page, chart, 0.4, 0.7)
    expect(page).to_have_url(re.compile("zoom=step~"))
    expect(page.get_by_role("button", name="Show all of val/loss")).to_be_visible()
    # it has no step: its axis is another one
    expect(page.get_by_role("button", name="Show all of layer/norm")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Show all of train/loss")).to_be_visible()
    chart.dblclick()
    expect(page).not_to_have_url(re.compile("zoom"))


@pytest.mark.slow
def test_a_chart_is_saved_with_all_of_its_rows(page: Page) -> None:
    """As CSV each row as it was logged, of the part that is shown; as SVG a picture with a legend."""
    chart = page.locator('figure[data-chart="train/loss"]')
    page.goto(address(page, f"{SWEEP}?zoom=step~9.5~12.5&show=none&but=run-03,run-21"))
    expect(plot(page, "train/loss")).to_have_attribute("aria-label", re.compile("run-21: last"))
    saved = {}
    for kind in ("CSV", "SVG"):
        chart.hover()
        chart.get_by_role("button", name="Save train/loss").click()
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        saved[kind] = Path(download.value.path()).read_text()
    lines = saved["CSV"].splitlines()
    assert lines[0] == "line,index,time,step,train/loss"
    assert [line.split(",")[0] + line.split(",")[3] for line in lines[1:]] == [
        f"{name}{step}" for name in ("run-21", "run-03") for step in (10, 11, 12)
    ]
    assert all(name in saved["SVG"] for name in ("run-03", "run-21", ">train/loss<", "<path"))


@pytest.mark.slow
def test_runs_are_grouped_with_their_mean_and_opened(page: Page) -> None:
    page.get_by_role("button", name="Groups").click()
    page.get_by_role("group", name="Group by", exact=True).get_by_label("lr").check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("status").first).to_have_text("3 groups")
    expect(page.locator(".group-name")).to_have_text([re.compile(r"lr=0\.\d+ +\d")] * 3)
    expect(plot(page, "val/loss")).to_have_attribute(
        "aria-label", re.compile(r"lr=0\.1: last .*lr=0\.001: last")
    )
    page.locator(".group-name", has_text="lr=0.1").click()
    expect(plot(page, "val/loss")).to_have_attribute("aria-label", re.compile("run-21: last"))


@pytest.mark.slow
def test_charts_are_found_by_a_pattern_pinned_and_put_together(page: Page) -> None:
    page.get_by_label("Find charts").fill("loss$|norm")
    expect(page.locator("figure[data-chart]")).to_have_count(3)
    plot(page, "val/loss").hover()
    page.get_by_role("button", name="Pin val/loss").click()
    expect(page.get_by_role("region", name="Pinned").locator("figure")).to_have_count(1)
    page.get_by_role("button", name="Put a chart together").click()
    page.get_by_label("What it shows").fill("val/loss - train/loss")
    page.get_by_label("What it is called").fill("gap in loss")
    page.get_by_role("button", name="Add", exact=True).click()
    gap = plot(page, "gap in loss")
    expect(gap).to_have_attribute("aria-label", re.compile(r"run-22: last 0\.0"))
    gap.hover()
    page.keyboard.press("e")
    expect(page.locator("figure[data-chart]")).to_have_count(1)
    page.reload()
    expect(gap).to_have_attribute("aria-label", re.compile("last"))
    page.keyboard.press("Escape")
    expect(page.locator("figure[data-chart]")).to_have_count(5)


@pytest.mark.slow
def test_a_view_is_saved_says_that_it_was_changed_and_is_opened_by_a_link(page: Page) -> None:
    page.get_by_label("Find charts").fill("loss")
    page.get_by_role("button", name="Views").click()
    page.get_by_label("Save what is shown as").fill("Only losses")
    page.get_by_role("button", name="Save view").click()
    expect(page).to_have_url(re.compile(r"[?&]v=only-losses"))
    expect(page.get_by_text("unsaved")).to_have_count(0)
    page.keyboard.press("l")
    expect(page.get_by_text("unsaved")).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("unsaved")).to_have_count(0)
    page.goto(address(page, f"{SWEEP}?v=only-losses"))
    expect(page).to_have_url(re.compile(r"m=loss&.*log=1|log=1&.*m=loss"))
    expect(page.locator("figure[data-chart]")).to_have_count(2)
    page.get_by_role("button", name="Views").click()
    page.get_by_role("button", name="Delete Only losses").click()
    expect(page.get_by_role("button", name="Only losses")).to_have_count(0)


@pytest.mark.slow
def test_media_are_beside_one_another_by_step_and_parameters_beside_results(page: Page) -> None:
    page.get_by_role("button", name="Media").click()
    media = page.get_by_role("region", name="Media of the runs")
    expect(media).to_contain_text("at 10")
    page.get_by_role("slider", name="Step").press("Home")
    expect(media).to_contain_text("at 0")
    assert "step=0" in page.url
    expect(media.get_by_role("img", name="Histograms of val/spread over steps")).to_be_visible()
    # what is no number is no chart
    expect(page.locator("figure[data-chart^='val/']")).to_have_count(2)
    page.get_by_role("button", name="Sweep").click()
    sweep = page.get_by_role("region", name="Sweep")
    expect(sweep.locator("polyline")).to_have_count(10)
    expect(sweep.locator("circle")).to_have_count(10)
    expect(sweep.get_by_role("row", name="lr")).to_be_visible()
    expect(
        sweep.get_by_role("list", name="accuracy (max) of each run").get_by_role("listitem")
    ).to_have_count(10)


@pytest.mark.slow
def test_many_runs_are_tagged_and_deleted_at_once_with_a_way_back(page: Page) -> None:
    page.get_by_label("Tick run-22").check()
    page.get_by_label("Tick run-20").click(modifiers=["Shift"])
    bar = page.get_by_role("region", name="Ticked runs")
    expect(bar).to_contain_text("3 runs")
    bar.get_by_role("button", name="Tag").click()
    page.get_by_label("Add a tag").fill("good")
    page.keyboard.press("Enter")
    expect(bar).to_contain_text("3 runs tagged good.")
    page.get_by_label("Filter runs").fill("tag:good")
    expect(page.get_by_role("status").first).to_have_text("3 runs")
    page.get_by_label("Tick all").check()
    bar.get_by_role("button", name="Move to trash").click()
    expect(bar).to_contain_text("3 runs in the trash.")
    expect(page.get_by_text("No experiments match this filter.")).to_be_visible()
    bar.get_by_role("button", name="Undo").click()
    expect(bar).to_contain_text("3 runs are back.")
    expect(page.get_by_role("status").first).to_have_text("3 runs")


@pytest.mark.slow
def test_the_keyboard_alone_finds_draws_and_opens(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("draw this run only")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("run-1")
    expect(page.get_by_role("status").first).to_have_text("10 runs")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    for key in ("j", "j", "x"):
        page.keyboard.press(key)
    expect(page.get_by_role("status").first).to_have_text("9 of 10 drawn")
    page.keyboard.press("o")
    expect(page.get_by_role("status").first).to_have_text("1 of 10 drawn")
    assert "show=none&but=run-18" in page.url
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/experiments/alice/vision/sweep/run-18$"))


@pytest.mark.slow
def test_former_addresses_lead_to_what_they_showed(page: Page) -> None:
    prefix = "alice/vision/sweep/run-"
    page.goto(address(page, f"/compare?e={prefix}03&e={prefix}21&x=index"))
    expect(page.get_by_role("status").first).to_have_text(f"2 of {RUNS} drawn")
    expect(plot(page, "val/loss")).to_have_attribute("aria-label", re.compile("run-21: last.*run-03: last"))
    assert f"{SWEEP}?show=none&but=run-03,run-21&x=index" in page.url


@pytest.mark.slow
def test_an_empty_root_says_how_to_begin_and_goes_on_by_itself(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    running = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]
        page = window.page
        page.goto(running.address())
        expect(page.get_by_role("heading", name="Log a first run")).to_be_visible()
        code = page.locator(".code").inner_text()
        exec(code.replace('first-run")', f'first-run", dash_root={str(tmp_path)!r}, echo=False)'), {})
        expect(page.get_by_role("link", name="first-run")).to_be_visible()
        expect(plot(page, "train/loss")).to_have_attribute("aria-label", re.compile("last 0.01"))
    finally:
        assert running.stop() == 0


@pytest.mark.slow
def test_an_empty_server_names_itself_in_what_is_to_be_written(
    open_window: Callable[..., Window], server: EmbeddedServer, at_home: None, tmp_path: Path
) -> None:
    page = open_window().page
    sign_in(page, server.url)
    expect(page.get_by_role("heading", name="Log a first run")).to_be_visible()
    login, code = page.locator(".code").all_inner_texts()
    assert login == f"ml-dash login {server.url}"
    exec(code.replace("dash_url=", f"dash_root={str(tmp_path)!r}, echo=False, dash_url="), {})
    expect(plot(page, "train/loss")).to_have_attribute("aria-label", re.compile("last 0.01"))


def test_what_was_pinned_is_told_of_the_lines_that_have_come_since(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    """A click may come while charts are still being filled, and runs go on."""

    def log(name: str, steps: range) -> None:
        with Experiment(f"alice/p/{name}", dash_root=str(tmp_path), echo=False, capture=False).run as exp:
            for step in steps:
                exp.metrics("train").log(step=step, loss=float(step))

    log("first", range(10))
    running = Ui(str(tmp_path))
    try:
        page = open_window().page
        page.goto(running.address())
        chart = plot(page, "train/loss")
        expect(chart).to_have_attribute("aria-label", re.compile("last 9"))
        chart.click(position={"x": 200, "y": 60})
        page.get_by_role("heading", name="Runs").hover()
        expect(page.locator(".tip.pinned .tip-row")).to_have_count(1)
        log("second", range(10))
        expect(page.locator(".tip.pinned .tip-row")).to_have_count(2)
        page.keyboard.press("Escape")
        expect(page.locator(".tip")).to_have_count(0)
    finally:
        assert running.stop() == 0


@pytest.mark.slow
def test_a_run_among_others_is_its_newest_attempt(open_window: Callable[..., Window], tmp_path: Path) -> None:
    """What its attempts have logged is not averaged: the first one's loss is 8, the second one's 2."""
    for name, losses in (("again", (8.0, 2.0)), ("once", (4.0,))):
        for loss in losses:
            with Experiment(f"alice/p/{name}", dash_root=str(tmp_path), echo=False, capture=False).run as exp:
                for step in range(3 if loss == 2.0 else 5):
                    exp.metrics("train").log(step=step, loss=loss)
    running = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]
        window.page.goto(running.address())
        label = re.compile(r"once: last 4; alice/p/again: last 2$|again: last 2; alice/p/once: last 4$")
        expect(plot(window.page, "train/loss")).to_have_attribute("aria-label", label)
    finally:
        assert running.stop() == 0


_CHANGES = """async () => {
  const box = document.querySelector('.runs-table .virtual');
  const height = document.querySelector('.run-row').getBoundingClientRect().height;
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  box.scrollTop = 320 * height;
  await frame();
  const rows = () => [...document.querySelectorAll('.run-row')].map((each) => each.ariaRowIndex).join();
  let [frames, changes, before] = [0, 0, rows()];
  for (; frames < 40; frames++) {
    box.scrollTop += height * 0.8;
    await frame();
    changes += rows() !== before;
    before = rows();
  }
  return changes;
}"""


@pytest.mark.slow
def test_thousands_of_runs_are_a_table_of_a_few_rows(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    """What the page has in memory of rows does not follow their number; each can be reached all the same."""
    for number in range(MANY):
        journal = tmp_path / "alice" / f"project{number % 7}" / f"run-{number:04}" / "journal"
        journal.mkdir(parents=True)
    running = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]
        page = window.page
        page.goto(running.address())
        expect(page.get_by_role("status").first).to_have_text("10 of 3,000 drawn")
        assert page.locator(".run-row").count() < 80
        page.get_by_role("columnheader", name="Name").get_by_role("button").click()
        page.locator(".runs-table .virtual").evaluate("box => box.scrollTop = box.scrollHeight")
        expect(page.get_by_role("link", name="run-2995")).to_be_visible()
        assert page.locator(".run-row").count() < 80
        # scrolled by the browser alone: rows come and go several at once
        changes = page.evaluate(_CHANGES)
        assert 3 <= changes <= 5, f"rows have changed {changes} times while 32 of them were passed"
        page.get_by_label("Filter runs").fill("run-1234")
        expect(page.get_by_role("status").first).to_have_text("1 run")
    finally:
        assert running.stop() == 0
