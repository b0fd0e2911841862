"""What reading costs: a column of a million rows, a page and the statistics of ten million, and the exit.

    python benchmarks/reading.py            # some minutes; writes about 800 MB below the temporary directory
    python benchmarks/reading.py --quick    # a tenth of the rows

The rows come from the real pipeline, once; they are read in fresh processes, with the files in the page cache. The
baselines read the same numbers as numpy's own files. Tables go to standard output, the raw results to
``benchmarks/results/reading.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from benchmarks.processes import child, environment, python, save  # noqa: E402
from benchmarks.report import Table, mark, markdown, number, print_tables  # noqa: E402

_TARGETS = {
    ("column", "just opened"): 50,
    ("column", "already open"): 50,
    ("page", "just opened"): 300,
    ("page", "already open"): 5,
    ("rows", "read()"): 150,
    ("write_columns", "log_columns() and flush()"): 500,
    ("exit", "run completed"): 50,
    ("exit", "run open, flushed"): 50,
}
_ROWS = 100_000  # in one read, as dicts: 1.5 µs a row
_COLUMN_ROWS = 10_000_000  # in one call: 20 million a second
_EXITS = {
    "no run": "",
    "run completed": "e.run.start(); e.metrics('train').log(loss=0.5); e.run.complete()",
    "run open, flushed": "e.run.start(); e.metrics('train').log(loss=0.5); e.flush()",
}
_EXIT = """
import sys, time
from ml_dash import Experiment
e = Experiment("bench/exit/run", dash_root=sys.argv[1], echo=False)
{work}
print(time.monotonic(), flush=True)
"""


def main() -> None:
    """Measure, and report."""
    options = _options()
    results: dict[str, Any] = {"options": vars(options), "environment": environment()}
    with tempfile.TemporaryDirectory(prefix="ml-dash-bench-") as directory:
        _measure(results, options, directory)
    tables = _tables(results)
    save("reading", results, markdown(tables))
    if options.json:
        print(json.dumps(results))
    else:
        print_tables(tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, help="rows of the long journal (default: 10 million)")
    parser.add_argument("--rounds", type=int, default=5, help="processes that read (default: 5)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of tables")
    options = parser.parse_args()
    options.rows = options.rows or (1_000_000 if options.quick else 10_000_000)
    options.column_rows = options.rows // 10
    return options


def _measure(results: dict[str, Any], options: argparse.Namespace, directory: str) -> None:
    long, short = os.path.join(directory, "long"), os.path.join(directory, "short")
    for path, rows in ((long, options.rows), (short, options.column_rows)):
        os.mkdir(path)
        _say(f"writing {rows:,} rows")
        results.setdefault("write", []).append(_job("write", directory=path, rows=rows))
        _job("save_arrays", directory=path, rows=rows)
    results |= {"column": [], "page": [], "rows": [], "write_columns": [], "stats": [], "exit": []}
    for round_ in range(options.rounds):
        _say(f"reading, round {round_ + 1} of {options.rounds}")
        results["column"].append(_job("column", directory=short, rows=options.column_rows))
        results["page"].append(_job("page", directory=long, rows=options.rows, reads=200))
        results["rows"].append(_job("rows", directory=long, rows=options.rows, limit=_ROWS))
        with tempfile.TemporaryDirectory(dir=directory) as place:
            results["write_columns"].append(_job("write_columns", directory=place, rows=_COLUMN_ROWS))
        results["stats"].append(_job("stats", directory=long))
        results["exit"].append({name: _exit_ms(directory, work) for name, work in _EXITS.items()})
    _say("")


def _exit_ms(directory: str, work: str) -> float:
    """Return the milliseconds from a script's last line to the end of its process."""
    last_line = float(python("-c", _EXIT.format(work=work), directory))
    return (time.monotonic() - last_line) * 1e3


def _job(job: str, **arguments: Any) -> dict[str, Any]:
    return child("benchmarks.measure_reading", job=job, **arguments)


def _say(text: str) -> None:
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _tables(results: dict[str, Any]) -> list[Table]:
    rows, column_rows = (number(results["options"][key], 0) for key in ("rows", "column_rows"))
    long, short = results["write"]
    written = f"{number(long['rows_per_s'], 0)} rows/s, {number(long['bytes'], 1)} bytes a row"
    growth = {
        job: number(median(round_["rss_growth_mb"] for round_ in results[job]), 0)
        for job in ("page", "stats")
    }
    del short
    return [
        _table(results, "column", f"All {column_rows} rows as numpy arrays", f"Written at {written}."),
        _table(
            results,
            "page",
            f"read(limit=100) anywhere in {rows} rows",
            f"Memory grew by {growth['page']} MB.",
        ),
        _table(results, "rows", f"read(limit={number(_ROWS, 0)}) as dicts"),
        _table(
            results,
            "write_columns",
            f"log_columns() of {number(_COLUMN_ROWS, 0)} rows of two fields and a time, until they are on file",
        ),
        _table(
            results, "stats", f"stats() of {rows} rows, three fields", f"Memory grew by {growth['stats']} MB."
        ),
        _table(results, "exit", "From the last line of a script to the end of its process"),
    ]


def _table(results: dict[str, Any], job: str, title: str, note: str = "") -> Table:
    names = [name for name in results[job][0] if not name.endswith("_mb")]
    return Table(
        title,
        ["", "median, ms", "best, ms", "target, ms", ""],
        [_row(results, job, name) for name in names],
        note,
    )


def _row(results: dict[str, Any], job: str, name: str) -> Sequence[str]:
    values = [round_[name] for round_ in results[job]]
    target = _TARGETS.get((job, name))
    middle = median(values)
    cells = [name, number(middle, 2), number(min(values), 2)]
    return [*cells, "–", ""] if target is None else [*cells, f"≤ {target}", mark(middle <= target)]


if __name__ == "__main__":
    main()
