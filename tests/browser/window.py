"""A browser window that remembers what went wrong in it."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from tests.support.seen import TOKEN

SLOW = 30_000.0
"""Milliseconds after which something counts as never happening. Not a measure of speed: the machine may be busy."""


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
        assert unexpected == [], "\n".join(unexpected)


def sign_in(page: Page, url: str, path: str = "/") -> None:
    """Sign in by pasting the token, as a person does."""
    page.goto(f"{url}{path}")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in", exact=True).click()
    # a page that is opened before the answer is here cancels the request, and asks for the token again
    expect(page.get_by_label("Token")).to_have_count(0)
