"""Summaries of a journal's metrics, made once and kept, so that a chart of millions of rows reads hardly any of them.

A server stores them as rows come (`ml_dash.server.charts.summaries`). Here they are made when a chart first needs them,
and kept in memory; when the journal has grown, only the new rows are summarised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.server.charts.summaries import summarize_together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.journal.frame_table import Catalogue
    from ml_dash.journal.index import JournalIndex
    from ml_dash.series import Series

_ROWS = 8192
"""The least rows that are summarised together, and then need not be read again."""


class _Part(NamedTuple):
    """The summary of consecutive rows of one writer."""

    start: int
    rows: int
    summary: bytes


class _Summarised:
    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.gaps = list(catalogue.gaps)
        self.parts: list[_Part] = []

    @property
    def stop(self) -> int:
        return self.parts[-1].start + self.parts[-1].rows if self.parts else 0

    def holds(self, catalogue: Catalogue) -> bool:
        # gaps may be filled later: the rows behind them then have other numbers
        return catalogue is self.catalogue and catalogue.gaps == self.gaps


class Summaries:
    """The summaries of one journal; to be used only while the journal's view is held (`JournalView.reading`)."""

    def __init__(self) -> None:
        self._known: dict[tuple[Series, str], _Summarised] = {}
        self._generations: dict[str, tuple[int, Catalogue, list[Any]]] = {}

    def of(
        self, index: JournalIndex, series: Series, start: int, stop: int
    ) -> Iterator[tuple[int, int, bytes]]:
        """Yield the first row's number, the number of rows and the summary of what has rows from `start` to `stop`."""
        # row numbers run on from writer to writer, so those of a later writer move when an earlier one writes more:
        # what is kept is by writer, and numbered from each writer's own first row
        base = 0
        for writer, catalogue in index.catalogues.items():
            count = catalogue.count(series)
            if base < stop and base + count > start:
                for part in self._parts(index, series, writer, base, count):
                    if base + part.start < stop and base + part.start + part.rows > start:
                        yield base + part.start, part.rows, part.summary
            base += count

    def numbering(self, index: JournalIndex, series: Series) -> tuple[object, ...]:
        """Return what is another one whenever rows of a series that are there have other numbers.

        More rows of the last writer that has any leave all others where they are.
        """
        counted = [(name, each, each.count(series)) for name, each in index.catalogues.items()]
        counted = [each for each in counted if each[2]]
        last = len(counted) - 1
        return tuple(
            (name, self._generation(name, catalogue), count if at < last else -1)
            for at, (name, catalogue, count) in enumerate(counted)
        )

    def _generation(self, writer: str, catalogue: Catalogue) -> int:
        """Return a number that no other state of a writer's catalogue has, but for rows behind those that it has."""
        known = self._generations.get(writer)
        if known is None or known[1] is not catalogue or known[2] != catalogue.gaps:
            number = 0 if known is None else known[0] + 1
            known = self._generations[writer] = number, catalogue, list(catalogue.gaps)
        return known[0]

    def _parts(
        self, index: JournalIndex, series: Series, writer: str, base: int, count: int
    ) -> Iterator[_Part]:
        catalogue = index.catalogues[writer]
        known = self._known.get((series, writer))
        if known is None or not known.holds(catalogue):
            known = self._known[series, writer] = _Summarised(catalogue)
        yield from known.parts
        start, stop = base + known.stop, base + count
        for first, rows, summary in summarize_together(index.blocks(series, start, stop), start, stop, _ROWS):
            part = _Part(first - base, rows, summary)
            # what lies behind the last full part may still grow: it is summarised anew each time
            if part.rows >= _ROWS and part.start >= known.stop:
                known.parts.append(part)
            yield part
