"""`ml-dash ls`: the experiments under a root, or at a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Annotated, Any

import typer
from rich.text import Text

from ml_dash.cli.listing import Columns, Line, Listing, known_record, list_roots, list_server
from ml_dash.cli.output import Screen, status_style, table
from ml_dash.cli.overview import report_damage, run_record
from ml_dash.cli.place import FilterText, PlaceUrl
from ml_dash.cli.roots import DEFAULT_ROOT, VARIABLE, Roots, all_of, chosen_root
from ml_dash.cli.select import AsJson, strange_hint
from ml_dash.cli.text import age_text, complain, count_text, print_json, size_text
from ml_dash.errors import InvalidArgumentError
from ml_dash.query.times import iso_time
from ml_dash.storage.unrecovered import Slabs
from ml_dash.visible import visible


class Status(str, Enum):
    """What an experiment's status can be, as an option's value."""

    running = "running"
    stale = "stale"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"
    unknown = "unknown"
    not_started = "not-started"
    unreadable = "unreadable"


_SHOWN = 5
"""Of how many experiments it is told in full that rows are missing."""
_STATUSES = ", ".join(each.value for each in Status)
_KEYS: dict[str, Callable[[Line], Any]] = {
    "prefix": lambda each: each.prefix,
    "status": lambda each: each.label,
    # what is largest or newest comes first
    "rows": lambda each: -each.rows,
    "metrics": lambda each: -each.metrics,
    "size": lambda each: -(each.bytes or 0),
    "activity": lambda each: -each.active_ns,
}


def ls(
    root: Annotated[
        str,
        typer.Argument(
            metavar="[ROOT]",
            help="Where to look; else ML_DASH_ROOT, or a .dash here, above or below.",
            callback=chosen_root,
            show_default=False,
        ),
    ] = DEFAULT_ROOT,
    *,
    filter: FilterText = None,
    columns: Annotated[
        list[str],
        typer.Option(
            "--columns",
            "-c",
            metavar="NAMES",
            help="Further columns, as a filter calls them: params.lr,val/acc,best(val/acc); params or metrics are all.",
        ),
    ] = [],  # noqa: B006 - typer wants a list, and makes a new one
    status: Annotated[
        list[Status],
        typer.Option(
            "--status",
            metavar="STATUS",
            help=f"Only experiments with this status: {_STATUSES}. May be repeated.",
        ),
    ] = [],  # noqa: B006
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            "-s",
            metavar="NAME",
            help=f"What to sort by: {', '.join(_KEYS)}, or what a filter may name; -NAME begins with the largest.",
        ),
    ] = "prefix",
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Reverse the order.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="How many at most.", show_default=False)
    ] = None,
    url: PlaceUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the experiments under a directory.

    Rows are those of metrics; the size is that of the journal. STALE is a run that is marked as running, but whose
    process is dead or silent. A ! marks damage, and rows that are missing. With --url, those of a server.
    """
    listing = _found(root, url, filter or "", sort, reverse=reverse, needs_all=bool(columns or as_json))
    lines = listing.lines
    if sort in _KEYS:
        lines = sorted(lines, key=_KEYS[sort], reverse=reverse)
    if status:
        wanted = {each.value for each in status}
        lines = [each for each in lines if each.label.lower().replace(" ", "-") in wanted]
    lines = lines[:limit]
    slabs = Slabs()
    missing = [_missing(each, slabs) for each in lines]
    if as_json:
        print_json([_record(each, texts) for each, texts in zip(lines, missing, strict=True)])
    elif lines:
        marked = [_is_damaged(each) or bool(texts) for each, texts in zip(lines, missing, strict=True)]
        _show(Screen(), lines, marked, Columns(columns, lines) if columns else None)
    else:
        where = url or ", ".join(map(repr, all_of(root)))
        asked = " with that status" if status else " that the filter asks for" if filter else ""
        is_given = url is None and isinstance(root, Roots) and root.is_given
        complain(f"no experiments under {where}{asked}{f' (which {VARIABLE} names)' if is_given else ''}")
    _report_missing(lines, missing)
    if _report(listing, lines):
        # Told at the end and by the exit code: what can be read is listed all the same.
        raise typer.Exit(1)


def _found(root: str, url: str | None, filter: str, sort: str, *, reverse: bool, needs_all: bool) -> Listing:
    order = None if sort in _KEYS else sort.removeprefix("-") if reverse and sort.startswith("-") else sort
    if order is not None and reverse and not sort.startswith("-"):
        order = f"-{sort}"
    if url is None:
        return list_roots(all_of(root), filter, order, None, needs_all=needs_all)
    if sort == "size":
        raise InvalidArgumentError(
            "--sort size: the size is that of a journal on this disk, which no server has"
        )
    return list_server(url, filter, order, None)


def _report(listing: Listing, lines: Sequence[Line]) -> bool:
    """Say what could not be read; return whether there is anything."""
    for root, strange in listing.strange:
        if hint := strange_hint(strange, root):
            complain(f"Note: {hint}")
    for path, reason in listing.refused.items():
        complain(f"Warning: cannot read {path!r}: {reason}")
    for each in lines:
        if each.problem:
            complain(f"Warning: {each.problem}")
        if each.overview is not None:
            report_damage(damage for damage in each.overview.damage if damage.unread)
    return bool(listing.refused) or any(
        each.problem or (each.overview is not None and each.overview.damage) for each in lines
    )


def _missing(each: Line, slabs: Slabs) -> list[str]:
    """Return why rows are missing that a dead process has logged."""
    run = None if each.overview is None else each.overview.run
    return [] if run is None else slabs.missing_of(run, dead_only=True)


def _report_missing(lines: Sequence[Line], missing: Sequence[Sequence[str]]) -> None:
    """Say of which experiments rows are missing; all that is listed is right, so the exit code stays."""
    found = [(each.prefix, texts) for each, texts in zip(lines, missing, strict=True) if texts]
    for prefix, texts in found[:_SHOWN]:
        complain(f"Warning: {prefix}: {'; '.join(texts)}")
    if len(found) > _SHOWN:
        complain(f"Warning: and {len(found) - _SHOWN:,} more like these; `ml-dash verify` lists them")


def _is_damaged(each: Line) -> bool:
    return each.overview is not None and bool(each.overview.damage)


def _record(each: Line, missing: Sequence[str]) -> dict[str, Any]:
    known = {} if each.listed is None else known_record(each.listed)
    if each.overview is None:
        listed = each.listed
        times = ("started_ns", "ended_ns", "active_ns")
        moments = [getattr(listed, name) for name in times]
        started, ended, active = (None if moment is None else iso_time(moment) for moment in moments)
        return {
            "prefix": each.prefix,
            "url": each.place,
            "status": listed and listed.status,
            "stale": listed and listed.stale,
            "startedAt": started,
            "endedAt": ended,
            "lastActivity": active,
            "host": listed and listed.host,
            "error": listed and listed.error,
            "rows": each.rows,
            "metrics": each.metrics,
            "problem": each.problem,
            **known,
        }
    return {
        "prefix": each.prefix,
        "directory": each.overview.located.directory,
        **run_record(each.overview.run),
        "rows": each.rows,
        "metrics": each.metrics,
        "bytes": each.bytes,
        "damaged": not all(damage.unread for damage in each.overview.damage),
        "missing": list(missing),
        "problem": each.problem,
        **known,
    }


def _show(screen: Screen, lines: Sequence[Line], marked: Sequence[bool], columns: Columns | None) -> None:
    now = time.time_ns()
    places = {each.place for each in lines}
    where = [] if len(places) == 1 else ["root"]
    more = [">metrics", ">size"] if columns is None else columns.titles
    drawn = table(
        [*where, "experiment", "status", ">rows", *more, "last activity"],
        [
            [
                *([each.place] if where else []),
                each.prefix,
                _status(each, is_marked=is_marked),
                *_numbers(each, now, None if columns is None else columns.cells(each)),
            ]
            for each, is_marked in zip(lines, marked, strict=True)
        ],
    )
    narrow = (
        _lines(each, now, screen.width, columns, is_marked=is_marked)
        for each, is_marked in zip(lines, marked, strict=True)
    )
    screen.show_either(drawn, narrow)


def _numbers(each: Line, now: int, cells: list[str] | None = None) -> list[str]:
    age = age_text(each.active_ns, now) if each.active_ns else "-"
    if each.problem:
        return ["-", *(cells if cells is not None else ["-", "-"]), age]
    size = "-" if each.bytes is None else size_text(each.bytes)
    return [f"{each.rows:,}", *(cells if cells is not None else [f"{each.metrics:,}", size]), age]


def _status(each: Line, *, is_marked: bool) -> Text:
    mark = " !" if is_marked else ""
    return Text(visible(each.label) + mark, style=status_style(each.label))


def _lines(each: Line, now: int, width: int, columns: Columns | None, *, is_marked: bool) -> Text:
    """Return an experiment on two lines, or more, for a screen that is too narrow for the table."""
    parts = [_numbers(each, now)[-1]]
    if not each.problem:
        parts += [count_text(each.rows, "row"), count_text(each.metrics, "metric")]
        parts += [] if each.bytes is None else [size_text(each.bytes)]
    if columns is not None:
        titles = (title.removeprefix(">") for title in columns.titles)
        parts += [visible(f"{title}={cell}") for title, cell in zip(titles, columns.cells(each), strict=True)]
    drawn = Text.assemble(visible(each.prefix), "\n  ", _status(each, is_marked=is_marked), overflow="fold")
    column = 2 + len(drawn.plain.rpartition("\n  ")[2])
    for part in parts:
        fits = column + 2 + len(part) <= width
        drawn.append(f"  {part}" if fits else f"\n    {part}")
        column = (column + 2 if fits else 4) + len(part)
    return drawn
