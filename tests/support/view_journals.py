"""Real journals for the tests of what reads them: rows in, segment files out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series

SECOND = 1_000_000_000
TRAIN = Series(Kind.METRIC, "train")

Row = tuple[int, dict[str, Any]]


def metric_rows(count: int, start: int = 0) -> list[Row]:
    """Rows a second apart, with a float and an int that say which they are."""
    return [((1_700_000_000 + i) * SECOND, {"loss": i / 2, "step": i}) for i in range(start, start + count)]


def block_of(series: Series, rows: Sequence[Row]) -> Block:
    """Columns as the batcher makes them: one for each field and type, sparse where rows lack it."""
    columns: dict[tuple[str, str], tuple[list[int], list[Any]]] = {}
    for position, (_, fields) in enumerate(rows):
        for field, value in fields.items():
            positions, values = columns.setdefault((field, _type_of(value)), ([], []))
            positions.append(position)
            values.append(value)
    return Block(
        series,
        [time_ns for time_ns, _ in rows],
        [
            Column(field, kind, None if len(positions) == len(rows) else positions, values)
            for (field, kind), (positions, values) in columns.items()
        ],
    )


def write(directory: Path, frames: Iterable[Sequence[Block]], writer: str = "writer") -> str:
    """Write one writer's frames, and return the path of its segment."""
    journal = JournalWriter(str(directory), writer)
    for blocks in frames:
        journal.append(blocks)
    path = journal.segment_path
    assert path is not None
    journal.close()
    return path


def write_rows(
    directory: Path, series: Series, rows: Sequence[Row], writer: str = "writer", *, per_frame: int = 10
) -> str:
    """Write rows of one series, a few in each frame, and return the path of the segment."""
    starts = range(0, len(rows), per_frame)
    return write(directory, ([block_of(series, rows[at : at + per_frame])] for at in starts), writer)


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return "i"
    return "f" if isinstance(value, float) else "o"
