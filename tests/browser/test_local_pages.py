"""The pages of `ml-dash ui`, over a root of journals: the same pages, and nothing imported."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

import ml_dash
from docs.examples.digits_network import Config
from ml_dash import Experiment
from ml_dash.series import Kind
from ml_dash.slabs.place import QUEUE_DIR
from tests.browser.training import SCRIPT, train
from tests.browser.ui import Ui
from tests.browser.window import Window
from tests.support.processes import Scripts

MESSAGES = 1_400_000
"""More than fit into the height that a browser gives any element."""
NAMES = 10_000
LARGEST = sys.float_info.max
VALUES = {
    "near-1": [1.0, 0.99999994, 1.0000001],
    "neighbours": [2.0, 2.0000000000000004],
    "near-5": [5.0, 5.000000000000001],
    "tiny": [1e-20, 3e-20, 2e-20],
    "tinier": [-1e-30, 1e-30],
    "large": [1e150, 1.2e150],
    "largest": [-LARGEST, LARGEST, 0.0],
    "long": [1.8e18 - 5e7, 1.8e18 + 5e7],
    "one": [3.0],
    "usual": [2.3, 1.1, 0.6, 0.4],
}
"""Close, tiny and huge ones, by the metric that has them."""
STEPS = {
    "counted": (0.0, 1.0),
    "late": (1e12, 1.0),
    "long": (1.8e18, 1e6),
    "tiny": (0.0, 1e-30),
    "large": (1e150, 1e139),
}
"""Where a metric's steps begin, and how far they go on."""
LEARN_TEXTS = """
window.texts = {};
const draw = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
  const chart = this.canvas.closest("figure")?.dataset.chart;
  if (chart) (window.texts[chart] ??= []).push(text);
  return draw.call(this, text, ...place);
};
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("dash"))
    with Experiment("alice/vision/digits", dash_root=root, tags=["local"], echo=False).run as exp:
        train(exp, Config(epochs=3, hidden=(32,)))
    return root


@pytest.fixture
def ui(trained: str) -> Iterator[Ui]:
    ui = Ui(trained)
    yield ui
    assert ui.stop() == 0


@pytest.mark.slow
def test_the_printed_address_is_good_once_and_a_fresh_one_is_printed(
    ui: Ui, open_window: Callable[..., Window]
) -> None:
    address = ui.address()
    first = open_window()
    first.expected = ["ERR_CONNECTION_REFUSED"]
    first.page.goto(address)
    expect(first.page.get_by_role("link", name="digits")).to_be_visible()
    assert "token" not in first.page.url
    assert first.page.get_by_role("button", name="Sign out").count() == 0
    first.page.reload()
    expect(first.page.get_by_role("link", name="digits")).to_be_visible()

    second = open_window()
    second.expected = ["401", "ERR_CONNECTION_REFUSED"]
    second.page.goto(address)
    expect(second.page.get_by_role("heading", name="Open the address shown in the terminal")).to_be_visible()
    second.page.goto("about:blank")
    second.page.goto(ui.address())
    expect(second.page.get_by_role("link", name="digits")).to_be_visible()


@pytest.mark.slow
def test_a_local_run_is_shown_as_it_lies_and_followed_as_it_goes_on(
    ui: Ui, open_window: Callable[..., Window], trained: str
) -> None:
    window = open_window()
    window.expected = ["ERR_CONNECTION_REFUSED"]
    page = window.page
    page.goto(ui.address())
    page.get_by_role("link", name="digits").click()
    expect(page.locator('figure[data-chart="train/loss"] canvas')).to_be_visible()
    page.get_by_role("tab", name="Files").click()
    page.get_by_role("button", name="plots/weights.png").click()
    expect(page.get_by_role("img", name="weights.png")).to_be_visible()
    page.get_by_role("link", name="Experiments", exact=True).click()
    with Experiment("alice/vision/live", dash_root=trained, echo=False).run as exp:
        exp.metrics("train").log(loss=1.0)
        exp.flush()
        page.get_by_role("link", name="live").click()
        expect(page.locator(".status-running")).to_be_visible()
        expect(page.get_by_role("img", name=re.compile("last 1$"))).to_be_visible()
        exp.metrics("train").log(loss=0.25)
        exp.flush()
        expect(page.get_by_role("img", name=re.compile("last 0.25"))).to_be_visible()
    expect(page.locator(".status-completed")).to_be_visible()


@pytest.mark.slow
def test_the_last_of_more_messages_than_a_page_is_high_can_be_read(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    with Experiment("alice/p/says", dash_root=str(tmp_path), echo=False).run as exp:
        for number in range(MESSAGES):
            exp.log(f"number {number}")
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
        page = window.page
        page.goto(ui.address())
        page.get_by_role("link", name="says").click()
        page.get_by_role("tab", name="Logs").click()
        log = page.get_by_role("log")
        expect(log.get_by_role("button", name="number 0", exact=True)).to_be_visible()
        log.hover()
        page.mouse.wheel(0, 22 * 100)
        expect(log.get_by_role("button", name="number 100", exact=True)).to_be_visible()
        log.evaluate("box => box.scrollTop = box.scrollHeight / 2")
        expect(log.get_by_role("button", name=re.compile("^number (69|70)")).first).to_be_visible()
        log.evaluate("box => box.scrollTop = box.scrollHeight")
        expect(log.get_by_role("button", name=f"number {MESSAGES - 1}", exact=True)).to_be_in_viewport()
        log.focus()
        page.keyboard.press("PageUp")
        expect(log.get_by_role("button", name=f"number {MESSAGES - 1}", exact=True)).not_to_be_in_viewport()
        assert log.get_by_role("button").count() < 100
    finally:
        assert ui.stop() == 0


@pytest.mark.slow
def test_ten_thousand_metrics_are_a_few_charts_at_a_time(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    with Experiment("alice/p/wide", dash_root=str(tmp_path), echo=False).run as exp:
        for number in range(NAMES):
            exp.metrics(f"layer{number // 20}/unit{number % 20}").log(norm=float(number))
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
        page = window.page
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url) if "/series" in request.url else None)
        page.goto(ui.address())
        page.get_by_role("link", name="wide").click()
        expect(page.locator("p[role=status]")).to_have_text("10,000 charts of 10,000 metrics")
        expect(page.locator("canvas").first).to_be_visible()
        assert page.locator("figure.chart").count() <= 60
        assert len(requests) <= 60
        page.get_by_label("Find metrics").fill("layer499 unit19")
        expect(page.locator("p[role=status]")).to_have_text("1 chart of 10,000 metrics")
        expect(page.get_by_role("img", name=re.compile("last 9999"))).to_be_visible()
    finally:
        assert ui.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("view", ["x=step", "x=index&log=1", "x=time", "x=relative&smooth=0.9"])
def test_close_tiny_and_huge_values_are_charts_with_ticks(
    open_window: Callable[..., Window], tmp_path: Path, view: str
) -> None:
    """Whatever the values and the steps are, there are texts beside each chart, and the page goes on."""
    with Experiment("alice/p/values", dash_root=str(tmp_path), echo=False).run as exp:
        for name, values in VALUES.items():
            for step, value in enumerate(values):
                exp.metrics(f"values/{name}").log(v=value, step=step)
        for name, (first, more) in STEPS.items():
            for index in range(20):
                exp.metrics(f"steps/{name}").log(v=float(index % 7), step=first + index * more)
    ui = Ui(str(tmp_path))
    try:
        window = open_window(height=3000)
        window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
        page = window.page
        page.add_init_script(LEARN_TEXTS)
        address = ui.address()
        page.goto(address)
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()  # signed in
        page.goto(f"{address.partition('#')[0]}experiments/alice/p/values?{view}")
        drawn = len(VALUES) + len(STEPS)
        expect(page.locator("figure.chart canvas")).to_have_count(drawn)
        page.wait_for_function("n => performance.getEntriesByName('ml-dash:chart').length >= n", arg=drawn)
        texts = page.evaluate("window.texts")
        for name in VALUES:
            found = {text for text in texts[f"values/{name}/v"] if re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", text)}
            assert len(found) > 1, (name, texts[f"values/{name}/v"])
            assert max(map(len, found)) < 24
        page.get_by_label("Find metrics").fill("usual")
        expect(page.locator("figure.chart")).to_have_count(1)
    finally:
        assert ui.stop() == 0


@pytest.mark.slow
def test_texts_of_terminals_look_as_they_do_there(open_window: Callable[..., Window], tmp_path: Path) -> None:
    """Colours, the last state of a progress bar, and nothing that turns the direction of what stands beside it."""
    turned = "photo\u202egpj.exe"
    exp = Experiment(
        f"alice/p/{turned}", dash_root=str(tmp_path), tags=[turned], readme=f"# {turned}", echo=False
    )
    exp.run.start()
    exp.log("\x1b[1;31mloss is NaN\x1b[0m at step 3", level="error")
    exp.log("  0%|          |\r 50%|█████     |\r100%|██████████| 10/10\n")
    exp.log(f"saved {turned}", file=turned)
    exp.log("first\nsecond\x1b[2K\rSECOND")
    exp.params.set(name=turned, colour="\x1b[32mgreen\x1b[0m")
    exp.metrics(turned).log(loss=1.0)
    exp.tracks(turned).append(x=1.0)
    exp.files("out").save_text("\x1b[36mcyan\x1b[0m", to=f"{turned}.log")
    exp.run.fail("\x1b[31mRuntimeError\x1b[0m: bad")
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
        page = window.page
        page.goto(ui.address())
        shown = turned.replace("\u202e", r"\u202e")
        expect(page.get_by_role("table", name="Runs")).to_contain_text(shown)
        page.get_by_role("link", name=shown).click()
        expect(page.get_by_role("heading", name=shown)).to_be_visible()
        expect(page.locator(".error-text")).to_have_text("RuntimeError: bad")
        page.get_by_role("tab", name="Logs").click()
        messages = page.locator(".log-text")
        expect(messages).to_have_text(
            [
                "loss is NaN at step 3",
                "100%|██████████| 10/10",
                f"saved {shown}",
                "first ⏎ SECOND",
            ]
        )
        expect(messages.first.locator(".terminal-red.terminal-bold")).to_have_text("loss is NaN")
        messages.first.click()
        expect(page.locator(".log-whole .terminal-red")).to_have_text("loss is NaN")
        page.get_by_role("tab", name="Overview").click()
        expect(page.get_by_role("row", name="name")).to_contain_text(shown)
        expect(page.get_by_role("row", name="colour")).to_contain_text("green")
        page.get_by_role("tab", name="Files").click()
        page.get_by_role("button", name=shown).click()
        expect(page.locator(".preview-text .terminal-cyan")).to_have_text("cyan")
        for tab in ("Charts", "Overview", "Tracks"):
            page.get_by_role("tab", name=tab).click()
            expect(page.locator("#panel")).to_contain_text(shown)
            text = page.evaluate("document.title + document.body.innerText")
            assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", text)
    finally:
        assert ui.stop() == 0


@pytest.mark.slow
def test_numbers_that_a_browser_cannot_hold_are_shown_as_they_are(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    """In a file of JSON, in parameters, in what is logged beside a message, and in what is copied."""
    content = '{"big":9007199254740993,"far":1e400,"twice":1,"twice":2,"digits":1.10,"odd":[NaN,-Infinity]}'
    with Experiment("alice/p/numbers", dash_root=str(tmp_path), echo=False).run as exp:
        exp.files("out").save_text(content, to="numbers.json")
        exp.params.set(odd=[1.5, float("nan"), float("-inf")], big=[2**60 + 1], low=-0.0)
        exp.log("saved", sizes=[2**60 + 1, float("nan")])
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.context.grant_permissions(["clipboard-read", "clipboard-write"])
        window.expected = ["ERR_CONNECTION_REFUSED"]  # once it was stopped
        page = window.page
        page.goto(ui.address())
        page.get_by_role("link", name="numbers").click()
        page.get_by_role("tab", name="Files").click()
        page.get_by_role("button", name="numbers.json").click()
        expect(page.locator(".preview-text")).to_contain_text('"twice": 2')
        shown = page.locator(".preview-text").inner_text()
        assert "".join(shown.split()) == content
        assert shown.count("\n") > 8
        page.get_by_role("tab", name="Overview").click()
        expect(page.get_by_role("row", name="odd")).to_contain_text("[1.5,NaN,-Infinity]")
        expect(page.get_by_role("row", name="big")).to_contain_text("[1152921504606846977]")
        expect(page.get_by_role("row", name="low")).to_contain_text("-0")
        page.get_by_role("button", name="Copy as JSON").click()
        copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
        assert copied["big"] == [2**60 + 1]
        assert str(copied["odd"]) == "[1.5, nan, -inf]"
        page.get_by_role("tab", name="Logs").click()
        page.get_by_role("button", name="saved").click()
        expect(page.locator(".log-whole")).to_contain_text("1152921504606846977")
        expect(page.locator(".log-whole")).to_contain_text("NaN")
    finally:
        assert ui.stop() == 0


@pytest.mark.slow
def test_what_surrounded_a_run_and_what_it_printed(
    open_window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was: it is text, in its colours, and the change to the code is read line by line."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    exp = Experiment("alice/p/captured", dash_root=tmp_path, capture=["console", "environment", "packages"])
    exp.run.start()
    for epoch in range(300):
        print(f"\x1b[32mepoch\x1b[0m {epoch} {SCRIPT}")
    diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-lr = 1\n+lr = 2" + SCRIPT
    git = {"commit": "c0ffee", "branch": SCRIPT, "dirty": True, "diff": diff, "diffBytes": 99_999}
    row = {"attempt": exp._run.attempt, "host": "far", "pid": 3, "rank": 1, "environment": {"git": git}}
    exp._session.opened().put_control(row, kind=Kind.ENVIRONMENT)
    exp.run.fail(ZeroDivisionError("division by zero"))
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]
        page = window.page
        page.goto(ui.address())
        page.get_by_role("link", name="captured").click()
        page.get_by_role("tab", name="Console").click()
        expect(page.get_by_role("status")).to_have_text("300 lines")
        expect(page.locator(".console .terminal-green").first).to_have_text("epoch")
        page.get_by_label("Find lines").fill("epoch 299")
        expect(page.get_by_role("status")).to_have_text("1 line")
        page.get_by_label("Find lines").fill("")
        page.get_by_role("button", name="Next error").click()
        # the text that would be a script says so
        expect(page.locator(".log-marked")).to_contain_text("epoch 0 ")
        page.get_by_role("tab", name="Overview").click()
        traceback = page.get_by_role("region", name="Traceback")
        expect(traceback).to_contain_text("ZeroDivisionError: division by zero")
        packages = page.get_by_role("region", name="Packages")
        packages.locator("summary").click()
        page.get_by_label("Find packages").fill("msgpack")
        expect(packages.get_by_role("row", name="msgpack")).to_be_visible()
        page.get_by_label("Process").select_option(label="attempt 1, rank 1, far, process 3")
        code = page.get_by_role("region", name="Code")
        code.locator("summary").click()
        expect(code.locator(".diff-added")).to_have_text("+lr = 2" + SCRIPT)
        expect(code.locator(".diff-removed")).to_have_text("-lr = 1")
        expect(code).to_contain_text("The rest was too long.")
        assert page.evaluate("window.hacked") is None
    finally:
        assert ui.stop() == 0


def test_media_of_all_kinds_follow_one_slider(open_window: Callable[..., Window], tmp_path: Path) -> None:
    with Experiment("alice/p/media", dash_root=tmp_path).run as exp:
        for step in (0, 10, 20):
            exp.metrics("val").log(
                step=step,
                sample=ml_dash.Image(
                    np.full((8, 8, 3), step, np.uint8), boxes=[{"box": [1, 1, 5, 5], "label": SCRIPT}]
                ),
                tone=ml_dash.Audio(np.zeros(800), 8000, caption=SCRIPT),
                spread=ml_dash.Histogram([float(step), np.nan]),
                table=ml_dash.Table(["a", SCRIPT], [[step, SCRIPT], [math.inf, None]]),
                text=ml_dash.Text(f"at {step}"),
            )
        exp.metrics("late").log(step=15, text=ml_dash.Text("late"))
    ui = Ui(str(tmp_path))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]
        page = window.page
        page.goto(ui.address())
        page.get_by_role("link", name="media").click()
        page.get_by_role("tab", name="Media").click()
        expect(page.get_by_role("figure", name="val/text")).to_contain_text("at 20")
        assert page.get_by_role("figure").count() == 6
        slider = page.get_by_role("slider", name="Step")
        slider.focus()
        page.keyboard.press("ArrowLeft")  # 15, of which only one has something
        expect(page.get_by_role("figure", name="late/text")).to_contain_text("step 15")
        expect(page.get_by_role("figure", name="val/text")).to_contain_text("at 10")
        page.keyboard.press("Home")
        expect(page.get_by_role("figure", name="val/text")).to_contain_text("at 0")
        assert "step=0" in page.url
        expect(page.get_by_role("figure", name="val/sample").get_by_role("img")).to_be_visible()
        expect(page.get_by_role("figure", name="val/sample").locator("rect")).to_have_count(1)
        expect(page.get_by_role("figure", name="val/spread")).to_contain_text("1 NaN or infinite")
        expect(page.get_by_role("cell", name="Infinity")).to_be_visible()
        expect(page.get_by_role("cell", name=SCRIPT)).to_be_visible()
        length = page.get_by_role("figure", name="val/tone").locator("audio")
        page.wait_for_function("element => element.duration > 0.09", arg=length.element_handle())
        page.get_by_label("Find media").fill("late")
        expect(page.get_by_role("status")).to_have_text("1 of 6")
        assert page.evaluate("window.hacked") is None
    finally:
        assert ui.stop() == 0


@pytest.mark.slow
def test_that_rows_are_missing_for_ever_is_said_in_the_list_and_on_the_page(
    open_window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a process that was killed, and whose shared memory was removed."""
    queues = tmp_path / "queues"
    queues.mkdir()
    monkeypatch.setenv(QUEUE_DIR, str(queues))
    text = """
        import os, signal
        from ml_dash import Experiment
        exp = Experiment("alice/p/killed", dash_root=".dash", echo=False, capture=False).run.start()
        exp.flush()
        exp.metrics("train").log(step=1)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    Scripts(tmp_path).run(text, env={QUEUE_DIR: str(queues), "ML_DASH_LINGER": "3600"})
    (slab,) = queues.glob("*/*.slab")
    slab.unlink()
    ui = Ui(str(tmp_path / ".dash"))
    try:
        window = open_window()
        window.expected = ["ERR_CONNECTION_REFUSED"]
        page = window.page
        page.goto(ui.address())
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name="killed"))
        expect(row.get_by_role("img", name="rows of its last second may be missing")).to_have_text("!")
        row.get_by_role("link", name="killed").click()
        expect(page.get_by_text("rows of its last second may be missing")).to_contain_text("is not here")
    finally:
        assert ui.stop() == 0
