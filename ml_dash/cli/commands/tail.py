"""`ml-dash tail`: the last rows and log messages, and those that come."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from ml_dash.cli.exporting.text_formats import iso_exact
from ml_dash.cli.output import RowLines, Screen
from ml_dash.cli.overview import damage_of, open_index, report_damage, status_label, status_of
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.rows import AnyRows, OwnRows, Remote, last_of, open_server_rows
from ml_dash.cli.select import (
    AsJson,
    ExperimentName,
    MetricChoice,
    MetricNames,
    RankOption,
    Root,
    ServerOption,
    find_experiment,
)
from ml_dash.cli.terminal import plain_text
from ml_dash.cli.text import complain, print_json_line
from ml_dash.client.view import RemoteView
from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.blocks import Block
from ml_dash.journal.follow import Follower
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.sweep import Row, rows_of
from ml_dash.query.runs import RunInfo, WriterRuns, writer_runs
from ml_dash.query.times import duration_text
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus

# Polled: each system has another call that tells of changes, and none tells of those on a network disk. Rows are to be
# seen within a tenth of a second; each look has a live process write what waits, which takes it half a millisecond.
_POLL_SECONDS = 0.08
_ASK_SECONDS = 1.0
"""Between two questions to a server."""


def tail(
    exp: ExperimentName,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new rows until the run has ended.")
    ] = False,
    count: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many of the last rows to show.")
    ] = 10,
    root: Root = DEFAULT_ROOT,
    metric: MetricNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    logs: Annotated[
        bool, typer.Option("--logs", help="Only messages and alerts, and what --metric names.")
    ] = False,
    console: Annotated[bool, typer.Option("--console", help="Only what the script has printed.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="With -f: go on after the run has ended.")] = False,
    url: ServerOption = None,
    rank: RankOption = None,
    as_json: AsJson = False,
) -> None:
    """Print the last rows and log messages.

    Metrics, tracks, log messages and alerts come together, in order of time. With -f it goes on until the run has ended
    and everything is shown, or until Ctrl-C. With --rank it is the metrics of that rank alone.
    With --json each is an object on a line of its own.
    """
    if rank is not None and (logs or console):
        raise InvalidArgumentError(
            "--rank chooses rows of metrics: --logs and --console are always of all ranks"
        )
    kinds = {
        Kind.METRIC: bool(metric) or not (logs or console),
        Kind.TRACK: not (metric or logs or console or rank is not None),
        Kind.LOG: logs or not (metric or console or rank is not None),
        Kind.ALERT: logs or not (metric or console or rank is not None),
        Kind.CONSOLE: console,
    }

    def printing(rows: AnyRows, view: RemoteView | None = None) -> _Printer:
        choice = MetricChoice(metric, rows.series(Kind.METRIC))
        # With -f a metric may be yet to come, and an unknown name is no error.
        if metric and not follow:
            choice.pick()
        own = None if rank is None else OwnRows(rank, rows, view, checks=not follow)
        return _Printer(choice, {kind for kind, wanted in kinds.items() if wanted}, own, as_json=as_json)

    if url is not None:
        with open_server_rows(exp, url) as there, _leaving(follow):
            printer = printing(there.rows, there.view)
            printer.show_last(there.rows, count)
            if follow:
                _follow_server(there, printer, keep=keep)
        return
    located = find_experiment(exp, root)
    index = open_index(located)
    printer = printing(index)
    # From the first line on that is seen, Ctrl-C is how one leaves what follows.
    with _leaving(follow):
        printer.show_last(index, count)
        if follow:
            _follow(index, printer, keep=keep)
    if report_damage(damage_of(located, index)):
        raise typer.Exit(1)


def _leaving(follow: bool) -> contextlib.AbstractContextManager[None]:
    """Let Ctrl-C be how one leaves what follows."""
    return contextlib.suppress(KeyboardInterrupt) if follow else contextlib.nullcontext()


class _Printer:
    def __init__(self, choice: MetricChoice, kinds: set[Kind], own: OwnRows | None, *, as_json: bool) -> None:
        self.own = own
        self._choice = choice
        self._kinds = kinds
        self._screen = Screen()
        self._lines = RowLines(self._screen)
        self._as_json = as_json

    def wanted(self, rows: AnyRows) -> list[Series]:
        return [series for kind in self._kinds for series in rows.series(kind) if self._takes(series)]

    def show_last(self, rows: AnyRows, count: int) -> None:
        last = last_of(rows, self.wanted(rows), count, self.own)
        self._print(last)

    def show(self, blocks: Iterable[Block]) -> None:
        rows = rows_of(block for block in blocks if self._takes(block.series))
        if rows:
            self._print(rows)

    def _print(self, rows: Iterable[Row]) -> None:
        if self._as_json:
            for row in rows:
                print_json_line(_record(row))
        else:
            self._screen.show_lines([self._lines.line(row) for row in rows])
        # at once: who follows is waiting for it
        sys.stdout.flush()

    def _takes(self, series: Series) -> bool:
        return series.kind in self._kinds and (series.kind is not Kind.METRIC or self._choice.takes(series))


def _record(row: Row) -> dict[str, Any]:
    return {
        "kind": row.series.kind.name.lower(),
        "name": row.series.name,
        "timestamp": iso_exact(row.time_ns),
        "fields": row.fields,
    }


def _follow(index: JournalIndex, printer: _Printer, *, keep: bool) -> None:
    """Print what comes, until the run has ended."""
    follower = Follower(index)
    # From where `show_last` ended: the index was not refreshed since, so no row is missed or shown twice.
    follower.skip()
    watch = _Watch(index)
    while True:
        for writer, blocks in follower.news():
            if printer.own is None or printer.own.is_writer(writer):
                printer.show(blocks)
            watch.add(writer, blocks)
        # After the news: the end of a run is a row as well, and what was written before it is shown by now.
        if _is_over(status_of(watch.writers), keep=keep):
            return
        time.sleep(_POLL_SECONDS)


def _follow_server(there: Remote, printer: _Printer, *, keep: bool) -> None:
    """Print what comes at a server, until the run has ended there."""
    rows = there.rows
    # from where `show_last` ended: how many there are was not asked since
    seen = {series: rows.count(series) for series in printer.wanted(rows)}
    while True:
        # before the news: what was there when the run had ended is shown then
        run = there.view.run()
        rows.refresh()
        for series in printer.wanted(rows):
            if (known := rows.count(series)) > (before := seen.get(series, 0)):
                news = rows.blocks(series, before, known)
                own = printer.own
                printer.show((block for _, block in news) if own is None else own.pieces(series, news))
                seen[series] = known
        if _is_over(run, keep=keep):
            return
        time.sleep(_ASK_SECONDS)


def _is_over(run: RunInfo, *, keep: bool) -> bool:
    """Say whether a run has ended, and if so, say it."""
    if keep or run.status is None or (run.status == RunStatus.RUNNING and not run.stale):
        return False
    after = ""
    if run.started_at is not None and run.ended_at is not None:
        after = f" after {duration_text(run.ended_at - run.started_at)}"
    complain(f"-- {status_label(run)}{after}{': ' + plain_text(run.error) if run.error else ''}")
    return True


class _Watch:
    """What the writers say of their runs, kept up to date without reading anything twice."""

    def __init__(self, index: JournalIndex) -> None:
        self._runs = {writer: _pruned(each) for writer, each in writer_runs(index).items()}

    @property
    def writers(self) -> list[WriterRuns]:
        return [self._runs[writer] for writer in sorted(self._runs)]

    def add(self, writer: str, blocks: Iterable[Block]) -> None:
        import numpy as np

        known = self._runs.get(writer, WriterRuns([], None))
        rows, last_ns = known.rows, known.last_ns
        for block in blocks:
            latest = int(np.max(block.times))
            last_ns = latest if last_ns is None else max(last_ns, latest)
            if block.series.kind is Kind.RUN:
                rows = [*rows, *((row.time_ns, row.fields) for row in rows_of([block]))]
        self._runs[writer] = _pruned(WriterRuns(rows, last_ns, time.time_ns()))


def _pruned(runs: WriterRuns) -> WriterRuns:
    """Return the rows without old heartbeats: a week has twenty thousand, and only the newest says anything."""
    beats = [at for at, (_, row) in enumerate(runs.rows) if row.get("event") == "heartbeat"]
    if len(beats) < 2:
        return runs
    newest = max(beats, key=lambda at: runs.rows[at][0])
    old = set(beats) - {newest}
    return runs._replace(rows=[row for at, row in enumerate(runs.rows) if at not in old])
