"""The twenty things that people do with a tracker each day: each works, and none takes more than four clicks.

A task begins where one lands: in the workspace of a sweep. What is docs/coming-from.md's table is walked here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from playwright.sync_api import Locator, Page, expect

import ml_dash
from docs.examples import sweep
from ml_dash import Experiment
from tests.browser.clicks import Hand
from tests.browser.seeing import barriers
from tests.browser.ui import Ui, over
from tests.browser.window import Window

MOST = 4
"""Clicks that a task takes at most."""
RUNS, EPOCHS = 12, 4
SWEEP = f"/p/{sweep.FOLDER}"

Task: TypeAlias = Callable[[Hand], None]
_QUICK = ("the best run", "overlay a sweep", "rename a run")
_TASKS: list[Task] = []


def task(function: Task) -> Task:
    """Have a function be walked as a task."""
    _TASKS.append(function)
    return function


def name_of(each: Task) -> str:
    return each.__name__.replace("_", " ")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root with a sweep."""
    path = str(tmp_path_factory.mktemp("dash"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ML_DASH_CAPTURE", "1")
        sweep.sweep(path, range(RUNS), EPOCHS)
    return path


@pytest.fixture(scope="module")
def ui(root: str) -> Iterator[Ui]:
    yield from over(root)


@pytest.fixture
def hand(ui: Ui, root: str, open_window: Callable[..., Window]) -> Hand:
    """A hand at the sweep's workspace, of which ten runs are drawn."""
    window = open_window(1440, 900)
    window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
    window.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = window.page
    page.goto(ui.address())
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    hand = Hand(window, root)
    page.goto(f"{page.evaluate('location.origin')}{SWEEP}")
    expect(page.get_by_role("status").first).to_have_text(re.compile("10 of"))
    expect(line_of(page, "val/loss", 11)).to_be_visible()
    return hand


def plot(page: Page, title: str) -> Locator:
    return page.locator(f'[data-chart="{title}"] .plot')


def line_of(page: Page, title: str, number: int) -> Locator:
    """A chart once it tells a run's last value."""
    return page.locator(f'[data-chart="{title}"] .plot[aria-label*="run-{number:02}: last"]')


def row(page: Page, number: int) -> Locator:
    return page.get_by_role("table", name="Runs").locator(".run-row", has_text=f"run-{number:02}")


def undone(page: Page) -> None:
    """Wait until something was taken back."""
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


@task
def the_best_run(hand: Hand) -> None:
    """The result is a column by itself: its head sorts by it."""
    hand.page.get_by_role("columnheader").get_by_role("button", name="accuracy").click()
    best = max(
        range(RUNS),
        key=lambda number: max(read(number, hand).metrics("val").to_numpy()["accuracy"]),
    )
    first = hand.page.locator(".run-row:not(.run-head)").first
    values = hand.page.locator(".run-row:not(.run-head) .numbers:nth-of-type(5)").all_inner_texts()
    expect(first).to_contain_text(values[0])
    assert values[0] == f"{max(read(best, hand).metrics('val').to_numpy()['accuracy']):#.5g}"


def read(number: int, hand: Hand) -> Experiment:
    return ml_dash.open(f"{sweep.FOLDER}/run-{number:02}", hand.root)


@task
def overlay_a_sweep(hand: Hand) -> None:
    """All of its runs in all charts."""
    hand.press(f"All {RUNS}")
    expect(hand.page.get_by_role("status").first).to_have_text(f"{RUNS} runs")
    expect(plot(hand.page, "val/loss")).to_have_attribute("aria-label", re.compile("run-11: last"))


@task
def hide_runs(hand: Hand) -> None:
    """By its eye one, with Shift several."""
    hand.page.get_by_label("Draw run-11").click()
    hand.page.get_by_label("Draw run-08").click(modifiers=["Shift"])
    expect(hand.page.get_by_role("status").first).to_have_text(f"6 of {RUNS} drawn")
    expect(line_of(hand.page, "val/loss", 7)).to_be_visible()


@task
def give_a_run_another_colour(hand: Hand) -> None:
    page = hand.page
    dot = row(page, 9).locator(".run-dot")
    before = dot.get_attribute("style")
    hand.press("Colour of run-09")
    hand.press("Colour 3")
    expect(page).to_have_url(re.compile("hues=run-09~2"))
    expect(dot).not_to_have_attribute("style", str(before))
    page.reload()
    expect(dot).not_to_have_attribute("style", str(before))


@task
def group_with_a_band(hand: Hand) -> None:
    """Runs with the same rate are a line and the band of its deviation."""
    page = hand.page
    hand.press("Groups")
    page.get_by_role("group", name="Group by", exact=True).get_by_label("lr").check()
    page.get_by_label("± standard deviation").check()
    expect(page.get_by_role("status").first).to_have_text("2 groups")
    expect(plot(page, "val/loss")).to_have_attribute(
        "aria-label", re.compile(r"lr=0\.1: last .*lr=0\.3: last")
    )
    assert "band=std" in page.url


@task
def find_charts_by_a_pattern(hand: Hand) -> None:
    hand.page.get_by_label("Find charts").click()
    hand.page.keyboard.type("loss$|norm")
    expect(hand.page.locator("figure[data-chart]")).to_have_count(3)


@task
def which_parameters_matter(hand: Hand) -> None:
    hand.page.get_by_role("button", name="Sweep").click()
    told = hand.page.get_by_role("region", name="Sweep")
    expect(told.get_by_role("row", name="lr")).to_be_visible()
    expect(told.locator("polyline")).to_have_count(10)


@task
def zoom_all_charts(hand: Hand) -> None:
    hand.drag(plot(hand.page, "train/loss"), 0.4, 0.7)
    expect(hand.page.get_by_role("button", name="Show all of val/accuracy")).to_be_visible()
    expect(hand.page.get_by_role("button", name="Show all of train/lr")).to_be_visible()


@task
def x_by_time(hand: Hand) -> None:
    hand.choose("x", "relative")
    expect(hand.page).to_have_url(re.compile("x=relative"))
    expect(line_of(hand.page, "train/loss", 11)).to_be_visible()


@task
def exact_values(hand: Hand) -> None:
    """Under the mouse without a click; a click keeps them."""
    page = hand.page
    chart = plot(page, "train/loss")
    hand.point(chart, 0.5, 0.5)
    expect(page.locator(".tip-row").first).to_contain_text(re.compile(r"run-\d+"))
    expect(page.locator(".tip-x")).to_have_text(re.compile(r"^step \d+$"))
    page.mouse.down()
    page.mouse.up()
    hand.point(page.get_by_role("heading", name="Runs"), 0.5, 0.5)
    expect(page.locator(".tip.pinned .tip-row")).to_have_count(8)


@task
def rename_a_run(hand: Hand) -> None:
    page = hand.page
    hand.window.expected.append("404")  # what the charts were asking for by the former name
    row(page, 5).get_by_role("link").click()
    page.get_by_text("Change", exact=True).click()
    hand.press("Rename or move…")
    page.get_by_role("dialog").get_by_role("textbox").fill(f"{sweep.FOLDER}/wide")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="wide")).to_be_visible()
    undone(page)
    expect(page.get_by_role("heading", name="run-05")).to_be_visible()


@task
def tag_runs(hand: Hand) -> None:
    page = hand.page
    page.get_by_label("Tick run-11").click()
    page.get_by_label("Tick run-09").click(modifiers=["Shift"])
    hand.press("Tag")
    page.get_by_label("Add a tag").fill("good")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Ticked runs")).to_contain_text("3 runs tagged good.")
    undone(page)


@task
def write_a_note(hand: Hand) -> None:
    page = hand.page
    row(page, 6).get_by_role("link").click()
    page.get_by_role("tab", name="Overview").click()
    hand.press("Write a note")
    page.keyboard.type("better with **warmup**")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("region", name="Note").locator("strong")).to_have_text("warmup")


@task
def delete_and_bring_back(hand: Hand) -> None:
    page = hand.page
    page.get_by_label("Tick run-10").click()
    hand.press("Move to trash")
    expect(row(page, 10)).to_have_count(0)
    undone(page)
    expect(row(page, 10)).to_have_count(1)


@task
def environment_and_code(hand: Hand) -> None:
    page = hand.page
    row(page, 7).get_by_role("link").click()
    page.get_by_role("tab", name="Overview").click()
    expect(page.get_by_role("region", name="Machine")).to_contain_text("Cores")
    expect(page.get_by_role("region", name="Command")).to_contain_text("Python")


@task
def what_was_printed(hand: Hand) -> None:
    page = hand.page
    row(page, 7).get_by_role("link").click()
    page.get_by_role("tab", name="Console").click()
    console = page.get_by_role("log")
    expect(console).to_contain_text(re.compile(rf"epoch  {EPOCHS}: loss"))
    expect(console.locator(".terminal-green").first).to_be_visible()


@task
def images_over_steps(hand: Hand) -> None:
    page = hand.page
    page.get_by_role("button", name="Media").click()
    media = page.get_by_role("region", name="Media of the runs")
    images = media.get_by_role("row", name="samples/hardest").locator("img")
    expect(images).to_have_count(6)
    page.get_by_role("slider", name="Step").focus()
    last = images.first.get_attribute("src")
    page.keyboard.press("ArrowLeft")
    expect(images.first).not_to_have_attribute("src", str(last))


@task
def histograms(hand: Hand) -> None:
    hand.page.get_by_role("button", name="Media").click()
    heat = hand.page.get_by_role("img", name="Histograms of samples/weights over steps")
    expect(heat).to_have_count(6)
    hand.page.get_by_label("Histograms over steps").select_option("Ridges")
    ridges = hand.page.get_by_role("img", name="Ridges of samples/weights over steps")
    expect(ridges).to_have_count(6)
    # all of them painted, from the left to the right
    painted = """canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const columns = new Set();
      for (let at = 3; at < data.length; at += 4) if (data[at]) columns.add(((at - 3) / 4) % canvas.width);
      return columns.size / canvas.width;
    }"""
    for at in range(6):
        assert ridges.nth(at).evaluate(painted) > 0.9
    assert "hist=ridges" in hand.page.url


@task
def a_table_of_samples(hand: Hand) -> None:
    hand.page.get_by_role("button", name="Media").click()
    media = hand.page.get_by_role("region", name="Media of the runs")
    table = media.get_by_role("row", name="samples/guesses").get_by_role("table").first
    expect(table.get_by_role("columnheader")).to_have_text(["image", "digit", "guess", "confidence"])
    expect(table.get_by_role("row")).to_have_count(9)


@task
def how_two_runs_differ(hand: Hand) -> None:
    page = hand.page
    page.get_by_label("Tick run-11").click()
    page.get_by_label("Tick run-05").click()
    page.get_by_role("link", name="Show how they differ").click()
    table = page.get_by_role("region", name="Differences of the runs")
    expect(table.get_by_role("row", name=re.compile("^lr"))).to_contain_text("+200 %")
    expect(table.get_by_role("row", name="val/accuracy, max")).to_be_visible()


@task
def save_a_view(hand: Hand) -> None:
    page = hand.page
    page.keyboard.press("l")
    hand.press("Views")
    page.get_by_label("Save what is shown as").click()
    page.keyboard.type("Logarithmic")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]v=logarithmic"))


@task
def share_what_is_shown(hand: Hand) -> None:
    page = hand.page
    hand.page.get_by_label("Find charts").fill("accuracy")
    expect(page).to_have_url(re.compile("m=accuracy"))
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.goto(page.evaluate("navigator.clipboard.readText()"))
    expect(page.locator("figure[data-chart]")).to_have_count(2)


@task
def save_as_csv(hand: Hand) -> None:
    """The table by one click, and a chart's rows by two."""
    page = hand.page
    with page.expect_download() as saved:
        hand.press("Save the table as CSV")
    with open(saved.value.path(), newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == RUNS
    assert float(table[0]["params.lr"]) == 0.1
    plot(page, "val/loss").hover()
    hand.press("Save val/loss")
    with page.expect_download() as saved:
        hand.press("CSV")
    lines = Path(saved.value.path()).read_text().splitlines()
    assert len(lines) == 1 + 10 * EPOCHS


@task
def follow_a_run(hand: Hand) -> None:
    """Without a click: it comes, and goes on."""
    page = hand.page
    exp = Experiment(f"{sweep.FOLDER}/run-99", dash_root=hand.root, capture=False, echo=False)
    with exp.run:
        for step in range(3):
            exp.metrics("val").log(step=step, loss=float(step))
        exp.flush()
        expect(line_of(page, "val/loss", 99)).to_be_visible()
        exp.metrics("val").log(step=3, loss=77.0)
        exp.flush()
        expect(plot(page, "val/loss")).to_have_attribute("aria-label", re.compile("run-99: last 77"))
    hand.window.expected.append("410")  # what is asked just then
    exp.delete()
    expect(row(page, 99)).to_have_count(0)


@task
def with_the_keyboard_alone(hand: Hand) -> None:
    """Choose, find, draw, open: not one click."""
    page = hand.page
    page.get_by_role("button", name="Groups").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Group by", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(":popover-open")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("lr=0.1")
    expect(page.get_by_role("status").first).to_have_text("6 runs")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    for key in ("j", "j", "x"):
        page.keyboard.press(key)
    expect(page.get_by_role("status").first).to_have_text("5 of 6 drawn")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/experiments/.*/run-10$"))
    page.get_by_role("tab", name="Charts").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Overview")).to_be_focused()
    assert hand.clicks == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "each",
    [
        pytest.param(each, id=name_of(each), marks=[] if name_of(each) in _QUICK else pytest.mark.slow)
        for each in _TASKS
    ],
)
def test_a_daily_task_takes_no_more_than_four_clicks(hand: Hand, each: Task) -> None:
    each(hand)
    assert hand.clicks <= MOST


@pytest.mark.slow
def test_two_who_save_one_view_are_told_and_lose_nothing(ui: Ui, open_window: Callable[..., Window]) -> None:
    """Whoever comes second keeps what is shown, and may save it under another name."""
    pages = []
    for _ in range(2):
        window = open_window(1440, 900)
        window.expected = ["412", "409", "ERR_CONNECTION_REFUSED"]
        page = window.page
        page.goto(ui.address())
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        page.goto(f"{page.evaluate('location.origin')}{SWEEP}")
        pages.append(page)
    one, other = pages
    one.get_by_role("button", name="Views").click()
    one.get_by_label("Save what is shown as").fill("Ours")
    one.keyboard.press("Enter")
    expect(one).to_have_url(re.compile("v=ours"))
    other.goto(f"{one.url}")
    for page, found in ((one, "loss"), (other, "accuracy")):
        page.get_by_label("Find charts").fill(found)
        expect(page.get_by_text("unsaved")).to_be_visible()
    one.get_by_role("button", name="Save", exact=True).click()
    expect(one.get_by_text("unsaved")).to_have_count(0)
    other.get_by_role("button", name="Save", exact=True).click()
    expect(other.get_by_role("alert")).to_contain_text(
        "was saved by somebody meanwhile: save yours under another name"
    )
    expect(other.get_by_label("Find charts")).to_have_value("accuracy")
    expect(other.get_by_text("unsaved")).to_be_visible()
    other.get_by_role("button", name="Views: Ours").click()
    other.get_by_label("Save what is shown as").fill("Mine")
    other.keyboard.press("Enter")
    expect(other).to_have_url(re.compile("v=mine"))
    one.reload()
    expect(one.get_by_label("Find charts")).to_have_value("loss")


RUN = f"/experiments/{sweep.FOLDER}/run-11"
PAGES = {
    "workspace": SWEEP,
    "full table": f"{SWEEP}?table=1",
    "groups": f"{SWEEP}?group=params.lr",
    "media and sweep": f"{SWEEP}?turn=Media,Sweep",
    "one chart": f"{SWEEP}?chart=val/loss",
    "charts": RUN,
    **{
        tab: f"{RUN}?tab={tab}"
        for tab in ("overview", "system", "media", "console", "logs", "files", "tracks")
    },
    "failure": f"/experiments/{sweep.FOLDER}/run-04?tab=overview",
    "differences": f"/diff?e={sweep.FOLDER}/run-11&e={sweep.FOLDER}/run-04",
    "trash": "/trash",
    "rules": "/rules?folder=alice",
    "nothing": "/nowhere",
}
OPENED = (
    "Groups",
    "Colours",
    "Columns",
    "Views",
    "Put a chart together",
    "Other folders",
    "Keyboard shortcuts",
)
"""What opens above the workspace."""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_can_be_used_by_everybody(ui: Ui, open_window: Callable[..., Window], width: int) -> None:
    """In both themes axe finds nothing serious, and nothing needs to be scrolled sideways."""
    window = open_window(width, 900)
    window.expected = ["404", "ERR_CONNECTION_REFUSED"]
    page = window.page
    page.goto(ui.address())
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    origin = page.evaluate("location.origin")
    found: dict[str, list[str]] = {}
    for name, path in PAGES.items():
        page.goto(f"{origin}{path}")
        expect(page.locator("main")).not_to_contain_text("Loading")
        for theme in ("Dark theme", "Light theme"):
            found[f"{name}, before {theme}"] = barriers(page)
            page.get_by_role("button", name=theme).click()
        across = page.evaluate("document.documentElement.scrollWidth")
        if across > width:
            found[f"{name}, across"] = [f"{across} pixels"]
    page.goto(f"{origin}{SWEEP}")
    for name in OPENED:
        page.get_by_role("button", name=name, exact=True).first.click()
        found[name] = barriers(page)
        page.keyboard.press("Escape")
    assert {name: barriers for name, barriers in found.items() if barriers} == {}
