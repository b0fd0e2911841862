"""A browser (Debian's package chromium), and servers with real runs for it to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from ml_dash.server.dashboard import DIST
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import TOKEN

SLOW = 30_000.0
"""Milliseconds after which something counts as never happening. Not a measure of speed: the machine may be busy."""
_INDEX = Path(DIST) / "index.html"
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that is here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser. It ends with the module: its event loop must not be in the way of other tests' loops."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("this machine has no chromium: `apt-get install chromium`")
    if not _INDEX.exists():
        pytest.skip("the pages are not built: `make dashboard`, which needs Node 20")
    expect.set_options(timeout=SLOW)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server for all tests of a module."""
    with EmbeddedServer(data=tmp_path_factory.mktemp("server"), admin_token=TOKEN) as running:
        yield running


@pytest.fixture
def at_home(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged goes to the server, with its token."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_API_URL", server.url)


class Window:
    """A browser window of its own, that remembers what went wrong in it."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.problems: list[str] = []
        self.expected: list[str] = []
        """Parts of problems that a test brings about itself."""
        self.page = context.new_page()
        self.page.set_default_timeout(SLOW)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"{message.text} ({message.location.get('url', '')})")

    def check(self) -> None:
        """Fail if anything went wrong that the test did not expect."""
        unexpected = [each for each in self.problems if not any(part in each for part in self.expected)]
        assert unexpected == []


@pytest.fixture
def open_window(chromium: Browser) -> Iterator[Callable[..., Window]]:
    """Opens windows; after the test nothing must have gone wrong in them."""
    windows: list[Window] = []

    def new(width: int = 1280, height: int = 800, *, dark: bool = False) -> Window:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            timezone_id="UTC",
            locale="en-GB",
        )
        windows.append(Window(context))
        return windows[-1]

    yield new
    for window in windows:
        window.context.close()
    for window in windows:
        window.check()


def sign_in(page: Page, url: str, path: str = "/") -> None:
    """Sign in by pasting the token, as a person does."""
    page.goto(f"{url}{path}")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in", exact=True).click()


@pytest.fixture
def window(open_window: Callable[..., Window], server: EmbeddedServer) -> Window:
    """A window that is signed in, on the list of experiments."""
    window = open_window()
    sign_in(window.page, server.url)
    expect(window.page.get_by_role("heading", name="Experiments")).to_be_visible()
    return window


def keep(page: Page, name: str) -> None:
    """Keep a screenshot for the docs, where the environment says so (``SCREENSHOTS=docs/assets``)."""
    if directory := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{directory}/dashboard-{name}.png")
