"""A server with runs for a workspace: ``python -m benchmarks.measure_workspace JOB``; see `benchmarks.dashboard`.

One run is stored as a client sends it; the others are copies of what the database then says, and share its objects.
So twenty runs of a hundred million numbers are there in a minute, and are read as if each had been sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_dash.server.store import Store

__all__ = ["FOLDER", "main"]

FOLDER = "bench/workspace/sweep"
_START = 1_700_000_000_000_000_000
_AT_ONCE = 65_536
_METRICS = ("train", "val", "grad", "norm", "layer", "reward", "policy", "critic", "buffer", "timing")
_FIELDS = 10
_TOLD = ("params", "metric_fields")
"""Tables that tell lists what there is: they are made anew."""


def fill(directory: str, runs: int, rows: int) -> dict[str, int]:
    """Fill the data directory of a server, and return how many rows and numbers it has."""
    from ml_dash.server.settings import ServerSettings
    from ml_dash.server.store import Store

    store = Store.open(ServerSettings(data=directory))
    store.start()
    try:
        first = asyncio.run(_send(store, rows))
        store.compactor.compact_all()
        for number in range(1, runs):
            _copy(store, first, number)
        store.lists.bring_in()
    finally:
        store.close()
    return {"rows": runs * len(_METRICS) * rows, "numbers": runs * len(_METRICS) * rows * _FIELDS}


async def _send(store: Store, rows: int) -> str:
    import numpy as np

    from ml_dash.identity import parse_prefix
    from ml_dash.journal.blocks import Block, Column
    from ml_dash.journal.frame import encode_frame
    from ml_dash.series import Kind, Series
    from ml_dash.server.catalogue.records import Introduction

    chance = np.random.default_rng(0)
    id_: str = store.experiments.upsert(Introduction(parse_prefix(f"{FOLDER}/run-00", user=str, now_ns=int)))[
        "id"
    ]
    seq = 0
    for first in range(0, rows, _AT_ONCE):
        steps = np.arange(first, min(first + _AT_ONCE, rows))
        for at, metric in enumerate(_METRICS):
            columns = [Column("step", "i", None, steps)]
            for field in range(_FIELDS):
                noise = chance.normal(size=len(steps)) * 0.05
                # of three digits: what is on the disk is a third of it then
                values = np.round(np.exp(-steps / rows * (1 + field / 4)) + noise + at, 3)
                columns.append(Column(f"value-{field}", "f", None, values))
            seq += 1
            block = Block(Series(Kind.METRIC, metric), _START + steps * 1_000_000, columns)
            await store.ingest.submit(id_, "w", encode_frame(seq, [block]))
    return id_


def _copy(store: Store, first: str, number: int) -> None:
    """Store another run that has the rows of the first one."""
    from sqlalchemy import insert, literal, select, update

    from ml_dash.identity import parse_prefix
    from ml_dash.server.catalogue.records import Introduction
    from ml_dash.server.db.tables import EXPERIMENTS, METADATA, OBJECTS, SERIES

    identity = parse_prefix(f"{FOLDER}/run-{number:02}", user=str, now_ns=int)
    id_ = store.experiments.upsert(Introduction(identity))["id"]
    told = ("rows", "metric_rows", "activity_ns")
    with store.database.write() as connection:
        found = connection.execute(
            select(*(EXPERIMENTS.c[name] for name in told)).where(EXPERIMENTS.c.id == first)
        ).one()
        connection.execute(
            update(EXPERIMENTS).where(EXPERIMENTS.c.id == id_).values(dict(zip(told, found, strict=True)))
        )
        for table in METADATA.sorted_tables:
            if "experiment_id" not in table.c or table is OBJECTS or table.name in _TOLD:
                continue
            columns = [literal(id_) if each.name == "experiment_id" else each for each in table.c]
            connection.execute(
                insert(table).from_select(
                    [each.name for each in table.c], select(*columns).where(table.c.experiment_id == first)
                )
            )
        connection.execute(update(SERIES).where(SERIES.c.experiment_id == id_).values(unlisted=True))


def main() -> None:
    """Do the job that the command line describes."""
    job = json.loads(sys.argv[1])
    assert job.pop("job") == "fill"
    found: dict[str, Any] = fill(**job)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
