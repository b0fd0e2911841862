"""Where rows come from: what questions ask of a journal's index, and of a server's store."""

from __future__ import annotations

import heapq
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
    """Return the flat parameters that all writers' settings amount to, in order of their times.

    In memory are these and a few rows of each writer, however often parameters were set.
    """
    return fold_params(param_sets(param_rows(source)))


def param_rows(source: RowSource) -> Iterator[dict[str, Any]]:
    """Yield the rows of the parameters' series, in order of their times; memory is as of `read_params`."""
    rising = [_rising(blocks) for _, blocks in source.blocks_by_writer(_PARAMS)]
    # of the same time, the rows of the writer that comes first are first
    return (fields for _, fields in heapq.merge(*rising, key=itemgetter(0)))


def _rising(blocks: Iterable[Block]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a writer's own settings in their order, though its clock may have been set back between two."""
    rows = (row for block in blocks for row in zip(map(int, block.times), block_rows(block), strict=True))
    latest: int | None = None
    for time_ns, fields in rows:
        latest = time_ns if latest is None else max(latest, time_ns)
        yield latest, fields


def param_sets(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any] | None]:
    """Yield what each row of the PARAMS series sets; None where it forgets all that was set before."""
    for fields in rows:
        if fields.get("clear") is True:
            yield None
        if isinstance(fields.get("set"), dict):
            yield fields["set"]
