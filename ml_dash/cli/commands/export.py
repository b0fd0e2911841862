"""`ml-dash export`: rows as CSV, JSON lines or parquet; whole experiments as tables or event files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Annotated

import typer

from ml_dash.cli.attempts import AttemptOption, attempt_choice
from ml_dash.cli.exporting.parquet import import_pyarrow, write_parquet
from ml_dash.cli.exporting.source import Content, Source
from ml_dash.cli.exporting.text_formats import write_csv, write_jsonl
from ml_dash.cli.exporting.whole import export_whole, written
from ml_dash.cli.overview import damage_of, open_index, report_damage
from ml_dash.cli.place import FilterText
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.rows import AnyRows, open_server_rows
from ml_dash.cli.select import (
    AsJson,
    MetricChoice,
    MetricNames,
    RankOption,
    Root,
    ServerOption,
    find_experiment,
    given_path,
)
from ml_dash.cli.text import complain, count_text, print_json, standard_output
from ml_dash.errors import InvalidArgumentError
from ml_dash.query.axes.ranks import Ranks, journal_ranks, known_rank, ranks_of
from ml_dash.query.journal_attempts import JournalAttempts
from ml_dash.query.selection import AttemptChoice, Shown
from ml_dash.series import Series
from ml_dash.storage.placing import place_at, writing


class Format(str, Enum):
    """Formats to export to; a file's name may end with them."""

    auto = "auto"
    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"
    tensorboard = "tensorboard"


_BY_ENDING = {
    "jsonl": Format.jsonl,
    "ndjson": Format.jsonl,
    "parquet": Format.parquet,
    "pq": Format.parquet,
}
# What promises another format. Endings that promise none, as of `run.txt` or `eval-0.5`, are no reason to ask.
_OTHERS = frozenset(
    {"arrow", "avro", "db", "duckdb", "feather", "h5", "hdf5", "html", "ipc", "json", "npy", "npz"}
)
_OTHERS |= {"md", "ods", "orc", "pickle", "pkl", "sqlite", "tsv", "xls", "xlsm", "xlsx", "xml", "yaml"}
_OTHERS |= {"bz2", "gz", "xz", "zip", "zst"}


def export(
    exp: Annotated[
        str | None,
        typer.Argument(
            metavar="[EXP]",
            help="A prefix, an experiment's directory, or the last part of a prefix; or a pattern such as "
            "'alice/vision/**', of which whole experiments are exported.",
            show_default=False,
        ),
    ] = None,
    *,
    format: Annotated[
        Format,
        typer.Option("--format", "-F", help="The format to write; auto is what FILE ends with, or csv."),
    ] = Format.auto,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write; - is standard output. Of whole experiments, a directory.",
            callback=given_path,
        ),
    ] = "-",
    root: Root = DEFAULT_ROOT,
    metric: MetricNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    logs: Annotated[bool, typer.Option("--logs", help="Export the log messages.")] = False,
    tracks: Annotated[bool, typer.Option("--tracks", help="Export the tracks.")] = False,
    url: ServerOption = None,
    attempt: AttemptOption = None,
    filter: FilterText = None,
    rank: RankOption = None,
    as_json: AsJson = False,
) -> None:
    """Export rows, or whole projects, to other formats.

    Rows of one experiment become CSV, JSON lines or parquet: of all metrics by default, or the log messages, or the
    tracks; every value as it was logged. Of rows that an attempt has logged again (run.start(resume_from=STEP)), the
    newest ones, unless --attempt says otherwise.
    A column has the metric of each row, unless only one --metric is named, and one the rank, where processes of a
    distributed training have logged. FILE is replaced when all is written.
    Of a pattern or a --filter, whole experiments go into a directory: as tables of parquet, or as event files of
    TensorBoard.
    With --json, standard output has JSON lines of the rows, or with -o an object that tells what was written.
    """
    if exp is None or "*" in exp or filter is not None or format is Format.tensorboard:
        if metric or logs or tracks or attempt is not None or rank is not None:
            raise InvalidArgumentError(
                "--metric, --logs, --tracks, --attempt and --rank choose among rows of one experiment, as CSV, JSON "
                "lines or parquet: whole experiments are exported with all that they have"
            )
        export_whole(exp, filter, format.value, output, root, url, as_json=as_json)
        return
    if bool(metric) + logs + tracks > 1:
        raise InvalidArgumentError("--metric, --logs and --tracks have different columns: give one at a time")
    if logs or tracks:
        _refuse_of_all({"attempt": attempt, "rank": rank})
    choice = attempt_choice(attempt)
    chosen = _chosen(format, output, as_json=as_json)
    if url is not None:
        with open_server_rows(exp, url) as there:
            source = _source(there.rows, metric, logs=logs, tracks=tracks)
            view = there.view
            source = _of_attempt(
                source,
                choice,
                lambda: len(view.attempts()),
                lambda series: view.shown_of_ranks(series, choice, rank),
            )
            _tell(_write(source, chosen, output), source, output, there.prefix, chosen, as_json=as_json)
        return
    located = find_experiment(exp, root)
    index = open_index(located)
    source = _source(index, metric, logs=logs, tracks=tracks)
    known = JournalAttempts()
    wanted = known_rank(rank, ranks_of(index.catalogues))

    def shown_of(series: Series) -> tuple[Shown, Ranks | None]:
        shown, ranks = known.shown(index, series, known.of(index), choice), journal_ranks(index, series)
        return shown if wanted is None or ranks is None else shown.only(ranks.ranges(wanted)), ranks

    source = _of_attempt(source, choice, lambda: len(known.of(index)), shown_of)
    _tell(_write(source, chosen, output), source, output, located.prefix, chosen, as_json=as_json)
    if report_damage(damage_of(located, index)):
        raise typer.Exit(1)


def _chosen(format: Format, output: str, *, as_json: bool) -> Format:
    """Return the format that is meant, before any row is read: a wrong command line is told at once."""
    if as_json and output == "-":
        if format not in {Format.auto, Format.jsonl}:
            raise InvalidArgumentError(
                f"--json writes JSON lines to standard output, and --format {format.value} something else: give one of "
                "them, or name a file by -o FILE"
            )
        return Format.jsonl
    chosen = _by_name(output) if format is Format.auto else format
    if chosen is Format.parquet:
        if output == "-":
            raise InvalidArgumentError("parquet is not for reading on a screen: name a file by -o FILE")
        import_pyarrow()
    return chosen


def _refuse_of_all(choices: Mapping[str, object]) -> None:
    """Refuse what chooses among rows of metrics, where something else is exported."""
    for name, choice in choices.items():
        if choice is not None:
            raise InvalidArgumentError(
                f"--{name} chooses rows of metrics: --logs and --tracks are always of all {name}s"
            )


def _tell(rows: int, source: Source, output: str, prefix: str, format: Format, *, as_json: bool) -> None:
    if output == "-":
        return
    if as_json:
        counts = {source.content.name.lower(): rows}
        print_json(written(output, format.value, counts, [prefix], []))
    else:
        complain(f"{count_text(rows, source.content.unit)} written to {output}")


def _by_name(output: str) -> Format:
    """Return the format that the end of a file's name says, which is CSV where it says none."""
    ending = os.path.splitext(output)[1].lower().removeprefix(".")
    if ending in _OTHERS:
        raise InvalidArgumentError(
            f"{output!r} ends with .{ending}, which is not .csv, .jsonl or .parquet: use one of these, or choose "
            "the format with --format"
        )
    return _BY_ENDING.get(ending, Format.csv)


def _source(index: AnyRows, metric: Sequence[str], *, logs: bool, tracks: bool) -> Source:
    # One kind at a time: they have different columns, and a file has one set of them.
    content = Content.LOGS if logs else Content.TRACKS if tracks else Content.METRICS
    series = index.series(content.kind)
    choice = MetricChoice(metric, series)
    return Source(index, content, choice.pick() if metric else series, not choice.is_one_name, {})


def _of_attempt(
    source: Source,
    choice: AttemptChoice,
    attempts: Callable[[], int],
    shown_of: Callable[[Series], tuple[Shown, Ranks | None]],
) -> Source:
    """Return the source with the rows alone that are asked for, and whose; and say which are not among them."""
    if source.content is not Content.METRICS:
        return source
    found = {series: shown_of(series) for series in source.series}
    shown = {series: each for series, (each, _) in found.items()}
    ranks = {series: each for series, (_, each) in found.items() if each is not None}
    superseded = sum(each.superseded for each in shown.values())
    if superseded:
        complain(
            f"Note: without {count_text(superseded, 'row')} that a later attempt has superseded: --attempt all has "
            "them, too"
        )
    elif choice is None and (count := attempts()) > 1:
        complain(f"Note: these are the rows of {count:,} attempts: --attempt {count} has the newest's")
    return replace(source, shown=shown, ranks=ranks)


def _write(source: Source, format: Format, output: str) -> int:
    write = write_csv if format is Format.csv else write_jsonl
    place = None if output == "-" else place_at(output)
    if place is None or (place.descriptor == 1 and format is not Format.parquet):
        with standard_output() as out:
            return write(source, out)
    directory = os.path.dirname(place.path)
    if not os.path.isdir(directory):
        raise InvalidArgumentError(f"cannot write to {output!r}: there is no directory {directory!r}")
    with writing(output) as file:
        if format is Format.parquet:
            return write_parquet(source, file)
        return write(source, file)
