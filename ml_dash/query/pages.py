"""Pages of rows, as every reader of indexed rows gets them."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.blocks import block_rows
from ml_dash.query.times import iso_time, seconds

if TYPE_CHECKING:
    from ml_dash.journal.index import JournalIndex
    from ml_dash.series import Series

__all__ = ["page", "read_rows", "rows_by_writer", "whole_number"]


def whole_number(name: str, value: Any) -> int:
    """Return the argument as an int; numpy's integers will do.

    Raises:
        InvalidArgumentError: It is not a whole number from 0 on.
    """
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise InvalidArgumentError(f"{name}={value!r} is not a whole number from 0 on: give an int that is")
    return number


def read_rows(index: JournalIndex, series: Series, start: int, limit: int) -> list[dict[str, Any]]:
    """Return up to `limit` rows from index `start` on; damaged ones are passed over."""
    rows: list[dict[str, Any]] = []
    if not limit:
        return rows
    for first, block in index.blocks(series, start):
        offset = max(start - first, 0)
        for row, fields in enumerate(block_rows(block, offset, offset + limit - len(rows)), offset):
            time_ns = int(block.times[row])
            data = {**fields, "_ts": seconds(time_ns)}
            rows.append({"index": first + row, "data": data, "createdAt": iso_time(time_ns)})
        if len(rows) == limit:
            break
    return rows


def rows_by_writer(index: JournalIndex, series: Series) -> list[list[tuple[int, dict[str, Any]]]]:
    """Return all rows of a series that has few, each with its time: a list a writer, as `index.writers` has them."""
    stop = 0
    found = []
    for writer in index.writers:
        start, stop = stop, stop + index.catalogues[writer.id].count(series)
        rows: list[tuple[int, dict[str, Any]]] = []
        for _, block in index.blocks(series, start, stop):
            rows += zip(map(int, block.times), block_rows(block), strict=True)
        found.append(rows)
    return found


def page(rows: list[dict[str, Any]], start: int, total: int, *, has_more: bool) -> dict[str, Any]:
    """Return rows and where they are; where there are none, they end before `start`."""
    return {
        "data": rows,
        "startIndex": rows[0]["index"] if rows else start,
        "endIndex": rows[-1]["index"] if rows else start - 1,
        "total": total,
        "hasMore": has_more,
    }
