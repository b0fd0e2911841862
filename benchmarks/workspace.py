"""What the workspace costs in a browser: charts of twenty runs, scrolled, left alone, and beside a run that goes on.

Part of `benchmarks.dashboard`. Times are the browser's own, from the start of the navigation. The processor's time and
the memory are those of the page's own process. The hour of a live run is simulated: the page's clock is turned on by
two seconds at a time, 1,800 times, and each time there are new rows, which the page asks for and draws.
"""

from __future__ import annotations

import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from benchmarks.measure_workspace import FOLDER
from benchmarks.report import Figure, figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

    from benchmarks.report import Table

__all__ = ["measure_workspace", "workspace_table"]

_SIZE = {"width": 1440, "height": 900}
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_COMPLETE = """(runs) => {
  const seen = [...document.querySelectorAll('figure[data-chart] .plot')].filter((each) => {
    const { top, bottom } = each.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  const more = runs > 12 ? `and ${runs - 12} more` : ': last';
  const isWhole = seen.length > 3 && seen.every((each) => each.getAttribute('aria-label').includes(more));
  return isWhole ? performance.now() : 0;
}"""
_SCROLL = """(seconds) => new Promise((resolve) => {
  const pane = document.querySelector('.charts-pane');
  const began = performance.now();
  let [frames, before, longest, by] = [0, began, 0, 24];
  const frame = (now) => {
    frames += 1;
    longest = Math.max(longest, now - before);
    before = now;
    if (pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 1) by = -24;
    if (pane.scrollTop <= 0 && by < 0) by = 24;
    pane.scrollTop += by;
    if (now - began < seconds * 1000) requestAnimationFrame(frame);
    else resolve({ rate: (frames * 1000) / (now - began), longest });
  };
  requestAnimationFrame(frame);
})"""
_SETTLED = 30
"""Seconds after which a page is idle that was loaded."""
_TURN = 2.0
"""Seconds between two looks of a page at what is new."""
_DRAWN = 100
"""Milliseconds of the real clock in which what is new comes and is drawn."""


def measure_workspace(
    browser: Browser, url: str, token: str, *, runs: int, rows: int, rounds: int, idle: float, turns: int
) -> dict[str, list[float]]:
    """Measure a workspace of a server that `benchmarks.measure_workspace` has filled.

    Args:
        browser: A Chromium.
        url: The server's.
        token: One that may do all there.
        runs: How many there are.
        rows: Of each metric of each of them.
        rounds: How often the page is opened.
        idle: Seconds that it is left alone for.
        turns: How often there is something new of a live run.
    """
    found: dict[str, list[float]] = {}

    def took(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for _ in range(rounds):
        page = _signed_in(browser, url, token)
        page.goto(f"{url}/p/{FOLDER}?show=all")
        took("sight", _whole(page, runs))
        took("paint", float(page.evaluate(_PAINT)))
        took("charts", float(page.locator("figure[data-chart] .plot").count()))
        for name in ("zoom", "smooth"):
            took(name, _until_drawn(page, name, runs))
        page.goto(f"{url}/p/{FOLDER}?show=all")
        _whole(page, runs)
        scrolled = page.evaluate(_SCROLL, 5)
        took("scroll", scrolled["rate"])
        took("longest", scrolled["longest"])
        page.context.close()
    page = _signed_in(browser, url, token)
    page.goto(f"{url}/p/{FOLDER}?show=all")
    _whole(page, runs)
    # until the browser has cleared up behind what it has loaded
    page.wait_for_timeout(_SETTLED * 1000)
    for name, value in _left_alone(page, idle).items():
        took(name, value)
    page.context.close()
    for name, value in _live(browser, url, token, runs, rows, turns).items():
        took(name, value)
    return found


def _signed_in(browser: Browser, url: str, token: str) -> Page:
    context = browser.new_context(viewport=_SIZE)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(120_000)
    answer = context.request.post(f"{url}/api/v1/session", data={"token": token}, headers={"X-ML-Dash": "1"})
    assert answer.ok, answer.text()
    return page


def _whole(page: Page, runs: int) -> float:
    """Wait until all charts in sight have a line of each run, and return when that was."""
    return float(page.wait_for_function(_COMPLETE, arg=runs).json_value())


def _until_drawn(page: Page, what: str, runs: int) -> float:
    """Change what all charts show, and return how long it takes until the answers to that are all there."""
    asked: list[int] = [0, 0]

    def sent(_: Any) -> None:
        asked[0] += 1

    def done(_: Any) -> None:
        asked[1] += 1

    is_chart: Callable[[Any], bool] = lambda request: "/series" in request.url  # noqa: E731
    page.on("request", lambda each: sent(each) if is_chart(each) else None)
    page.on("requestfinished", lambda each: done(each) if is_chart(each) else None)
    began = time.perf_counter()
    if what == "zoom":
        page.locator("figure[data-chart] .plot").first.focus()
        page.keyboard.press("+")
    else:
        page.keyboard.press("]")
    while not asked[0] or asked[0] > asked[1]:
        page.wait_for_timeout(5)
    last = time.perf_counter()
    _whole(page, runs)
    return (last - began) * 1e3


def _left_alone(page: Page, seconds: float) -> dict[str, float]:
    """Return the requests a minute of a page that nobody touches, and the share of a core that its process takes."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = _process(page)["cpuTime"]
    # not a sleep: the events of the page are to be taken
    page.wait_for_timeout(seconds * 1000)
    busy = _process(page)["cpuTime"] - before
    return {"requests": len(asked) * 60 / seconds, "busy": busy / seconds * 100}


def _process(page: Page) -> dict[str, Any]:
    """Return what the browser says of the page's own process."""
    browser = page.context.browser
    assert browser is not None
    cdp = browser.new_browser_cdp_session()
    told = [
        each for each in cdp.send("SystemInfo.getProcessInfo")["processInfo"] if each["type"] == "renderer"
    ]
    cdp.detach()
    # the newest: one that was closed a moment ago may still be there
    return max(told, key=lambda each: int(each["id"]))


def _live(browser: Browser, url: str, token: str, runs: int, rows: int, turns: int) -> dict[str, float]:
    """Return the memory of a page that has seen a live run for so many turns."""
    page = _signed_in(browser, url, token)
    page.clock.install()
    page.goto(f"{url}/p/{FOLDER}?show=all")
    while not page.evaluate(_COMPLETE, runs):
        page.clock.fast_forward(100)
        page.wait_for_timeout(50)
    first = _memory(page)
    sender = _Sender(url, token, rows)
    for _ in range(turns):
        sender.send(100)
        # not `run_for`: it goes through each of the frames in between, which costs a hundred times what a page does
        page.clock.fast_forward(int(_TURN * 1000))
        page.wait_for_timeout(_DRAWN)
    last = _memory(page)
    page.context.close()
    return {"memory, at first": first, "memory": last}


def _memory(page: Page) -> float:
    """Return the megabytes of the page's own process, once garbage was collected.

    Of what it shares with others, as the program itself, its share (PSS): else that would count once for each of them.
    """
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    with open(f"/proc/{_process(page)['id']}/smaps_rollup", encoding="ascii") as file:
        told = next(line for line in file if line.startswith("Pss:"))
    return int(told.split()[1]) / 1000


class _Sender:
    """Sends rows of a run that goes on."""

    def __init__(self, url: str, token: str, rows: int) -> None:
        self._url, self._token = url, token
        self._seq, self._at = 0, rows
        self._id = str(
            self._asked("experiments", b'{"prefix": "%s/run-00"}' % FOLDER.encode(), "application/json")
        )

    def _asked(self, path: str, body: bytes, kind: str) -> Any:

        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        request = urllib.request.Request(f"{self._url}/api/v1/{path}", body, headers, method="POST")
        with urllib.request.urlopen(request) as answer:
            told = json.loads(answer.read())
        return told.get("id")

    def send(self, count: int) -> None:
        """Send so many more rows of each of two metrics."""
        import numpy as np

        from ml_dash.journal.blocks import Block, Column
        from ml_dash.journal.frame import encode_frame
        from ml_dash.protocol import FRAMES, frames_path
        from ml_dash.series import Kind, Series

        steps = np.arange(self._at, self._at + count)
        self._at += count
        self._seq += 1
        values = [Column(f"value-{field}", "f", None, np.cos(steps / 50) + field) for field in range(10)]
        blocks = [
            Block(
                Series(Kind.METRIC, name), time.time_ns() + steps, [Column("step", "i", None, steps), *values]
            )
            for name in ("train", "val")
        ]
        path = frames_path(self._id, "live").removeprefix("/api/v1/")
        self._asked(path, encode_frame(self._seq, blocks), FRAMES)


def workspace_table(results: dict[str, list[float]], size: dict[str, int], turns: int) -> Table:
    """Return the figures beside what they are to be."""
    shown = [
        Figure("first paint, ms", results["paint"], 0, 1000.0),
        Figure("all charts in sight, ms", results["sight"], 0, 2000.0),
        Figure("closer, in all of them, ms", results["zoom"], 0),
        Figure("smoother, all of them, ms", results["smooth"], 0),
        Figure("scrolling, frames a second", results["scroll"], 0, 50.0, more_is_better=True),
        Figure("the longest of these frames, ms", results["longest"], 0),
        Figure("left alone, requests a minute", results["requests"], 0, 40.0),
        Figure("left alone, of a core, %", results["busy"], 1, 1.0),
        Figure("memory at first, MB", results["memory, at first"], 0),
        Figure(
            f"memory after {turns * _TURN / 60:.0f} minutes of a live run, MB", results["memory"], 0, 300.0
        ),
    ]
    title = f"A workspace: {size['runs']} runs × 100 charts × {size['rows']:,} rows"
    return figures(
        title, "", shown, "Headless Chromium, 1440 × 900, nothing in its cache; the server is new too."
    )
