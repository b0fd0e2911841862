"""The RUN rows of a journal, writer by writer: who is silent can only be said of one writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.query.pages import rows_by_writer
from ml_dash.query.runs import WriterRuns
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from ml_dash.journal.index import JournalIndex

__all__ = ["writer_runs"]

_RUNS = Series(Kind.RUN, None)


def writer_runs(index: JournalIndex) -> list[WriterRuns]:
    """Return the RUN rows of every writer that `index` knows."""
    rows = rows_by_writer(index, _RUNS)
    return [WriterRuns(own, writer.last_ns) for own, writer in zip(rows, index.writers, strict=True)]
