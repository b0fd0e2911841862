"""Whole experiments, of a pattern or a filter, into a directory: tables of parquet, or event files of TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import typer

from ml_dash.cli.exporting.project import TABLES, Tables, Whole
from ml_dash.cli.exporting.source import Content, Source
from ml_dash.cli.exporting.tensorboard import Events
from ml_dash.cli.file_source import open_source
from ml_dash.cli.one_view import open_view
from ml_dash.cli.overview import damage_of, open_index, report_damage
from ml_dash.cli.place import open_place
from ml_dash.cli.progress import Bar
from ml_dash.cli.rows import open_server_rows
from ml_dash.cli.select import find_experiment
from ml_dash.cli.text import complain, count_text, print_json
from ml_dash.errors import InvalidArgumentError, MLDashError
from ml_dash.query.journal_attempts import JournalAttempts
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.series import Kind

_Failed: TypeAlias = dict[str, str]
_Written: TypeAlias = tuple[dict[str, int], list[_Failed], bool]
"""How much of what was written, what was not and why, and whether all of it is sound."""


def export_whole(
    exp: str | None,
    filter: str | None,
    format: str,
    output: str,
    root: str,
    url: str | None,
    *,
    as_json: bool,
) -> None:
    """Export the experiments that are meant; one that cannot be read is named, and the others are exported."""
    if exp is None and not (filter or "").strip():
        raise InvalidArgumentError(
            "no experiment is named: give EXP, a pattern such as 'alice/vision/**', or --filter"
        )
    if format not in {"parquet", "tensorboard"}:
        raise InvalidArgumentError(
            "several experiments are exported with --format parquet, as tables, or with --format tensorboard"
        )
    if output == "-" or (os.path.exists(output) and not os.path.isdir(output)):
        raise InvalidArgumentError("whole experiments are written into a directory: name it by -o DIR")
    with open_place(root, url) as place:
        found = (
            place.find(exp, filter) if exp is None or "*" in exp else place.find(place.prefix_of(exp), filter)
        )
    if not found:
        raise InvalidArgumentError(
            f"no experiment in {place.where!r} is meant by that: {place.hint('ls')} lists all"
        )
    write = _tables if format == "parquet" else _events
    counts, failed, is_whole = write(found, output, root, url, quiet=as_json)
    if as_json:
        names = {each["prefix"] for each in failed}
        done = [each.prefix for each in found if each.prefix not in names]
        print_json(written(output, format, counts, done, failed))
    if not is_whole:
        raise typer.Exit(1)


def written(
    output: str, format: str, counts: Mapping[str, int], prefixes: Sequence[str], failed: Sequence[_Failed]
) -> dict[str, Any]:
    """Return what `--json` tells of an export: where it is, how much of what, of which experiments."""
    done = [{"prefix": prefix} for prefix in prefixes]
    return {"output": output, "format": format, "rows": dict(counts), "done": done, "failed": list(failed)}


def _tables(
    found: list[ListedExperiment], output: str, root: str, url: str | None, *, quiet: bool
) -> _Written:
    is_whole = True
    failed: list[_Failed] = []
    with Bar() as bar, Tables(output) as tables:
        for number, listed in enumerate(found):
            bar.show(f"{number + 1}/{len(found)} {listed.prefix}", number, len(found))
            try:
                with opened(listed, root, url) as (whole, is_sound):
                    tables.add(whole)
                    is_whole = is_sound() and is_whole
            except MLDashError as error:
                bar.say(f"{listed.prefix}: not exported: {error}", wrong=True)
                failed.append({"prefix": listed.prefix, "reason": str(error)})
                is_whole = False
    counts = {name: tables.counts[name] for name in TABLES}
    if not quiet:
        counted = ", ".join(
            count_text(count, "row") + f" in {name}.parquet" for name, count in counts.items()
        )
        complain(f"{count_text(len(found), 'experiment')} written to {output}: {counted}")
    return counts, failed, is_whole


def _events(
    found: list[ListedExperiment], output: str, root: str, url: str | None, *, quiet: bool
) -> _Written:
    is_whole = True
    failed: list[_Failed] = []
    counts = {"scalars": 0, "others": 0}
    with Bar() as bar:
        for number, listed in enumerate(found):
            bar.show(f"{number + 1}/{len(found)} {listed.prefix}", number, len(found))
            try:
                with (
                    opened(listed, root, url) as (whole, is_sound),
                    open_source(listed.prefix, root, url) as files,
                ):
                    events = Events(whole, files)
                    events.write(output)
                    is_whole = is_sound() and is_whole
            except MLDashError as error:
                bar.say(f"{listed.prefix}: not exported: {error}", wrong=True)
                failed.append({"prefix": listed.prefix, "reason": str(error)})
                is_whole = False
                continue
            counts["scalars"] += events.scalars
            counts["others"] += events.others
            if quiet:
                continue
            left_out = f"; {events.left_out:,} values have no place there" if events.left_out else ""
            bar.say(
                f"{listed.prefix}: {count_text(events.scalars, 'scalar')}, {events.others:,} texts and media{left_out}"
            )
    if not quiet:
        complain(
            f"{count_text(len(found), 'experiment')} written to {output}: `tensorboard --logdir {output}` shows it"
        )
    return counts, failed, is_whole


@contextmanager
def opened(
    listed: ListedExperiment, root: str, url: str | None
) -> Iterator[tuple[Whole, Callable[[], bool]]]:
    """Give an experiment, and what tells, when it has been read, whether all of it could be."""
    with ExitStack() as stack:
        if url is not None:
            there = stack.enter_context(open_server_rows(listed.prefix, url))
            series = there.rows.series(Kind.METRIC)
            shown = {each: there.view.shown(each, None) for each in series}
            metrics = Source(there.rows, Content.METRICS, series, with_name=True, shown=shown)
            yield Whole(listed, there.rows, metrics, there.view), lambda: True
            return
        viewed = stack.enter_context(open_view(listed.prefix, root, None))
        located = find_experiment(listed.prefix, root)
        index = open_index(located)
        series = index.series(Kind.METRIC)
        known = JournalAttempts()
        shown = {each: known.shown(index, each, known.of(index)) for each in series}
        metrics = Source(index, Content.METRICS, series, with_name=True, shown=shown)
        yield Whole(listed, index, metrics, viewed.view), lambda: not report_damage(damage_of(located, index))
