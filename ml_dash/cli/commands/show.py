"""`ml-dash show`: all about one experiment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from ml_dash.cli.attempts import AttemptOption, attempt_choice, attempt_of, run_of
from ml_dash.cli.commands.files import uploaded_text
from ml_dash.cli.commands.metric_table import (
    MetricSummary,
    metric_table,
    summarize_metrics,
    summarize_shown,
)
from ml_dash.cli.output import RowLines, Screen, status_style, table
from ml_dash.cli.overview import (
    Overview,
    damage_of,
    open_index,
    report_damage,
    run_record,
    status_label,
    summarize,
)
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.rows import AnyRows, Remote, last_of, open_server_rows
from ml_dash.cli.select import (
    AsJson,
    ExperimentName,
    MetricChoice,
    MetricNames,
    Root,
    ServerOption,
    find_experiment,
)
from ml_dash.cli.surroundings import surroundings_facts
from ml_dash.cli.terminal import plain_text
from ml_dash.cli.text import (
    age_text,
    count_text,
    local_time,
    print_json,
    size_text,
    value_text,
)
from ml_dash.journal.damage import Damage
from ml_dash.journal.index import JournalIndex
from ml_dash.protocol import DESCRIBED
from ml_dash.query.environments import newest
from ml_dash.query.files import FilesReader, full_name
from ml_dash.query.journal_attempts import environments_of
from ml_dash.query.journal_view import JournalView
from ml_dash.query.row_source import read_params
from ml_dash.query.runs import RunInfo
from ml_dash.query.selection import AttemptChoice
from ml_dash.query.times import duration_text, iso_time
from ml_dash.series import Kind, Series
from ml_dash.storage.unrecovered import missing_of
from ml_dash.visible import visible

_LOGS, _ALERTS = Series(Kind.LOG, None), Series(Kind.ALERT, None)
# What a window or two hold; the sections say how to see the rest.
_METRICS_SHOWN = 20
_LOGS_SHOWN = 10
_FILES_SHOWN = 5
_ALERTS_SHOWN = 10


def show(
    exp: ExperimentName,
    *,
    root: Root = DEFAULT_ROOT,
    metric: MetricNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    all_metrics: Annotated[
        bool, typer.Option("--all", help=f"Show all metrics, not only the first {_METRICS_SHOWN}.")
    ] = False,
    logs: Annotated[
        int, typer.Option("--logs", metavar="N", min=0, help="How many of the last log messages to show.")
    ] = _LOGS_SHOWN,
    attempt: AttemptOption = None,
    url: ServerOption = None,
    as_json: AsJson = False,
) -> None:
    """Show all about one experiment.

    That is: status, parameters, metrics with sparklines and statistics, tracks, the newest files, and the last
    alerts and log messages. With --attempt N, how that attempt went, in what surroundings, and its rows of the metrics.
    """
    choice = attempt_choice(attempt)
    if url is not None:
        with open_server_rows(exp, url) as there:
            _tell(_at_server(there, choice), metric, all_metrics=all_metrics, logs=logs, as_json=as_json)
        return
    located = find_experiment(exp, root)
    index = open_index(located)
    subject = _here(summarize(located, index), index, choice)
    _tell(subject, metric, all_metrics=all_metrics, logs=logs, as_json=as_json)
    if report_damage(subject.damage()):
        raise typer.Exit(1)


class _Subject(NamedTuple):
    """What is shown, of this disk or of a server.

    `place` says where it is, by the name that it has in JSON; `size` is that of the journal, where it is here;
    `attempt` is the one that is asked for, and that `run` is about then.
    """

    prefix: str
    place: tuple[str, str]
    label: str
    run: RunInfo | None
    attempt: Mapping[str, Any] | None
    row_count: int
    size: int | None
    rows: AnyRows
    params: dict[str, Any]
    environment: dict[str, Any]
    files: list[dict[str, Any]]
    damage: Callable[[], Sequence[Damage]]
    summarize: Callable[[Sequence[Series]], list[MetricSummary]]


def _here(overview: Overview, index: JournalIndex, choice: AttemptChoice) -> _Subject:
    located = overview.located
    run, label, environments = overview.run, overview.label, environments_of(index)
    chosen = None
    if run is not None and isinstance(choice, int):
        chosen = attempt_of(choice, JournalView(located.journal, disk=located.disk, warns=False).attempts())
        run, label, environments = _of_attempt(chosen, run, environments)
    return _Subject(
        located.prefix,
        ("directory", located.directory),
        label,
        run,
        chosen,
        overview.rows,
        overview.bytes,
        index,
        read_params(index),
        newest(environments),
        FilesReader().table(index).rows(),
        # when all is read that is shown: what cannot be is found then
        lambda: damage_of(located, index),
        lambda metrics: summarize_metrics(index, metrics, choice),
    )


def _at_server(there: Remote, choice: AttemptChoice) -> _Subject:
    about = {name: there.record.get(name) for name in DESCRIBED}
    run = replace(there.view.run(), experiment={"prefix": there.prefix, **about})
    label, environments = status_label(run), there.view.environments()
    chosen = None
    if isinstance(choice, int):
        chosen = attempt_of(choice, there.view.attempts())
        run, label, environments = _of_attempt(chosen, run, environments)
    rows = there.record.get("rows")
    return _Subject(
        there.prefix,
        ("url", there.url),
        label,
        run,
        chosen,
        rows if isinstance(rows, int) else 0,
        None,
        there.rows,
        there.view.params(),
        newest(environments),
        there.view.files(),
        tuple,
        lambda metrics: [summarize_shown(each, there.view.shown(each, choice)) for each in metrics],
    )


def _of_attempt(
    attempt: Mapping[str, Any], run: RunInfo, environments: Sequence[dict[str, Any]]
) -> tuple[RunInfo, str, list[dict[str, Any]]]:
    """Return how an attempt stands, in a word, too, and what surrounded its processes."""
    its = run_of(attempt, run)
    surroundings = [each for each in environments if each["attempt"] == attempt["number"]]
    return its, status_label(its), surroundings


def _tell(subject: _Subject, metric: Sequence[str], *, all_metrics: bool, logs: int, as_json: bool) -> None:
    chosen = MetricChoice(metric, subject.rows.series(Kind.METRIC)).pick()
    if as_json:
        print_json(_record(subject, subject.summarize(chosen), logs))
        return
    screen = Screen()
    # Only what is shown is read: a run may have ten thousand metrics.
    shown = chosen if metric or all_metrics else chosen[:_METRICS_SHOWN]
    status = (visible(subject.label), status_style(subject.label))
    screen.show(Text.assemble((visible(subject.prefix), "bold"), "  ", status))
    surroundings = surroundings_facts(subject.environment)
    facts = [(name, fact) for name, fact in (*_facts(subject), *surroundings) if fact]
    screen.show(table(["", ""], facts, header=False, indent=2))
    if subject.params:
        rows = [(key, value_text(value)) for key, value in subject.params.items()]
        screen.show(_title("Parameters"), table(["", ""], rows, header=False, indent=2))
    _show_metrics(screen, subject.summarize(shown), len(chosen))
    if tracks := subject.rows.series(Kind.TRACK):
        rows = [(str(series.name), count_text(subject.rows.count(series), "entry")) for series in tracks]
        screen.show(_title("Tracks"), table(["", ">"], rows, header=False, indent=2))
    _show_files(screen, subject)
    _show_lines(screen, subject.rows, "Alerts", _ALERTS, _ALERTS_SHOWN)
    _show_lines(screen, subject.rows, "Logs", _LOGS, logs)


def _record(subject: _Subject, summaries: Sequence[MetricSummary], logs: int) -> dict[str, Any]:
    run, rows = subject.run, subject.rows
    return {
        "prefix": subject.prefix,
        subject.place[0]: subject.place[1],
        **run_record(run),
        "durationSeconds": None if (duration := _duration(run)) is None else duration / 1e9,
        "experiment": run and run.experiment,
        "writers": run and run.writers,
        "attempts": run and run.attempts,
        "attempt": subject.attempt and subject.attempt["number"],
        "rows": subject.row_count,
        "bytes": subject.size,
        "environment": subject.environment,
        "params": subject.params,
        "metrics": [each.as_dict() for each in summaries],
        "tracks": [{"name": series.name, "count": rows.count(series)} for series in rows.series(Kind.TRACK)],
        "files": _files_record(subject),
        "logs": [{"timestamp": iso_time(row.time_ns), **row.fields} for row in last_of(rows, [_LOGS], logs)],
        "alerts": {
            "count": rows.count(_ALERTS),
            "newest": [
                {"timestamp": iso_time(row.time_ns), **row.fields}
                for row in last_of(rows, [_ALERTS], _ALERTS_SHOWN)
            ],
        },
        "missing": missing_of(run) if run is not None else [],
        "damage": [each._asdict() for each in subject.damage()],
    }


def _duration(run: RunInfo | None) -> int | None:
    """Return for how long the run has gone on, or went on as far as its rows tell, in nanoseconds."""
    if run is None or run.started_at is None:
        return None
    # Of a run whose process is gone nobody knows when it ended: its last row is the latest that is sure.
    end = run.ended_at or (run.last_activity if run.stale else time.time_ns())
    return None if end is None else max(end - run.started_at, 0)


def _facts(subject: _Subject) -> Iterator[tuple[str, str]]:
    run = subject.run
    if run is None:
        return
    said = run.experiment or {}
    yield "about", _first_line(said.get("readme"))
    yield "tags", _joined(said.get("tags"))
    yield "bindrs", _joined(said.get("bindrs"))
    yield "metadata", value_text(said["metadata"]) if said.get("metadata") else ""
    if run.started_at is not None:
        yield "started", local_time(run.started_at)
    duration = _duration(run)
    since = ", since the first attempt began" if run.attempts > 1 and subject.attempt is None else ""
    yield "duration", "" if duration is None else f"{duration_text(duration)}{since}"
    process = "" if run.pid is None else f", process {run.pid}"
    yield "host", "" if run.host is None else f"{run.host}{process}"
    yield "error", plain_text(run.error or "")
    if run.last_activity is not None:
        yield "activity", age_text(run.last_activity, time.time_ns())
    if subject.attempt is not None:
        yield "attempt", f"{subject.attempt['number']:,} of {run.attempts:,}"
    elif run.attempts > 1:
        yield "attempts", f"{run.attempts:,}"
    size = "" if subject.size is None else size_text(subject.size)
    counts = count_text(subject.row_count, "row"), size, count_text(run.writers, "writer")
    yield "journal" if size else "rows", ", ".join(filter(None, counts))
    yield "queue", run.queue or ""
    yield (
        "recovered",
        f"{count_text(run.recovered, 'event')} of a process that had died" if run.recovered else "",
    )
    # Whether its process lives or not: this may be a copy.
    for text in missing_of(run):
        yield "missing", plain_text(text)
    yield subject.place


def _first_line(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        return ""
    first, *more = text.strip().splitlines()
    return f"{first} ..." if more else first


def _joined(names: Any) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list) else ""


def _show_metrics(screen: Screen, summaries: Sequence[MetricSummary], available: int) -> None:
    if summaries:
        screen.show(_title("Metrics"), metric_table(screen, summaries))
    if len(summaries) < available:
        hint = f"  and {available - len(summaries):,} more metrics: choose by --metric NAME, or show --all"
        screen.show(Text(hint, "dim"))


def _show_lines(screen: Screen, source: AnyRows, title: str, series: Series, limit: int) -> None:
    rows = last_of(source, [series], limit)
    if rows:
        count = source.count(series)
        lines = RowLines(screen)
        screen.show(_title(title if count <= limit else f"{title}, the last {len(rows)} of {count:,}"))
        screen.show_lines([lines.line(row) for row in rows])


def _title(text: str) -> Text:
    return Text(f"\n{text}", "bold")


def _newest_first(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(files, key=lambda row: str(row["uploadedAt"]), reverse=True)


def _files_record(subject: _Subject) -> dict[str, Any]:
    rows = _newest_first(subject.files)
    return {
        "count": len(rows),
        "bytes": sum(row["sizeBytes"] for row in rows),
        "newest": rows[:_FILES_SHOWN],
    }


def _show_files(screen: Screen, subject: _Subject) -> None:
    rows = _newest_first(subject.files)
    if not rows:
        return
    now = time.time_ns()
    shown = [
        (full_name(row), size_text(row["sizeBytes"]), uploaded_text(row, now)) for row in rows[:_FILES_SHOWN]
    ]
    total = f"{count_text(len(rows), 'file')}, {size_text(sum(row['sizeBytes'] for row in rows))}"
    screen.show(_title(f"Files, {total}"), table(["", ">", ""], shown, header=False, indent=2))
    if len(rows) > len(shown):
        hint = f"  and {len(rows) - len(shown):,} older ones: `ml-dash files` lists them"
        screen.show(Text(hint, "dim"))
