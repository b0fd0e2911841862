"""What charts cost at a server: all lines of a page in one request, and a band of a thousand runs, on either database.

    python benchmarks/drawing.py                              # SQLite, about a minute; some 200 MB
    python benchmarks/drawing.py --database postgresql://…    # in an empty database
    python benchmarks/drawing.py --quick --json

Rows are stored as clients send them. Times are of the store, each answer packed as the pages get it; of HTTP there is
nothing in them. Beside them stands the time of the processor, all threads together. Tables go to standard output, the
raw results to ``benchmarks/results/drawing.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from benchmarks.processes import environment, load, save  # noqa: E402
from benchmarks.report import Figure, figures, markdown, print_tables  # noqa: E402

if TYPE_CHECKING:
    from ml_dash.server.rows.drawing import Asked
    from ml_dash.server.store import Store

_START = 1_700_000_000_000_000_000
_AT_ONCE = 50_000
_FIELDS = 8
_TARGETS = {"band": 300.0, "page": 2000.0}


def main() -> None:
    """Measure, and report."""
    options = _options()
    results: dict[str, Any] = {"options": vars(options), "environment": environment()}
    with tempfile.TemporaryDirectory(prefix="ml-dash-bench-") as directory:
        results["drawing"] = measure(
            directory, options.database, options.members, options.runs, options.rows, options.rounds
        )
    results["environment"]["load_after"] = load()
    where = "PostgreSQL" if options.database else "SQLite"
    found = [
        Figure(f"{title}{what}", [each[at] for each in times], 1, _TARGETS[title[:4]] if not at else None)
        for title, times in results["drawing"].items()
        for at, what in enumerate(("", ", processor"))
    ]
    note = (
        f"A band of {options.members:,} runs of 2,000 rows; a page of {_FIELDS} charts of {options.runs} runs of "
        f"{options.rows:,} rows, 400 points a line."
    )
    table = figures(f"Drawing at a server, ms, {where}", "", found, note)
    save("drawing", results, markdown([table]))
    if options.json:
        print(json.dumps(results))
    else:
        print_tables([table])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--members", type=int, default=1000, help="runs of the band (default: 1,000)")
    parser.add_argument("--runs", type=int, default=20, help="runs of the page (default: 20)")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of each of these (default: 200,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each question (default: 5)")
    parser.add_argument("--database", help="the URL of an empty database; a file of SQLite otherwise")
    parser.add_argument("--quick", action="store_true", help="a tenth of it all, two rounds")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    options = parser.parse_args()
    if options.quick:
        options.members, options.rows, options.rounds = options.members // 10, options.rows // 10, 2
    return options


def measure(
    directory: str, database: str | None, members: int, runs: int, rows: int, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Fill a store, and return the milliseconds that each question took, and those of the processor."""
    from ml_dash.server.charts.lines import LineRequest
    from ml_dash.server.rows.drawing import Asked
    from ml_dash.server.settings import ServerSettings
    from ml_dash.server.store import Store

    store = Store.open(ServerSettings(data=directory, database=database))
    store.start()
    try:
        ids = asyncio.run(_fill(store, "band", members, 2000, 1))
        page_ids = asyncio.run(_fill(store, "page", runs, rows, _FIELDS))
        store.compactor.compact_all()
        band = Asked(LineRequest("f0", "step", None, None, 400), tuple(ids), is_band=True, metric="train")
        page = [
            Asked(LineRequest(f"f{number}", "step", None, None, 400), (id_,), metric="train")
            for number in range(_FIELDS)
            for id_ in page_ids
        ]
        return _answers(store, band, page, rounds)
    finally:
        store.close()


def _answers(
    store: Store, band: Asked, page: Sequence[Asked], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    from ml_dash.server.recent import RecentBytes
    from ml_dash.server.rows.drawing import Members

    found: dict[str, list[tuple[float, float]]] = {}
    members: Members = RecentBytes(64 << 20)

    def timed(title: str, ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        began, worked = time.perf_counter(), time.process_time()
        told = ask()
        elapsed = (time.perf_counter() - began) * 1e3, (time.process_time() - worked) * 1e3
        found.setdefault(title, []).append(elapsed)
        return told

    for _ in range(rounds):
        first: Members = RecentBytes(64 << 20)
        timed("band that nobody has drawn yet", lambda: _ask(store, [band], first))  # noqa: B023
        _ask(store, [band], members)
        (told,) = timed("band whose runs are known", lambda: _ask(store, [band], members))
        after = band._replace(after=told["cursor"])
        timed("band that has not changed", lambda: _ask(store, [after], members))  # noqa: B023
        lines = timed("page", lambda: _ask(store, page, members))
        again = [asked._replace(after=each["cursor"]) for asked, each in zip(page, lines, strict=True)]
        timed("page that has not changed", lambda: _ask(store, again, members))  # noqa: B023
        smooth = [_smooth(asked) for asked in page]
        timed("page, smoothed", lambda: _ask(store, smooth, members))  # noqa: B023
    return found


def _smooth(asked: Asked) -> Asked:
    from ml_dash.server.charts.smoothing import Smooth

    return asked._replace(request=asked.request._replace(smooth=Smooth("ema", 0.6)))


def _ask(store: Store, asked: Sequence[Asked], members: Any) -> list[dict[str, Any]]:
    from ml_dash.journal.objects import to_msgpack
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.rows.drawing import Drawing

    who = Principal("tok_0000000000000000", "a benchmark", admin=True, grants={})
    drawing = Drawing(store, who, members, as_bytes=True)
    drawing.look_up(asked)
    told = []
    for each in asked:
        found = drawing.told(each, float("inf"))
        assert found is not None, "no time is short"
        assert "error" not in found, found
        to_msgpack(found)
        told.append(found)
    drawing.close()
    return told


async def _fill(store: Store, name: str, runs: int, rows: int, fields: int) -> list[str]:
    """Store runs as a client sends them, and return their ids."""
    import numpy as np

    from ml_dash.identity import parse_prefix
    from ml_dash.journal.blocks import Block, Column
    from ml_dash.journal.frame import encode_frame
    from ml_dash.series import Kind, Series
    from ml_dash.server.catalogue.records import Introduction

    chance = np.random.default_rng(0)
    ids = []
    for at in range(runs):
        identity = parse_prefix(f"team/bench/{name}/{at}", user=str, now_ns=int)
        id_ = store.experiments.upsert(Introduction(identity))["id"]
        ids.append(id_)
        for number, first in enumerate(range(0, rows, _AT_ONCE), 1):
            steps = np.arange(first, min(first + _AT_ONCE, rows))
            columns = [Column("step", "i", None, steps)]
            for field in range(fields):
                noise = chance.normal(size=len(steps)) * 0.1
                columns.append(Column(f"f{field}", "f", None, np.exp(-steps / rows) + noise))
            block = Block(Series(Kind.METRIC, "train"), _START + steps * 1_000_000, columns)
            await store.ingest.submit(id_, "w", encode_frame(number, [block]))
    return ids


if __name__ == "__main__":
    main()
