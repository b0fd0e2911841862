"""`ml-dash export`: rows as CSV, JSON lines or parquet."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from ml_dash.cli.arguments import DEFAULT_ROOT, ExperimentName, MetricNames, Root
from ml_dash.cli.text import count_text
from ml_dash.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.cli.exporting.source import Source
    from ml_dash.journal.index import JournalIndex

__all__ = ["export"]


class Format(str, Enum):
    """Formats to export to; a file's name may end with them."""

    auto = "auto"
    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


def export(
    exp: ExperimentName,
    *,
    format: Annotated[
        Format, typer.Option("--format", "-F", help="What to write; auto is what FILE ends with, or csv.")
    ] = Format.auto,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output.")
    ] = "-",
    root: Root = DEFAULT_ROOT,
    metric: MetricNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    logs: Annotated[bool, typer.Option("--logs", help="Export the log messages.")] = False,
    tracks: Annotated[bool, typer.Option("--tracks", help="Export the tracks.")] = False,
) -> None:
    """Export rows to CSV, JSON lines or parquet.

    Metrics are exported, all of them by default, or log messages, or tracks; every value as it was logged.
    A column says which metric a row is of, unless one --metric is named. FILE is replaced when all is written.
    """
    from ml_dash.cli.locate import find_experiment
    from ml_dash.cli.reading import open_index, report_damage
    from ml_dash.cli.screen import complain

    if bool(metric) + logs + tracks > 1:
        raise InvalidArgumentError("--metric, --logs and --tracks have different columns: give one at a time")
    chosen = _format_of(output) if format is Format.auto else format
    if chosen is Format.parquet:
        _check_parquet(output)
    index = open_index(find_experiment(exp, root))
    rows = _write(_source(index, metric, logs=logs, tracks=tracks), chosen, output)
    if output != "-":
        complain(f"{count_text(rows, 'row')} written to {output}")
    if report_damage(index.damage):
        raise typer.Exit(1)


def _format_of(output: str) -> Format:
    ending = os.path.splitext(output)[1].lower().removeprefix(".")
    return next((each for each in Format if each.value == ending and each is not Format.auto), Format.csv)


def _check_parquet(output: str) -> None:
    from ml_dash.cli.exporting.parquet import import_pyarrow

    if output == "-":
        raise InvalidArgumentError("parquet is not for reading on a screen: name a file by -o FILE")
    import_pyarrow()


def _source(index: JournalIndex, metric: Sequence[str], *, logs: bool, tracks: bool) -> Source:
    from ml_dash.cli.choice import MetricChoice
    from ml_dash.cli.exporting.source import Content, Source

    content = Content.LOGS if logs else Content.TRACKS if tracks else Content.METRICS
    choice = MetricChoice(metric)
    series = index.series(content.kind)
    return Source(index, content, choice.pick(series) if metric else series, not choice.is_one_name)


def _write(source: Source, format: Format, output: str) -> int:
    from ml_dash.cli.exporting.target import file_target, standard_output
    from ml_dash.cli.exporting.text_formats import write_csv, write_jsonl

    write = write_csv if format is Format.csv else write_jsonl
    if output == "-":
        return write(source, standard_output())
    with file_target(output) as file:
        if format is Format.parquet:
            from ml_dash.cli.exporting.parquet import write_parquet

            return write_parquet(source, file)
        return write(source, file)
