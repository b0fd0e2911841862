"""`ml-dash files`: the files of an experiment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Annotated, Any

import typer
from rich.text import Text

from ml_dash.cli.file_source import Alias, chosen, open_source
from ml_dash.cli.output import Screen, table
from ml_dash.cli.overview import report_damage
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, ExperimentName, Root, ServerOption
from ml_dash.cli.text import age_text, complain, print_json, size_text
from ml_dash.query.files import full_name
from ml_dash.visible import visible


def files(
    exp: ExperimentName,
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="[PATTERN]",
            help="A file, a directory, or a pattern such as '*.pt' or 'models/**'.",
            show_default=False,
        ),
    ] = "",
    *,
    root: Root = DEFAULT_ROOT,
    url: ServerOption = None,
    versions: Annotated[bool, typer.Option("--versions", help="List older versions too.")] = False,
    alias: Alias = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="List deleted files too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the files of an experiment.

    Only the newest version of each: a file that was saved twice under one name has two.
    """
    query = chosen(pattern, alias=alias, versions=versions, deleted=deleted)
    with open_source(exp, root, url) as source:
        rows = source.files(query)
        damage = source.damage
    if as_json:
        print_json(rows)
    elif rows:
        _show(Screen(), rows)
    else:
        wanted = (f" match {pattern!r}" if pattern else "") + (f" with the alias {alias!r}" if alias else "")
        complain(f"no files in {exp!r}{wanted}")
    if report_damage(damage):
        raise typer.Exit(1)


def uploaded_text(row: dict[str, Any], now: int) -> str:
    """Return how long ago a file was saved; a time that is invalid, as it is."""
    text = str(row["uploadedAt"])
    try:
        # Python 3.10 does not take the Z; later versions do
        moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
        return age_text(int(moment.timestamp()) * 1_000_000_000, now)
    except (ValueError, OverflowError, OSError):
        return text


def _show(screen: Screen, rows: Sequence[dict[str, Any]]) -> None:
    now = time.time_ns()
    drawn = table(
        ["name", ">size", "type", "uploaded", "tags", "id"],
        [[_name(row), *_facts(row, now)] for row in rows],
    )
    screen.show_either(drawn, (_lines(row, now) for row in rows))


def _name(row: dict[str, Any]) -> Text:
    drawn = Text(visible(full_name(row)), "dim" if row["deletedAt"] else "")
    if row["aliases"]:
        drawn.append(visible(f" ({', '.join(row['aliases'])})"), "green")
    return drawn.append(" (deleted)", "red") if row["deletedAt"] else drawn


def _facts(row: dict[str, Any], now: int) -> list[str]:
    tags = ", ".join(row["tags"])
    return [size_text(row["sizeBytes"]), row["contentType"], uploaded_text(row, now), tags, row["id"]]


def _lines(row: dict[str, Any], now: int) -> Text:
    """Return a file on lines of its own, for a screen that is too narrow for the table."""
    size, kind, uploaded, tags, id_ = map(visible, _facts(row, now))
    drawn = Text.assemble(_name(row), f"\n  {size}  {uploaded}\n  {kind}", overflow="fold")
    return drawn.append(f"\n  {tags}" * bool(tags)).append(f"\n  {id_}", "dim")
