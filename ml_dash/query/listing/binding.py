"""What a filter means where it is known what there is, and whether experiments are as it asks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidFilterError
from ml_dash.query.listing.comparing import comparable, folded, holds
from ml_dash.query.listing.filters import Problem, parse
from ml_dash.query.listing.listed import STANDINGS, UNKNOWN
from ml_dash.query.listing.naming import (
    LONG_TEXTS,
    NUMBERS,
    TIMES,
    FieldTarget,
    ParamTarget,
    RecordTarget,
    UnclearNameError,
    target_of,
)
from ml_dash.query.listing.tokens import number_of
from ml_dash.query.patterns import pattern_matcher
from ml_dash.query.times import NANOSECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_dash.query.listing.comparing import Operator
    from ml_dash.query.listing.filters import Comparison, Filter
    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.query.listing.naming import Names, Target

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?)?)?Z?)?)?",
    re.IGNORECASE | re.ASCII,
)
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)\s*([a-z]+)", re.IGNORECASE | re.ASCII)
_UNITS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NOT_STARTED = re.compile(r"not.started", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_BOOLS = {"true": "1", "false": "0"}


class Span(NamedTuple):
    """Times, in nanoseconds since the epoch: from the first on, up to and without the last."""

    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of which it is known what it is about.

    Attributes:
        target: What is compared.
        operator: How.
        value: With what, as the target's values are written: a duration in seconds.
        is_pattern: Whether a star in it stands for any characters.
        span: Of a time: all of the day, or whatever was asked for.
    """

    target: Target
    operator: Operator
    value: str
    is_pattern: bool = False
    span: Span | None = None

    def holds(self, experiment: ListedExperiment, now_ns: int) -> bool:
        """Say whether an experiment is as asked for."""
        value = value_of(self.target, experiment, now_ns)
        if self.span is not None:
            return _in_time(value, self.operator, self.span)
        key = self.target.key if isinstance(self.target, RecordTarget) else None
        if key in LONG_TEXTS and not self.is_pattern:
            return (folded(self.value) in folded(value or "")) == (self.operator == "=")
        as_text = key is not None and isinstance(value, str)
        return holds(value, self.operator, self.value, is_pattern=self.is_pattern, as_text=as_text)


@dataclass(frozen=True, slots=True)
class Bound:
    """A filter of which it is known what its names mean.

    Attributes:
        text: As it was written.
        words: See `Filter`.
        globs: See `Filter`.
        conditions: All of them must hold.
        problems: What cannot be understood; `checked` raises where there is anything.
        is_empty: Whether nothing can be as it asks: it has a name that nothing has yet.
    """

    text: str = ""
    words: Sequence[str] = ()
    globs: Sequence[str] = ()
    conditions: Sequence[Condition] = ()
    problems: Sequence[Problem] = ()
    is_empty: bool = False
    _fits: Sequence[Callable[[str], bool]] = field(default=(), repr=False, compare=False)

    def matches(self, experiment: ListedExperiment, now_ns: int) -> bool:
        """Say whether an experiment is as asked for."""
        if self.is_empty or not all(fits(experiment.prefix) for fits in self._fits):
            return False
        if self.words:
            text = searched(experiment)
            if not all(word in text for word in self.words):
                return False
        return all(condition.holds(experiment, now_ns) for condition in self.conditions)

    def checked(self) -> Bound:
        """Return the filter, if all of it was understood.

        Raises:
            InvalidFilterError: It was not; the message shows where, and says what is possible.
        """
        if self.problems:
            raise InvalidFilterError.of("filter", self.text, self.problems)
        return self


def searched(experiment: ListedExperiment) -> str:
    """Return the text in which words are looked for."""
    parts = [experiment.prefix, *experiment.tags, experiment.readme or "", experiment.note or ""]
    return folded("\n".join(parts))


def bind(found: Filter, names: Names) -> Bound:
    """Return what a filter means where there is what `names` has.

    A name that nothing has is a problem, unless nothing has any: then nothing is as the filter asks.
    """
    problems = list(found.problems)
    conditions: list[Condition] = []
    is_empty = False
    for comparison in found.comparisons:
        try:
            target = target_of(comparison.name, comparison.aggregate, names)
            if target is None:
                is_empty = is_empty or comparison.operator != "!="
                continue
            conditions.append(_condition(comparison, target, names))
        except UnclearNameError as error:
            problems.append(Problem(comparison.start, comparison.stop, str(error)))
    problems.sort()
    fits = [pattern_matcher(glob) for glob in found.globs]
    return Bound(found.text, found.words, found.globs, conditions, problems, is_empty, fits)


class Order(NamedTuple):
    """By what experiments are sorted; what has no value comes last both ways."""

    target: Target
    descending: bool = False


def bind_name(text: str, names: Names, what: str = "column", given: str | None = None) -> Target | None:
    """Return what a name alone means, such as ``params.lr`` or ``max(val/acc)``; None for what nothing has yet.

    Args:
        text: The name.
        names: What there is.
        what: Of which argument an error tells.
        given: What that was given as a whole; None for the name.

    Raises:
        InvalidFilterError: It cannot be understood.
    """
    whole = text if given is None else given
    # the parser of filters knows names, quotes and aggregates: of a comparison with anything the name is what counts
    found = parse(f"{text} != _")
    if not text.strip() or found.problems or found.words or len(found.comparisons) != 1:
        message = "write one name, such as started, params.lr or max(val/acc)"
        raise InvalidFilterError.of(what, whole, [Problem(0, len(whole), message)])
    comparison = found.comparisons[0]
    try:
        return target_of(comparison.name, comparison.aggregate, names)
    except UnclearNameError as error:
        raise InvalidFilterError.of(what, whole, [Problem(0, len(whole), str(error))]) from None


def bind_order(text: str, names: Names) -> Order | None:
    """Return what ``params.lr``, ``-max(val/acc)`` or ``-started`` mean; None for what nothing has yet.

    Raises:
        InvalidFilterError: It cannot be understood.
    """
    said = text.strip()
    descending = said.startswith("-")
    target = bind_name(said[descending:], names, "order", text)
    if isinstance(target, RecordTarget) and target.key in {"tags", *LONG_TEXTS}:
        raise InvalidFilterError.of("order", text, [Problem(0, len(text), f"‘{target.key}’ has no order")])
    return None if target is None else Order(target, descending)


def value_of(target: Target, experiment: ListedExperiment, now_ns: int) -> Any:
    """Return the value by which an experiment is filtered and sorted; None where it has none."""
    if isinstance(target, ParamTarget):
        return comparable(experiment.params.get(target.name))
    if isinstance(target, FieldTarget):
        return experiment.value_of(target.metric, target.field, target.aggregate)
    key = target.key
    if key == "status":
        return experiment.standing
    if key == "duration":
        return experiment.seconds(now_ns)
    return getattr(experiment, f"{key}_ns" if key in TIMES else key)


def _condition(comparison: Comparison, target: Target, names: Names) -> Condition:
    operator, value, is_pattern = comparison.operator, comparison.value, comparison.is_pattern
    if isinstance(target, RecordTarget):
        return _of_record(comparison, target)
    if isinstance(target, FieldTarget):
        value = _BOOLS.get(value.lower(), value)
    elif value.startswith("["):
        value = re.sub(r"(?<=[\[,])\s+|\s+(?=[\],])", "", value)  # lists are compared as [64,64]
    is_nan = value.lower() == "nan" and operator in {"=", "!="}
    if not is_pattern and not is_nan and number_of(value) is None and names.is_number(target):
        raise UnclearNameError(f"‘{comparison.name}’ is a number everywhere, and ‘{value}’ is not one")
    return Condition(target, operator, value, is_pattern)


def _of_record(comparison: Comparison, target: RecordTarget) -> Condition:
    """Return a comparison with a column that every experiment has; raise where that has no such values."""
    name, operator, value = comparison.name, comparison.operator, comparison.value
    key = target.key
    if key in {"status", "tags", *LONG_TEXTS} and operator not in {"=", "!="}:
        raise UnclearNameError(f"‘{name}’ is compared by = or !=")
    if comparison.is_pattern and not value.strip("*"):
        return Condition(target, operator, value, is_pattern=True)
    if key == "status":
        value = UNKNOWN if _NOT_STARTED.fullmatch(value) else value.lower()
        if value not in STANDINGS:
            listed = ", ".join(STANDINGS[:-1])
            raise UnclearNameError(
                f'there is no status ‘{comparison.value}’: write {listed} or "not started"'
            )
        return Condition(target, operator, value)
    if key in TIMES:
        span = _span(value)
        if span is None:
            raise UnclearNameError(f"‘{value}’ is no date: write one such as 2026-01-31")
        return Condition(target, operator, value, span=span)
    if key == "duration" and (measured := _DURATION.fullmatch(value)):
        scale = _UNITS.get(measured[2].lower())
        value = value if scale is None else repr(float(measured[1]) * scale)
    if key in NUMBERS and number_of(value) is None:
        if key == "duration":
            raise UnclearNameError(f"‘{value}’ is no duration: write seconds, or 90s, 10min, 2h")
        raise UnclearNameError(f"‘{name}’ is a number everywhere, and ‘{value}’ is not one")
    return Condition(target, operator, value, comparison.is_pattern and key not in LONG_TEXTS)


def _in_time(value: int | None, operator: Operator, span: Span) -> bool:
    if value is None:
        return operator == "!="
    return {
        "=": span.first <= value < span.stop,
        "!=": not span.first <= value < span.stop,
        "<": value < span.first,
        "<=": value < span.stop,
        ">": value >= span.stop,
        ">=": value >= span.first,
    }[operator]


def _span(text: str) -> Span | None:
    """Return the times that a date means, or so much of it as was written; None where it is none."""
    parts = _DATE.fullmatch(text.strip())
    if parts is None:
        return None
    year, month, day, hour, minute, second, fraction = parts.groups()
    try:
        first = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            tzinfo=timezone.utc,
        )
        start = _ns(first)
        if fraction:
            unit = 10 ** (9 - len(fraction))
            start += int(fraction) * unit
            return Span(start, start + unit)
        if month is None:
            return Span(start, _ns(first.replace(year=first.year + 1)))
        if day is None:
            return Span(start, _ns((first + timedelta(days=31)).replace(day=1)))
    except (ValueError, OverflowError):
        return None
    unit = 1 if second else 60 if minute else 3600 if hour else 86_400
    return Span(start, start + unit * NANOSECONDS)


def _ns(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000
