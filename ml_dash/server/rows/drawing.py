"""What is drawn of experiments for one request: lines, expressions of several, and bands of many runs."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_dash.errors import InvalidArgumentError, InvalidFilterError, JournalError
from ml_dash.protocol import MEMBERS_MAX, ErrorCode
from ml_dash.series import Kind, Series
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.catalogue.columns import not_understood
from ml_dash.server.catalogue.records import gone, is_id
from ml_dash.server.charts.bands import Member, band, member_of
from ml_dash.server.charts.expressions import Points, parse_expression
from ml_dash.server.charts.lines import WORDS, Line, line, read
from ml_dash.server.charts.members import members_of
from ml_dash.server.charts.smoothing import smoothed
from ml_dash.server.charts.wire import Mark, digest_of, read_mark, sent, state_of
from ml_dash.server.errors import ApiError
from ml_dash.server.recent import Recent, RecentBytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from ml_dash.query.selection import AttemptChoice
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.charts.bands import Fill
    from ml_dash.server.charts.expressions import Expression
    from ml_dash.server.charts.lines import LineRequest, Read
    from ml_dash.server.charts.numbers import Array
    from ml_dash.server.charts.rows import ChartSource
    from ml_dash.server.rows.library import Library, ServedView, Standing

_VIEWS = 64
"""Experiments that are kept open for one answer; panels mostly have lines of the same ones."""
_TOGETHER = 500
"""Members of a band whose views are made at once: a tenth of a second, after which others may have their turn."""
_OUTSIDE_WIDTH = 2000
"""Points of what lies beside the range of an expression that looks back."""
_POINTS = ((200, 2048), (1000, 512), (MEMBERS_MAX, 256))
"""Up to how many members a band has so many points of each: a few sizes, so that what is drawn serves most widths."""
_ROOM_BYTES = 64 << 20
"""Of rows that are kept for one answer."""

Members = RecentBytes[tuple[str, ...], tuple[str, Member | None]]
"""Members of bands that were drawn lately, with the version of the experiment; None of one that has no such line."""


class Asked(NamedTuple):
    """What one line is to show.

    Attributes:
        request: How it is drawn; of an expression, its field means nothing.
        experiments: Of which experiments: of one, or of the members of a band.
        is_band: Which of the two.
        metric: The name of the metric.
        expression: The text of what is worked out, in place of a field.
        attempt: Whose rows.
        rank: Of which rank of a distributed training; None for all.
        fill: What a member of a band has between two points.
        after: What the client has.
    """

    request: LineRequest
    experiments: tuple[str, ...]
    is_band: bool = False
    metric: str | None = None
    expression: str | None = None
    attempt: str | None = None
    rank: int | None = None
    fill: Fill = "linear"
    after: str | None = None

    @property
    def question(self) -> str:
        """What tells it from others."""
        return digest_of(self._replace(after=None))

    @property
    def choice(self) -> AttemptChoice:
        """Which attempt's rows."""
        return self.attempt if self.attempt in {None, "all"} else int(self.attempt)  # type: ignore[return-value]


class _Term(NamedTuple):
    """A field of a metric."""

    series: Series
    field: str


@dataclass(slots=True)
class Drawing:
    """Draws for one request, on any one thread at a time.

    Attributes:
        library: Of what.
        who: For whom.
        members: What was drawn for bands lately.
        as_bytes: Whether columns are bytes, or lists.
        standings: How the experiments of the request stand.
    """

    library: Library
    who: Principal
    members: Members
    as_bytes: bool
    standings: Mapping[str, Standing] = field(default_factory=dict)
    _views: Recent[str, ServedView] = field(default_factory=lambda: Recent(_VIEWS))
    _drawn: dict[str, Member | None] = field(default_factory=dict)
    _asked: dict[str, dict[Series, dict[str, None]]] = field(default_factory=dict)
    _prepared: list[ServedView] = field(default_factory=list)
    _room: int = _ROOM_BYTES

    def look_up(self, several: Sequence[Asked]) -> None:
        """Look how the experiments of these lines stand, before any is drawn."""
        ids = dict.fromkeys(id_ for asked in several for id_ in asked.experiments if is_id(id_))
        self.standings = self.library.standings(list(ids))
        for asked in several:
            if not asked.is_band and asked.expression is None:
                of_one = self._asked.setdefault(asked.experiments[0], {})
                fields = of_one.setdefault(Series(Kind.METRIC, asked.metric), {})
                fields |= dict.fromkeys((asked.request.field, _own_x(asked)))

    def close(self) -> None:
        """Keep no rows of anybody."""
        for view in self._prepared:
            view.release()

    def told(self, asked: Asked, until: float) -> dict[str, Any] | None:
        """Return what is told of a line, an error in its place; None of a band that is not done by then: ask again."""
        try:
            return self._band(asked, until) if asked.is_band else self._line(asked)
        except (ApiError, InvalidArgumentError, JournalError) as error:
            return _answer(error).body()

    # --- lines

    def _line(self, asked: Asked) -> dict[str, Any]:
        standing = self._standing(asked.experiments[0])
        known = None if asked.after is None else read_mark(asked.after)
        now = Mark(asked.question, standing.version, "", 0, "")
        if known is not None and (known.question, known.version) == (now.question, now.version):
            return {"unchanged": True, "cursor": asked.after}
        view = self._view(asked.experiments[0])
        terms = _terms(view, asked)
        if known is not None and known.question == now.question:
            now = now._replace(state=_state(view, asked, terms))
            if known.state == now.state:
                return {"unchanged": True, "cursor": known._replace(version=now.version).written()}
        drawn, state, notes = _drawn(view, asked, terms)
        told = sent(drawn.columns, now._replace(state=state), known, as_bytes=self.as_bytes)
        return {**_notes_of(drawn), **told, **notes}

    def _standing(self, experiment_id: str) -> Standing:
        standing = self.standings.get(experiment_id)
        if standing is None or not self.who.may(standing.owner, Scope.READ):
            raise ApiError(
                404,
                ErrorCode.NOT_FOUND,
                f"experiment {experiment_id!r} does not exist, or this token may not read it",
            )
        if standing.deleted:
            raise gone(standing.prefix)
        return standing

    def _view(self, experiment_id: str) -> ServedView:
        view = self._views.get(experiment_id)
        if view is None:
            view = self.library.view(experiment_id)
            series = self._asked.get(experiment_id, {})
            view.asked = series
            if len(series) > 1:
                self._prepared.append(view)
                self._room -= view.prepare(list(series), self._room)
        # set again, it counts as used last
        self._views[experiment_id] = view
        return view

    # --- bands

    def _band(self, asked: Asked, until: float) -> dict[str, Any] | None:
        found = {id_: self.standings[id_] for id_ in asked.experiments if self._may_draw(id_)}
        known = None if asked.after is None else read_mark(asked.after)
        version = digest_of([(id_, each.version) for id_, each in found.items()])
        if known is not None and (known.question, known.version) == (asked.question, version):
            return {"unchanged": True, "cursor": asked.after}
        members = self._members(asked, found, until)
        if members is None:
            return None
        request = asked.request
        drawn = [each for each in members if each is not None and len(each.x)]
        result = band(drawn, request.start, request.stop, request.width, asked.fill)
        now = Mark(asked.question, version, version, 0, "")
        return {
            "x": request.x,
            "cell": result.cell,
            "runs": {"asked": len(asked.experiments), "drawn": len(drawn)},
            **sent(result.columns, now, known, as_bytes=self.as_bytes),
        }

    def _may_draw(self, experiment_id: str) -> bool:
        standing = self.standings.get(experiment_id)
        return standing is not None and not standing.deleted and self.who.may(standing.owner, Scope.READ)

    def _members(
        self, asked: Asked, found: Mapping[str, Standing], until: float
    ) -> list[Member | None] | None:
        one = _of_a_member(asked)
        key = digest_of(one.request, one.metric, one.expression, one.attempt, one.rank)
        lacking = []
        for id_, standing in found.items():
            if f"{key}.{id_}" in self._drawn:
                continue
            kept = self.members.get((key, id_))
            if kept is not None and kept[0] == standing.version:
                self._drawn[f"{key}.{id_}"] = kept[1]
            else:
                lacking.append(id_)
        series = Series(Kind.METRIC, asked.metric)
        for at in range(0, len(lacking), _TOGETHER):
            if time.monotonic() >= until:
                return None
            some = lacking[at : at + _TOGETHER]
            views = self.library.views(some, series)
            for id_, member in _members(some, views, one).items():
                self._drawn[f"{key}.{id_}"] = member
                size = 200 if member is None else member.nbytes + 200
                self.members.put((key, id_), (found[id_].version, member), size)
        return [self._drawn[f"{key}.{id_}"] for id_ in found]


def _of_a_member(asked: Asked) -> Asked:
    """Return what is asked of each member of a band."""
    request = asked.request
    start, stop = request.start, request.stop
    # beyond the range as well: at its edges a run may be between two of its points
    beside = (stop - start) / 2 if start is not None and stop is not None else 0.0
    return asked._replace(
        request=request._replace(
            start=None if start is None else start - beside,
            stop=None if stop is None else stop + beside,
            width=next(points for most, points in _POINTS if len(asked.experiments) <= most),
        ),
        is_band=False,
    )


def _members(ids: Sequence[str], views: Mapping[str, ServedView], asked: Asked) -> dict[str, Member | None]:
    """Return the members of a band; None for an experiment that has no such line, as some of a group may not."""
    members: dict[str, Member | None] = dict.fromkeys(ids)
    found: dict[str, Read] = {}
    for id_, view in views.items():
        try:
            terms = _terms(view, asked)
            if asked.expression is not None or asked.request.smooth is not None:
                members[id_] = member_of(_drawn(view, asked, terms)[0])
            else:
                (term,) = terms.values()
                with _charting(view, asked, term) as source:
                    found[id_] = read(source, _placed(source, term, asked.request))
        except (ApiError, InvalidArgumentError, JournalError) as error:
            if _answer(error).status >= 500:
                raise
    return members | members_of(found)


# --- one line


def _drawn(view: ServedView, asked: Asked, terms: Mapping[str, _Term]) -> tuple[Line, str, dict[str, Any]]:
    """Return a line, of which state of its series it is, and what is told beside it."""
    if asked.expression is not None:
        return _worked_out(view, asked, parse_expression(asked.expression), terms)
    (term,) = terms.values()
    with _charting(view, asked, term) as source:
        drawn = line(source, _placed(source, term, asked.request))
        if not drawn.points:
            _check_names(source, term, asked.request.x)
        return drawn, digest_of(state_of(source, asked.request)), source.shown.notes


def _own_x(asked: Asked) -> str:
    """Return the field of a metric by which its rows are placed, if it has it."""
    x = asked.request.x
    return x if asked.metric is None else x.removeprefix(f"{asked.metric}/")


def _charting(view: ServedView, asked: Asked, term: _Term) -> AbstractContextManager[ChartSource]:
    x = asked.request.x
    return view.charting(term.series, asked.choice, asked.rank, None if x in WORDS else x)


def _placed(source: ChartSource, term: _Term, request: LineRequest) -> LineRequest:
    """Return a request whose x is a field of the metric itself by its own name, where it has the metric's before it."""
    own = request.x.removeprefix(f"{term.series.name}/")
    if request.x in WORDS or source.clock is not None or _has_field(source, request.x):
        return request
    return request._replace(x=own) if _has_field(source, own) else request


def _state(view: ServedView, asked: Asked, terms: Mapping[str, _Term]) -> str:
    states = []
    for term in terms.values():
        with _charting(view, asked, term) as source:
            states.append(state_of(source, asked.request))
    return digest_of(*states)


def _terms(view: ServedView, asked: Asked) -> dict[str, _Term]:
    """Return the fields that a line is made of, by their names.

    Raises:
        InvalidFilterError: The expression cannot be understood, or a name in it is none of a metric.
    """
    if asked.expression is None:
        return {"": _Term(Series(Kind.METRIC, asked.metric), asked.request.field)}
    found = {}
    expression = parse_expression(asked.expression)
    for text, name in expression.names.items():
        term = next((each for each in _meanings(text) if _has(view, each)), None)
        if term is None:
            hint = "; put blanks around an operator" if any(each in text for each in "-/") else ""
            raise expression.wrong(name, f"the experiment has no metric {text!r} (yet){hint}")
        found[text] = term
    return found


def _meanings(text: str) -> list[_Term]:
    """Return what a name may mean: ``a/b/c`` mostly is the field ``c`` of the metric ``a/b``."""
    cuts = [at for at, each in enumerate(text) if each == "/" and 0 < at < len(text) - 1]
    terms = [_Term(Series(Kind.METRIC, text[:at]), text[at + 1 :]) for at in reversed(cuts)]
    return [*terms, _Term(Series(Kind.METRIC, None), text)]


def _has(view: ServedView, term: _Term) -> bool:
    with view.charting(term.series, "all") as source:
        return _has_field(source, term.field)


def _has_field(source: ChartSource, name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in source.fields)


def _check_names(source: ChartSource, term: _Term, x: str) -> None:
    """Say of a line without points what is not there.

    Raises:
        ApiError: 404: the metric, the field, or x.
    """
    name = term.series.name
    metric = "the unnamed metric" if name is None else f"the metric {name!r:.100}"
    if not source.rows:
        raise ApiError(404, ErrorCode.NOT_FOUND, f"it has no rows of {metric} (yet)")
    if not _has_field(source, term.field):
        known = ", ".join(source.fields[:10])
        message = f"{metric} has no field {term.field!r:.100} (yet): it has {known}"
        raise ApiError(404, ErrorCode.NOT_FOUND, message[:1000])
    if x not in WORDS and source.clock is None and not _has_field(source, x):
        raise ApiError(404, ErrorCode.NOT_FOUND, f"x={x!r:.100} is no field of any of its metrics (yet)")


def _notes_of(drawn: Line) -> dict[str, Any]:
    return {
        "x": drawn.x,
        "points": drawn.points,
        "resolution": drawn.resolution,
        "exact": drawn.exact,
        "cell": drawn.cell,
    }


def _answer(error: Exception) -> ApiError:
    """Return the answer to an error of a line."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, InvalidFilterError):
        return not_understood(error)
    if isinstance(error, JournalError):
        return ApiError(409, ErrorCode.DAMAGED, str(error))
    return ApiError(400, ErrorCode.INVALID, str(error))


# --- expressions


def _worked_out(
    view: ServedView, asked: Asked, expression: Expression, terms: Mapping[str, _Term]
) -> tuple[Line, str, dict[str, Any]]:
    request = asked.request
    pieces = [request]
    if expression.looks_back or request.smooth is not None:
        if request.start is not None:
            pieces.insert(0, request._replace(start=None, stop=request.start, width=_OUTSIDE_WIDTH))
        if request.stop is not None and request.smooth is not None:
            pieces.append(request._replace(start=request.stop, stop=None, width=_OUTSIDE_WIDTH))
    drawn: dict[str, list[Line]] = {}
    states = []
    for text, term in terms.items():
        with _charting(view, asked, term) as source:
            states.append(state_of(source, request))
            own = [each._replace(field=term.field, smooth=None) for each in pieces]
            drawn[text] = [line(source, _placed(source, term, each)) for each in own]
    lows = [None if each is request and request.start is None else each.start for each in pieces]
    aligned = [
        _aligned({text: lines[at] for text, lines in drawn.items()}, lows[at]) for at in range(len(pieces))
    ]
    points = {text: _joined([each[text] for each in aligned]) for text in drawn}
    found = expression.worked_out(points)
    columns: dict[str, Array] = {"x": found.x, "y": found.y}
    if request.smooth is not None and len(found.x):
        some = np.isfinite(found.y)
        extent = float(found.x.max() - found.x.min())
        mean, everywhere = np.where(some, found.y, 0.0), np.arange(len(found.x))
        columns["smooth"] = smoothed(
            request.smooth, extent, found.x, found.x, mean, some.astype(np.int64), everywhere
        )
    elif request.smooth is not None:
        columns["smooth"] = found.y
    low = -math.inf if request.start is None else request.start
    high = math.inf if request.stop is None else request.stop
    inside = (found.x >= low) & (found.x < high) & np.isfinite(found.y)
    columns = {name: column[inside] for name, column in columns.items()}
    one = np.ones(len(columns["x"]), np.int64)
    columns |= {"min": columns["y"], "max": columns["y"], "count": one} | dict.fromkeys(
        ("nan", "posInf", "negInf"), 0 * one
    )
    lines = [each[pieces.index(request)] for each in drawn.values()]
    result = Line(
        lines[0].x,
        len(one),
        "rows" if all(each.resolution == "rows" for each in lines) else "buckets",
        all(each.exact for each in lines),
        max(each.cell for each in lines),
        columns,
    )
    return result, digest_of(*states), {}


def _aligned(lines: Mapping[str, Line], low: float | None) -> dict[str, Points]:
    """Return lines' points by cells that they have in common: the widest of theirs, each of whole ones of others."""
    width = max(each.cell for each in lines.values())
    return {text: _in_cells(each.columns, width, low) for text, each in lines.items()}


def _in_cells(columns: Mapping[str, Array], width: float, low: float | None) -> Points:
    x = columns["x"].astype(np.float64)
    cell = np.floor(x / width) * width if width else x
    if low is not None:
        # so that none begins before what lies to the left
        cell = np.maximum(cell, low)
    starts = (
        np.flatnonzero(np.concatenate(([True], cell[1:] != cell[:-1])))
        if len(cell)
        else np.empty(0, np.int64)
    )
    if len(starts) == len(cell):
        return Points(cell, x, *(columns[name].astype(np.float64) for name in ("y", "min", "max")))
    count = columns["count"]
    rows = np.add.reduceat(count, starts)
    total = np.add.reduceat(np.where(count > 0, columns["y"], 0.0) * count, starts)
    y = np.where(rows > 0, total / np.maximum(rows, 1), np.nan)
    return Points(
        cell[starts],
        x[starts],
        y,
        np.fmin.reduceat(columns["min"], starts),
        np.fmax.reduceat(columns["max"], starts),
    )


def _joined(pieces: Sequence[Points]) -> Points:
    return Points(*(np.concatenate(each) for each in zip(*pieces, strict=True)))
