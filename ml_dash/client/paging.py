"""Pages of a list at a server, one after the other, until there are no more; and an end to those that have none.

A list may be long, and whoever asks for it trusts the server to come to an end. So each page must bring what no page
before it has brought, and lead to one that was not asked for yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.client.answers import is_sendable, not_understood
from ml_dash.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterable

ENTRIES_MAX = 5_000_000
"""Of one list. No honest one comes near: what is asked for in pages are experiments, and files of one of them."""


class Pages:
    """Where the next page of one list begins, as the last answer has it.

    Args:
        url: The server's, for messages.
        cursor: Where the first page that is asked for begins; None for the first of all.

    Attributes:
        cursor: What to ask with; None for the first page of all, and at the end.
        over: Whether there are no more pages.
    """

    def __init__(self, url: str, cursor: str | None = None) -> None:
        self.cursor = cursor
        self.over = False
        self._url = url
        self._entries: set[str] = set()

    def follow(self, answer: dict[str, Any], entries: Iterable[str]) -> None:
        """Go on to the page behind an answer, which has brought these.

        Raises:
            RemoteError: The answer says that there is more, and not where; or the pages would never end.
        """
        is_new = self._take(entries)
        following = answer.get("cursor")
        if not answer.get("hasMore"):
            self.cursor, self.over = None, True
            return
        if not isinstance(following, str) or not following or not is_sendable(following):
            raise RemoteError(
                f"{self._url} says that a list goes on, and not where (cursor={following!r:.100})"
            )
        self._check(is_new=is_new and following != self.cursor)
        self.cursor = following

    def count(self, total: int, entries: Iterable[str]) -> None:
        """Go on behind an answer of a list that is asked for by how much of it is here: it has so many in `total`.

        Raises:
            RemoteError: The pages would never end.
        """
        found = list(entries)
        is_new = self._take(found)
        self.over = not found or len(self._entries) >= total
        if not self.over:
            self._check(is_new=is_new)

    def _take(self, entries: Iterable[str]) -> bool:
        """Take in what a page has brought; say whether any of it is new."""
        before = len(self._entries)
        self._entries.update(entries)
        return len(self._entries) > before

    def _check(self, *, is_new: bool) -> None:
        known = len(self._entries)
        if not is_new:
            raise RemoteError(
                f"{self._url} gives pages of a list that go round in circles: they were left at entry {known:,}"
            )
        if known > ENTRIES_MAX:
            raise RemoteError(
                f"{self._url} gives a list without an end: it was left at entry {ENTRIES_MAX:,}"
            )


def row_page(url: str, answer: dict[str, Any], at: int) -> tuple[list[dict[str, Any]], int, bool]:
    """Return what an answer has of the rows from number `at` on: rows, the number of all, and whether there are more.

    Raises:
        RemoteError: Rows are counted otherwise than they come, so that pages would not go on.
    """
    rows = answer["data"]
    if not rows or answer["endIndex"] >= at:
        return rows, answer["total"], answer["hasMore"]
    raise not_understood(url, answer, f"rows from number {at} on end before that")
