"""`ml-dash mv`: experiments get other names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ml_dash.cli.place import (
    Deed,
    DryRun,
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
from ml_dash.cli.select import AsJson, Root, full_prefix
from ml_dash.cli.text import complain
from ml_dash.errors import InvalidArgumentError
from ml_dash.places.local_changes import LocalChanges
from ml_dash.visible import visible


def mv(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[EXP]... TO",
            help="Experiments, and their new name last; with a slash at its end, what they are put below.",
        ),
    ],
    *,
    filter: FilterText = None,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give experiments other names.

    Several keep the last part of their names, below TO. What runs on this disk is not moved, for its process writes to
    where it is; at a server a run goes on in it. There, an experiment stays with its owner.
    """
    *exps, to = names
    with open_place(root, url) as place:
        prefixes, is_many = meant(place, exps, filter)
        targets = _targets(prefixes, to, is_many=is_many)
        if not confirmed(
            f"move to {to}", prefixes, is_many=is_many, yes=yes, dry_run=dry_run, as_json=as_json
        ):
            return
        each_of(prefixes, lambda prefix: _moved(place, prefix, targets[prefix]), as_json=as_json)


def _targets(prefixes: Sequence[str], to: str, *, is_many: bool) -> dict[str, str]:
    """Return the new name of each; nothing is moved where two would have the same one."""
    if not to.endswith("/"):
        if is_many:
            raise InvalidArgumentError(
                f"{to!r} is the name of one experiment: to move several below it, end it with a slash, {to + '/'!r}"
            )
        return {prefixes[0]: full_prefix(to)}
    targets = {prefix: full_prefix(f"{to}{prefix.rpartition('/')[2]}") for prefix in prefixes}
    by_target: dict[str, str] = {}
    for prefix, target in targets.items():
        if (other := by_target.setdefault(target, prefix)) != prefix:
            raise InvalidArgumentError(f"{other} and {prefix} would both be {target}: move them one by one")
    return targets


def _moved(place: OpenPlace, prefix: str, to: str) -> Deed:
    servers = place.changes.servers_of(prefix) if isinstance(place.changes, LocalChanges) else []
    moved = place.changes.move(prefix, to)
    if moved == prefix:
        return Deed(visible(f"{prefix} is called so already"), {"to": moved})
    for url in servers:
        complain(_what_remains(url, prefix, moved))
    return Deed(visible(f"{prefix} -> {moved}"), {"to": moved})


def _what_remains(url: str, prefix: str, moved: str) -> str:
    """Say what a server has of what was moved in a root; this disk does not know what it is called there by now."""
    if prefix.partition("/")[0] != moved.partition("/")[0]:
        return (
            f"{url} keeps the name that it has there, for at a server an experiment stays with its owner: if that is "
            f"not {moved}, its rows are sent once more, under the new name"
        )
    return (
        f"{url} keeps the name that it has there: if that is {prefix}, `ml-dash mv {prefix} {moved} --url {url}` moves "
        f"it there, too. Unless it is {moved} there, its rows are sent once more, under the new name"
    )
