"""The results as tables, on the terminal and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.contenders import BARE, BASELINE, CONTENDERS, OURS
from benchmarks.summary import METRICS, SLOWDOWN_TARGET, Metric, best, ratios, rounds, slowdown

__all__ = [
    "SCENARIOS",
    "Figure",
    "Table",
    "figures",
    "hot_path_tables",
    "mark",
    "markdown",
    "number",
    "print_tables",
]

_UNCHANGED = 1.05
"""What capturing may cost a call: more than that is more than one round differs from the next."""
_START_DELAY_MS = 20.0
_MARKS = {True: "reached", False: "not reached", None: "within the noise"}
SCENARIOS = {
    "plain": "plain",
    "stalled": "disk stalled, 1 s in 3",
    "threads": "8 threads logging",
}


class Table(NamedTuple):
    """Cells as text; the first column is a name, the others are figures."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


class Figure(NamedTuple):
    """Values of some rounds, and those of the baseline in the same rounds."""

    title: str
    values: Sequence[float]
    digits: int
    target: float | None = None
    more_is_better: bool = False
    baseline: Sequence[float] = ()

    def row(self) -> list[str]:
        """Return the cells of a table's row."""
        middle = median(self.values)
        best = max(self.values) if self.more_is_better else min(self.values)
        cells = [self.title, number(middle, self.digits), number(best, self.digits)]
        if self.baseline:
            ratios = [ours / base for ours, base in zip(self.values, self.baseline, strict=True)]
            cells += [number(median(self.baseline), self.digits), number(median(ratios), 2)]
        else:
            cells += ["–", "–"]
        if self.target is None:
            return [*cells, "–", ""]
        reached = middle >= self.target if self.more_is_better else middle <= self.target
        sign = "≥" if self.more_is_better else "≤"
        return [*cells, f"{sign} {number(self.target, 0)}", mark(reached)]


def figures(title: str, baseline: str, figures: Sequence[Figure], note: str = "") -> Table:
    """Return a table of figures, each beside its baseline and its target."""
    header = ["", "median", "best", baseline, "ratio", "target", ""]
    return Table(title, header, [figure.row() for figure in figures], note)


def hot_path_tables(results: dict[str, Any]) -> list[Table]:
    """Return the tables of those sections that were measured."""
    return [table for table in _tables(results) if table.rows]


def markdown(tables: Sequence[Table]) -> str:
    """Return tables as Markdown."""
    return "\n".join(_markdown(table) for table in tables)


def print_tables(tables: Sequence[Table]) -> None:
    """Print tables on the terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    if not console.is_terminal:
        console = Console(width=180)
    for table in tables:
        rich = RichTable(
            title=table.title, caption=table.note or None, title_justify="left", caption_justify="left"
        )
        for number, column in enumerate(table.header):
            rich.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in table.rows:
            rich.add_row(*(_coloured(cell) for cell in row))
        console.print(rich)


def _tables(results: dict[str, Any]) -> Iterator[Table]:
    options = results["options"]
    how = f"{number(options['steps'], 0)} steps, medians of {options['rounds']} rounds"
    metrics = [metric for metric in METRICS if rounds(results, OURS, metric)]
    shown = [name for name in CONTENDERS if any(rounds(results, name, metric) for metric in metrics)]
    titles = [metric.title for metric in metrics]
    yield Table(
        f"Tight loop: {how}",
        ["", *titles],
        [[CONTENDERS[name].title, *(_median(results, name, metric) for metric in metrics)] for name in shown],
        "Percentiles contain the clock's own time: see the empty loop.",
    )
    yield Table(
        "Tight loop: best round of each",
        ["", *titles],
        [[CONTENDERS[name].title, *(_best(results, name, metric) for metric in metrics)] for name in shown],
    )
    yield Table(
        "Tight loop: relative to the deque in the same round, medians",
        ["", *titles],
        [
            [CONTENDERS[name].title, *(_relative(results, name, metric) for metric in metrics)]
            for name in shown
        ],
    )
    yield Table(
        "ml-dash against its targets",
        ["", "ours", "best round", "target", "", "ours : deque", "of the best rounds", "target : deque", ""],
        [_against_target(results, metric) for metric in metrics],
        "The absolute targets belong to another machine; what counts is the ratio to the deque, taken round by round "
        "(median). Where a busy machine slows some rounds, compare it with the ratio of the best rounds.",
    )
    yield Table(
        f"Capturing: on and off, in one run, medians of {options['rounds']} rounds",
        ["", "capture=False", "capture=True", "True : False", "target", ""],
        [row for metric in METRICS if (row := _captured(results, metric))] + _start_delay(results),
        "Ratios are taken round by round, and so is the delay. The import is the same for both.",
    )
    yield Table(
        "Paced loop: 1 ms of numpy a step, with logging : without",
        ["", "disk, threads", "slowdown", "95 % interval", "best blocks", "more CPU, µs/step", "target", ""],
        [_paced_row(run) for run in results.get("paced", [])],
        "The empty loop is the same with and without: what it shows is noise. More CPU: of all threads of the process.",
    )
    yield Table(
        "Rows lost by SIGKILL",
        [
            "",
            "calls",
            "ms between calls",
            "flush() before",
            "lost, median",
            "lost, most",
            "age of the oldest lost, ms",
            "",
        ],
        [_kill_row(case) for case in results.get("kill", [])],
        "Ours loses no row that the call has returned for: who reads next recovers those that wait in shared memory.",
    )


def _median(results: dict[str, Any], name: str, metric: Metric) -> str:
    values = rounds(results, name, metric)
    return number(median(values), metric.digits) if values else "–"


def _best(results: dict[str, Any], name: str, metric: Metric) -> str:
    values = rounds(results, name, metric)
    return number(best(values, metric), metric.digits) if values else "–"


def _relative(results: dict[str, Any], name: str, metric: Metric) -> str:
    values = ratios(results, name, metric)
    return number(median(values), 2) if values else "–"


def _against_target(results: dict[str, Any], metric: Metric) -> list[str]:
    values = rounds(results, OURS, metric)
    relative, goal = ratios(results, OURS, metric), metric.ratio_goal
    sign = "≥" if metric.more_is_better else "≤"
    row = [
        metric.title,
        number(median(values), metric.digits),
        number(best(values, metric), metric.digits),
        f"{sign} {number(metric.target, metric.digits)}",
        mark(metric.reached(median(values), metric.target)),
    ]
    if not relative or goal is None:
        return [*row, "–", "–", "–", ""]
    reached = mark(metric.reached(median(relative), goal))
    of_best = best(values, metric) / best(rounds(results, BASELINE, metric), metric)
    return [*row, number(median(relative), 2), number(of_best, 2), f"{sign} {number(goal, 2)}", reached]


def _captured(results: dict[str, Any], metric: Metric) -> list[str]:
    """Return a row of what capturing costs; none where that was not measured."""
    off, on = rounds(results, BARE, metric), rounds(results, OURS, metric)
    if not off or not on:
        return []
    ratio = median(b / a for a, b in zip(off, on, strict=True))
    row = [
        metric.title,
        number(median(off), metric.digits),
        number(median(on), metric.digits),
        number(ratio, 2),
    ]
    if metric.title.startswith("import"):
        return [*row, f"≤ {number(metric.target, metric.digits)}", mark(median(on) <= metric.target)]
    if metric.title.startswith(("p50", "p99 ", "calls/s until")):
        goal = 1 / _UNCHANGED if metric.more_is_better else _UNCHANGED
        sign = "≥" if metric.more_is_better else "≤"
        return [*row, f"{sign} {number(goal, 2)} : 1", mark(metric.reached(ratio, goal))]
    return [*row, "–", ""]


def _start_delay(results: dict[str, Any]) -> list[list[str]]:
    """Return by how many milliseconds capturing puts off the return of `run.start()`, if that was measured."""
    found = results.get("start", {})
    pairs = list(zip(found.get(BARE, []), found.get(OURS, []), strict=False))
    if not pairs:
        return []
    delay = median(on["start_s"] - off["start_s"] for off, on in pairs) * 1e3
    reached = mark(delay <= _START_DELAY_MS)
    title = "delay of the start by captures, ms"
    return [[title, "–", number(delay, 1), "–", f"≤ {number(_START_DELAY_MS, 0)}", reached]]


def _paced_row(run: dict[str, Any]) -> list[str]:
    found = slowdown(run)
    ours = run["contender"] in (OURS, BARE)
    return [
        CONTENDERS[run["contender"]].title,
        SCENARIOS[run["scenario"]],
        number(found.ratio, 4),
        f"{number(found.low, 4)} to {number(found.high, 4)}",
        number(found.best, 4),
        number(found.cpu_us, 1),
        f"≤ {SLOWDOWN_TARGET}" if ours else "–",
        mark(found.verdict) if ours else "",
    ]


def _kill_row(case: dict[str, Any]) -> list[str]:
    ages = [age for age in case["oldest_ms"] if age is not None]
    kept = max(case["lost"]) == 0
    return [
        CONTENDERS[case["contender"]].title,
        number(case["steps"], 0),
        number(case["pace_s"] * 1e3, 0),
        "yes" if case["flush"] else "no",
        number(median(case["lost"]), 0),
        number(max(case["lost"]), 0),
        number(max(ages), 1) if ages else "–",
        mark(kept) if case["contender"].startswith(OURS) else "",
    ]


def number(value: float, digits: int) -> str:
    """Return a figure with its thousands apart; a dash for what was not measured."""
    return "–" if math.isnan(value) else f"{value:,.{digits}f}".replace(",", " ")


def mark(reached: bool | None) -> str:
    """Say in words whether a target is reached; None where the noise is too large to say."""
    return _MARKS[reached]


def _coloured(cell: str) -> str:
    colour = {"reached": "green", "not reached": "red", "within the noise": "yellow"}.get(cell)
    return f"[{colour}]{cell}[/]" if colour else cell


def _markdown(table: Table) -> str:
    lines = [f"### {table.title}", ""]
    lines += [_line(table.header), _line(["---"] + ["--:"] * (len(table.header) - 1))]
    lines += [_line(row) for row in table.rows]
    return "\n".join([*lines, "", *([table.note, ""] if table.note else [])])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
