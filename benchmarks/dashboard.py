"""What the dashboard costs in a browser: first paint, charts of ten million rows, and a workspace of many runs.

    python benchmarks/dashboard.py                     # some eight minutes; writes about 2 GB of temporary files
    python benchmarks/dashboard.py --only workspace    # 20 runs × 100 charts × 1,000,000 rows, of a server
    python benchmarks/dashboard.py --quick             # a tenth of the rows

It needs Debian's package chromium and the built pages (`make dashboard`). The browser, headless, the server and this
script share the same cores. Each figure stands beside a baseline of the same round: first paint beside that of a page
of plain HTML of the same server (that of a login's approval), charts beside a chart of a thousand rows. Times are the
browser's own: first contentful paint, and what a page measures from asking for a chart's data to its being drawn.
Coming closer waits a tenth of a second for somebody to stop turning.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from benchmarks.measure_remote import PREFIX  # noqa: E402
from benchmarks.processes import child, environment, listening, load, save  # noqa: E402
from benchmarks.report import Figure, Table, figures, markdown, number, print_tables  # noqa: E402
from benchmarks.workspace import measure_workspace, workspace_table  # noqa: E402

_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
_SHORT = "bench/remote/short"
_MEASURES = "performance.getEntriesByName('ml-dash:chart').map(each => each.duration)"
_PAINT = "performance.getEntriesByName('first-contentful-paint').map(each => each.startTime)"
_ONE_CHART = "m=loss&x=index"
_PAINT_TARGET, _CHART_TARGET = 1000.0, 300.0
_RUNS = 20


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the long metric")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, two rounds")
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--only", choices=("charts", "workspace"), help="only these pages")
    parser.add_argument("--idle", type=float, default=60, help="seconds that a workspace is left alone for")
    parser.add_argument("--turns", type=int, default=1800, help="how often a live run has something new")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.rounds = options.rows // 10, 2
        options.idle, options.turns = 10, 100
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("this benchmark needs a browser: apt-get install chromium")
    results: dict[str, Any] = {"options": vars(options), "environment": environment()}
    with tempfile.TemporaryDirectory(prefix="ml-dash-bench-") as directory, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_OPTIONS)
        tables = []
        if options.only != "workspace":
            _charts(browser, directory, options, results)
            tables += [_table(results, "server"), _table(results, "local")]
        if options.only != "charts":
            tables.append(_workspace(browser, os.path.join(directory, "workspace"), options, results))
        browser.close()
    _say("")
    results["environment"]["load_after"] = load()
    save("dashboard", results, markdown(tables))
    if options.json:
        print(json.dumps(results))
    else:
        print_tables(tables)


def _workspace(browser: Browser, data: str, options: argparse.Namespace, results: dict[str, Any]) -> Table:
    """Measure a workspace, and return its table."""
    size = {"runs": _RUNS, "rows": options.rows // 10}
    _say(f"filling a workspace of {size['runs']} runs × 100 charts × {size['rows']:,} rows")
    child("benchmarks.measure_workspace", job="fill", directory=data, **size)
    with listening("benchmarks.measure_remote", job="serve", directory=data) as server:
        _say("a workspace, in a browser")
        results["workspace"] = measure_workspace(
            browser,
            server["url"],
            server["token"],
            rounds=options.rounds,
            idle=options.idle,
            turns=options.turns,
            **size,
        )
    return workspace_table(results["workspace"], size, options.turns)


def _charts(browser: Browser, directory: str, options: argparse.Namespace, results: dict[str, Any]) -> None:
    root = os.path.join(directory, "root")
    _say(f"writing {options.rows:,} rows")
    child("benchmarks.measure_remote", job="write", directory=root, megabytes=options.rows * 32 // 1_000_000)
    _write_short(root)
    data = os.path.join(directory, "server")
    with listening("benchmarks.measure_remote", job="serve", directory=data) as server:
        _say("sending them to a server")
        _send(root, server["url"], server["token"])
        results["server"] = _measure(browser, server["url"], server["token"], options.rounds, plain="/device")
    with _local(root) as (url, tokens):
        results["local"] = _measure(browser, url, tokens, options.rounds, plain=None)


def _write_short(root: str) -> None:
    from ml_dash import Experiment

    with Experiment(_SHORT, dash_root=root, echo=False).run as exp:
        for step in range(1000):
            exp.metrics("train").log(loss=step * 1e-5, acc=1.0, lr=0.001)


def _send(root: str, url: str, token: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "ml_dash.cli", "sync", root, "--to", url],
        env={**os.environ, "ML_DASH_TOKEN": token},
        stdout=subprocess.DEVNULL,
        check=True,
    )


@contextmanager
def _local(root: str) -> Iterator[tuple[str, Iterator[str]]]:
    """Give the address of `ml-dash ui`, and its one-time tokens."""
    with subprocess.Popen(
        [sys.executable, "-m", "ml_dash.cli", "ui", root, "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline().split()[-1]
        url, _, token = first.partition("/#token=")

        def tokens() -> Iterator[str]:
            yield token
            for line in process.stdout or ():
                yield line.rpartition("=")[2].strip()

        yield url, tokens()
        process.terminate()


def _measure(
    browser: Browser, url: str, token: str | Iterator[str], rounds: int, plain: str | None
) -> dict[str, list[float]]:
    """Measure everything so many times, each time in a window that has nothing in its cache."""
    found: dict[str, list[float]] = {name: [] for name in ("paint", "plain", "list", "long", "short", "zoom")}
    for round_ in range(rounds):
        _say(f"{url}: round {round_ + 1} of {rounds}")
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.set_default_timeout(120_000)
        secret = token if isinstance(token, str) else next(token)
        answer = context.request.post(
            f"{url}/api/v1/session", data={"token": secret}, headers={"X-ML-Dash": "1"}
        )
        assert answer.ok, answer.text()
        if plain is not None:
            found["plain"].append(_paint(page, f"{url}{plain}"))
        found["paint"].append(_paint(page, f"{url}/"))
        page.locator(".name a").first.wait_for()
        found["list"].append(float(page.evaluate("performance.now()")))
        for name, prefix in (("short", _SHORT), ("long", PREFIX)):
            found[name].append(_chart(page, f"{url}/experiments/{prefix}?{_ONE_CHART}"))
        page.evaluate("performance.clearMeasures()")
        page.get_by_role("img").first.focus()
        page.keyboard.press("+")
        page.wait_for_function(f"() => {_MEASURES}.length > 0")
        found["zoom"].append(page.evaluate(_MEASURES)[0])
        context.close()
    return found


def _paint(page: Page, address: str) -> float:
    page.goto(address)
    page.wait_for_function(f"() => {_PAINT}.length > 0")
    return float(page.evaluate(_PAINT)[0])


def _chart(page: Page, address: str) -> float:
    """Return how long the page's one chart took, from asking for its data until it was drawn."""
    page.goto(address)
    page.wait_for_function(f"() => {_MEASURES}.length > 0")
    return float(page.evaluate(_MEASURES)[0])


def _table(results: dict[str, Any], name: str) -> Table:
    found = results[name]
    rows = number(results["options"]["rows"], 0)
    first, later = found["long"][:1], found["long"][1:]
    shown = [
        Figure("first paint, ms", found["paint"], 0, _PAINT_TARGET, baseline=found["plain"]),
        Figure("the list is there, ms", found["list"], 0, _PAINT_TARGET, baseline=found["plain"]),
        Figure(
            f"chart of {rows} rows, ms",
            later or first,
            0,
            _CHART_TARGET,
            baseline=found["short"][1:] or first,
        ),
        Figure(f"chart of {rows} rows, the first of all, ms", first, 0, baseline=found["short"][:1]),
        Figure("closer: half of them, ms", found["zoom"], 0, baseline=found["short"]),
    ]
    title = {"server": "Pages of ml-dash server", "local": "Pages of ml-dash ui"}[name]
    return figures(
        title,
        "plain page / 1 000 rows",
        shown,
        "Headless Chromium, with nothing in its cache. A local root is summarised when its first chart is asked for.",
    )


def _say(text: str) -> None:
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
