"""The pages of `ml-dash server`, walked by a person who has a token, with real training data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from docs.examples.digits_network import Config
from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.browser.training import README, SCRIPT, hostile, train, training
from tests.browser.window import Window, sign_in
from tests.support.project import PROJECT
from tests.support.seen import TOKEN
from tests.support.serving import TESTER

RATES = {"lr-0.08": 0.08, "lr-0.02": 0.02, "lr-0.005": 0.005}


@pytest.fixture(scope="module")
def trained(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with three trainings, one that failed, and one that says nothing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patched.setenv("ML_DASH_TOKEN", TOKEN)
        root = str(tmp_path_factory.mktemp("dash"))

        def experiment(prefix: str, *tags: str, readme: str | None = None) -> Experiment:
            return Experiment(
                prefix, dash_url=server.url, dash_root=root, readme=readme, tags=list(tags), echo=False
            )

        for name, rate in RATES.items():
            tag = "baseline" if rate > 0.05 else "sweep"
            exp = experiment(f"alice/vision/digits/{name}", tag, readme=README)
            with exp.run:
                train(exp, Config(epochs=4, hidden=(64, 32), learning_rate=rate))
        broken = experiment("bob/nlp/broken", readme=f"# {SCRIPT}\n\n[x](javascript:alert(1))\n{SCRIPT}")
        broken.run.start()
        hostile(broken)
        broken.run.fail(f"ValueError: loss is NaN {SCRIPT}")
        with experiment("alice/vision/empty").run:
            pass
        yield server


@pytest.fixture
def page(trained: EmbeddedServer, window: Window) -> Page:
    """A page of somebody who is signed in."""
    return window.page


def test_nobody_sees_anything_without_a_token_and_a_wrong_one_is_told(
    open_window: Callable[..., Window], trained: EmbeddedServer
) -> None:
    window = open_window()
    window.expected = ["401"]
    page = window.page
    page.goto(f"{trained.url}/experiments/alice/vision/digits/lr-0.08?tab=logs")
    expect(page).to_have_url(re.compile(r"/sign-in\?to=%2Fexperiments"))
    page.get_by_label("Token").fill("mld_" + "x" * 43)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("This token is unknown")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("tab", name="Logs")).to_have_attribute("aria-selected", "true")
    assert TOKEN not in page.url
    assert TOKEN not in page.evaluate(
        "JSON.stringify({...localStorage, ...sessionStorage, c: document.cookie})"
    )
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{trained.url}/")
    expect(page).to_have_url(re.compile("/sign-in"))


def test_who_is_signed_out_meanwhile_is_told_why_and_goes_on_where_they_were(
    page: Page, trained: EmbeddedServer, window: Window
) -> None:
    window.expected = ["401"]
    at = f"{trained.url}/experiments/alice/vision/digits/lr-0.08?tab=logs"
    page.goto(at)
    expect(page.get_by_role("tab", name="Logs")).to_be_visible()
    page.context.clear_cookies()
    # unless the page has asked the server for anything meanwhile
    page.evaluate(
        "[...document.querySelectorAll('[role=tab]')].find(each => /Files/.test(each.textContent))?.click()"
    )
    expect(page.get_by_role("status")).to_contain_text("Your session has ended")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).to_have_url(re.compile("/experiments/alice/vision/digits/lr-0.08"))
    expect(page.get_by_role("tab", name="Logs")).to_be_visible()


@pytest.mark.slow
def test_a_code_that_somebody_approves_signs_in(
    open_window: Callable[..., Window], trained: EmbeddedServer
) -> None:
    window = open_window()
    window.expected = ["400"]  # the answer to who asks before it is approved
    page = window.page
    page.goto(f"{trained.url}/")
    page.get_by_role("button", name="Sign in with a code").click()
    with window.context.expect_page() as opened:
        page.get_by_role("link", name="Approve").click()
    approval = opened.value
    approval.get_by_label("Your own token").fill(TOKEN)
    approval.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


@pytest.mark.sample(14)
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("digits tag:sweep", 2),
        ('"small network"', 3),
        ("status:failed", 1),
        ("training.batch_size = '16'", 3),
        ("data.name = 'digits' and training.learning_rate < 0.05", 2),
        ("0.01 < learning_rate", 0),
        ("0.01 < training.learning_rate < 0.05", 1),
        ("params.training.learning_rate < Infinity", 3),
        ("metrics.eval.accuracy > 0.1", 3),
        ("status = completed", 4),
        ("lr-0.00*", 1),
        ("tag:sw*p", 2),
        # these the pages have the server look for
        ("max(eval/accuracy) > 0.1 mean(train/loss) > 0", 3),
        ("readme:small", 3),
    ],
)
def test_a_filter_is_understood_or_says_where_it_is_not(
    trained: EmbeddedServer, window: Window, text: str, found: int
) -> None:
    window.expected = [] if found else ["400"]
    page = window.page
    expect(page.get_by_role("status")).to_have_text("5 runs")
    page.get_by_label("Filter runs").fill(text)
    if found:
        expect(page.get_by_role("status")).to_have_text(f"{found} run{'s' if found > 1 else ''}")
        assert page.locator(".filter-problem").count() == 0
    else:
        expect(page.locator(".filter-problem mark")).to_have_text(text)
        expect(page.locator(".filter-problem")).to_contain_text("no experiment has")
        expect(page.get_by_role("status")).to_have_text("5 runs")


@pytest.mark.slow
def test_an_experiment_shows_its_charts_and_comes_closer(trained: EmbeddedServer, page: Page) -> None:
    page.goto(f"{trained.url}/experiments/alice/vision/digits/lr-0.08")
    loss = page.locator('figure[data-chart="train/loss"]')
    expect(loss.locator("canvas")).to_be_visible()
    plot = loss.locator(".u-over")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    expect(loss.locator(".tooltip")).to_contain_text("loss")
    expect(page.locator('figure[data-chart="train/accuracy"] .tooltip')).to_be_visible()

    with page.expect_request(
        lambda request: (
            request.url.endswith("/experiments/series") and '"start":null' not in (request.post_data or "")
        )
    ):
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2, steps=5)
        page.mouse.up()
    expect(page).to_have_url(re.compile(r"from=\d+.*to=\d+"))
    loss.get_by_role("button", name="All").click()
    expect(page).not_to_have_url(re.compile("from="))

    loss.get_by_role("img").focus()
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile("from="))
    page.keyboard.press("0")
    expect(page).not_to_have_url(re.compile("from="))

    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    expect(page).to_have_url(re.compile("from="))
    before = page.url
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_url(lambda url: url != before)
    expect(page).to_have_url(re.compile("from="))
    plot.dblclick()
    expect(page).not_to_have_url(re.compile("from="))

    page.get_by_label("log y").check()
    page.get_by_label("Smoothing").fill("0.9")
    page.get_by_role("combobox", name="x").select_option("relative")
    expect(page).to_have_url(re.compile(r"log=1.*smooth=0\.9.*x=relative"))
    page.reload()
    expect(page.get_by_label("log y")).to_be_checked()
    loss.hover()
    loss.get_by_role("button", name="Table").click()
    expect(loss.get_by_role("table", name="Values")).to_contain_text("0")
    with page.expect_download() as saved:
        loss.get_by_role("button", name="CSV").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    assert lines[0] == "index,time,train/loss"
    assert lines[1].startswith("0,20")
    rows_logged = page.locator(".facts").get_by_text(re.compile(r"^[\d,]+$")).inner_text()
    assert len(lines) > 10
    assert len(lines) - 1 < int(rows_logged.replace(",", "")), "those of this metric alone"
    loss.get_by_role("button", name="Table").click()
    expect(loss.locator("canvas")).to_be_visible()
    with page.expect_download() as saved:
        loss.get_by_role("button", name="PNG").click()
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_other_tabs_show_what_was_logged(trained: EmbeddedServer, page: Page) -> None:
    page.goto(f"{trained.url}/experiments/alice/vision/digits/lr-0.02")
    page.get_by_role("tab", name="Overview").click()
    expect(page.get_by_role("heading", name="Handwritten digits")).to_be_visible()
    expect(page.get_by_role("link", name="scikit-learn")).to_have_attribute("rel", re.compile("noopener"))
    # a picture of the run's own files is shown, one from elsewhere is a link
    shown = page.get_by_role("region", name="Readme").get_by_role("img", name="the weights")
    page.wait_for_function("image => image.naturalWidth > 0", arg=shown.element_handle())
    expect(page.get_by_role("link", name="far away")).to_have_attribute("href", "https://example.org/x.png")
    expect(page.get_by_text("this run has no file nothing.png")).to_be_visible()
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("Epoch done")
    page.get_by_label("Level").select_option("error")
    expect(page.get_by_text("No messages match this filter.")).to_be_visible()
    page.get_by_role("tab", name="Overview").click()
    expect(page.get_by_role("row", name="training.learning_rate")).to_contain_text("0.02")
    page.get_by_role("tab", name="Files").click()
    page.get_by_role("button", name="plots/weights.png").click()
    expect(page.get_by_role("img", name="weights.png")).to_be_visible()
    width = page.get_by_role("img", name="weights.png").evaluate("image => image.naturalWidth")
    assert width > 0
    page.get_by_role("button", name="configs/config.json").click()
    expect(page.locator(".preview-text")).to_contain_text('"lr": 0.02')
    page.get_by_role("button", name="videos/weights.mp4").click()
    expect(page.locator("video.preview")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename == "weights.mp4"
    page.get_by_role("tab", name="Tracks").click()
    expect(page.get_by_text("This run has no tracks")).to_be_visible()


def test_nothing_of_what_was_logged_ever_runs(trained: EmbeddedServer, page: Page) -> None:
    page.goto(f"{trained.url}/p/bob/nlp?cols=params.note,tags&m=script&table=1")
    expect(page.get_by_role("table", name="Runs")).to_contain_text("window.hacked")
    page.keyboard.press("t")
    chart = page.locator("figure.tile").first
    expect(chart.get_by_role("img", name=re.compile("window.hacked"))).to_be_visible()
    with page.expect_download() as saved:
        chart.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="SVG").click()
    assert "<script" not in Path(saved.value.path()).read_text()
    page.goto(f"{trained.url}/experiments/bob/nlp/broken")
    expect(page.locator(".error-text")).to_contain_text("<script>")
    expect(page.locator("canvas").first).to_be_visible()
    for tab in ("Overview", "Logs", "Files"):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator("#panel")).to_contain_text("window.hacked" if tab != "Files" else "page.html")
    assert page.locator("a[href^='javascript:']").count() == 0
    page.get_by_role("button", name="evil/page.html").click()
    expect(page.locator(".file-details")).to_contain_text(re.compile("window.hacked|no preview"))
    page.get_by_role("button", name="evil/drawing.svg").click()
    expect(page.get_by_text("No preview for image/svg+xml.")).to_be_visible()
    page.get_by_role("button", name="evil/not-an-image.png").click()
    expect(page.get_by_text("This file cannot be shown as")).to_be_visible()
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow
def test_what_is_no_number_is_marked_and_not_hidden(trained: EmbeddedServer, page: Page) -> None:
    page.goto(f"{trained.url}/experiments/bob/nlp/broken?m=odd")
    plot = page.locator('figure[data-chart="odd/value"] .u-over')
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    expect(page.locator(".tooltip").first).to_contain_text("1 × NaN")


@pytest.mark.slow
def test_a_nested_field_has_a_chart_for_each_of_its_numbers(trained: EmbeddedServer, page: Page) -> None:
    page.goto(f"{trained.url}/experiments/bob/nlp/broken?m=nested")
    for name, value in (("top1", "0.5"), ("more.top5", "0.9")):
        plot = page.get_by_role("img", name=re.compile(rf"scores\.{name}.*last {value}"))
        expect(plot).to_be_visible()


@pytest.mark.slow
def test_a_number_inside_of_a_dict_is_enlarged_like_any_other(trained: EmbeddedServer, page: Page) -> None:
    page.goto(f"{trained.url}/experiments/bob/nlp/broken?m=nested")
    page.get_by_role("button", name="Enlarge nested/scores.more.top5").click()
    expect(page.locator("figure.chart")).to_have_count(1)
    expect(page.get_by_role("img", name=re.compile(r"scores\.more\.top5.*last 0\.9"))).to_be_visible()
    page.reload()
    expect(page.get_by_role("img", name=re.compile(r"scores\.more\.top5.*last 0\.9"))).to_be_visible()
    page.get_by_role("button", name="Enlarge nested/scores.more.top5").click()
    expect(page.locator("figure.chart")).to_have_count(2)


@pytest.mark.slow
def test_a_damaged_address_shows_what_can_be_shown(trained: EmbeddedServer, page: Page) -> None:
    page.goto(f"{trained.url}/?cols=%25E0,status&zoom=x~~&own=~&turn=%25&smooth=9&table=1")
    expect(page.get_by_role("status")).to_have_text("5 runs")
    expect(page.get_by_role("columnheader", name="Status")).to_be_visible()
    page.goto(f"{trained.url}/experiments/bob/nlp/broken?chart=%5B%22nested%22&from=x&smooth=y")
    expect(page.locator("figure.chart").first).to_be_visible()


@pytest.mark.slow
def test_a_message_of_several_lines_is_a_row_and_can_be_read_as_a_whole(
    trained: EmbeddedServer, page: Page
) -> None:
    page.goto(f"{trained.url}/experiments/bob/nlp/broken?tab=logs")
    page.get_by_role("button", name="Traceback: ⏎ of several ⏎ lines").click()
    whole = page.get_by_role("region", name="Whole message")
    expect(whole.locator("pre").first).to_have_text("Traceback:\n  of several\nlines")
    whole.get_by_role("button", name="Close").click()
    expect(whole).to_have_count(0)


@pytest.mark.slow
def test_an_experiment_that_says_nothing_tells_how_to_log(trained: EmbeddedServer, page: Page) -> None:
    page.goto(f"{trained.url}/experiments/alice/vision/empty")
    for tab, hint in (
        ("Charts", "exp.metrics"),
        ("Logs", "exp.log"),
        ("Overview", "exp.params"),
        ("Files", "exp.files"),
    ):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator("#panel code", has_text=hint)).to_be_visible()
    page.goto(f"{trained.url}/experiments/alice/nothing/here")
    expect(page.get_by_text("Experiment alice/nothing/here does not exist")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/experiments/alice/vision/digits/lr-0.08",
        "/p/alice/vision/digits?group=params.training.learning_rate&turn=Sweep",
        "/p/alice/vision/digits?table=1",
    ],
)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_the_pages_can_be_used_by_everybody(
    open_window: Callable[..., Window], trained: EmbeddedServer, path: str, width: int, dark: bool
) -> None:
    """What axe finds nothing serious in, and what does not need to be scrolled sideways."""
    window = open_window(width, 844, dark=dark)
    page = window.page
    sign_in(page, trained.url, path)
    expect(page.locator("h1")).to_be_visible()
    if "table" not in path:
        page.locator("figure[data-chart]").first.scroll_into_view_if_needed()
        expect(page.locator("canvas").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    axe = PROJECT / "dashboard/node_modules/axe-core/axe.min.js"
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"][:300])
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
    assert serious == []


@pytest.mark.slow
def test_a_live_run_is_followed_without_asking_for_all_again(
    at_home: None, trained: EmbeddedServer, page: Page, tmp_path: Path
) -> None:
    """While it logs, charts ask for what is new; at its end all is there."""
    exp = Experiment("carol/live/run", dash_url=trained.url, dash_root=str(tmp_path / "live"), echo=False)
    series: list[str] = []
    page.on(
        "request",
        lambda request: series.append(request.post_data or "") if "/series" in request.url else None,
    )
    with exp.run:
        steps = training(exp, Config(epochs=6, hidden=(32,)))
        for _ in range(50):
            next(steps)
        exp.flush()
        page.goto(f"{trained.url}/experiments/carol/live/run?x=index")
        expect(page.locator(".status-running")).to_be_visible()
        expect(page.locator('figure[data-chart="train/loss"] canvas')).to_be_visible()
        first = len(series)
        for _ in range(100):
            next(steps)
        exp.flush()
        expect(page.locator(".facts")).to_contain_text(re.compile(r"Rows logged\s*15\d"))
        page.wait_for_function("n => performance.getEntriesByName('ml-dash:more').length >= n", arg=1)
        panels = [panel for body in series[first:] for panel in json.loads(body)["panels"]]
        known = [line for panel in panels for line in panel["lines"] if line["metric"] == "train"]
        assert known
        assert all(line["after"] for line in known), known
        for _ in steps:
            pass
    expect(page.locator(".status-completed")).to_be_visible()


@pytest.mark.slow
def test_what_a_live_metric_gets_besides_appears(
    at_home: None, trained: EmbeddedServer, page: Page, tmp_path: Path
) -> None:
    """A field that it did not have before, and another metric."""
    exp = Experiment("carol/live/grows", dash_url=trained.url, dash_root=str(tmp_path / "live"), echo=False)
    with exp.run:
        exp.metrics("train").log(step=0, loss=1.0)
        exp.flush()
        page.goto(f"{trained.url}/experiments/carol/live/grows")
        expect(page.locator("figure.chart")).to_have_count(1)
        exp.metrics("train").log(step=1, loss=0.5, val=0.25)
        exp.metrics("other").log(step=1, x=7)
        exp.flush()
        for name in ("val.*last 0.25", "other.x.*last 7"):
            expect(page.get_by_role("img", name=re.compile(name))).to_be_visible()


@pytest.mark.slow
def test_values_are_shown_as_they_were_logged(
    at_home: None, trained: EmbeddedServer, page: Page, tmp_path: Path
) -> None:
    """Every digit of a parameter: seeds that differ in the last one are not the same."""
    seeds = (12345679, 12345680)
    for seed, result in zip(seeds, (0.9901, float("nan")), strict=True):
        prefix = f"erin/seeds/{seed}"
        with Experiment(
            prefix, dash_url=trained.url, dash_root=str(tmp_path / "dash"), echo=False
        ).run as exp:
            exp.params.set(seed=seed, lr=0.000123456789, big=2**60 + 1)
            exp.metrics.log(acc=result)
    page.goto(f"{trained.url}/experiments/erin/seeds/{seeds[0]}?tab=params")
    for name, value in (("seed", "12345679"), ("lr", "0.000123456789"), ("big", "1152921504606846977")):
        expect(page.get_by_role("row", name=name)).to_contain_text(value)
    page.goto(f"{trained.url}/p/erin/seeds?table=1&cols=params.seed,metrics.acc&turn=Sweep")
    table = page.get_by_role("table", name="Runs")
    for seed, acc in zip(seeds, ("0.9901", "NaN"), strict=True):
        row = table.get_by_role("row").filter(has_text=str(seed))
        expect(row.get_by_role("cell").nth(4)).to_have_text(str(seed))
        expect(row).to_contain_text(acc)
    page.keyboard.press("t")
    points = page.locator(".sweep-chart circle")
    expect(points).to_have_count(1)
    expect(page.get_by_text("1 without both values.")).to_be_visible()
    points.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/experiments/erin/seeds/{seeds[0]}"))
    page.goto(f"{trained.url}/?in=erin&q=acc > 0.5")
    expect(page.get_by_role("status")).to_have_text("1 run")


@pytest.mark.slow
def test_a_closer_look_at_times_asks_for_that_part(
    at_home: None, trained: EmbeddedServer, page: Page, tmp_path: Path
) -> None:
    with Experiment(
        "carol/long/run", dash_url=trained.url, dash_root=str(tmp_path / "dash"), echo=False
    ).run as exp:
        for step in range(20_000):
            exp.metrics("train").log(loss=float(step), _ts=1_700_000_000 + step)
    page.goto(f"{trained.url}/experiments/carol/long/run?x=time&from=1700005000&to=1700005009")
    loss = page.locator('figure[data-chart="train/loss"]')
    expect(loss.locator("canvas")).to_be_visible()
    with page.expect_download() as saved:
        loss.get_by_role("button", name="CSV").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    assert [line.split(",")[::2] for line in lines[1:]] == [[str(x), f"{x}"] for x in range(5000, 5009)]


@pytest.mark.slow
def test_what_was_asked_for_while_the_server_was_away_comes_when_it_is_back(
    at_home: None, open_window: Callable[..., Window], tmp_path: Path
) -> None:
    """Also of a run that has ended, in which nothing ever changes."""
    window = open_window()
    window.expected = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "503"]
    page = window.page
    server = EmbeddedServer(data=tmp_path / "own", admin_token=TOKEN).start()
    try:
        exp = Experiment("alice/p/ended", dash_url=server.url, dash_root=str(tmp_path / "dash"), echo=False)
        with exp.run:
            for index in range(30):
                exp.metrics(f"m{index:02}").log(step=1, value=float(index))
            exp.log("a message")
            exp.files("notes").save_text("a text", to="note.txt")
        sign_in(page, server.url, "/experiments/alice/p/ended?tab=files")
        expect(page.get_by_role("button", name="notes/note.txt")).to_be_visible()
        server.stop()
        page.get_by_role("button", name="notes/note.txt").click()
        expect(page.locator(".preview-text")).to_have_text("the server does not answer")
        server.start()
        expect(page.locator(".preview-text")).to_have_text("a text")

        page.get_by_role("tab", name="Charts").click()
        expect(page.locator("canvas").first).to_be_visible()
        server.stop()
        page.get_by_label("Find metrics").fill("m29")
        expect(page.locator("figure.chart .problem")).to_be_visible()
        server.start()
        expect(page.get_by_role("img", name=re.compile("last 29"))).to_be_visible()
        expect(page.locator("figure.chart .problem")).to_have_count(0)

        for level in ("all", "info"):
            server.stop()
            page.get_by_role("tab", name="Overview").click()
            page.get_by_role("tab", name="Logs").click()
            page.get_by_label("Level").select_option(level)
            expect(page.get_by_role("alert")).to_contain_text("does not answer")
            server.start()
            expect(page.get_by_role("log")).to_contain_text("a message")
    finally:
        server.stop()


@pytest.mark.slow
def test_the_page_outlives_its_server_and_catches_up(
    at_home: None, open_window: Callable[..., Window], tmp_path: Path
) -> None:
    window = open_window()
    window.expected = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "503"]
    page = window.page
    server = EmbeddedServer(data=tmp_path / "own", admin_token=TOKEN).start()
    try:
        exp = Experiment("alice/p/run", dash_url=server.url, dash_root=str(tmp_path / "dash"), echo=False)
        with exp.run:
            exp.metrics("train").log(loss=1.0)
            exp.flush()
            sign_in(page, server.url, "/experiments/alice/p/run")
            expect(page.locator("canvas")).to_be_visible()
            server.stop()
            expect(page.get_by_role("alert")).to_contain_text("does not answer")
            expect(page.locator("canvas")).to_be_visible()
            exp.metrics("train").log(loss=2.0)
            server.start()
            exp.flush(timeout=30)
            expect(page.get_by_role("alert")).to_have_count(0)
            expect(page.get_by_role("img", name=re.compile("last 2"))).to_be_visible()
    finally:
        server.stop()


@pytest.mark.slow
def test_an_experiment_that_is_deleted_while_it_is_open_is_told(
    at_home: None, trained: EmbeddedServer, window: Window, tmp_path: Path
) -> None:
    window.expected = ["410"]
    page = window.page
    exp = Experiment("dave/p/doomed", dash_url=trained.url, dash_root=str(tmp_path / "dash"), echo=False)
    with exp.run:
        exp.metrics("train").log(loss=1.0)
        exp.flush()
        page.goto(f"{trained.url}/experiments/dave/p/doomed")
        expect(page.locator("canvas")).to_be_visible()
        assert trained.store is not None
        assert exp.id is not None
        trained.store.verbs.delete(exp.id, TESTER, unless_running=False)
        expect(page.get_by_role("alert")).to_contain_text("was deleted")
        expect(page.locator("canvas")).to_be_visible()
