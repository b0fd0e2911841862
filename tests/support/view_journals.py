"""Real journals for the tests of what reads them: rows in, segment files out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series

PREFIX = "alice/vision/resnet"
SECOND = 1_000_000_000
TRAIN = Series(Kind.METRIC, "train")
EMPTY = Series(Kind.METRIC, "empty")
UNNAMED = Series(Kind.METRIC, None)
ODD = Series(Kind.METRIC, "odd/ä &?=#%2F name")
POSE = Series(Kind.TRACK, "robot/pose")

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


def something_of_everything(tmp_path: Path) -> str:
    """An experiment with something of everything, by two writers."""
    directory = tmp_path / "exp"
    run = Series(Kind.RUN, None)
    odd: list[dict[str, Any]] = [
        {"x": 1, "y": math.nan, "n": {"a": 1, "b": "two"}},
        {"x": 2.5, "flag": True},
        {"x": None, "y": -math.inf, "big": "2**70"},
        {"x": "text", "b": b"bytes", "l": [1, 2, {"z": 1}]},
    ]
    start = {
        "event": "start",
        "status": "RUNNING",
        "host": "h",
        "pid": 1,
        "handle": "a",
        "experiment": {"prefix": PREFIX},
    }
    end = {"event": "end", "status": "FAILED", "host": "h", "pid": 1, "handle": "a", "error": "it broke"}
    base = 1_700_000_000 * SECOND
    logs = [
        (
            base + i,
            {"level": level, "message": f"{level} number {i}", "metadata": {"i": i} if i % 2 else None},
        )
        for i, level in enumerate(("info", "warn", "error", "debug", "info") * 6)
    ]
    saved = {
        "event": "save",
        "bindrs": [],
        "contentType": "text/plain",
        "sizeBytes": 7,
        "checksum": "ab" * 32,
        "metadata": {"epoch": 1, "nested": [1.5, None]},
    }
    files = [
        (
            base + i,
            {**saved, "id": f"file_{i}", "path": path, "filename": name, "tags": tags, "description": None},
        )
        for i, (path, name, tags) in enumerate(
            [
                ("/models", "best.pt", ["best"]),
                ("/models", "best.pt", ["best", "v2"]),
                ("/models/old", "ä b&c.pt", []),
                ("/", "gone.txt", ["t"]),
                ("/models2", "best.pt", []),
            ]
        )
    ]
    files += [
        (base + 10, {"event": "update", "id": "file_2", "tags": ["new"], "description": "updated"}),
        (base + 11, {"event": "delete", "id": "file_3"}),
    ]
    poses = [(base + i * SECOND // 2, {"x": i, "rot": {"z": i / 3}}) for i in (3, 1, 2, 2, 9, 5)]
    write(
        directory / "journal",
        [
            [block_of(run, [(base, start)]), block_of(TRAIN, metric_rows(500))],
            [block_of(Series(Kind.PARAMS, None), [(base, {"set": {"lr": 0.1, "model.depth": 18}})])],
            [block_of(ODD, [(base + i, fields) for i, fields in enumerate(odd)]), block_of(POSE, poses)],
            [block_of(Series(Kind.LOG, None), logs), block_of(UNNAMED, metric_rows(3))],
            [block_of(Series(Kind.FILE, None), files)],
        ],
        "0000000000000001-1-00000001",
    )
    write(
        directory / "journal",
        [
            [block_of(TRAIN, metric_rows(25_000, 500))],
            [block_of(Series(Kind.PARAMS, None), [(base + 5, {"set": {"model": "vit"}})])],
            [block_of(run, [(base + 30_000 * SECOND, end)])],
        ],
        "0000000000000002-1-00000001",
    )
    return str(directory)
