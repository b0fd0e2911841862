"""A hand whose clicks the page counts: a test cannot take more of them than it tells."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from tests.browser.window import Window

_COUNT = """
addEventListener('pointerdown', (event) => {
  if (event.isTrusted) sessionStorage.setItem('clicks', Number(sessionStorage.getItem('clicks') ?? 0) + 1);
}, true);
"""


class Hand:
    """What somebody does with the mouse; typing and keys are no clicks. Made before the page that is to count.

    Attributes:
        window: Where all of it happens.
        page: What is clicked.
        root: Where the runs lie that it shows.
    """

    def __init__(self, window: Window, root: str) -> None:
        self.window = window
        self.page: Page = window.page
        self.root = root
        self._chosen = 0
        self.page.add_init_script(_COUNT)

    def choose(self, label: str, option: str) -> None:
        """Choose of a native list: two clicks, of which no page is told."""
        self.page.get_by_role("combobox", name=label, exact=True).select_option(option)
        self._chosen += 2

    def press(self, name: str) -> None:
        """Click a button by what it says."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def drag(self, target: Locator, start: float, stop: float) -> None:
        """Select from one share of a chart's width to another: one click."""
        box = target.bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + start * box["width"], middle)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + stop * box["width"], middle, steps=4)
        self.page.mouse.up()

    def point(self, target: Locator, across: float, down: float) -> None:
        """Move the mouse to a place in a chart, without a click."""
        box = target.bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])

    @property
    def clicks(self) -> int:
        """How many there were."""
        return self._chosen + int(self.page.evaluate("Number(sessionStorage.getItem('clicks') ?? 0)"))
