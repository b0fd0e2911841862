"""Where rows come from: what questions ask of a journal's index, and of a server's store."""

from __future__ import annotations

from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from ml_dash.journal.blocks import Block, block_rows
from ml_dash.series import Kind, Series
from ml_dash.values.params import fold_params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PARAMS = Series(Kind.PARAMS, None)

TimedRows = list[tuple[int, dict[str, Any]]]
"""Rows with their times, in nanoseconds since the epoch."""


class RowSource(Protocol):
    """The rows of one experiment; those of a series are numbered from 0 on."""

    def series(self, kind: Kind) -> list[Series]:
        """Return the series of a kind, in order of first appearance."""

    def count(self, series: Series) -> int:
        """Return how many rows a series has; those that cannot be read count as well."""

    def fields(self, series: Series) -> list[str]:
        """Return the names of a series' fields, in order of first appearance."""

    def blocks(self, series: Series, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Block]]:
        """Iterate over the blocks that have any of the rows `start` to `stop`, each with its first row's number."""

    def blocks_by_writer(self, series: Series) -> Iterable[tuple[str, Iterable[Block]]]:
        """Return the blocks of a series that has few rows, writer by writer, in the order of the writers' ids."""


def rows_by_writer(source: RowSource, series: Series) -> dict[str, TimedRows]:
    """Return all rows of a series that has few, by writer, in the order in which each wrote them."""
    return {writer: timed_rows(blocks) for writer, blocks in source.blocks_by_writer(series)}


def timed_rows(blocks: Iterable[Block]) -> TimedRows:
    """Return the rows of blocks, with their times."""
    rows: TimedRows = []
    for block in blocks:
        rows += zip(map(int, block.times), block_rows(block), strict=True)
    return rows


def read_params(source: RowSource) -> dict[str, Any]:
    """Return the flat parameters that all writers' settings amount to, in order of their times."""
    timed: TimedRows = []
    for rows in rows_by_writer(source, _PARAMS).values():
        # a writer's own settings keep their order, though its clock may have been set back between two
        times = accumulate((time_ns for time_ns, _ in rows), max)
        timed += zip(times, (fields for _, fields in rows), strict=True)
    timed.sort(key=itemgetter(0))
    sets: list[dict[str, Any]] = []
    for _, fields in timed:
        if fields.get("clear") is True:
            sets.clear()
        if isinstance(fields.get("set"), dict):
            sets.append(fields["set"])
    return fold_params(sets)
