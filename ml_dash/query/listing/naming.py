"""What a name in a filter means: a column that every experiment has, a parameter, or a metric's field."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ml_dash.query.listing.comparing import comparable, number_in
from ml_dash.query.listing.summary import AGGREGATES
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ml_dash.query.listing.listed import ListedExperiment

FUNCTIONS = (*AGGREGATES, "best")
"""What can be asked of a metric's field."""
TEXTS = ("prefix", "owner", "project", "folder", "name", "host", "error")
LONG_TEXTS = ("note", "readme")
NUMBERS = ("rows", "attempts", "duration")
TIMES = ("started", "ended", "active", "created")
COLUMNS = ("status", *TEXTS, *LONG_TEXTS, "tags", *NUMBERS, *TIMES)
"""What every experiment has; see `ListedExperiment`."""
_PREFIXED = re.compile(r"(params?|config|metrics?|summary)[./](.+)", re.IGNORECASE | re.DOTALL)
_CALLED = re.compile(r"(\w+)\(.*\)", re.DOTALL)
_LISTED = 4
_COMPARED_MAX = 1000
"""Names that are compared with a wrong one: ten thousand would take seconds."""


class RecordTarget(NamedTuple):
    """One of `COLUMNS`."""

    key: str

    @property
    def title(self) -> str:
        """As it is written."""
        return self.key


class ParamTarget(NamedTuple):
    """A parameter, by its dotted name."""

    name: str

    @property
    def title(self) -> str:
        """As it is written."""
        return f"params.{self.name}"


class FieldTarget(NamedTuple):
    """A field of a metric, and what is asked of it."""

    metric: str | None
    field: str
    aggregate: str = "last"

    @property
    def title(self) -> str:
        """As it is written."""
        name = title_of(self.metric, self.field)
        return name if self.aggregate == "last" else f"{self.aggregate}({name})"


Target: TypeAlias = "RecordTarget | ParamTarget | FieldTarget"
Field: TypeAlias = "tuple[str | None, str]"
"""Name of a metric, and of its field."""


def title_of(metric: str | None, field: str) -> str:
    """Return what a metric's field is called: ``val/acc``, or of the unnamed metric ``acc``."""
    return field if metric is None else f"{metric}/{field}"


class Names(Protocol):
    """The names that experiments have, of parameters and of fields of metrics."""

    def has_param(self, name: str) -> bool:
        """Say whether any experiment has a parameter of exactly this name."""

    def has_field(self, metric: str | None, field: str) -> bool:
        """Say whether any experiment has this field."""

    def params(self) -> Collection[str]:
        """Return the names of the parameters that there are; of very many not all."""

    def fields(self) -> Collection[Field]:
        """Return the fields that there are; of very many not all."""

    def is_number(self, target: ParamTarget | FieldTarget) -> bool:
        """Say whether it is there, and a number wherever it is."""


class KnownNames:
    """The names that these experiments have. More can be added."""

    def __init__(self, experiments: Iterable[ListedExperiment] = ()) -> None:
        self._params: dict[str, bool] = {}
        self._fields: dict[Field, bool] = {}
        for experiment in experiments:
            self.add(experiment)

    def add(self, experiment: ListedExperiment) -> None:
        """Take in the names of one more experiment."""
        for name, value in experiment.params.items():
            if value is not None:
                # NaN among numbers makes no text of them
                is_number = number_in(comparable(value)) is not None or isinstance(value, float)
                self._params[name] = is_number and self._params.get(name, True)
        for metric, fields in experiment.metrics.items():
            for field, summary in fields.items():
                is_number = summary.count > 0 and not isinstance(summary.last, str)
                self._fields[metric, field] = is_number and self._fields.get((metric, field), True)

    def has_param(self, name: str) -> bool:
        """See `Names`."""
        return name in self._params

    def has_field(self, metric: str | None, field: str) -> bool:
        """See `Names`."""
        return (metric, field) in self._fields

    def params(self) -> Collection[str]:
        """See `Names`."""
        return self._params.keys()

    def fields(self) -> Collection[Field]:
        """See `Names`."""
        return self._fields.keys()

    def is_number(self, target: ParamTarget | FieldTarget) -> bool:
        """See `Names`."""
        if isinstance(target, ParamTarget):
            return self._params.get(target.name, False)
        return self._fields.get((target.metric, target.field), False)


class AllNames:
    """The names of several places."""

    def __init__(self, places: Collection[Names]) -> None:
        self._places = places

    def has_param(self, name: str) -> bool:
        """See `Names`."""
        return any(each.has_param(name) for each in self._places)

    def has_field(self, metric: str | None, field: str) -> bool:
        """See `Names`."""
        return any(each.has_field(metric, field) for each in self._places)

    def params(self) -> Collection[str]:
        """See `Names`."""
        return dict.fromkeys(name for each in self._places for name in each.params())

    def fields(self) -> Collection[Field]:
        """See `Names`."""
        return dict.fromkeys(field for each in self._places for field in each.fields())

    def is_number(self, target: ParamTarget | FieldTarget) -> bool:
        """See `Names`."""
        having = [each for each in self._places if _has(each, target)]
        return bool(having) and all(each.is_number(target) for each in having)


def _has(names: Names, target: ParamTarget | FieldTarget) -> bool:
    if isinstance(target, ParamTarget):
        return names.has_param(target.name)
    return names.has_field(target.metric, target.field)


class UnclearNameError(Exception):
    """A name that means nothing, or several things; the message says what is possible."""


def target_of(name: str, aggregate: str | None, names: Names) -> Target | None:
    """Return what a name means: something of exactly this name, else what it is short for.

    Args:
        name: As it was written.
        aggregate: What is asked of it: then it is a metric's field.
        names: What there is.

    Returns:
        What is meant; None where there is nothing yet that a name could mean.

    Raises:
        UnclearNameError: Nothing has this name, or several things have.
    """
    found = _targets(name, aggregate, names)
    if len(found) == 1:
        return found[0]
    if found:
        titles = ", ".join(target.title for target in found[:_LISTED])
        more = " and more" if len(found) > _LISTED else ""
        raise UnclearNameError(f"‘{name}’ may be {titles}{more}: write one of them")
    if not names.params() and not names.fields():
        return None
    raise UnclearNameError(_unknown(name, aggregate, names))


def _targets(name: str, aggregate: str | None, names: Names) -> list[Target]:
    if aggregate is not None:
        return [*_fields(_without_prefix(name), aggregate, names)]
    exact = _exact(name, names)
    if exact is not None:
        return [exact]
    prefixed = _PREFIXED.fullmatch(name)
    if prefixed and prefixed[1][0].lower() in "ms":
        return [*_fields(prefixed[2], "last", names)]
    short = prefixed[2] if prefixed else name
    params = [short] if names.has_param(short) else _like(short, names.params())
    found: list[Target] = [ParamTarget(each) for each in params]
    return found if found or prefixed else [*_fields(name, "last", names)]


def _exact(name: str, names: Names) -> Target | None:
    if names.has_param(name):
        return ParamTarget(name)
    key = name.lower()
    column = next((each for each in COLUMNS if each in {key, f"{key}s"}), None)
    return _exact_field(name, "last", names) if column is None else RecordTarget(column)


def _param(name: str, names: Names) -> ParamTarget | None:
    """Return the parameter that a name alone would mean."""
    found = _meaning(name, names)
    return found[0] if len(found) == 1 and isinstance(found[0], ParamTarget) else None


def _meaning(name: str, names: Names) -> list[Target]:
    return _targets(name, None, names) if name else []


def _like(name: str, known: Iterable[str]) -> list[str]:
    wanted = _dotted(name)
    return [each for each in known if _dotted(each) == wanted]


def _without_prefix(name: str) -> str:
    prefixed = _PREFIXED.fullmatch(name)
    return prefixed[2] if prefixed and prefixed[1][0].lower() in "ms" else name


def _exact_field(title: str, aggregate: str, names: Names) -> FieldTarget | None:
    """Return the field of this title; where several have it, the one whose metric has the longer name."""
    at = len(title)
    while (at := title.rfind("/", 0, at)) > 0:
        if names.has_field(title[:at], title[at + 1 :]):
            return FieldTarget(title[:at], title[at + 1 :], aggregate)
    return FieldTarget(None, title, aggregate) if names.has_field(None, title) else None


def _fields(title: str, aggregate: str, names: Names) -> list[FieldTarget]:
    """Return the fields of this title, be it with dots for slashes; else those of any metric that are called so."""
    if exact := _exact_field(title, aggregate, names):
        return [exact]
    wanted = _dotted(title)
    known = names.fields()
    found = [each for each in known if _dotted(title_of(*each)) == wanted]
    found = found or [each for each in known if _dotted(each[1]) == wanted]
    return [FieldTarget(metric, field, aggregate) for metric, field in found]


def _dotted(name: str) -> str:
    return name.casefold().replace("/", ".")


def _unknown(name: str, aggregate: str | None, names: Names) -> str:
    called = _CALLED.fullmatch(name)
    if called and aggregate is None and called[1].lower() not in FUNCTIONS:
        return f"there is no ‘{called[1]}(…)’: write {', '.join(FUNCTIONS[:-1])} or {FUNCTIONS[-1]}"
    kind, known = "a metric’s field", [title_of(*field) for field in names.fields()]
    prefixed = _PREFIXED.fullmatch(name)
    before = ""
    if aggregate is not None:
        param = _param(name, names)
        if param is not None:
            found = f"it is a parameter, which has one value: write {param.title}"
            return f"no experiment has {kind} called ‘{name}’: {found}"
        name = prefixed[2] if prefixed else name
        prefixed = None
    elif name[0] in "-!" and _meaning(name[1:], names):
        return (
            f"there is no ‘{name[0]}’ before a name: what is not to be is written with !=, as ‘{name[1:]}!=…’"
        )
    if prefixed:
        before = name[: prefixed.start(2)]
        if prefixed[1][0].lower() not in "ms":
            kind, known = "a parameter", [*names.params()]
    elif aggregate is None:
        kind, known = "a parameter or a metric’s field", [*names.params(), *known, *COLUMNS]
    near = nearest(prefixed[2] if prefixed else name, known)
    listed = ", ".join(f"{before}{each}" for each in near or known[:_LISTED])
    more = "" if near or len(known) <= _LISTED else f" and {len(known) - _LISTED:,} more"
    hint = f": did you mean {listed}?" if near else f"; there are {listed}{more}" if known else ""
    return f"no experiment has {kind} called ‘{name}’{hint}"


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Return what of the known is like a name, or has it as a part; the likest first."""
    some = [*known][:_COMPARED_MAX]
    folded = {each.casefold(): each for each in reversed(some)}
    wanted = name.casefold()
    near = difflib.get_close_matches(wanted, folded, _LISTED)
    parts = [each for each in folded if len(wanted) > 1 and wanted in each and each not in near]
    return [folded[each] for each in [*near, *parts][:_LISTED]]
