"""`ml-dash ls`: the experiments under a root."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from enum import Enum
from typing import Annotated, Any

import typer
from rich.text import Text

from ml_dash.cli.output import Screen, status_style, table
from ml_dash.cli.overview import Overview, overview_of, report_damage, run_record
from ml_dash.cli.select import DEFAULT_ROOT, AsJson, given_path, strange_hint
from ml_dash.cli.text import age_text, complain, count_text, print_json, size_text
from ml_dash.settings import Settings
from ml_dash.storage.summaries.asking import records
from ml_dash.storage.summaries.root import RootIndex
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


_STATUSES = ", ".join(each.value for each in Status)


class Order(str, Enum):
    """What experiments can be sorted by."""

    prefix = "prefix"
    status = "status"
    rows = "rows"
    metrics = "metrics"
    size = "size"
    activity = "activity"


_KEYS: dict[Order, Callable[[Overview], Any]] = {
    Order.prefix: lambda each: each.located.prefix,
    Order.status: lambda each: each.label,
    # what is largest or newest comes first
    Order.rows: lambda each: -each.rows,
    Order.metrics: lambda each: -each.metrics,
    Order.size: lambda each: -each.bytes,
    Order.activity: lambda each: -((each.run and each.run.last_activity) or 0),
}


def ls(
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="Where to look.", callback=given_path)
    ] = DEFAULT_ROOT,
    *,
    status: Annotated[
        list[Status],
        typer.Option(
            "--status",
            metavar="STATUS",
            help=f"Only experiments with this status: {_STATUSES}. May be repeated.",
        ),
    ] = [],  # noqa: B006 - typer wants a list, and makes a new one
    sort: Annotated[Order, typer.Option("--sort", "-s", help="What to sort by.")] = Order.prefix,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Reverse the order.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the experiments under a directory.

    Rows are those of metrics; the size is that of the journal. STALE is a run
    that is marked as running, but whose process is dead or silent. A ! marks damage.
    """
    with closing(RootIndex(root, Settings.from_environment().stale_after)) as index:
        found = index.look()
        overviews = index.ask(lambda _: [overview_of(record) for record in records(index)])
    overviews = sorted(overviews, key=_KEYS[sort], reverse=reverse)
    if status:
        wanted = {each.value for each in status}
        overviews = [each for each in overviews if each.label.lower().replace(" ", "-") in wanted]
    if as_json:
        print_json([_record(each) for each in overviews])
    elif overviews:
        _show(Screen(), overviews)
    else:
        complain(f"no experiments under {root!r}" + (" with that status" if status else ""))
    if hint := strange_hint(found.strange, root):
        complain(f"Note: {hint}")
    for path, reason in found.refused.items():
        complain(f"Warning: cannot read {path!r}: {reason}")
    for each in overviews:
        if each.problem:
            complain(f"Warning: {each.problem}")
        report_damage(damage for damage in each.damage if damage.unread)
    # Told at the end and by the exit code: what can be read is listed all the same.
    if found.refused or any(each.problem or each.damage for each in overviews):
        raise typer.Exit(1)


def _record(each: Overview) -> dict[str, Any]:
    return {
        "prefix": each.located.prefix,
        "directory": each.located.directory,
        **run_record(each.run),
        "rows": each.rows,
        "metrics": each.metrics,
        "bytes": each.bytes,
        "damaged": not all(damage.unread for damage in each.damage),
        "problem": each.problem,
    }


def _show(screen: Screen, overviews: Sequence[Overview]) -> None:
    now = time.time_ns()
    drawn = table(
        ["experiment", "status", ">rows", ">metrics", ">size", "last activity"],
        [[each.located.prefix, _status(each), *_numbers(each, now)] for each in overviews],
    )
    screen.show_either(drawn, (_lines(each, now, screen.width) for each in overviews))


def _numbers(each: Overview, now: int) -> list[str]:
    active = each.run and each.run.last_activity
    age = age_text(active, now) if active else "-"
    if each.problem:
        return ["-", "-", "-", age]
    return [f"{each.rows:,}", f"{each.metrics:,}", size_text(each.bytes), age]


def _status(each: Overview) -> Text:
    return Text(visible(each.label) + (" !" if each.damage else ""), style=status_style(each.label))


def _lines(each: Overview, now: int, width: int) -> Text:
    """Return an experiment on two lines, or more, for a screen that is too narrow for the table."""
    parts = [_numbers(each, now)[-1]]
    if not each.problem:
        parts += [count_text(each.rows, "row"), count_text(each.metrics, "metric"), size_text(each.bytes)]
    drawn = Text.assemble(visible(each.located.prefix), "\n  ", _status(each), overflow="fold")
    column = 2 + len(drawn.plain.rpartition("\n  ")[2])
    for part in parts:
        fits = column + 2 + len(part) <= width
        drawn.append(f"  {part}" if fits else f"\n    {part}")
        column = (column + 2 if fits else 4) + len(part)
    return drawn
