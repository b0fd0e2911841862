"""Pages of a long answer: what is in one, and where it ends."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from ml_dash.errors import InvalidArgumentError

Take: TypeAlias = Callable[[Any], bool]
"""Takes an item into a page, and says whether it did: False where the page is full without it.

A server measures what it takes, a reader on this disk takes all. The first item always fits, so that nobody who reads
page by page comes to a stop.
"""


class Into:
    """Takes everything, into a list."""

    def __init__(self, found: list[Any]) -> None:
        self.found = found

    def __call__(self, item: Any) -> bool:
        """Take an item; see `Take`."""
        self.found.append(item)
        return True


class Filling:
    """A page of numbered rows while it is filled.

    Attributes:
        start: The first index that may be in it.
        room: How many more rows may be in it.
    """

    def __init__(self, take: Take, start: int, limit: int) -> None:
        self.start = start
        self.room = limit
        self._take = take
        self._first: int | None = None
        self._last = start - 1

    @property
    def after(self) -> int:
        """The index from which to read on."""
        return self._last + 1

    def put(self, row: dict[str, Any]) -> bool:
        """Put a row in; False where the page is full without it."""
        if not self.room or not self._take(row):
            self.room = 0
            return False
        self.room -= 1
        self._last = row["index"]
        if self._first is None:
            self._first = self._last
        return True

    def put_all(self, rows: list[dict[str, Any]]) -> None:
        """Put rows in, up to the end of the page."""
        if not isinstance(self._take, Into):
            for row in rows:
                if not self.put(row):
                    return
            return
        # All at once where nothing is measured: a call for each row would cost as much as making it.
        some = rows[: self.room]
        self._take.found += some
        self.room -= len(some)
        if some:
            self._last = some[-1]["index"]
            self._first = some[0]["index"] if self._first is None else self._first

    def places(self, total: int, *, has_more: bool) -> dict[str, Any]:
        """Return where the rows are; where there are none, they end before `start`."""
        first = self.start if self._first is None else self._first
        return {"startIndex": first, "endIndex": self._last, "total": total, "hasMore": has_more}


def whole_number(name: str, value: Any) -> int:
    """Return the argument as an int; numpy's integers will do.

    Raises:
        InvalidArgumentError: It is not a whole number from 0 on.
    """
    try:
        # a bool is an int to Python, and a mistake here; `index` takes numpy's integers and refuses floats
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise InvalidArgumentError(f"{name}={value!r} is not a whole number from 0 on: give an int that is")
    return number


def page(rows: list[dict[str, Any]], start: int, total: int, *, has_more: bool) -> dict[str, Any]:
    """Return rows and where they are; where there are none, they end before `start`."""
    filling = Filling(lambda _: True, start, len(rows))
    for row in rows:
        filling.put(row)
    return {"data": rows, **filling.places(total, has_more=has_more)}
