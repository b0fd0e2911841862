"""What remote mode costs: replay, sync, ingest and charts at a server on loopback, and a run without its server.

    python benchmarks/remote.py                     # some ten minutes; writes about 2 GB below the temporary directory
    python benchmarks/remote.py --quick             # a minute or two, for a first look
    python benchmarks/remote.py --only replay --size 1000

Servers and clients are processes of their own, on the same cores. Each figure stands beside a baseline of the same
round: the same bytes posted to a server that only counts them, the same writes with bare sqlite3, the same numbers in
memory, the same loop in local mode. Tables go to standard output, the raw results to
``benchmarks/results/remote.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from benchmarks.measure_remote import PREFIX, TOKEN  # noqa: E402
from benchmarks.processes import child, environment, listening, load, python, save  # noqa: E402
from benchmarks.report import Figure, Table, figures, mark, markdown, number, print_tables  # noqa: E402
from benchmarks.summary import SLOWDOWN_TARGET, slowdown  # noqa: E402
from ml_dash.upload.sync_many import AT_ONCE  # noqa: E402

SECTIONS = ("replay", "sync", "ingest", "chart", "paced", "exit")
_EXIT_TIMEOUT = 10.0
_EXIT_ROWS = 1000
_EXIT = """
import os, sys, time
from ml_dash import Experiment
directory, url = sys.argv[1:]
os.environ["ML_DASH_TOKEN"] = {token!r}
experiment = Experiment({prefix!r}, dash_url=url or None, dash_root=directory, echo=False)
experiment.run.start()
for step in range({rows}):
    experiment.metrics("train").log(loss=step * 1e-5)
{work}
print(time.monotonic(), flush=True)
"""
_EXIT_WORK = {
    "run completed": "experiment.run.complete()",
    "run open, flushed": "experiment.flush()",
    "run open": "",
}
_Progress = Callable[[str], None]


def main() -> None:
    """Measure what the command line asks for, and report."""
    options = _options()
    results: dict[str, Any] = {"options": vars(options), "environment": environment()}
    measure = {
        "replay": _replay,
        "sync": _sync,
        "ingest": _ingest,
        "chart": _chart,
        "paced": _paced,
        "exit": _exit,
    }
    for section in options.only:
        with tempfile.TemporaryDirectory(prefix="ml-dash-bench-") as directory:
            results[section] = measure[section](options, directory)
    _say("")
    results["environment"]["load_after"] = load()
    tables = _tables(results)
    save("remote", results, markdown(tables))
    if options.json:
        print(json.dumps(results))
    else:
        print_tables(tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, help="MB of journal to replay (default: 256)")
    parser.add_argument("--runs", type=int, help="small runs to sync (default: 3,000)")
    parser.add_argument("--rows", type=int, help="rows of the chart's series (default: 10 million)")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement (default: 5)")
    parser.add_argument("--pairs", type=int, help="pairs of blocks in the paced loop (default: 60)")
    parser.add_argument(
        "--only", type=_sections, default=SECTIONS, help=f"comma-separated, of {', '.join(SECTIONS)}"
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 rounds, 64 MB, 300 runs, a million rows, 8 pairs"
    )
    parser.add_argument("--json", action="store_true", help="print the raw results instead of tables")
    options = parser.parse_args()
    options.size = options.size or (64 if options.quick else 256)
    options.runs = options.runs or (300 if options.quick else 3000)
    options.rows = options.rows or (1_000_000 if options.quick else 10_000_000)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.pairs = options.pairs or (8 if options.quick else 60)
    return options


def _sections(text: str) -> tuple[str, ...]:
    sections = tuple(text.split(","))
    unknown = set(sections) - set(SECTIONS)
    if unknown:
        msg = f"{', '.join(sorted(unknown))}: not one of {', '.join(SECTIONS)}"
        raise argparse.ArgumentTypeError(msg)
    return sections


def _replay(options: argparse.Namespace, directory: str) -> dict[str, Any]:
    _say(f"writing a journal of {options.size} MB")
    root = os.path.join(directory, "root")
    os.mkdir(root)
    found: dict[str, Any] = {
        "journal": _job("write", directory=root, megabytes=options.size),
        "ours": [],
        "bare": [],
    }
    for number_ in range(options.rounds):
        _say(f"replay, round {number_ + 1} of {options.rounds}")
        with listening("benchmarks.measure_remote", job="count") as bare:
            found["bare"].append(_job("post", directory=root, url=bare["url"]))
        with _serving(directory, f"replay-{number_}") as server:
            found["ours"].append(_job("replay", directory=root, **server))
        assert found["ours"][-1]["rows"] == found["journal"]["rows"], found["ours"][-1]["said"]
    return found


def _sync(options: argparse.Namespace, directory: str) -> dict[str, Any]:
    _say(f"logging {options.runs} small runs")
    root = os.path.join(directory, "runs")
    found: dict[str, Any] = {"one": [], "many": [], **_job("runs", directory=root, count=options.runs)}
    for number_ in range(options.rounds):
        # in turns, so that what else the machine does is shared between both
        for name, at_once in (("one", 1), ("many", AT_ONCE)):
            _say(f"sync, round {number_ + 1} of {options.rounds}: {at_once} at once")
            with tempfile.TemporaryDirectory(dir=directory) as place:
                # cursors are written beside the journals: each time it is the first time
                shutil.copytree(root, os.path.join(place, "root"))
                with _serving(place, "data") as server:
                    round_ = _job("sync", directory=os.path.join(place, "root"), **server, at_once=at_once)
            # a row of parameters, and those of the metric
            assert (round_["rows"], round_["left_behind"]) == (21 * options.runs, 0), round_
            found[name].append(round_)
    return found


def _ingest(options: argparse.Namespace, directory: str) -> dict[str, Any]:
    found: dict[str, Any] = {"full": [], "one": [], "sqlite": []}
    rows, seconds = (1_000_000, 1.0) if options.quick else (8_000_000, 5.0)
    for number_ in range(options.rounds):
        _say(f"ingest, round {number_ + 1} of {options.rounds}")
        found["sqlite"].append(_job("sqlite", directory=directory, rows=rows, commits=500))
        with _serving(directory, f"ingest-{number_}") as server:
            found["full"].append(_job("ingest", **server, rows=rows, writers=4))
            found["one"].append(_job("requests", **server, seconds=seconds, writers=64))
    return found


def _chart(options: argparse.Namespace, directory: str) -> dict[str, Any]:
    _say(f"chart of {options.rows:,} rows")
    with _serving(directory, "chart") as server:
        return _job("chart", **server, rows=options.rows, width=1000, rounds=4 * options.rounds)


def _paced(options: argparse.Namespace, directory: str) -> list[dict[str, Any]]:
    found = []
    with _refusing() as refusing, _silent() as silent:
        for name, url in (("local mode", None), ("server refuses", refusing), ("server is silent", silent)):
            _say(f"paced loop: {name}")
            root = os.path.join(directory, name)
            os.mkdir(root)
            found.append({"name": name, **_job("paced", directory=root, url=url, pairs=options.pairs)})
    return found


def _exit(options: argparse.Namespace, directory: str) -> list[dict[str, Any]]:
    found = []
    with _refusing() as refusing, _silent() as silent:
        servers = {"local mode": "", "server refuses": refusing, "server is silent": silent}
        for (server, url), work in ((server, work) for server in servers.items() for work in _EXIT_WORK):
            case: dict[str, Any] = {"server": server, "work": work, "ms": [], "lost": []}
            for number_ in range(options.rounds):
                _say(f"exit, round {number_ + 1} of {options.rounds}: {server}, {work}")
                with tempfile.TemporaryDirectory(dir=directory) as root:
                    case["ms"].append(_exit_ms(root, url, work))
                    case["lost"].append(_EXIT_ROWS - _job("stored", directory=root)["rows"])
            found.append(case)
    return found


def _exit_ms(root: str, url: str, work: str) -> float:
    """Return the milliseconds from a script's last line to the end of its process."""
    script = _EXIT.format(prefix=PREFIX, token=TOKEN, rows=_EXIT_ROWS, work=_EXIT_WORK[work])
    last_line = float(python("-c", script, root, url).split()[-1])
    return (time.monotonic() - last_line) * 1e3


def _serving(directory: str, name: str) -> Any:
    data = os.path.join(directory, name)
    return listening("benchmarks.measure_remote", job="serve", directory=data)


@contextmanager
def _refusing() -> Iterator[str]:
    """Give the URL of a port that is taken, so that nobody can come to listen there, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def _silent() -> Iterator[str]:
    """Give the URL of a port that takes connections, and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(512)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _job(job: str, **arguments: Any) -> dict[str, Any]:
    return child("benchmarks.measure_remote", job=job, **arguments)


def _say(text: str) -> None:
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _tables(results: dict[str, Any]) -> list[Table]:
    tables = {
        "replay": _replay_table,
        "sync": _sync_table,
        "ingest": _ingest_table,
        "chart": _chart_table,
        "paced": _paced_table,
        "exit": _exit_table,
    }
    return [tables[section](results) for section in SECTIONS if section in results]


def _replay_table(results: dict[str, Any]) -> Table:
    found = results["replay"]

    def both(key: str) -> tuple[list[float], list[float]]:
        ours, bare = ([round_[key] for round_ in found[name]] for name in ("ours", "bare"))
        return ours, bare

    speeds, bare_speeds = both("mb_per_s")
    cpu, bare_cpu = both("cpu_s_per_gb")
    growth, bare_growth = both("rss_growth_mb")
    return figures(
        f"Replay of {number(found['journal']['bytes'] / 1e6, 0)} MB of journal to a server on loopback",
        "POST to a counter",
        [
            Figure("MB/s", speeds, 0, 150, more_is_better=True, baseline=bare_speeds),
            Figure("CPU of the client, s/GB", cpu, 2, baseline=bare_cpu),
            Figure("growth of the client's RSS, MB", growth, 0, 64, baseline=bare_growth),
        ],
        "The counter is a bare aiohttp server that takes the same bytes and forgets them; ours has them on the disk "
        "before it answers.",
    )


def _sync_table(results: dict[str, Any]) -> Table:
    found = results["sync"]
    many, one = ([round_["s"] for round_ in found[name]] for name in ("many", "one"))
    many_cpu, one_cpu = ([round_["cpu_s"] for round_ in found[name]] for name in ("many", "one"))
    target = 15 * found["runs"] / 3000
    return figures(
        f"`ml-dash sync` of {number(found['runs'], 0)} small runs to a server on loopback, {AT_ONCE} at once",
        "one after another",
        [
            Figure("seconds", many, 1, target, baseline=one),
            Figure("CPU of the client, s", many_cpu, 1, baseline=one_cpu),
        ],
        "Twenty rows and a parameter a run; each is introduced and acknowledged durably.",
    )


def _ingest_table(results: dict[str, Any]) -> Table:
    found = results["ingest"]
    full, one = ([round_["per_s"] for round_ in found[name]] for name in ("full", "one"))
    rows, commits = ([round_[name] for round_ in found["sqlite"]] for name in ("rows_per_s", "commits_per_s"))
    return figures(
        "Ingest by one server process, SQLite",
        "bare sqlite3",
        [
            Figure("rows/s, full batches", full, 0, 3_000_000, more_is_better=True, baseline=rows),
            Figure("requests/s, one row each", one, 0, 1500, more_is_better=True, baseline=commits),
        ],
        "Three floats a row. Bare sqlite3: the same frames as blobs, one durable commit (synchronous=FULL) for what is "
        "one request; requests at the same time share a commit at the server.",
    )


def _chart_table(results: dict[str, Any]) -> Table:
    found = results["chart"]
    titles = {
        "all": "all rows, by index",
        "over time": "all rows, by time",
        "a hundredth": "a hundredth of them",
    }
    shown = [
        Figure(title, found[name], 1, 100, baseline=found["numpy"] if name == "all" else ())
        for name, title in titles.items()
    ]
    return figures(
        f"Chart of {number(results['options']['rows'], 0)} rows, 1000 pixels wide, ms at the client",
        "numpy",
        shown,
        "numpy: the lowest and the highest of each pixel, from an array in memory.",
    )


def _paced_table(results: dict[str, Any]) -> Table:
    local = results["paced"][0]
    rows = []
    for run in results["paced"]:
        found = slowdown(run)
        rows.append(
            [
                run["name"],
                number(found.ratio, 4),
                f"{number(found.low, 4)} to {number(found.high, 4)}",
                f"≤ {SLOWDOWN_TARGET}",
                mark(found.verdict),
                number(found.ratio / slowdown(local).ratio, 4),
                number(found.cpu_us, 1),
                number(run["rss_mb"], 0),
                number(run["rss_mb"] - local["rss_mb"], 0),
            ]
        )
    header = [
        "",
        "slowdown",
        "95 % interval",
        "target",
        "",
        ": local mode",
        "more CPU, µs/step",
        "peak RSS MB",
        "– local mode",
    ]
    return Table("Paced loop: 1 ms of numpy a step, with logging : without", header, rows)


def _exit_table(results: dict[str, Any]) -> Table:
    rows = []
    for case in results["exit"]:
        target = (
            50.0 if case["server"] == "local mode" and case["work"] != "run open" else _EXIT_TIMEOUT * 1e3
        )
        figure = Figure(f"{case['server']}, {case['work']}", case["ms"], 0, target)
        name, middle, best, _, _, goal, reached = figure.row()
        rows.append([name, middle, best, goal, reached, number(max(case["lost"]), 0)])
    return Table(
        f"From the last line of a script that logged {number(_EXIT_ROWS, 0)} rows to the end of its process",
        ["", "median, ms", "best, ms", "target, ms", "", "rows lost"],
        rows,
        "Rows that are not in the local journal afterwards are lost.",
    )


if __name__ == "__main__":
    main()
