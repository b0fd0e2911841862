"""`ml-dash import`: bring in what other trackers have written."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from ml_dash.cli.progress import Bar
from ml_dash.cli.select import AsJson, given_path
from ml_dash.cli.text import complain, count_text, print_json
from ml_dash.importers.importing import DEFAULT_ROOT, import_runs
from ml_dash.importers.ml_dash_tree import MLDashTree
from ml_dash.importers.mlflow.source import Mlflow
from ml_dash.importers.neptune import Neptune
from ml_dash.importers.report import RunReport
from ml_dash.importers.shape import Shape
from ml_dash.importers.source import Source
from ml_dash.importers.tables import Tables
from ml_dash.importers.tensorboard.runs import TensorBoard
from ml_dash.importers.trackio import Trackio
from ml_dash.importers.wandb.exports import exports_or_runs
from ml_dash.visible import visible

_SHOWN = 20

import_ = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    help="Bring in what other trackers have written.",
)

Path = Annotated[
    str, typer.Argument(metavar="PATH", help="Where it lies; it is only read.", callback=given_path)
]
Root = Annotated[
    str,
    typer.Option("--root", metavar="DIR", help="Where it is brought to, as dash_root=.", callback=given_path),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="PREFIX", help="Bring in the one run at PATH under this prefix.", show_default=False
    ),
]


@import_.callback()
def _formats() -> None:
    """Bring in what other trackers have written.

    An import may be interrupted and run again: it goes on where it was, and what is here is not brought in twice.
    """


def _given_or_none(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    return None if value is None else given_path(context, parameter, value)


@import_.command("ml-dash")
def ml_dash(path: Path, *, root: Root = DEFAULT_ROOT, name: Name = None, as_json: AsJson = False) -> None:
    """Bring in experiments of the public package ml-dash.

    PATH is its root, mostly .dash, a directory below it, or one experiment. Each keeps its prefix. Exit code 1:
    something could not be read or was not understood; it is named, and all the rest is brought in.
    """
    _bring_in(MLDashTree(path), root, name, as_json=as_json)


@import_.command("tensorboard")
def tensorboard(
    path: Path,
    *,
    root: Root = DEFAULT_ROOT,
    under: Annotated[
        str | None,
        typer.Option(
            "--under",
            metavar="PREFIX",
            help="Where runs get their places; by default <user>/<name of PATH>.",
            show_default=False,
        ),
    ] = None,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Bring in event files of TensorBoard.

    Scalars, images, sounds and histograms become rows, hparams parameters, and texts messages; what else there is is
    named. Each directory with event files is a run, whose prefix is its place below PATH.
    """
    _bring_in(TensorBoard(path, under), root, name, as_json=as_json)


@import_.command("wandb")
def wandb(path: Path, *, root: Root = DEFAULT_ROOT, name: Name = None, as_json: AsJson = False) -> None:
    """Bring in runs of wandb: those of a directory `wandb`, or what was exported.

    PATH is the directory `wandb` of a script, with runs that were offline or not, one run, or a CSV or JSON file of a
    history, of a chart or of a table of runs. Runs are called entity/project/group/name.
    """
    _bring_in(exports_or_runs(path), root, name, as_json=as_json)


@import_.command("mlflow")
def mlflow(
    where: Annotated[
        str, typer.Argument(metavar="WHERE", help="A directory, a database, or the address of a server.")
    ],
    *,
    root: Root = DEFAULT_ROOT,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Bring in runs of MLflow.

    WHERE is the directory mlruns, a database as mlflow.db, or the address of a server, which is asked with
    MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. Runs are called
    user/experiment/name.
    """
    _bring_in(Mlflow(where), root, name, as_json=as_json)


@import_.command("trackio")
def trackio(path: Path, *, root: Root = DEFAULT_ROOT, name: Name = None, as_json: AsJson = False) -> None:
    """Bring in runs of trackio.

    PATH is a database <project>.db, or the directory of some, mostly ~/.cache/huggingface/trackio. Runs are called
    user/project/name.
    """
    _bring_in(Trackio(path), root, name, as_json=as_json)


@import_.command("neptune")
def neptune(
    path: Path,
    *,
    files: Annotated[
        str | None,
        typer.Option(
            "--files",
            metavar="DIR",
            help="The directory of the downloaded files; by default `files` in PATH or beside it.",
            show_default=False,
            callback=_given_or_none,
        ),
    ] = None,
    root: Root = DEFAULT_ROOT,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Bring in what neptune-exporter has written.

    PATH is the directory that it got as --data-path, or one above. Runs are called workspace/project/id.
    """
    _bring_in(Neptune(path, files), root, name, as_json=as_json)


Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="A,B=NAME,…",
        help="Only these columns, and the names that they get: loss=train/loss is a field of the metric train.",
        show_default=False,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="COLUMN",
        help="The column with a row's time: seconds since 1970, or ISO 8601. Without it, that of the file.",
        show_default=False,
    ),
]
Step = Annotated[
    str | None,
    typer.Option(
        "--step",
        metavar="COLUMN",
        help="The column with a row's step, which each of its metrics gets.",
        show_default=False,
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="The metric of columns that get no name; the unnamed one by default.",
        show_default=False,
    ),
]


_TABLES = """Bring in {}.

PATH is one, or a directory of some. Each is a run of its name.
"""


# the lowest one is listed first
@import_.command("parquet", help=_TABLES.format("parquet files"))
@import_.command("jsonl", help=_TABLES.format("files with a JSON object on each line"))
@import_.command("csv", help=_TABLES.format("CSV files, whose first line has the columns' names"))
def tables(
    context: typer.Context,
    path: Path,
    *,
    columns: Columns = None,
    time: Time = None,
    step: Step = None,
    metric: Metric = None,
    root: Root = DEFAULT_ROOT,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """Bring in files of the format that the command is called by."""
    _bring_in(
        Tables(str(context.info_name), path, Shape.of(metric, columns, time, step)),
        root,
        name,
        as_json=as_json,
    )


def _bring_in(source: Source, root: str, name: str | None, *, as_json: bool) -> None:
    is_whole, known = True, 0
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with Bar() as bar:
        count = 0

        def begin(number: int, total: int, place: str) -> None:
            nonlocal count
            count = total
            bar.show(f"{number}/{total} {place}", number - 1, total)

        for report in import_runs(source, root, name=name, on_run=begin):
            is_whole = is_whole and report.is_whole
            known += report.prefix is not None and not report.has_news
            _tell(report, bar, quiet=as_json)
            if as_json:
                (done if report.refused is None else failed).append(_record(report))
    if as_json:
        print_json({"root": root, "done": done, "failed": failed})
    else:
        if known == count:
            typer.echo("nothing new")
        typer.echo(
            visible(
                f"`ml-dash ls {shlex.quote(root)}` lists what is there; read and go on with dash_root={root!r}"
            )
        )
    if not is_whole:
        raise typer.Exit(1)


def _record(report: RunReport) -> dict[str, Any]:
    told = {
        "place": report.place,
        "prefix": report.prefix,
        "rows": report.rows,
        "messages": report.messages,
        "entries": report.entries,
        "files": report.files,
        "params": report.params,
        "problems": [str(each) for each in report.problems.values()],
        "moreProblems": report.left_out,
    }
    return told if report.refused is None else {**told, "reason": report.refused}


def _tell(report: RunReport, bar: Bar, *, quiet: bool) -> None:
    counts = {"row": report.rows, "message": report.messages, "entry": report.entries, "file": report.files}
    new = [count_text(count, noun) for noun, count in counts.items() if count]
    new += ["parameters"] if report.params else []
    if report.refused is not None:
        bar.say(f"{report.place}: not brought in: {report.refused}", wrong=True)
    elif new and not quiet:
        bar.say(f"{report.place} -> {report.prefix}: {', '.join(new)}")
    for problem in list(report.problems.values())[:_SHOWN]:
        bar.say(f"Warning: {problem}", wrong=True)
    left = len(report.problems) - _SHOWN + report.left_out
    if left > 0:
        complain(f"Warning: and {left:,} more kinds of problems in {report.place}")
