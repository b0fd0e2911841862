"""`ml-dash tag` and `ml-dash note`: what people say of experiments."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Annotated

import typer

from ml_dash.cli.place import (
    Deed,
    DryRun,
    ExperimentNames,
    FilterText,
    PlaceUrl,
    Yes,
    confirmed,
    each_of,
    meant,
    open_place,
)
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, Root
from ml_dash.errors import InvalidArgumentError
from ml_dash.places.changing import NewTags
from ml_dash.visible import visible


def tag(
    exp: ExperimentNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    *,
    add: Annotated[
        list[str], typer.Option("--add", "-a", metavar="TAG", help="Add a tag; may be repeated.")
    ] = [],  # noqa: B006
    remove: Annotated[
        list[str], typer.Option("--remove", "-r", metavar="TAG", help="Take a tag away; may be repeated.")
    ] = [],  # noqa: B006
    only: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="TAG", help="Replace all tags; may be repeated, and '' alone leaves none."
        ),
    ] = [],  # noqa: B006
    filter: FilterText = None,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Change the tags of experiments, or print them.

    It may be done while they run.
    """
    news = NewTags(add, remove, [each for each in only if each] if only else None)
    is_change = bool(add or remove or only)
    with open_place(root, url) as place:
        prefixes, is_many = meant(place, exp, filter)
        if is_change and not confirmed(
            "tag", prefixes, is_many=is_many, yes=yes, dry_run=dry_run, as_json=as_json
        ):
            return
        each_of(prefixes, lambda prefix: _tagged(prefix, place.changes.tag(prefix, news)), as_json=as_json)


def note(
    exp: ExperimentNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    *,
    message: Annotated[
        str | None,
        typer.Option(
            "--message",
            "-m",
            metavar="TEXT",
            help="The note, in Markdown; '' takes it away.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-F",
            metavar="FILE",
            help="Read it from a file; - is standard input.",
            show_default=False,
        ),
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", "-e", help="Write it in $EDITOR.")] = False,
    append: Annotated[bool, typer.Option("--append", help="Put it behind what is there.")] = False,
    filter: FilterText = None,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Print the note on an experiment, or write one.

    It is what people write of an experiment; the readme is the run's own.
    """
    if (message is not None) + (file is not None) + edit > 1:
        raise InvalidArgumentError(
            "--message, --file and --edit are three ways to give the note: use one of them"
        )
    with open_place(root, url) as place:
        prefixes, is_many = meant(place, exp, filter)
        changes = place.changes
        if message is None and file is None and not edit:
            title = "{}:\n" if is_many else ""

            def read(prefix: str) -> Deed:
                found = changes.read_note(prefix)
                return Deed(title.format(visible(prefix)) + _shown(found), {"note": found or None})

            each_of(prefixes, read, as_json=as_json)
            return
        if edit and is_many:
            raise InvalidArgumentError(
                f"--edit is for one experiment, and {len(prefixes)} are meant: use --message"
            )
        if not confirmed("note on", prefixes, is_many=is_many, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        text = _edited(changes.read_note(prefixes[0])) if edit else _given(message, file)

        def write(prefix: str) -> Deed:
            before = changes.read_note(prefix) if append else None
            whole = f"{before}\n\n{text}" if before else text
            changes.note(prefix, whole)
            said = f"{prefix}: noted" if text else f"{prefix}: the note is gone"
            return Deed(visible(said), {"note": whole or None})

        each_of(prefixes, write, as_json=as_json)


def _tagged(prefix: str, tags: Sequence[str]) -> Deed:
    return Deed(visible(f"{prefix}: {', '.join(tags)}"), {"tags": list(tags)})


def _given(message: str | None, file: str | None) -> str:
    if file is None:
        return message or ""
    if file == "-":
        return sys.stdin.read().rstrip()
    with open(file, encoding="utf-8") as source:
        return source.read().rstrip()


def _edited(before: str | None) -> str:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="ml-dash-") as directory:
        path = os.path.join(directory, "note.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(before or "")
        try:
            done = subprocess.run([*shlex.split(editor), path], check=False).returncode  # noqa: S603 - the user's own
        except OSError as error:
            raise InvalidArgumentError(
                f"the editor {editor!r} cannot be started ({error.strerror}): set EDITOR, or use --message"
            ) from error
        if done:
            raise InvalidArgumentError(f"{editor!r} ended with {done}: the note stays as it is")
        return _given(None, path)


def _shown(note: str | None) -> str:
    """Return a note as it is shown: of a terminal's control characters, none."""
    return "\n".join(visible(line) for line in (note or "").splitlines())
