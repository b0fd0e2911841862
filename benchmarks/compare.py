"""Our calls beside those of other trackers, each in an environment of its own, in the same run.

    python benchmarks/compare.py --setup     # installs the others below .bench/: some 2 GB
    python benchmarks/compare.py             # some twenty minutes
    python benchmarks/compare.py --quick --only ml-dash,wandb

The work is three floats a step, as in `hot_path`. Trackers take turns, figures are medians of rounds. Each logs as its
documentation says is fastest, into a directory, with the capture of consoles, system and code off. Nothing leaves the
machine: what asks a network finds a proxy that is not there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
if not __package__:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from benchmarks.contenders import OURS
from benchmarks.measure import PERCENTILES
from benchmarks.peers import PEERS
from benchmarks.processes import RESULTS, ROOT, clean_environment, environment, load, save
from benchmarks.report import Table, markdown, number, print_tables
from benchmarks.summary import slowdown

_PLACE = os.path.join(ROOT, ".bench")
_LIBRARY = os.path.join(_PLACE, "lib")
_KILLED_STEPS, _KILLED_PACE = (10_000, 2_000), 0.001
_LIMIT = 900  # seconds that a measurement may take
_FEW = 1_000
"""Steps from which on a tracker is so slow that it is given fewer blocks of the paced loop."""


def main() -> None:
    """Set up, or measure and report."""
    options = _options()
    if options.setup:
        for name in options.only:
            _set_up(name)
        return
    missing = [name for name in options.only if not os.path.exists(_interpreter(name))]
    if missing:
        sys.exit(f"Not installed: {', '.join(missing)}. `make bench-setup` installs them below .bench/")
    results: dict[str, Any] = {"options": vars(options), "environment": environment(), "versions": {}}
    results["peers"] = {name: [] for name in options.only}
    for name in options.only:
        results["versions"][name] = _version(name)
    for round_ in range(options.rounds):
        for name in _rotated(options.only, round_):
            _say(f"round {round_ + 1} of {options.rounds}: {name}")
            results["peers"][name].append(_measured(name, options))
    results["environment"]["load_after"] = load()
    _say("")
    found = tables(results)
    save("compare", results, markdown(found))
    _plot(results)
    if options.json:
        print(json.dumps(results))
    else:
        print_tables(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--setup", action="store_true", help="install the others, and measure nothing")
    parser.add_argument(
        "--only", type=_names, default=list(PEERS), help=f"comma-separated, of {', '.join(PEERS)}"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each measurement (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round, and a tenth of the steps")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of tables")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(PEERS)}")
    return names


# --- environments


def _interpreter(name: str) -> str:
    """Return the interpreter of a tracker's environment; ours is the one that runs this."""
    requirement = PEERS[name].requirement
    return os.path.join(_PLACE, requirement, "bin", "python") if requirement else sys.executable


def _set_up(name: str) -> None:
    requirement = PEERS[name].requirement
    if not requirement or os.path.exists(_interpreter(name)):
        return
    print(f"Installing {requirement} below {_PLACE}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", os.path.join(_PLACE, requirement)], check=True)
    pip = [_interpreter(name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "numpy", requirement], check=True)


def _version(name: str) -> str:
    package = PEERS[name].requirement or "ml-dash"
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run(
        [_interpreter(name), "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def _offline(home: str) -> dict[str, str]:
    """Return an environment in which nothing of the user's is found, and nobody beyond this machine."""
    nowhere = "http://127.0.0.1:9"
    environment = clean_environment()
    environment.pop("PYTHONPATH", None)
    return {
        **environment,
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere),
        "NO_PROXY": "127.0.0.1,localhost",
        "HOME": home,
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "offline",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }


def _run(name: str, job: str, home: str, **arguments: Any) -> dict[str, Any]:
    """Do a job in a tracker's environment; `benchmarks` is there, and of this checkout nothing else.

    Not from the root: the public package of our name would be found there, and be ours.
    """
    os.makedirs(_LIBRARY, exist_ok=True)
    link = os.path.join(_LIBRARY, "benchmarks")
    if not os.path.exists(link):
        os.symlink(os.path.join(ROOT, "benchmarks"), link)
    line = [
        _interpreter(name),
        "-m",
        "benchmarks.measure",
        json.dumps({"job": job, "contender": name, **arguments}),
    ]
    done = subprocess.run(
        line, cwd=_LIBRARY, env=_offline(home), capture_output=True, text=True, timeout=_LIMIT, check=False
    )
    if job == "kill":
        return {}
    if done.returncode:
        raise RuntimeError(f"{name} failed at {job}: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


# --- measuring


def _measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return one round's figures of a tracker; NaN where it failed, which is said."""
    peer = PEERS[name]
    steps = max(peer.most_steps // (10 if options.quick else 1), 100)
    pairs = (2 if options.quick else 12) // (4 if peer.most_steps <= _FEW else 1) or 1
    found: dict[str, Any] = {"steps": steps, "failed": []}
    jobs: list[tuple[str, dict[str, Any]]] = [
        ("life", {"steps": 10}),
        ("latency", {"steps": steps}),
        ("rate", {"steps": steps}),
        ("paced", {"scenario": "plain", "pairs": pairs, "block": 200, "lead": 60}),
    ]
    for job, arguments in jobs:
        with _places() as (directory, home):
            try:
                found[job] = _run(name, job, home, directory=directory, **arguments)
                if job == "rate":
                    found["read_back"] = _run(name, "read_back", home, directory=directory)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                found["failed"].append(f"{job}: {error}")
    found["lost"] = [
        _lost(name, _killed_steps(name, case), pace, found) for case, pace in enumerate((0.0, _KILLED_PACE))
    ]
    return found


def _killed_steps(name: str, case: int) -> int:
    return min(PEERS[name].most_steps, _KILLED_STEPS[case])


def _lost(name: str, steps: int, pace_s: float, found: dict[str, Any]) -> float:
    """Return the share of rows that a SIGKILL behind the last call took with it."""
    with _places() as (directory, home), tempfile.NamedTemporaryFile() as report:
        try:
            _run(
                name,
                "kill",
                home,
                directory=directory,
                steps=steps,
                pace_s=pace_s,
                flush=False,
                report=report.name,
            )
            if not report.read(8):
                raise RuntimeError(f"{name} did not come to its end")
            stored = _run(name, "stored", home, directory=directory)["rows"]
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            found["failed"].append(f"kill: {error}")
            return math.nan
    return float(steps - stored)


@contextmanager
def _places() -> Iterator[tuple[str, str]]:
    with (
        tempfile.TemporaryDirectory(prefix="ml-dash-bench-", ignore_cleanup_errors=True) as directory,
        tempfile.TemporaryDirectory(prefix="ml-dash-home-", ignore_cleanup_errors=True) as home,
    ):
        yield directory, home


def _rotated(names: Sequence[str], by: int) -> list[str]:
    by %= len(names)
    return [*names[by:], *names[:by]]


def _say(text: str) -> None:
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


# --- reporting


def _figure(rounds: Sequence[dict[str, Any]], *path: Any) -> float:
    """Return the median of a figure over the rounds; NaN where none has it."""
    values: list[float] = []
    for round_ in rounds:
        value: Any = round_
        try:
            for step in path:
                value = value[step]
        except (KeyError, IndexError):
            continue
        if not math.isnan(value):
            values.append(float(value))
    return median(values) if values else math.nan


def _slowdown(rounds: Sequence[dict[str, Any]]) -> float:
    found = [slowdown(round_["paced"]).ratio for round_ in rounds if "paced" in round_]
    return median(found) if found else math.nan


def _read_back(rounds: Sequence[dict[str, Any]]) -> float:
    """Return microseconds a row."""
    found = [
        round_["read_back"]["s"] / round_["read_back"]["rows"] * 1e6
        for round_ in rounds
        if round_.get("read_back", {}).get("rows")
    ]
    return median(found) if found else math.nan


def _percentile(percent: float) -> tuple[Any, ...]:
    return "latency", "us", PERCENTILES.index(percent)


def tables(results: dict[str, Any]) -> list[Table]:
    """Return the tables of what was measured."""
    return [table for table in _all_tables(results) if table.rows]


def _all_tables(results: dict[str, Any]) -> list[Table]:
    peers: dict[str, list[dict[str, Any]]] = results["peers"]
    titles = {name: f"{PEERS[name].contender.title} {results['versions'][name]}" for name in peers}
    ours = peers.get(OURS, [])
    others = {name: rounds for name, rounds in peers.items() if name != OURS}
    failed = [
        f"{name}: {text}" for name, rounds in peers.items() for round_ in rounds for text in round_["failed"]
    ]
    return [
        Table(
            "A call, and a loop of them",
            ["", "calls", "p50 µs", "p99 µs", "p99.9 µs", "calls/s until closed", "CPU µs/step", "1-ms loop, slowdown"],
            [
                [
                    titles[name],
                    number(_figure(rounds, "steps"), 0),
                    number(_figure(rounds, *_percentile(50.0)), 2),
                    number(_figure(rounds, *_percentile(99.0)), 1),
                    number(_figure(rounds, *_percentile(99.9)), 0),
                    number(_figure(rounds, "rate", "closed_per_s"), 0),
                    number(_figure(rounds, "rate", "cpu_us"), 1),
                    number(_slowdown(rounds), 3),
                ]
                for name, rounds in peers.items()
            ],
        ),
        Table(
            "What is kept, and what it takes",
            [
                "", "lost at SIGKILL, full speed", "lost, 1 ms a step", "bytes/row", "read back, µs/row", "peak RSS MB",
                "import s", "start s", "finish s",
            ],
            [
                [
                    titles[name],
                    *(
                        f"{number(_figure(rounds, 'lost', case), 0)} of {number(_killed_steps(name, case), 0)}"
                        for case in range(len(_KILLED_STEPS))
                    ),
                    number(_figure(rounds, "rate", "bytes"), 0),
                    number(_read_back(rounds), 1),
                    number(_figure(rounds, "rate", "rss_mb"), 0),
                    number(_figure(rounds, "life", "import_s"), 2),
                    number(_figure(rounds, "life", "start_s"), 2),
                    number(_figure(rounds, "life", "finish_s"), 2),
                ]
                for name, rounds in peers.items()
            ],
            " ".join(failed),
        ),
        Table(
            "Theirs : ours, medians",
            ["", "p50", "p99", "time until closed", "CPU", "bytes", "peak RSS"],
            [[titles[name], *_ratios(rounds, ours)] for name, rounds in others.items() if ours],
        ),
    ]  # fmt: skip


def _ratios(rounds: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]]) -> list[str]:
    pairs = [
        (_figure(rounds, *path), _figure(ours, *path))
        for path in (
            _percentile(50.0), _percentile(99.0), ("rate", "closed_per_s"), ("rate", "cpu_us"), ("rate", "bytes"),
            ("rate", "rss_mb"),
        )
    ]  # fmt: skip
    pairs[2] = pairs[2][1], pairs[2][0]  # of rates the times are the inverse
    return [number(theirs / own, 1 if theirs > 2 * own else 2) for theirs, own in pairs]


def _plot(results: dict[str, Any]) -> None:
    try:
        from benchmarks.plot import plot_bars
    except ImportError:
        print("No plot: pip install matplotlib", file=sys.stderr)
        return
    peers = results["peers"]
    panels: dict[str, Callable[[list[dict[str, Any]]], float]] = {
        "a call, p50, µs": lambda rounds: _figure(rounds, *_percentile(50.0)),
        "a call, p99, µs": lambda rounds: _figure(rounds, *_percentile(99.0)),
        "until closed, µs a step": lambda rounds: 1e6 / _figure(rounds, "rate", "closed_per_s"),
    }
    bars = {
        title: {PEERS[name].contender.title: figure(rounds) for name, rounds in peers.items()}
        for title, figure in panels.items()
    }
    plot_bars(bars, PEERS[OURS].contender.title, os.path.join(RESULTS, "compare.svg"))


if __name__ == "__main__":
    main()
