"""What a run's rows say of it."""

from __future__ import annotations

import os

from ml_dash.journal.blocks import block_rows
from ml_dash.journal.index import JournalIndex
from ml_dash.series import Kind, Series


def statuses(directory: str) -> list[str]:
    """The statuses of the run's starts and ends, in order, as the journal has them."""
    index = JournalIndex(os.path.join(directory, "journal"))
    index.refresh()
    blocks = [block for _, block in index.blocks(Series(Kind.RUN, None))]
    return [
        row["status"] for block in blocks for row in block_rows(block) if row["event"] in ("start", "end")
    ]
