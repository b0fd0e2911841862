"""A browser (Debian's package chromium), and servers with real runs for it to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from ml_dash.server.dashboard import DIST
from ml_dash.server.runner import EmbeddedServer
from tests.browser.window import SLOW, Window, sign_in
from tests.support.seen import TOKEN

_INDEX = Path(DIST) / "index.html"
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that is here."""
    # as a text: thousands of paths would be taken apart for it
    here = os.path.join(os.path.dirname(__file__), "")
    for item in items:
        if str(item.path).startswith(here):
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


@pytest.fixture
def window(open_window: Callable[..., Window], server: EmbeddedServer) -> Window:
    """A window that is signed in, on the workspace of all experiments."""
    window = open_window()
    sign_in(window.page, server.url)
    expect(window.page.get_by_role("heading", name="Runs")).to_be_visible()
    return window
