"""`ml-dash stop`: ask runs to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from ml_dash.cli.place import (
    Deed,
    DryRun,
    ExperimentNames,
    FilterText,
    OpenPlace,
    PlaceUrl,
    Yes,
    confirmed,
    each_of,
    meant,
    open_place,
)
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, Root
from ml_dash.cli.text import local_time
from ml_dash.errors import InvalidArgumentError
from ml_dash.places.changing import Stop
from ml_dash.query.times import iso_time
from ml_dash.visible import visible


def stop(
    exp: ExperimentNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    *,
    reason: Annotated[
        str | None,
        typer.Option("--reason", "-m", metavar="TEXT", help="Why, for people.", show_default=False),
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Take the request back, as long as the run has not seen it.")
    ] = False,
    filter: FilterText = None,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Ask runs to stop.

    Those that look at exp.should_stop end, and are CANCELLED. A run learns it within ten seconds, wherever it goes on.
    One that does not look goes on, and so does one that begins later. Where several are meant, you are asked. Exit
    code 1: one of them could not be asked.
    """
    if cancel and reason is not None:
        raise InvalidArgumentError("--reason is for a request, and --cancel takes one back: use one of them")
    with open_place(root, url) as place:
        prefixes, is_many = meant(place, exp, filter)
        what = "no more ask to stop" if cancel else "ask to stop"
        if confirmed(what, prefixes, is_many=is_many, yes=yes, dry_run=dry_run, as_json=as_json):
            each_of(
                prefixes,
                lambda prefix: _cancelled(place, prefix) if cancel else _asked(place, prefix, reason),
                as_json=as_json,
            )


def _asked(place: OpenPlace, prefix: str, reason: str | None) -> Deed:
    asked = place.changes.stop(prefix, reason)
    seen = None if asked.seen_ns is None else iso_time(asked.seen_ns)
    record = {
        "asked": True,
        "at": iso_time(asked.at_ns),
        "by": asked.by,
        "reason": asked.reason,
        "seenAt": seen,
    }
    return Deed(visible(_told(asked)), record)


def _told(asked: Stop) -> str:
    by = "" if asked.by is None else f" by {asked.by}"
    why = "" if asked.reason is None else f": {asked.reason}"
    seen = "" if asked.seen_ns is None else f", and has seen it at {local_time(asked.seen_ns)}"
    return f"{asked.prefix} is asked to stop{by} since {local_time(asked.at_ns)}{seen}{why}"


def _cancelled(place: OpenPlace, prefix: str) -> Deed:
    place.changes.cancel_stop(prefix)
    record = {"asked": False, "at": None, "by": None, "reason": None, "seenAt": None}
    return Deed(visible(f"{prefix} is not asked to stop"), record)
