"""`ml_dash.experiments`: those of a place, or of several, that a filter asks for."""

from __future__ import annotations

import heapq
import operator
import os
import threading
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from ml_dash.errors import InvalidArgumentError, InvalidFilterError
from ml_dash.locks import MortalLock
from ml_dash.places.roots import all_of, default_roots
from ml_dash.query.listing.filters import parse
from ml_dash.sdk.guidance.calls import explained, shown
from ml_dash.sdk.listing.opening import experiment_of, place_of, settle_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    import pyarrow as pa

    from ml_dash.places.place import Place
    from ml_dash.query.listing.listed import ListedExperiment
    from ml_dash.sdk.experiment import Experiment
    from ml_dash.sdk.listing.series import ManySeries

Where: TypeAlias = "str | bool | os.PathLike[str]"

_KEYWORDS = {
    **dict.fromkeys(("root", "dash_root", "dir", "path"), "ml_dash.experiments('.dash')"),
    **dict.fromkeys(("url", "dash_url", "server"), "ml_dash.experiments('https://…')"),
    **dict.fromkeys(("filters", "query", "search"), "ml_dash.experiments(filter='tag:sweep params.lr<0.01')"),
    **dict.fromkeys(("sort", "order_by", "sort_by"), "ml_dash.experiments(order='-max(val/acc)')"),
}


class Experiments(Sequence["Experiment"]):
    """Experiments that a filter asks for, as a list, which is read as far as it is looked at.

    Its items are experiments as of `ml_dash.open`. What was found is kept: to ask again, call `ml_dash.experiments`.
    """

    _lock = MortalLock()

    def __init__(
        self, places: Sequence[Place], find: Callable[[], Iterator[ListedExperiment]], asked: str
    ) -> None:
        self._places = places
        self._find = find
        self._asked = asked
        self._found: list[ListedExperiment] = []
        self._rest: Iterator[ListedExperiment] | None = None
        self._is_whole = False
        # reentrant: a signal handler of the script may look at the same list
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        count = f"{len(self._found):,}" if self._is_whole else "some"
        return (
            f"<{count} experiments of {', '.join(repr(place.name) for place in self._places)}{self._asked}>"
        )

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return self._upto(1) > 0

    def __iter__(self) -> Iterator[Experiment]:
        at = 0
        while self._upto(at + 1) > at:
            yield experiment_of(self._found[at])
            at += 1

    @overload
    def __getitem__(self, index: int) -> Experiment: ...

    @overload
    def __getitem__(self, index: slice) -> list[Experiment]: ...

    def __getitem__(self, index: int | slice) -> Experiment | list[Experiment]:
        if isinstance(index, slice):
            return [experiment_of(each) for each in self._all()[index]]
        at = operator.index(index)
        known = self._found if at >= 0 and self._upto(at + 1) > at else self._all()
        try:
            return experiment_of(known[at])
        except IndexError:
            raise IndexError(f"there is no experiment number {at}: there are {len(known)}") from None

    @property
    def columns(self) -> list[str]:
        """The names that these experiments have, as filters, orders and tables take them."""
        from ml_dash.sdk.listing.tables import all_columns

        return all_columns(self._all())

    def to_pandas(self, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Return a data frame with a row for each experiment, in their order.

        Args:
            columns: Names as of a filter: ``"params.lr"``, ``"val/acc"`` (the last value), ``"max(val/acc)"``,
                ``"best(val/acc)"``, ``"duration"`` (seconds), ``"started"``. Without them, the prefix, the status, all
                parameters, the last value of each metric's field, and the best one where that was defined.

        Raises:
            MissingExtraError: Pandas is not installed.
            InvalidFilterError: A column's name cannot be understood; the message says what is possible.

        Example:
            >>> runs = ml_dash.experiments(filter="alice/vision/** status:completed")
            >>> runs.to_pandas(["name", "params.lr", "best(val/acc)"])
        """
        from ml_dash.sdk.listing.tables import Table

        return Table(self._all(), _names(columns)).to_pandas()

    def to_arrow(self, columns: Iterable[str] | None = None) -> pa.Table:
        """Return an Arrow table, as of `to_pandas`; values of several types are texts in it.

        Raises:
            MissingExtraError: PyArrow is not installed.
            InvalidFilterError: As of `to_pandas`.
        """
        from ml_dash.sdk.listing.tables import Table

        return Table(self._all(), _names(columns)).to_arrow()

    @explained("experiments.metrics('train').to_pandas()")
    def metrics(self, name: str | None) -> ManySeries:
        """Return a metric of all of these experiments, to be read in full resolution in one call.

        Args:
            name: The metric's name; None is the unnamed one.
        """
        from ml_dash.sdk.listing.series import ManySeries

        return ManySeries(name, self._all, has_places=len(self._places) > 1)

    def _all(self) -> list[ListedExperiment]:
        self._upto(None)
        return self._found

    def _upto(self, count: int | None) -> int:
        """Read until so many are known, or all; return how many are."""
        with self._lock:
            if not self._is_whole and (count is None or len(self._found) < count):
                if self._rest is None:
                    settle_own(self._places)
                    self._rest = self._find()
                missing = None if count is None else count - len(self._found)
                found = list(islice(self._rest, missing))
                self._found += found
                self._is_whole = missing is None or len(found) < missing
            return len(self._found)


@explained(
    "ml_dash.experiments('.dash', filter='tag:sweep', order='-max(val/acc)')",
    _KEYWORDS,
    "ml_dash.experiments",
)
def experiments(
    where: Where | Iterable[Where] | None = None,
    filter: str | None = None,
    order: str | None = None,
    limit: int | None = None,
) -> Experiments:
    """Return the experiments of a root or a server that a filter asks for, the newest first.

    Nothing is read before the list is looked at; then, as much as is looked at.

    Args:
        where: A directory of journals, a server (a URL, or True for the default one), or a list of these. None is what
            commands read that name no root: ``ML_DASH_ROOT``, or else a ``.dash`` here, above, or those below.
        filter: Words, patterns of prefixes and comparisons, all of which must hold, as in
            ``"alice/vision/** tag:sweep params.lr<0.01 max(val/acc)>0.9 status:completed"``. The guide has all of it.
        order: A name to sort by, with ``-`` before it for the largest first, as in ``"-max(val/acc)"``. What has no
            value comes last both ways.
        limit: How many at most.

    Raises:
        InvalidFilterError: The filter or the order cannot be understood. What can only be told of the names that there
            are is raised when the list is looked at, with the names that come near.
        InvalidArgumentError: An argument is not what it should be; or, when the list is looked at, there is no such
            root.
        ServerUnavailableError: When the list is looked at: the server cannot be reached.
        RemoteError: It refuses, as for a token that may not read.

    Example:
        >>> best = ml_dash.experiments(filter="tag:sweep", order="-best(val/acc)", limit=1)[0]
        >>> best.params.get(), best.summary
    """
    text = _text("filter", filter) or ""
    by = _text("order", order)
    if problems := parse(text).problems:
        raise InvalidFilterError.of("filter", text, problems)
    most = _count(limit)
    places = [place_of(each) for each in _each(where)]
    if len(places) == 1:
        find = lambda: places[0].find(text, by, most)  # noqa: E731 - said where it is used
    else:
        find = lambda: islice(_found_in(places, text, by, most), most)  # noqa: E731
    asked = "".join(
        f", {name}={value!r}" for name, value in (("filter", text or None), ("order", by)) if value
    )
    return Experiments(places, find, asked)


def _found_in(
    places: Sequence[Place], text: str, order: str | None, limit: int | None
) -> Iterator[ListedExperiment]:
    """Yield what several places have. A name that some of them do not know is no mistake, if others do."""
    from ml_dash.places.choosing import newest_first, ordered
    from ml_dash.query.listing.binding import bind_order
    from ml_dash.query.listing.naming import KnownNames

    found: list[list[ListedExperiment]] = []
    wrong: list[InvalidFilterError] = []
    for place in places:
        try:
            found.append(list(place.find(text, order, limit)))
        except InvalidFilterError as error:
            wrong.append(error)
    if not found and wrong:
        raise max(wrong, key=lambda error: "did you mean" in str(error))
    if order is None:
        yield from heapq.merge(*found, key=newest_first)
        return
    together = [each for part in found for each in part]
    yield from ordered(together, bind_order(order, KnownNames(together)), time.time_ns())


def _each(where: Any) -> list[Any]:
    if where is None:
        return list(all_of(default_roots()))
    several = isinstance(where, Iterable) and not isinstance(where, (str, bytes, os.PathLike))
    found = list(where) if several else [where]
    if not found:
        raise InvalidArgumentError(
            "where=[] names no place: pass a directory, a server's URL, or a list of these"
        )
    return found


def _text(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    example = "'tag:sweep params.lr<0.01'" if name == "filter" else "'-max(val/acc)'"
    raise InvalidArgumentError(f"{name}={shown(value)} is not a text: write {name}={example}")


def _count(limit: Any) -> int | None:
    if limit is None:
        return None
    try:
        count = -1 if isinstance(limit, bool) else operator.index(limit)
    except TypeError:
        count = -1
    if count < 0:
        raise InvalidArgumentError(
            f"limit={shown(limit)} is not a number of experiments: pass limit=10, or None for all"
        )
    return count


def _names(columns: Iterable[str] | None) -> list[str] | None:
    if columns is None:
        return None
    found = [columns] if isinstance(columns, str) else list(columns)
    for each in found:
        if not isinstance(each, str):
            raise InvalidArgumentError(
                f"{shown(each)} names no column: write one such as 'params.lr' or 'max(val/acc)'"
            )
    return found
