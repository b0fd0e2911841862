"""Metrics as `show` has them: a line a field, with a sparkline, last value, extremes and mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ml_dash.cli.output import Screen
from ml_dash.cli.text import UNNAMED, count_text, value_text
from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.sweep import sweep
from ml_dash.query.attempts import superseded_from
from ml_dash.query.columns import leaf_columns
from ml_dash.query.journal_attempts import JournalAttempts
from ml_dash.query.selection import AttemptChoice, Shown
from ml_dash.query.sparkline import sparkline
from ml_dash.query.stats import SeriesStats
from ml_dash.series import Series
from ml_dash.visible import visible

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]

# In characters: what shows a course well beside the numbers, and below which it shows none.
_COURSE_MAX, _COURSE_MIN = 60, 8
_NAME_MAX = 28
_TEXT_MAX = 16
_TITLES = ("last", "min", "max", "mean")


@dataclass(slots=True)
class MetricSummary:
    """A metric's statistics, and the course of each of its fields that has numbers."""

    series: Series
    rows: int
    superseded: int = 0
    """How many rows more a later attempt has superseded; none of them is in the statistics."""
    stats: SeriesStats = field(default_factory=SeriesStats)
    courses: dict[str, Sparkline] = field(default_factory=dict)

    def add(self, start: int, block: Block) -> None:
        """Take the block whose first row has number `start`."""
        self.stats.add(start, block)
        for column in leaf_columns(block):
            if column.type in "fi":
                if column.field not in self.courses:
                    self.courses[column.field] = Sparkline(self.rows, _COURSE_MAX)
                self.courses[column.field].add(start, column)

    def fields(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Return each field's name and statistics."""
        return self.stats.as_dict()["fields"].items()  # type: ignore[no-any-return]

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics as `metrics(name).stats()` does."""
        counts = {"name": self.series.name, "count": self.rows, "totalDataPoints": self.rows}
        notes = {"superseded": self.superseded} if self.superseded else {}
        return {**counts, **notes, **self.stats.as_dict()}


def summarize_metrics(
    index: JournalIndex, metrics: Sequence[Series], choice: AttemptChoice = None
) -> list[MetricSummary]:
    """Read metrics block by block, and all in one pass unless some rows are left out."""
    known = JournalAttempts()
    attempts = known.of(index)
    if isinstance(choice, int) or (choice is None and superseded_from(attempts)):
        return [summarize_shown(each, known.shown(index, each, attempts, choice)) for each in metrics]
    summaries = {series: MetricSummary(series, index.count(series)) for series in metrics}
    # One pass for all: metrics lie mixed in the frames, each of which would be read once a metric.
    for start, block in sweep(index, metrics):
        summaries[block.series].add(start, block)
    return list(summaries.values())


def summarize_shown(series: Series, found: Shown) -> MetricSummary:
    """Read the rows of a metric that are shown, as `metrics(name).stats()` does."""
    summary = MetricSummary(series, found.count, found.superseded)
    start = 0  # among the rows that are left, so that a course has no holes
    for _, block in found.blocks():
        summary.add(start, block)
        start += block.count
    return summary


def metric_table(screen: Screen, summaries: Sequence[MetricSummary]) -> Text:
    """Return some metrics, a line a field, as wide as the screen lets them be."""
    groups = [(each, [_line(name, stats, each) for name, stats in each.fields()]) for each in summaries]
    layout = _Layout([line for _, lines in groups for line in lines], screen)
    drawn = Text(no_wrap=True, overflow="ignore")
    layout.write_titles(drawn)
    for summary, lines in groups:
        drawn.append(visible(summary.series.name or UNNAMED), "bold")
        drawn.append(f"  {count_text(summary.rows, 'row')}", "dim")
        drawn.append(f", {summary.superseded:,} superseded\n" if summary.superseded else "\n", "dim")
        for line in lines:
            layout.write(drawn, line)
    drawn.rstrip()
    return drawn


class _Line(NamedTuple):
    """A field: its name, its course, and its numbers as they are shown, by title."""

    name: str
    course: Sparkline | None
    numbers: dict[str, str]


def _line(name: str, stats: dict[str, Any], summary: MetricSummary) -> _Line:
    numbers = {title: _shown(stats[title]) for title in _TITLES if stats[title] is not None}
    if stats["nan"]:
        numbers["NaN"] = f"{stats['nan']:,}"
    return _Line(visible(name), summary.courses.get(name), numbers)


def _shown(value: Any) -> str:
    text = value_text(value)
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 3] + "..."


class _Layout:
    """Where the columns are. Of what does not fit, the mean goes first, then extremes and course."""

    def __init__(self, lines: Sequence[_Line], screen: Screen) -> None:
        self._ascii = not screen.draws
        # a name that is too long has a line of its own, and widens nothing
        names = [cell_len(line.name) for line in lines]
        self._name = max((length for length in names if length <= _NAME_MAX), default=0)
        titles = [title for title in (*_TITLES, "NaN") if any(title in line.numbers for line in lines)]
        widths = {
            title: max(len(title), *(cell_len(line.numbers.get(title, "")) for line in lines))
            for title in titles
        }
        longest = max((line.course.parts for line in lines if line.course), default=0)
        # The last value stays in any window: it is what one looks for while a run goes on.
        for dropped in ((), ("mean",), ("mean", "min", "max")):
            self._widths = {title: widths[title] for title in titles if title not in dropped}
            taken = 2 + self._name + sum(2 + width for width in self._widths.values())
            self._course = min(screen.width - taken - 2, longest)
            if self._course >= min(_COURSE_MIN, longest):
                break

    def write_titles(self, drawn: Text) -> None:
        if self._widths:
            self._write(drawn, "", "", {title: title for title in self._widths}, "dim")

    def write(self, drawn: Text, line: _Line) -> None:
        course = (
            line.course.draw(self._course, ascii_only=self._ascii) if line.course and self._course > 0 else ""
        )
        name = line.name
        if cell_len(name) > self._name:
            drawn.append(f"  {name}\n")
            name = ""
        self._write(drawn, name, course, line.numbers, "")

    def _write(self, drawn: Text, name: str, course: str, numbers: dict[str, str], style: str) -> None:
        drawn.append(f"  {set_cell_size(name, self._name)}")
        if self._course > 0:
            drawn.append(f"  {course.ljust(self._course)}", "cyan")
        for title, width in self._widths.items():
            text = numbers.get(title, "")
            drawn.append("  " + " " * (width - cell_len(text)) + text, style)
        drawn.append("\n")


# What is summed up is this part of the values: so the sum of any number of the largest ones is finite.
_PART = 2.0**-64


class Sparkline:
    """Means of a field over equal parts of the rows. Its size is the number of parts, not that of the rows."""

    __slots__ = ("_counts", "_rows", "_sums", "parts")

    def __init__(self, rows: int, parts: int) -> None:
        # numpy is imported where it is used: the help of `show`, and an experiment without metrics, need none
        import numpy as np

        self._rows = max(rows, 1)
        self.parts = min(parts, self._rows)
        self._sums: Array = np.zeros(self.parts)
        self._counts: Array = np.zeros(self.parts, np.int64)

    def add(self, start: int, column: Column) -> None:
        """Take a column of numbers of the block whose first row has number `start`."""
        import numpy as np

        values = np.asarray(column.values, np.float64)
        rows = np.arange(len(values)) if column.rows is None else np.asarray(column.rows, np.int64)
        # an infinity would leave no height for anything else: it is a gap, like NaN
        known = np.isfinite(values)
        parts = ((rows[known] + start) * self.parts) // self._rows
        # rows that a writer has added since they were counted belong to the last part
        parts = np.minimum(parts, self.parts - 1)
        self._sums += np.bincount(parts, values[known] * _PART, self.parts)
        # The number of values goes along: parts have different numbers of rows, and gaps count for none.
        self._counts += np.bincount(parts, minlength=self.parts)

    def draw(self, width: int, *, ascii_only: bool = False) -> str:
        """Return the line, at most this wide; a part without finite numbers is a space."""
        return sparkline(self._means(min(width, self.parts)), ascii_only=ascii_only)

    def _means(self, parts: int) -> list[float]:
        import numpy as np

        wider = np.arange(self.parts) * parts // self.parts
        sums = np.bincount(wider, self._sums, parts).tolist()
        counts = np.bincount(wider, self._counts, parts).tolist()
        return [total / count if count else math.nan for total, count in zip(sums, counts, strict=True)]
