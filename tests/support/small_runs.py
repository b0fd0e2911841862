"""Experiments of a few rows, written straight into journals: hundreds of them take no time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import encode_frame, encode_segment_header, segment_name
from ml_dash.query.times import iso_time
from ml_dash.series import Kind, Series

__all__ = ["BEGAN_NS", "append", "said", "segment_of", "values", "write_run", "writer_id"]

BEGAN_NS = 1_760_000_000_000_000_000


def writer_id(number: int = 0) -> str:
    """The id of a writer; those of later numbers were born later."""
    return f"{BEGAN_NS + number * 1_000_000_000:016x}-{number:x}-{number:08x}"


def said(kind: Kind, time_ns: int = BEGAN_NS, **fields: Any) -> Block:
    """A block with one row of a series that has no name."""
    columns = [Column(name, "o", None, [value]) for name, value in fields.items()]
    return Block(Series(kind, None), [time_ns], columns)


def start(number: int = 0, **fields: Any) -> Block:
    """The row with which a run begins, on a machine that is not this one."""
    row = {"event": "start", "status": "RUNNING", "host": "elsewhere", "pid": 1, "handle": number, **fields}
    return said(Kind.RUN, BEGAN_NS + number * 1_000_000_000, **row)


def end(number: int = 0, status: str = "COMPLETED") -> Block:
    """The row with which it ends."""
    row = {"event": "end", "status": status, "host": "elsewhere", "pid": 1, "handle": number}
    return said(Kind.RUN, BEGAN_NS + number * 1_000_000_000 + 500_000_000, **row)


def values(metric: str | None, step: int | None = None, number: int = 0, **fields: Sequence[float]) -> Block:
    """Rows of a metric, with steps from `step` on where that is given."""
    count = len(next(iter(fields.values())))
    columns = [Column(name, "f", None, list(map(float, each))) for name, each in fields.items()]
    if step is not None:
        columns.append(Column("step", "i", None, list(range(step, step + count))))
    times = [BEGAN_NS + number * 1_000_000_000 + at for at in range(count)]
    return Block(Series(Kind.METRIC, metric), times, columns)


def segment_of(directory: Path, number: int = 0) -> Path:
    """The first segment of a writer."""
    return directory / "journal" / segment_name(writer_id(number), 1)


def append(directory: Path, *frames: Sequence[Block], number: int = 0, first: int = 1) -> None:
    """Append frames to a writer's segment, which is made where it is not there; `first` is the first one's number."""
    path = segment_of(directory, number)
    data = b"".join(encode_frame(seq, list(blocks)) for seq, blocks in enumerate(frames, first))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        data = encode_segment_header(writer_id(number), 1, BEGAN_NS, first) + data
    with path.open("ab") as file:
        file.write(data)


def write_run(
    root: Path | str,
    prefix: str,
    loss: Sequence[float] = (1.0, 0.5),
    *,
    params: Mapping[str, Any] | None = None,
    status: str | None = "COMPLETED",
    **about: Any,
) -> Path:
    """Write a run that has logged these losses, and has ended unless its status is None; return its directory."""
    directory = Path(root, *prefix.split("/"))
    experiment = {"prefix": prefix, **about}
    frames: list[Sequence[Block]] = [[start(experiment=experiment), values("train", 0, loss=loss)]]
    if params is not None:
        frames[0] = [*frames[0], said(Kind.PARAMS, set=dict(params))]
    if status is not None:
        frames.append([end(status=status)])
    append(directory, *frames)
    record = {**experiment, "status": status or "RUNNING", "startedAt": iso_time(BEGAN_NS)}
    (directory / "experiment.json").write_text(json.dumps(record), encoding="utf-8")
    return directory


def age(*paths: Path) -> None:
    """Give files and directories, and all below them, the times of years ago, as rsync does."""
    for path in paths:
        for at, directories, files in os.walk(path):
            for name in [*directories, *files]:
                os.utime(os.path.join(at, name), ns=(BEGAN_NS, BEGAN_NS))
        os.utime(path, ns=(BEGAN_NS, BEGAN_NS))
