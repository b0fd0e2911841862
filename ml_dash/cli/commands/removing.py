"""`ml-dash rm`, `ml-dash restore` and `ml-dash trash`: experiments deleted, and brought back."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Annotated

import typer

from ml_dash.cli.output import Screen, table
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
    print_outcome,
)
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, Root, full_prefix
from ml_dash.cli.text import age_text, complain, count_text, local_time, print_json
from ml_dash.errors import InvalidArgumentError
from ml_dash.places.changing import Deleted
from ml_dash.places.local_changes import LocalChanges
from ml_dash.query.patterns import pattern_matcher
from ml_dash.query.times import iso_time
from ml_dash.visible import visible


def rm(
    exp: ExperimentNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    *,
    filter: FilterText = None,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    force: Annotated[
        bool, typer.Option("--force", help="Delete what runs, too; its run goes on without its experiment.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete experiments: they go into the trash, and can be restored.

    A root keeps what was deleted for 30 days, and gives no room before that (`ml-dash trash --empty` does); a server
    for as long as it says. What runs is not deleted without --force. Where several are meant, you are asked.
    """
    with open_place(root, url) as place:
        prefixes, is_many = meant(place, exp, filter)
        if not confirmed("delete", prefixes, is_many=is_many, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        each_of(
            prefixes,
            lambda prefix: _deleted(place, place.changes.delete(prefix, force=force)),
            as_json=as_json,
        )


def restore(
    prefixes: Annotated[
        list[str],
        typer.Argument(
            metavar="PREFIX...",
            help="What they were called, or the last part of that, or patterns; of several deleted ones, the last.",
        ),
    ],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="PREFIX", help="Another name for the one that is restored.", show_default=False
        ),
    ] = None,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring deleted experiments back, with all that they had."""
    with open_place(root, url) as place:
        there = dict.fromkeys(each.prefix for each in place.changes.trash())
        found: dict[str, None] = {}
        for name in prefixes:
            fits = pattern_matcher(name)
            fitting = [each for each in there if fits(each)] if "*" in name else _gone(name, there)
            if not fitting:
                raise InvalidArgumentError(
                    f"nothing in the trash of {place.where!r} fits {name!r}: {place.hint('trash')} lists all"
                )
            found |= dict.fromkeys(fitting)
        if to is not None and len(found) != 1:
            raise InvalidArgumentError(f"--to {to} is a name for one experiment, and {len(found)} are meant")
        is_many = any("*" in name for name in prefixes) or len(found) > 1
        if confirmed("restore", list(found), is_many=is_many, yes=yes, dry_run=dry_run, as_json=as_json):
            each_of(list(found), lambda prefix: _restored(place, prefix, to), as_json=as_json)


def trash(
    *,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Remove all of it for good now; only in a root, not at a server.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """List the experiments that were deleted, and can be restored."""
    with open_place(root, url) as place:
        if empty:
            _empty(place, yes=yes, as_json=as_json)
            return
        found = place.changes.trash()
    if as_json:
        print_json([_record(each) for each in found])
    elif found:
        now = time.time_ns()
        rows = [[each.prefix, *_facts(each, now)] for each in found]
        Screen().show(table(["experiment", "deleted", "by", "removed for good"], rows))
    else:
        complain(f"nothing in the trash of {place.where!r}")


def _gone(name: str, there: Collection[str]) -> list[str]:
    """Return the prefix of what was deleted, by its name as `rm` takes it; none where nothing is called so."""
    whole = full_prefix(name)
    if whole in there:
        return [whole]
    ending = [each for each in there if each.endswith(f"/{name}")]
    if len(ending) > 1:
        raise InvalidArgumentError(f"{name!r} may be {', '.join(ending)}: write one of them")
    return ending


def _empty(place: OpenPlace, *, yes: bool, as_json: bool) -> None:
    if not isinstance(place.changes, LocalChanges):
        raise InvalidArgumentError(
            "a server removes what was deleted by itself, after the days that `ml-dash server --keep-deleted` says: "
            "--empty is for a root"
        )
    found = [each.prefix for each in place.changes.trash()]
    if not found:
        complain(f"nothing in the trash of {place.where!r}")
        if as_json:
            print_outcome([], [], [])
    elif confirmed("remove for good", found, is_many=True, yes=yes, dry_run=False, as_json=as_json):
        removed = place.changes.empty_trash()
        if as_json:
            print_outcome(found, [{"prefix": each.prefix} for each in removed], [])
        complain(f"{count_text(len(removed), 'experiment')} removed for good")


def _deleted(place: OpenPlace, gone: Deleted) -> Deed:
    until = "" if gone.purge_ns is None else f" until {local_time(gone.purge_ns)[:10]}"
    text = visible(f"{gone.prefix} deleted; {place.hint('restore', gone.prefix)} brings it back{until}")
    return Deed(text, _record(gone))


def _restored(place: OpenPlace, prefix: str, to: str | None) -> Deed:
    back = place.changes.restore(prefix, to and full_prefix(to))
    return Deed(visible(f"{back} is back"), {"to": back})


def _facts(each: Deleted, now: int) -> list[str]:
    deleted = "-" if each.deleted_ns is None else age_text(each.deleted_ns, now)
    purged = "never" if each.purge_ns is None else f"after {local_time(each.purge_ns)[:10]}"
    return [deleted, each.deleted_by or "-", purged]


def _record(each: Deleted) -> dict[str, str | None]:
    return {
        "prefix": each.prefix,
        "id": each.id,
        "deletedAt": None if each.deleted_ns is None else iso_time(each.deleted_ns),
        "deletedBy": each.deleted_by,
        "purgeAt": None if each.purge_ns is None else iso_time(each.purge_ns),
    }
