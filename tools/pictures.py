"""Take the pictures of the dashboard that the docs show: python tools/pictures.py [DIRECTORY].

A sweep is trained for them (docs/examples/sweep.py), and looked at in Debian's chromium through `ml-dash ui`; rules
live at a server, which is made for theirs. That takes two minutes.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image
from PIL.ImageChops import difference
from PIL.ImageStat import Stat
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROJECT = Path(__file__).resolve().parent.parent
PICTURES = PROJECT / "docs/assets"
SWEEP, RUN = "/p/alice/digits/sweep", "/experiments/alice/digits/sweep"
_WIDTH, _HEIGHT = 1440, 800
_COLORS = 128
"""A chart has few colours: with more of them a picture is larger, and looks the same."""
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


class Picture(NamedTuple):
    """One picture.

    Attributes:
        name: What its file is called, without what all begin with.
        path: The page that it shows.
        ready: What is in sight once all is there, as a selector.
        dark: Whether it is taken in the dark theme.
        press: What is pressed before, by its label.
    """

    name: str
    path: str
    ready: str
    dark: bool = False
    press: str = ""


ALL = (
    Picture("workspace", f"{SWEEP}?show=all", '.plot[aria-label*="and 12 more"]'),
    Picture(
        "workspace-dark", f"{SWEEP}?show=all&color=params.lr", '.plot[aria-label*="and 12 more"]', dark=True
    ),
    Picture(
        "columns",
        f"{SWEEP}?show=all&table=1&stick=params.lr&wide=params.lr~120&sort=-max(val/accuracy)",
        ".run-row .run-dot",
    ),
    Picture(
        "panel-settings",
        f"{SWEEP}?show=all&set=train/loss~log:1~smooth:gaussian:12~wide:2,train/gradient_norm~cut",
        '[data-chart="train/loss"] .plot[aria-label*="and 12 more"]',
        press="Settings of train/loss",
    ),
    Picture(
        "groups", f"{SWEEP}?group=params.lr&band=std", '[data-chart="val/loss"] .plot[aria-label*="last"]'
    ),
    Picture("media", f"{SWEEP}?turn=val,train,Media", ".heat canvas", dark=True),
    Picture("charts", f"{RUN}/run-11", '[data-chart="train/lr"] canvas'),
    Picture("overview", f"{RUN}/run-11?tab=overview", '[aria-label="Machine"]'),
    Picture("run-dark", f"{RUN}/run-11?tab=console", ".terminal-green", dark=True),
    Picture(
        "differences", f"/diff?e={RUN[13:]}/run-11&e={RUN[13:]}/run-04&e={RUN[13:]}/run-20", ".diff-part"
    ),
)


RULES: tuple[dict[str, object], ...] = (
    {"name": "explodes", "filter": "alice/digits/**", "when": "above", "metric": "val/loss", "bound": 3},
    {"name": "no numbers", "filter": "alice/digits/** tag:sweep", "when": "nonfinite", "rearmMinutes": 60},
    {"name": "silent on the cluster", "filter": "alice/**", "when": "silent", "minutes": 15},
)
"""What a server is to tell of, by mail: of that no host is looked up."""


def main() -> None:
    """Train, look, and write the pictures."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as root:
        _train(root)
        ui = [sys.executable, "-m", "ml_dash.cli", "ui", root, "--port", "0", "--no-browser"]
        with (
            subprocess.Popen(ui, stdout=subprocess.PIPE, text=True) as server,
            sync_playwright() as playwright,
        ):
            address = next(iter(server.stdout or [])).split()[-1]
            browser = playwright.chromium.launch(executable_path=chromium, args=_OPTIONS)
            try:
                _look(browser, address, target)
                _look_at_rules(browser, target)
            finally:
                browser.close()
                server.terminate()


def _train(root: str) -> None:
    environment = {**os.environ, "ML_DASH_SYSTEM_INTERVAL": "0.2", "ML_DASH_CAPTURE": "1"}
    script = PROJECT / "docs/examples/sweep.py"
    subprocess.run(
        [sys.executable, str(script), root], env=environment, check=True, stdout=subprocess.DEVNULL
    )


def _look(browser: Browser, address: str, target: Path) -> None:
    origin = address.partition("/#")[0]
    state = None
    for picture in ALL:
        context = browser.new_context(
            viewport={"width": _WIDTH, "height": _HEIGHT},
            color_scheme="dark" if picture.dark else "light",
            reduced_motion="reduce",
            timezone_id="UTC",
            locale="en-GB",
            storage_state=state,
        )
        page = context.new_page()
        if state is None:  # the address is good once
            page.goto(address)
            page.get_by_role("heading", name="Runs").wait_for()
            state = context.storage_state()
        page.goto(f"{origin}{picture.path}")
        _take(page, picture, target)
        context.close()


def _look_at_rules(browser: Browser, target: Path) -> None:
    from ml_dash.server.runner import EmbeddedServer

    admin = f"mld_{secrets.token_urlsafe(32)}"
    with (
        tempfile.TemporaryDirectory() as data,
        EmbeddedServer(
            data=data,
            admin_token=admin,
            smtp_url="smtp://127.0.0.1:9",
            mail_from="alerts@example.org",
        ) as server,
    ):

        def post(path: str, body: object, token: str) -> Any:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            address = f"{server.url}/api/v1/{path}"
            request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310 - our own
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                return json.load(answer)

        grants = [{"owner": "alice", "scope": "write"}]
        token = post("tokens", {"name": "alice", "grants": grants}, admin)["token"]
        post("experiments", {"prefix": "alice/digits/sweep/run-01", "tags": ["sweep"]}, token)
        to = {"kind": "mail", "address": "alice@example.org"}
        for rule in RULES:
            post("rules", {"owner": "alice", "to": to, **rule}, token)
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, reduced_motion="reduce")
        page.goto(f"{server.url}/rules?folder=alice/digits")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in", exact=True).click()
        _take(page, Picture("rules", "", ".rule"), target)
        page.close()


def _take(page: Page, picture: Picture, target: Path) -> None:
    page.locator(picture.ready).first.wait_for()
    page.wait_for_function("() => document.querySelectorAll('.loading, .skeleton, .waiting').length === 0")
    if picture.press:
        page.get_by_role("button", name=picture.press, exact=True).click()
    page.wait_for_timeout(1500)  # for what is drawn after what has come
    whole = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = target / f"dashboard-{picture.name}.png"
    _with_few_colors(whole).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


def _with_few_colors(whole: Image.Image) -> Image.Image:
    """Return a picture with few colours, chosen by the way that falsifies it least: of few, one tints the ground."""
    ways = (Image.Quantize.MAXCOVERAGE, Image.Quantize.MEDIANCUT)
    found = [whole.quantize(_COLORS, way, dither=Image.Dither.NONE) for way in ways]
    return min(found, key=lambda each: sum(Stat(difference(whole, each.convert("RGB"))).sum))


if __name__ == "__main__":
    main()
