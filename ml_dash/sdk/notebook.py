"""How a notebook shows an experiment, its parameters and its metrics: HTML with small charts, and no scripts.

It is what lies on this disk, and never asks a server: a cell that shows a value must not wait for a network. Nor
does it take longer for a long run: of many fields the most telling ones are read, and of these the last rows.

All text is from elsewhere, and escaped. An error is shown, and not raised: a notebook would print it as a fault of the
cell, or show nothing at all.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from ml_dash.errors import MLDashError
from ml_dash.query.highlights import rank
from ml_dash.query.sparkline import height
from ml_dash.sdk.narration import look_command, near, page_url
from ml_dash.series import Kind, Series
from ml_dash.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ml_dash.query.journal_view import JournalView
    from ml_dash.query.row_source import RowSource
    from ml_dash.sdk.session import Session

_ROWS_DRAWN = 200
_FIELDS_SHOWN = 12
_PARAMS_SHOWN = 30
_LONGEST = 120
_WIDTH, _HEIGHT, _EDGE = 160, 32, 2


def experiment_html(session: Session) -> str:
    """Return an experiment: where it is, its parameters, and the charts of its first metrics."""
    return _shown(
        session, lambda view: [*_title(session), *_params(view), *_metrics(view, _all_metrics(view))]
    )


def params_html(session: Session) -> str:
    """Return the parameters as a table."""
    return _shown(session, lambda view: list(_params(view)) or ["<p>no parameters</p>"])


def metrics_html(session: Session, name: str | None = None, *, is_one: bool = False) -> str:
    """Return the fields of all metrics, or if `is_one` of the one of this name, with last values and charts."""

    def shown(view: JournalView) -> list[str]:
        chosen = [Series(Kind.METRIC, name)] if is_one else _all_metrics(view)
        return list(_metrics(view, chosen)) or ["<p>no rows</p>"]

    return _shown(session, shown)


def _shown(session: Session, parts: Callable[[JournalView], list[str]]) -> str:
    try:
        if session.destination.keeps or session.channel is not None:
            return "\n".join(parts(session.local_view))
        found = list(_title(session))  # it lies at a server alone, which is not asked
    except (MLDashError, OSError) as error:
        found = [f"<p>{_text(session.prefix)} cannot be shown: {_text(error)}</p>"]
    return "\n".join(found)


def _title(session: Session) -> Iterator[str]:
    status = session.run_status or (session.status().status if session.destination.keeps else None)
    page = page_url(session.destination.url, session.prefix)
    look = f"<code>{_text(look_command(session))}</code>"
    if page is not None:
        look = f'<a href="{escape(page)}" rel="noopener noreferrer" target="_blank">{_text(page)}</a>'
    yield f"<p><b>{_text(session.prefix)}</b> {_text(status or 'not started')}<br>"
    yield f"<code>{_text(near(session.directory))}</code><br>{look}</p>"


def _params(view: JournalView) -> Iterator[str]:
    params = view.params()
    rows = [[_text(name), _text(value)] for name, value in list(params.items())[:_PARAMS_SHOWN]]
    yield from _table(["parameter", "value"], rows, len(params) - len(rows))


def _all_metrics(view: JournalView) -> list[Series]:
    with view.reading() as source:
        return source.series(Kind.METRIC)


def _metrics(view: JournalView, metrics: Sequence[Series]) -> Iterator[str]:
    drawn: dict[tuple[Series, str], list[str]] = {}
    with view.reading() as source:
        fields = [(series, field) for series in metrics for field in source.fields(series)]
        chosen = sorted(fields, key=lambda each: rank(each[0].name, each[1]))[:_FIELDS_SHOWN]
        for series in dict.fromkeys(series for series, _ in chosen):  # a block has all fields of its series
            count = source.count(series)
            for field, values in _last_values(source, series, count):
                name = field if series.name is None else f"{series.name}/{field}"
                drawn[series, field] = [_text(name), f"{count:,}", f"{values[-1]:.6g}", _chart(name, values)]
    rows = [drawn[each] for each in chosen if each in drawn]
    yield from _table(["metric", "rows", "last", f"last {_ROWS_DRAWN} rows"], rows, len(fields) - len(chosen))


def _last_values(source: RowSource, series: Series, count: int) -> Iterable[tuple[str, list[float]]]:
    """Return the numbers of each field in the last rows; a field without any is left out."""
    found: dict[str, list[float]] = {}
    first = max(count - _ROWS_DRAWN, 0)
    for start, block in source.blocks(series, first, count):
        for column in block.columns:
            if column.type in "fi":
                rows = range(block.count) if column.rows is None else column.rows
                taken = zip(rows, column.values, strict=True)
                values = [float(value) for row, value in taken if start + int(row) >= first]
                found.setdefault(column.field, []).extend(values)
    return [(field, values) for field, values in found.items() if values]


def _chart(title: str, values: Sequence[float]) -> str:
    """Return a line through values as SVG, in the colour of the text; what is no finite number is a gap."""
    finite = [value for value in values if math.isfinite(value)]
    lines = []
    if finite:
        lowest, highest = min(finite), max(finite)
        points: list[str] = []
        for index, value in enumerate([*values, math.nan]):
            if math.isfinite(value):
                x = _EDGE + (_WIDTH - 2 * _EDGE) * index / max(len(values) - 1, 1)
                y = _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * height(value, lowest, highest)
                points.append(f"{x:.1f},{y:.1f}")
            elif points:
                lines.append(_line(points))
                points = []
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(visible(title))}" fill="none" '
        f'stroke="currentColor" stroke-width="1.5">{"".join(lines)}</svg>'
    )


def _line(points: Sequence[str]) -> str:
    if len(points) > 1:
        return f'<polyline points="{" ".join(points)}"/>'
    x, y = points[0].split(",")
    return f'<circle cx="{x}" cy="{y}" r="1"/>'


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> Iterator[str]:
    """Yield a table of cells that are HTML already; `left` rows are not in it."""
    if rows:
        head = "".join(f"<th>{title}</th>" for title in titles)
        body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        yield f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
    if left > 0:
        yield f"<p>and {left:,} more</p>"


def _text(value: Any) -> str:
    """Return text from elsewhere, short, and as nothing but text."""
    text = value if isinstance(value, str) else str(value)
    return escape(visible(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"))
