"""What is worth a line at the end of a run: the last, best and extreme values of its main metrics, and their course.

Kept while rows are written, so that the end of a run reads nothing: one of ten million rows ends as fast as one of ten.
What is kept does not grow with the run. Of many fields those with the most telling names are followed, `MOST` of them;
the choice is made when a field comes for the first time, so that what is told of a field is told of all its rows.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from ml_dash.records import NamedTuple
from ml_dash.series import CONTROL, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ml_dash.journal.blocks import Block, Values

Direction: TypeAlias = Literal["min", "max"]

MOST = 32
"""Fields that are followed."""
SYSTEM = "system/"
"""How the names of metrics begin that tell of a machine's load, see `ml_dash.capture.load`."""
_UNLISTED = frozenset(Kind) - {Kind.METRIC} - CONTROL
_SAMPLES = 64
"""Values of a field that are kept at most; at least half as many, once there were so many."""

_WORDS = r"(?:[A-Z]+(?![a-z])|[A-Z]?[a-z]+)\d*|\d+"


def words(name: str) -> list[str]:
    """Return the words of a name in lower case: ``valLoss/f1`` is val, loss, f1."""
    return [word.lower() for word in re.findall(_WORDS, name)]


def _each(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MINIMISED = _each(
    "bpb bpc cer cost err error errors fid loss losses mae mape mse nll perplexity ppl regret rmse wer xent"
)
_MAXIMISED = _each(
    "acc accuracy ap auc auroc bleu dice elbo f1 iou map miou precision psnr r2 recall return returns "
    "reward rewards rouge score scores ssim success"
)
_HELD_OUT = _each("dev eval evaluation heldout test unseen val valid validation")
_SPREADS = _each("count max median min norm p std var")
"""Last words of what is no value of the metric itself, such as ``loss.std``."""
_COUNTERS = _each("batch epoch iteration learning lr seconds seed step steps time")


def direction(name: str | None, field: str) -> Direction | None:
    """Guess by their names whether a metric's field is to become small or large; None where they do not say.

    The last word that says something decides, of the field before the metric: a ``reward_loss`` is a loss.
    """
    for text in (field, name or ""):
        for word in reversed(words(text)):
            for known in (word, word.rstrip("0123456789")):  # "f1" is one, and "loss2" is a loss
                if known in _MAXIMISED or known in _MINIMISED:
                    return "max" if known in _MAXIMISED else "min"
    return None


@functools.lru_cache(maxsize=16_384)  # each row of a field that is not followed asks
def rank(name: str | None, field: str) -> int:
    """Return how telling a metric's field is by its names; the smaller, the more."""
    if name is not None and name.startswith(SYSTEM):
        return 4
    found = words(field)
    last = words(field.rpartition(".")[2]) if "." in field else []
    is_spread = any(word.rstrip("0123456789") in _SPREADS for word in last)
    if is_spread or _COUNTERS.intersection(found):
        return 4
    is_held_out = bool(_HELD_OUT.intersection([*words(name or ""), *found]))
    return (0 if is_held_out else 1) if direction(name, field) else (2 if is_held_out else 3)


class Highlight(NamedTuple):
    """What is known of a metric's field: `best` where its name says what good is; `course` are samples in order."""

    name: str
    last: float
    best: float | None
    lowest: float
    highest: float
    course: list[float]


class _Course:
    """One field so far, of which `_SAMPLES` values are kept at most: each `_stride`-th."""

    __slots__ = ("_count", "_samples", "_stride", "highest", "last", "lowest")

    def __init__(self) -> None:
        self.last = self.lowest = self.highest = math.nan
        self._count = 0
        self._stride = 1
        self._samples: list[float] = []

    def add(self, values: Values) -> None:
        """Take values in order, a sequence or an array of numbers; one of them at least."""
        self.last = float(values[-1])
        lowest, highest = _extremes(values)
        if not math.isnan(lowest):
            self.lowest = lowest if math.isnan(self.lowest) else min(self.lowest, lowest)
            self.highest = highest if math.isnan(self.highest) else max(self.highest, highest)
        total = self._count + len(values)
        while total > _SAMPLES * self._stride:
            self._stride *= 2
            self._samples = self._samples[::2]
        self._samples += map(float, values[-self._count % self._stride :: self._stride])
        self._count = total

    def told(self, name: str | None, field: str) -> Highlight:
        """Return what is known now."""
        wanted = direction(name, field)
        best = None if wanted is None else self.lowest if wanted == "min" else self.highest
        course = [value if math.isfinite(value) else math.nan for value in self._samples]
        title = field if name is None else f"{name}/{field}"
        return Highlight(title, self.last, best, self.lowest, self.highest, course)


class Highlights:
    """Follows the main fields of all metrics. One thread adds at a time; any may ask meanwhile."""

    def __init__(self) -> None:
        self.unlisted = 0
        """Rows that were written and are none of metrics, which are all that `ml-dash ls` counts."""
        self._courses: dict[tuple[str | None, str], _Course] = {}
        self._least: tuple[tuple[str | None, str], int] = (None, ""), 0  # of those, and its rank

    def add(self, blocks: Iterable[Block]) -> None:
        """Take blocks that were written; of other kinds than metrics they are counted, or passed over."""
        for block in blocks:
            if block.series.kind in _UNLISTED:
                self.unlisted += block.count
            elif block.series.kind is Kind.METRIC:
                for column in block.columns:
                    if column.type in "fi" and len(column.values):
                        course = self._follow(block.series.name, column.field)
                        if course is not None:
                            course.add(column.values)

    def top(self, most: int) -> list[Highlight]:
        """Return the most telling fields, at most so many, and none that only counts."""
        ranked = sorted(self._courses.copy().items(), key=lambda item: rank(*item[0]))
        return [course.told(*key) for key, course in ranked[:most] if rank(*key) < 4]

    def _follow(self, name: str | None, field: str) -> _Course | None:
        key = name, field
        if course := self._courses.get(key):
            return course
        if len(self._courses) >= MOST:
            # What was left out once stays so: the ranks of those that are followed only improve.
            if rank(name, field) >= self._least[1]:
                return None
            self._courses.pop(self._least[0])
        self._courses[key] = course = _Course()
        # the latest of those that are the least telling
        least = max(reversed(self._courses), key=lambda each: rank(*each))
        self._least = least, rank(*least)
        return course


def _extremes(values: Values) -> tuple[float, float]:
    """Return the smallest and the largest of the values that are not NaN; NaN where all are."""
    if isinstance(values, (list, tuple)):
        known: Sequence[float] = [value for value in values if value == value]  # noqa: PLR0124 - NaN alone differs
        return (float(min(known)), float(max(known))) if known else (math.nan, math.nan)
    import numpy as np

    array = np.asarray(values)
    missing = np.isnan(array)
    if missing.any():
        array = array[~missing]
    return (float(array.min()), float(array.max())) if len(array) else (math.nan, math.nan)
