"""A place as commands have it, and the experiments in it that are meant: by name, by pattern, or by a filter."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import typer

from ml_dash.cli.select import find_experiment, full_prefix, single_root
from ml_dash.cli.text import complain, count_text, print_json
from ml_dash.errors import InvalidArgumentError, MLDashError
from ml_dash.places.changing import Changes
from ml_dash.places.local import LocalPlace
from ml_dash.places.local_changes import LocalChanges
from ml_dash.places.place import Place
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.patterns import pattern_matcher
from ml_dash.settings import Settings

ExperimentNames = Annotated[
    list[str],
    typer.Argument(
        metavar="[EXP]...",
        help="Prefixes, directories or last parts of prefixes; or patterns such as 'alice/vision/**'.",
        show_default=False,
    ),
]
FilterText = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="TEXT",
        help="Of EXP, or of all: those that a filter asks for, such as 'tag:sweep val/acc<0.5 status:failed'.",
        show_default=False,
    ),
]
PlaceUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="At this server instead of on this disk; EXP is a whole prefix then.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, where many are meant.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only say which are meant.")]

_SHOWN = 5
# What ends a pattern, or makes something else of it, where a filter has it; see `_as_filter`.
_APART = re.compile(r"""[\s<>"'=:!~,;*]+""")


@dataclass(frozen=True)
class OpenPlace:
    """A place whose experiments may be looked for, and changed.

    Attributes:
        where: Its root or URL.
        option: What names it on a command line.
        place: Finds experiments.
        changes: Changes them.
        prefix_of: Returns the prefix that is meant by a name.
    """

    where: str
    option: str
    place: Place
    changes: Changes
    prefix_of: Callable[[str], str]

    def find(self, pattern: str | None, filter: str | None) -> list[ListedExperiment]:
        """Return the experiments whose prefixes fit a pattern, and that a filter asks for, in the order of prefixes.

        A pattern without a slash is one of names.
        """
        if pattern is None:
            return sorted(self.place.find(filter or ""), key=_prefix)
        whole = pattern if "/" in pattern else f"**/{pattern}"
        fits = pattern_matcher(whole)
        text = " ".join(part for part in (_as_filter(whole), filter) if part)
        return sorted((each for each in self.place.find(text) if fits(each.prefix)), key=_prefix)

    def hint(self, *words: str) -> str:
        """Return a command line that means this place, for messages."""
        return f"`ml-dash {shlex.join([*words, *shlex.split(self.option)])}`"


@contextmanager
def open_place(root: str, url: str | None) -> Iterator[OpenPlace]:
    """Give a root, or a server if a URL is given."""
    if url is None:
        root = single_root(root)
        option = "" if root == ".dash" else f"--root {shlex.quote(root)}"
        place = LocalPlace(root, stale_after=Settings.from_environment().stale_after)
        yield OpenPlace(
            root, option, place, LocalChanges(root), lambda name: find_experiment(name, root).prefix
        )
        return
    # aiohttp takes a fifth of a second, which who stays on this disk need not wait
    from ml_dash.cli.remote import open_line
    from ml_dash.places.remote import RemotePlace
    from ml_dash.places.remote_changes import RemoteChanges

    with open_line(url, named=True) as (client, call):
        yield OpenPlace(
            client.url,
            f"--url {shlex.quote(client.url)}",
            RemotePlace(client, call),
            RemoteChanges(client, call),
            full_prefix,
        )


def meant(place: OpenPlace, names: Sequence[str], filter: str | None) -> tuple[list[str], bool]:
    """Return the prefixes that are meant, each once, and whether it is by a pattern or a filter, or of several.

    Of names and patterns, a filter leaves those that it asks for.

    Raises:
        InvalidArgumentError: None is.
    """
    if not names and filter is None:
        raise InvalidArgumentError(
            "no experiment is named: give EXP, a pattern such as 'alice/vision/**', or --filter"
        )
    if filter is not None and not filter.strip():
        # most likely a variable of a script that is empty, and all would be deleted
        raise InvalidArgumentError("--filter is empty, and would mean all: write --filter '**' for that")
    is_many = filter is not None or any("*" in name for name in names)
    asked = None if filter is None else dict.fromkeys(map(_prefix, place.find(None, filter)))
    found = [] if names or asked is None else [*asked]
    for name in names:
        if "*" in name:
            found += map(_prefix, place.find(name, filter))
        else:
            prefix = place.prefix_of(name)
            found += [prefix] if asked is None or prefix in asked else []
    found = list(dict.fromkeys(found))
    if not found:
        raise InvalidArgumentError(
            f"no experiment in {place.where!r} is meant by that: {place.hint('ls')} lists all"
        )
    return found, is_many or len(found) > 1


class Deed(NamedTuple):
    """What was done to one experiment.

    Attributes:
        text: What is said of it, for people; nothing where it is empty.
        record: What `--json` has of it, beside its prefix.
    """

    text: str
    record: Mapping[str, Any]


def confirmed(
    what: str, prefixes: Sequence[str], *, is_many: bool, yes: bool, dry_run: bool, as_json: bool = False
) -> bool:
    """Say whether something is to be done to these; of many, the user is asked.

    Args:
        what: What is to be done, such as ``delete``.
        prefixes: What it is done to.
        is_many: Whether they were not named one by one.
        yes: Whether nobody is to be asked.
        dry_run: Whether nothing is to be done: they are listed.
        as_json: Whether a program is told, as `each_of` does.

    Raises:
        InvalidArgumentError: Nobody can be asked.
    """
    count = count_text(len(prefixes), "experiment")
    if dry_run:
        if as_json:
            print_outcome(prefixes, [], [])
        else:
            typer.echo("\n".join(prefixes))
        complain(f"{what}: {count}; nothing was done (--dry-run)")
        return False
    if not is_many or yes:
        return True
    for prefix in prefixes[:_SHOWN]:
        complain(f"  {prefix}")
    if len(prefixes) > _SHOWN:
        complain(f"  and {len(prefixes) - _SHOWN:,} more (--dry-run lists all)")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidArgumentError(
            f"{what} {count}? Nobody can be asked: --yes does it, --dry-run lists them"
        )
    agreed = typer.confirm(f"{what} {count}?", err=True)
    if as_json and not agreed:
        print_outcome(prefixes, [], [])
    return agreed


def each_of(prefixes: Sequence[str], do: Callable[[str], Deed], *, as_json: bool) -> None:
    """Do something to each experiment, and print what is said of it; what cannot be done holds up no other.

    Raises:
        typer.Exit: Something could not be done.
    """
    done: list[Mapping[str, Any]] = []
    failed: list[Mapping[str, Any]] = []
    last: Exception | None = None
    for prefix in prefixes:
        try:
            deed = do(prefix)
        except (MLDashError, OSError) as error:
            last = error
            failed.append({"prefix": prefix, "reason": str(error)})
            if len(prefixes) > 1:
                complain(f"Error: {error}")
        else:
            done.append({"prefix": prefix, **deed.record})
            if deed.text and not as_json:
                typer.echo(deed.text)
    if as_json:
        print_outcome(prefixes, done, failed)
    if last is not None and len(prefixes) == 1:
        raise last
    if failed:
        raise typer.Exit(1)


def print_outcome(
    prefixes: Sequence[str], done: Sequence[Mapping[str, Any]], failed: Sequence[Mapping[str, Any]]
) -> None:
    """Tell a program what was meant, what was done, and what was not, and why."""
    print_json({"meant": list(prefixes), "done": done, "failed": failed})


def _as_filter(pattern: str) -> str:
    """Return a pattern that a filter takes as one, and that at least all fit that fit this one.

    A name may have what has a meaning in filters: ``my run*`` would be a word and a pattern of its own.
    """
    return "/".join(
        segment if segment == "**" else "*" if "[" in segment else _APART.sub("*", segment)
        for segment in pattern.split("/")
    )


def _prefix(listed: ListedExperiment) -> str:
    return listed.prefix
