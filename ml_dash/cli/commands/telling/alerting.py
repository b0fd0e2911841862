"""`ml-dash alerts`: what scripts have said by `exp.alert`."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any

import typer

from ml_dash.cli.one_view import open_view
from ml_dash.cli.output import Screen, table
from ml_dash.cli.overview import report_damage
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, ExperimentName, Root, ServerOption
from ml_dash.cli.text import complain, local_time, print_json
from ml_dash.query.times import iso_ns
from ml_dash.query.view import View
from ml_dash.visible import visible

_AT_ONCE = 1000
_STYLES = {"warning": "yellow", "error": "red"}


def alerts(
    exp: ExperimentName,
    *,
    level: Annotated[
        str | None,
        typer.Option("--level", metavar="LEVEL", help="Only info, warning or error.", show_default=False),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search", metavar="TEXT", help="Only with this in the title or the text.", show_default=False
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=1, help="How many of the last ones to show.")
    ] = 100,
    root: Root = DEFAULT_ROOT,
    url: ServerOption = None,
    as_json: AsJson = False,
) -> None:
    """Print what a script has said by exp.alert, the newest last."""
    from rich.text import Text

    with open_view(exp, root, url) as viewed:
        total, rows = _last(viewed.view, level, search, count)
    if as_json:
        print_json({"prefix": viewed.prefix, "total": total, "alerts": rows})
    elif not rows:
        complain("no alerts")
    else:
        lines: list[list[str | Text]] = [
            [
                local_time(iso_ns(row["timestamp"]) or 0),
                Text(visible(str(row["level"])), _STYLES.get(str(row["level"]), "")),
                str(row["title"]),
                str(row["text"]) + (f"  ({row['held']} more were held back)" if row["held"] else ""),
            ]
            for row in rows
        ]
        Screen().show(table(["time", "level", "title", "text"], lines))
        if total > len(rows):
            complain(f"the last {len(rows):,} of {total:,}: -n shows more")
    if report_damage(viewed.damage):
        raise typer.Exit(1)


def _last(view: View, level: str | None, search: str | None, count: int) -> tuple[int, list[dict[str, Any]]]:
    """Return how many there are, and the last of them."""
    total = view.alerts(level, search, 0, 0)["total"]
    is_all = level is None and search is None
    # an index is a row's place among all: which are the last of some is known when all were looked at
    start = max(0, total - count) if is_all else 0
    rows: deque[dict[str, Any]] = deque(maxlen=count)
    while True:
        page = view.alerts(level, search, start, _AT_ONCE)
        rows.extend(page["data"])
        if not page["hasMore"]:
            return total, list(rows)
        start = page["endIndex"] + 1
