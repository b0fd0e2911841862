"""What a logging call costs: ours against a deque, a SimpleQueue and msgpack to a file, in the same run.

    python benchmarks/hot_path.py                 # some ten minutes
    python benchmarks/hot_path.py --quick         # a minute, for a first look
    python benchmarks/hot_path.py --only paced
    python benchmarks/hot_path.py --only tight,start   # what capturing costs, with the import and the start

The work is three floats a step: loss, acc, lr. Every figure comes from a fresh process; contenders take turns, so that
what else happens on the machine meets all of them; each round's figures are compared with the deque's of that round.
Tables go to standard output; JSON, Markdown and a plot to ``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Run as a script: its neighbours, and the package that it measures, are found from the project's root.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from benchmarks.contenders import BARE, BASELINE, CONTENDERS, OURS  # noqa: E402
from benchmarks.processes import (  # noqa: E402
    RESULTS,
    child,
    command,
    environment,
    killed,
    load,
    python,
    save,
)
from benchmarks.report import hot_path_tables, markdown, print_tables  # noqa: E402

SECTIONS = ("tight", "start", "paced", "kill")
_PACED = (
    ("nothing", "plain"),  # the same on both sides: what is found here is noise
    (BASELINE, "plain"),
    (OURS, "plain"),
    (BARE, "plain"),
    (OURS, "stalled"),
    (BASELINE, "threads"),
    (OURS, "threads"),
)
_KILLED = (
    *((name, 10_000, 0.0, False) for name in (BASELINE, "msgpack", OURS)),
    *((name, 4_300, 0.001, False) for name in ("msgpack", OURS)),
    (OURS, 10_000, 0.0, True),
)
_START = """
import sys
from time import perf_counter
directory = sys.argv[1]
began = perf_counter()
{source}
imported = perf_counter()
kept = {start}
started = perf_counter()
print(imported - began, started - imported)
"""
_Progress = Callable[[str], None]


def main() -> None:
    """Measure what the command line asks for, and report."""
    options = _options()
    progress: _Progress = lambda text: print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)  # noqa: E731
    results: dict[str, Any] = {"options": vars(options), "environment": environment()}
    measure = {"tight": _tight, "start": _start, "paced": _paced, "kill": _kill}
    for section in options.only:
        measure[section](results, options, progress)
    progress("")
    results["environment"]["load_after"] = load()
    _save(results)
    if options.json:
        print(json.dumps(results))
    else:
        print_tables(hot_path_tables(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, help="steps of the tight loop (default: 100 000)")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement (default: 7)")
    parser.add_argument("--pairs", type=int, help="pairs of blocks in the paced loop (default: 60)")
    parser.add_argument(
        "--only", type=_sections, default=SECTIONS, help=f"comma-separated, of {', '.join(SECTIONS)}"
    )
    parser.add_argument("--quick", action="store_true", help="2 rounds, and 8 pairs of blocks")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of tables")
    options = parser.parse_args()
    options.steps = options.steps or 100_000
    options.rounds = options.rounds or (2 if options.quick else 7)
    options.pairs = options.pairs or (8 if options.quick else 60)
    return options


def _sections(text: str) -> tuple[str, ...]:
    sections = tuple(text.split(","))
    unknown = set(sections) - set(SECTIONS)
    if unknown:
        msg = f"{', '.join(sorted(unknown))}: not one of {', '.join(SECTIONS)}"
        raise argparse.ArgumentTypeError(msg)
    return sections


def _tight(results: dict[str, Any], options: argparse.Namespace, progress: _Progress) -> None:
    for job in ("latency", "rate"):
        results[job] = {name: [] for name in CONTENDERS}
    for number in range(options.rounds):
        for name in _rotated(list(CONTENDERS), number):
            for job in ("latency", "rate"):
                progress(f"tight loop, round {number + 1} of {options.rounds}: {job} of {name}")
                with _directory() as directory:
                    found = _child(job, contender=name, directory=directory, steps=options.steps)
                results[job][name].append(found)


def _start(results: dict[str, Any], options: argparse.Namespace, progress: _Progress) -> None:
    """Time the import and the start; the first round only fills the caches of byte code and files."""
    names = [name for name in CONTENDERS if CONTENDERS[name].source]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(options.rounds + 1):
        for name in _rotated(names, number):
            progress(f"import and start, round {number} of {options.rounds}: {name}")
            script = _START.format(source=CONTENDERS[name].source, start=CONTENDERS[name].start)
            with _directory() as directory:
                imported, started = map(float, python("-c", script, directory).split())
            found[name].append({"import_s": imported, "start_s": started})
    results["start"] = {name: rounds[1:] for name, rounds in found.items()}


def _paced(results: dict[str, Any], options: argparse.Namespace, progress: _Progress) -> None:
    results["paced"] = []
    for name, scenario in _PACED:
        progress(f"paced loop: {name}, {scenario}")
        with _directory() as directory:
            found = _child(
                "paced",
                contender=name,
                directory=directory,
                scenario=scenario,
                pairs=options.pairs,
                block=200,
                lead=60,
            )
        results["paced"].append({"contender": name, "scenario": scenario, **found})


def _kill(results: dict[str, Any], options: argparse.Namespace, progress: _Progress) -> None:
    results["kill"] = []
    if not hasattr(os, "fork"):
        return  # no SIGKILL there
    for name, steps, pace_s, flush in _KILLED:
        case: dict[str, Any] = {"contender": name, "steps": steps, "pace_s": pace_s, "flush": flush}
        case |= {"lost": [], "oldest_ms": []}
        for number in range(options.rounds):
            progress(f"SIGKILL, round {number + 1} of {options.rounds}: {name}, {pace_s * 1e3:.0f} ms a step")
            lost, oldest_ms = _killed(name, steps, pace_s, flush)
            case["lost"].append(lost)
            case["oldest_ms"].append(oldest_ms)
        results["kill"].append(case)


def _killed(name: str, steps: int, pace_s: float, flush: bool) -> tuple[int, float | None]:
    """Return how many rows were lost, and how old the oldest of them was when the process died, in ms."""
    with _directory() as directory, tempfile.NamedTemporaryFile() as report:
        job = {"contender": name, "directory": directory, "steps": steps, "pace_s": pace_s, "flush": flush}
        killed(command("benchmarks.measure", job="kill", report=report.name, **job))
        called_at = array("q", report.read())
        lost = steps - CONTENDERS[name].stored(directory)
    return lost, (called_at[-1] - called_at[steps - lost]) / 1e6 if lost else None


def _rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


@contextmanager
def _directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ml-dash-bench-") as directory:
        yield directory


def _child(job: str, **arguments: Any) -> dict[str, Any]:
    return child("benchmarks.measure", job=job, **arguments)


def _save(results: dict[str, Any]) -> None:
    save("hot_path", results, markdown(hot_path_tables(results)))
    try:
        from benchmarks.plot import plot_hot_path

        plot_hot_path(results, os.path.join(RESULTS, "hot_path.svg"))
    except ImportError:
        print("No plot: pip install matplotlib", file=sys.stderr)


if __name__ == "__main__":
    main()
