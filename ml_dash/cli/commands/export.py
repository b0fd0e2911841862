"""`ml-dash export`: rows as CSV, JSON lines or parquet."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Annotated, BinaryIO

import typer

from ml_dash.cli.exporting.parquet import import_pyarrow, write_parquet
from ml_dash.cli.exporting.source import Content, Source
from ml_dash.cli.exporting.text_formats import ByteSink, write_csv, write_jsonl
from ml_dash.cli.overview import open_index, report_damage
from ml_dash.cli.select import DEFAULT_ROOT, ExperimentName, MetricChoice, MetricNames, Root, find_experiment
from ml_dash.cli.text import complain, count_text, visible
from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.index import JournalIndex
from ml_dash.storage.atomic import replacing


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
        Format,
        typer.Option("--format", "-F", help="The format to write; auto is what FILE ends with, or csv."),
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

    All metrics by default, or the log messages, or the tracks; every value as it was logged.
    A column has the metric of each row, unless only one --metric is named. FILE is replaced when all is written.
    """
    if bool(metric) + logs + tracks > 1:
        raise InvalidArgumentError("--metric, --logs and --tracks have different columns: give one at a time")
    chosen = format
    if chosen is Format.auto:
        ending = os.path.splitext(output)[1].lower().removeprefix(".")
        chosen = Format(ending) if ending in {"jsonl", "parquet"} else Format.csv
    if chosen is Format.parquet:
        # both before any row is read: a wrong command line is told at once
        if output == "-":
            raise InvalidArgumentError("parquet is not for reading on a screen: name a file by -o FILE")
        import_pyarrow()
    index = open_index(find_experiment(exp, root))
    rows = _write(_source(index, metric, logs=logs, tracks=tracks), chosen, output)
    if output != "-":
        complain(f"{count_text(rows, 'row')} written to {output}")
    if report_damage(index.damage):
        raise typer.Exit(1)


def _source(index: JournalIndex, metric: Sequence[str], *, logs: bool, tracks: bool) -> Source:
    # One kind at a time: they have different columns, and a file has one set of them.
    content = Content.LOGS if logs else Content.TRACKS if tracks else Content.METRICS
    choice = MetricChoice(metric)
    series = index.series(content.kind)
    return Source(index, content, choice.pick(series) if metric else series, not choice.is_one_name)


def _write(source: Source, format: Format, output: str) -> int:
    write = write_csv if format is Format.csv else write_jsonl
    if output == "-":
        return write(source, standard_output())
    with file_target(output) as file:
        if format is Format.parquet:
            return write_parquet(source, file)
        return write(source, file)


@contextlib.contextmanager
def file_target(path: str) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, which gets that name when the block ends without an error.

    A device or a pipe is written as it is: it must not be replaced by a file.
    """
    path = os.path.realpath(path)  # through a link: the file behind it is replaced, and the link stays
    directory = os.path.dirname(path)
    if os.path.isdir(path):
        raise InvalidArgumentError(f"cannot write to {path!r}: it is a directory; name a file in it")
    if not os.path.isdir(directory):
        raise InvalidArgumentError(f"cannot write to {path!r}: there is no directory {directory!r}")
    # /dev/stdout and named pipes have readers that hold them open: a new file would never reach them
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        with open(path, "wb") as out:
            yield out
        return
    with replacing(path) as temporary:
        with open(temporary, "xb") as out:
            yield out
            out.flush()
            # on disk before it has the name: a crash must not leave an empty file in an older export's place
            os.fsync(out.fileno())
        if os.path.exists(path):
            # who may read the file is its owner's choice, which an export must not undo
            shutil.copymode(path, temporary)


def standard_output() -> ByteSink:
    """Return standard output for bytes. A terminal gets them with control characters escaped."""
    # what was written as text must come before what goes around that layer
    sys.stdout.flush()
    return _SafeTerminal(sys.stdout.buffer) if sys.stdout.isatty() else sys.stdout.buffer


class _SafeTerminal:
    """Keeps what was logged from moving the cursor, or worse."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, data: bytes, /) -> None:
        lines = data.decode().split("\n")
        self._out.write("\n".join(map(visible, lines)).encode())
