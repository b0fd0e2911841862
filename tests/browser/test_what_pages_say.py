"""What pages say is what was logged: spikes, repeated steps, ends, thousands of names, rare fields, NaN, times."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import ml_dash
from ml_dash import Experiment
from tests.browser.ui import Ui, over
from tests.browser.window import Window

ROWS, SPIKE, NAMES, SECTIONS = 100_000, 43_217, 2000, 300
TOKYO = "Asia/Tokyo"


def begin(name: str, root: str) -> Experiment:
    return Experiment(f"alice/true/{name}", dash_root=root, echo=False, capture=False)


def _write(root: str) -> None:
    with begin("long", root).run as exp:
        exp.params.set(layers=[64, 64], data={"name": "a"})
        for step in range(ROWS):
            rare = {"rare": step / 1000} if step % 100 == 0 else {}
            exp.metrics("train").log(
                step=step, loss=5.0 if step == SPIKE else 1.0 + 0.1 * math.sin(step), **rare
            )
    with begin("short", root).run as exp:
        exp.params.set(layers=[64, 32], data={"name": "a"})
        for step in range(ROWS // 4):
            exp.metrics("train").log(step=step, loss=2.0)
    for loss in (8.0, 4.0):  # killed and begun again, with the same steps
        with begin("again", root).run as exp:
            for step in range(10):
                exp.metrics("twice").log(step=step, loss=loss)
    with begin("odd", root).run as exp:
        for value in (1.0, math.nan, math.inf, 2.0):
            exp.metrics("odd").log(value=value)
        exp.log("\x1b[31mred\x1b[0m")
    _write_apart(root)
    with begin("wide", root).run as exp:
        for number in range(NAMES):
            exp.metrics(f"layer/{number}").log(norm=float(number))


def _write_apart(root: str) -> None:
    """Write runs that have little in common: steps, media, names."""
    for name, every in (("dense", 1), ("sparse", 100)):
        with begin(f"apart/{name}", root).run as exp:
            exp.params.set(every=every, seed=2**53 + every)
            for step in range(0, 1001, every):
                exp.metrics("apart").log(step=step, loss=float(step))
                exp.metrics("some").log(loss=float(step), **({"epoch": step} if every == 1 else {}))
    for number in range(8):  # only some of them have any media
        with begin(f"media/{number}", root).run as exp:
            for step in (0, 10):
                exp.metrics("val").log(step=step, loss=float(step))
                if number < 2:
                    exp.metrics("val").log(step=step, said=ml_dash.Text(f"{number} at {step}"))
    with begin("layers", root).run as exp:
        for number in range(SECTIONS * 20):
            exp.metrics(f"layer{number // 20}/unit{number % 20}").log(norm=float(number))


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    root = str(tmp_path_factory.mktemp("dash"))
    _write(root)
    yield from over(root)


@pytest.fixture
def visit(ui: Ui, open_window: Callable[..., Window]) -> Callable[[str], Page]:
    """Return a page, given its path."""

    def visited(path: str) -> Page:
        window = open_window(1440, 900)
        window.expected = ["ERR_CONNECTION_REFUSED", "ERR_INTERNET_DISCONNECTED"]
        page = window.page
        page.goto(ui.address())
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        page.goto(f"{page.evaluate('location.origin')}{path}")
        return page

    return visited


def plot(page: Page, title: str) -> Locator:
    return page.locator(f'[data-chart="{title}"] .plot')


def point(page: Page, target: Locator, across: float, down: float = 0.5) -> None:
    box = target.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])


def only(*names: str) -> str:
    return f"/p/alice/true?show=none&but={','.join(names)}"


@pytest.mark.slow
def test_no_spike_is_lost_and_no_run_goes_on_behind_its_end(visit: Callable[[str], Page]) -> None:
    page = visit(only("long", "short"))
    chart = plot(page, "train/loss")
    expect(chart).to_have_attribute("aria-label", re.compile("long: last"))
    told = set()
    for share in range(8, 98, 1):
        point(page, chart, share / 100)
        told.add(page.locator(".tip").inner_text() if page.locator(".tip").count() else "")
    late = [text for text in told if text.startswith("step ") and int(text.split()[1]) > ROWS // 4 + 1000]
    assert late
    assert [text for text in late if "short" in text] == []
    assert all(re.match(r"step \d+\n", text) for text in told if text)
    # the spike is told by whichever pixel it is in
    page.goto(f"{page.url}&zoom=step~{SPIKE - 2000}~{SPIKE + 2000}")
    expect(page.get_by_role("button", name="Show all of train/loss")).to_be_visible()
    highest = 0.0
    for share in range(480, 600, 3):
        point(page, chart, share / 1000)
        for text in page.locator(".tip-row").all_inner_texts():
            values = re.sub(r"[\d,]+ rows|at step \d+", "", text)
            highest = max(highest, *(float(each) for each in re.findall(r"\d+\.\d+|\d+", values)))
    assert highest == 5.0


@pytest.mark.slow
def test_steps_that_were_logged_twice_are_drawn_as_they_were_logged_last(
    visit: Callable[[str], Page],
) -> None:
    page = visit(only("again"))
    chart = plot(page, "twice/loss")
    expect(chart).to_have_attribute("aria-label", re.compile("again: last 4"))
    point(page, chart, 0.5)
    expect(page.locator(".tip-row")).to_contain_text("4")
    assert "6" not in page.locator(".tip-value").inner_text()


@pytest.mark.slow
def test_a_field_of_a_few_rows_has_its_last_value(visit: Callable[[str], Page]) -> None:
    page = visit("/p/alice/true?cols=last(train%2Frare),params.layers")
    row = page.locator(".run-row", has_text="long")
    expect(row).to_contain_text(f"{(ROWS - 100) / 1000:.1f}")
    expect(row).to_contain_text("[64,64]")


@pytest.mark.slow
def test_lists_that_differ_are_a_difference(visit: Callable[[str], Page]) -> None:
    page = visit("/diff?e=alice/true/long&e=alice/true/short")
    table = page.get_by_role("region", name="Differences of the runs")
    expect(table.get_by_role("row", name=re.compile("^layers"))).to_contain_text("[64,32]")
    expect(table.get_by_role("row", name=re.compile("^data"))).to_have_count(0)


@pytest.mark.slow
def test_what_is_no_number_is_in_the_csv_and_marked_in_the_chart(visit: Callable[[str], Page]) -> None:
    page = visit(only("odd"))
    chart = plot(page, "odd/value")
    expect(chart).to_have_attribute("aria-label", re.compile("odd: last 2"))
    chart.hover()
    page.get_by_role("button", name="Save odd/value").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV", exact=True).click()
    values = [line.rpartition(",")[2] for line in Path(saved.value.path()).read_text().splitlines()[1:]]
    assert values == ["1", "NaN", "inf", "2"]


@pytest.mark.slow
def test_thousands_of_names_come_as_people_count(visit: Callable[[str], Page]) -> None:
    """And each can be found, and be a column."""
    page = visit(only("wide"))
    titles = page.locator("figure[data-chart]")
    expect(titles.first).to_be_visible()
    assert [each.get_attribute("data-chart") for each in titles.all()[:12]] == [
        f"layer/{number}/norm" for number in range(12)
    ]
    page.get_by_label("Find charts").fill(f"layer/{NAMES - 1}/")
    expect(titles).to_have_count(1)
    expect(plot(page, f"layer/{NAMES - 1}/norm")).to_have_attribute(
        "aria-label", re.compile("wide: last 1999")
    )
    page.get_by_role("button", name="Columns").click()
    page.get_by_label("Find a column").fill(f"layer/{NAMES - 2}/")
    expect(page.get_by_role("group", name="Metrics").get_by_role("checkbox")).to_have_count(1)


@pytest.mark.slow
def test_nothing_is_said_of_what_is_not_known_yet(visit: Callable[[str], Page]) -> None:
    page = visit("/p/alice/true")
    # never answered
    page.route(re.compile("/experiments/values$"), lambda route: None)
    page.reload()
    pane = page.locator(".charts-pane")
    expect(pane).to_contain_text("Loading")
    expect(pane).not_to_contain_text("no metrics")
    page.unroute(re.compile("/experiments/values$"))
    page.reload()
    expect(page.locator("figure[data-chart]").first).to_be_visible()


@pytest.mark.slow
def test_hundreds_of_sections_are_made_as_somebody_scrolls_there(visit: Callable[[str], Page]) -> None:
    page = visit(only("layers"))
    charts = page.locator("figure[data-chart]")
    expect(plot(page, "layer0/unit0/norm")).to_have_attribute("aria-label", re.compile("layers: last 0"))
    assert charts.count() <= 200
    expect(page.get_by_text(re.compile("more sections below$"))).to_be_visible()
    seen = charts.count()
    page.locator(".charts-pane").evaluate("pane => pane.scrollTop = pane.scrollHeight")
    expect(charts.nth(seen)).to_be_visible()
    page.get_by_label("Find charts").fill(f"layer{SECTIONS - 1}/unit19/")
    expect(charts).to_have_count(1)
    last = re.compile(f"layers: last {SECTIONS * 20 - 1}$")
    expect(charts.locator(".plot")).to_have_attribute("aria-label", last)


@pytest.mark.slow
def test_each_value_is_told_of_a_step_that_was_logged(visit: Callable[[str], Page]) -> None:
    """Of a line that has none at the step above, its own; of several rows, how many; of a group, none between two."""
    page = visit(only("apart/dense", "apart/sparse"))
    chart = plot(page, "apart/loss")
    expect(chart).to_have_attribute("aria-label", re.compile("dense: last"))
    found = 0
    for share in range(20, 96, 3):
        point(page, chart, share / 100)
        head = int(page.locator(".tip-x").inner_text().removeprefix("step "))
        for text in page.locator(".tip-row").all_inner_texts():
            told = re.search(r"(dense|sparse)\s+([\d.]+)", text)
            assert told is not None
            own = re.search(r"at step (\d+)", text)
            rows = re.search(r"(\d+) rows", text)
            step = int(own[1]) if own else head
            # what is not told to be elsewhere is as near as one can see, and no mean goes over more than its rows
            assert abs(float(told[2]) - step) <= (int(rows[1]) if rows else 0) + (0 if own else 8), text
            found += own is not None
    assert found
    page.goto(f"{page.url.split('?')[0]}/apart?group=status&x=step")
    expect(chart).to_have_attribute("aria-label", re.compile("Status=completed: last 1000"))
    for share in range(20, 96, 3):
        point(page, chart, share / 100)
        assert re.fullmatch(r"step \d+", page.locator(".tip-x").inner_text())


@pytest.mark.slow
def test_a_chart_says_which_runs_it_does_not_show(visit: Callable[[str], Page]) -> None:
    page = visit(f"{only('apart/dense', 'apart/sparse')}&x=epoch")
    lacking = page.locator('[data-chart="some/loss"] .plot-lacking')
    expect(lacking).to_have_text("1 of 2 have nothing over epoch")
    expect(lacking).to_have_attribute("title", "apart/sparse")
    expect(page.locator('[data-chart="apart/loss"] .plot-lacking')).to_have_count(0)


@pytest.mark.slow
def test_media_are_those_of_whichever_drawn_runs_have_any(visit: Callable[[str], Page]) -> None:
    """And they come once the server is back, if it was away."""
    page = visit("/p/alice/true/media?show=all&turn=Media")
    media = page.get_by_role("region", name="Media of the runs")
    expect(media).to_contain_text("0 at 10")
    expect(media).to_contain_text("1 at 10")
    expect(media.get_by_role("columnheader")).to_have_count(2)
    page.route(re.compile("/files"), lambda route: route.abort("internetdisconnected"))
    page.reload()
    expect(page.get_by_role("region", name="Media", exact=True)).to_contain_text("does not answer")
    page.unroute(re.compile("/files"))
    expect(media).to_contain_text("1 at 10")


@pytest.mark.slow
def test_keys_work_while_a_checkbox_has_the_focus(visit: Callable[[str], Page]) -> None:
    page = visit("/p/alice/true")
    page.get_by_label("Tick long").click()
    page.keyboard.press("t")
    expect(page.get_by_role("button", name="Full table")).to_have_attribute("aria-pressed", "true")


@pytest.mark.slow
def test_all_times_are_those_of_where_one_sits(ui: Ui, chromium: Browser) -> None:
    """Of an axis, what the mouse tells of it, and messages."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, timezone_id=TOKYO)
    page = context.new_page()
    page.goto(ui.address())
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    origin = page.evaluate("location.origin")
    today = datetime.now(timezone.utc).astimezone(ZoneInfo(TOKYO))
    page.goto(f"{origin}{only('again')}&x=time")
    expect(plot(page, "twice/loss")).to_have_attribute("aria-label", re.compile("last 4"))
    point(page, plot(page, "twice/loss"), 0.5)
    told = page.locator(".tip-x").inner_text()
    page.goto(f"{origin}/experiments/alice/true/odd?tab=logs")
    line = page.get_by_role("log").locator(".log-date").first
    expect(line).to_be_visible()
    message = page.get_by_role("log").inner_text()
    expect(page.locator(".terminal-red")).to_have_text("red")
    context.close()
    hours = {f"{today.hour:02}:", f"{(today.hour - 1) % 24:02}:"}
    assert any(hour in told for hour in hours), told
    assert any(hour in message for hour in hours), message


@pytest.mark.slow
def test_a_tab_that_is_older_than_its_server_is_told_to_reload(visit: Callable[[str], Page]) -> None:
    """It is noticed when the server is back."""
    page = visit("/p/alice/true")
    expect(page.get_by_role("table", name="Runs")).to_contain_text("long")
    page.route(
        re.compile("/sign-in$"),
        lambda route: route.fulfill(
            body='<script type="module" src="/assets/index-newer.js"></script>', content_type="text/html"
        ),
    )
    page.context.set_offline(True)
    page.keyboard.press("l")
    page.get_by_label("Filter runs").fill("long")
    expect(page.get_by_role("alert").first).to_contain_text("does not answer")
    page.context.set_offline(False)
    expect(page.get_by_text("The server has other pages than this tab by now.")).to_be_visible()
    page.unroute(re.compile("/sign-in$"))
    page.get_by_role("button", name="Reload").click()
    expect(page.locator(".run-row", has_text="long")).to_be_visible()
    expect(page.get_by_text("other pages")).to_have_count(0)
