"""`ml-dash tag`, `note` and `readme`: what people say of experiments."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

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
from ml_dash.cli.text import complain
from ml_dash.errors import ChangedMeanwhileError, InvalidArgumentError
from ml_dash.places.changing import Changes, NewTags
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


_Message = Annotated[
    str | None,
    typer.Option(
        "--message", "-m", metavar="TEXT", help="The text, in Markdown; '' takes it away.", show_default=False
    ),
]
_File = Annotated[
    str | None,
    typer.Option(
        "--file", "-F", metavar="FILE", help="Read it from a file; - is standard input.", show_default=False
    ),
]
_Edit = Annotated[bool, typer.Option("--edit", "-e", help="Write it in $EDITOR.")]
_Append = Annotated[bool, typer.Option("--append", help="Put it behind what is there.")]


class _Words(NamedTuple):
    """What is said of one kind of text: before a question, when it is written, and when it is gone."""

    what: Literal["note", "readme"]
    question: str
    written: str
    gone: str


_NOTE = _Words("note", "note on", "noted", "the note is gone")
_README = _Words("readme", "describe", "described", "the readme is gone")


class _Which(NamedTuple):
    """Which experiments are meant, and where they are."""

    exp: list[str]
    filter: str | None
    root: str
    url: str | None


class _How(NamedTuple):
    """How a text is given, and whether."""

    message: str | None
    file: str | None
    edit: bool
    append: bool


def note(
    exp: ExperimentNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    *,
    message: _Message = None,
    file: _File = None,
    edit: _Edit = False,
    append: _Append = False,
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
    which, how = _Which(exp, filter, root, url), _How(message, file, edit, append)
    _read_or_write(_NOTE, which, how, yes, dry_run, as_json)


def readme(
    exp: ExperimentNames = [],  # noqa: B006 - typer wants a list, and makes a new one
    *,
    message: _Message = None,
    file: _File = None,
    edit: _Edit = False,
    append: _Append = False,
    filter: FilterText = None,
    root: Root = DEFAULT_ROOT,
    url: PlaceUrl = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Print the readme of an experiment, or change it.

    A run that says another one later, as a script does that starts again, has it replaced.
    """
    which, how = _Which(exp, filter, root, url), _How(message, file, edit, append)
    _read_or_write(_README, which, how, yes, dry_run, as_json)


def _read_or_write(words: _Words, which: _Which, how: _How, yes: bool, dry_run: bool, as_json: bool) -> None:
    with open_place(which.root, which.url) as place:
        found = meant(place, which.exp, which.filter)
        _say(place.changes, words, found, how, yes, dry_run, as_json)


def _say(
    changes: Changes,
    words: _Words,
    found: tuple[list[str], bool],
    how: _How,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Print a text of experiments, or write it."""
    if (how.message is not None) + (how.file is not None) + how.edit > 1:
        raise InvalidArgumentError(
            f"--message, --file and --edit are three ways to give the {words.what}: use one of them"
        )
    prefixes, is_many = found
    reads, writes = (
        (changes.read_note, changes.note) if words.what == "note" else (changes.read_readme, changes.readme)
    )
    if how.message is None and how.file is None and not how.edit:
        title = "{}:\n" if is_many else ""

        def read(prefix: str) -> Deed:
            text = reads(prefix)
            return Deed(title.format(visible(prefix)) + _shown(text), {words.what: text or None})

        each_of(prefixes, read, as_json=as_json)
        return
    if how.edit and is_many:
        raise InvalidArgumentError(
            f"--edit is for one experiment, and {len(prefixes)} are meant: use --message"
        )
    if not confirmed(words.question, prefixes, is_many=is_many, yes=yes, dry_run=dry_run, as_json=as_json):
        return
    edited = reads(prefixes[0]) if how.edit else None
    text = _edited(words.what, edited) if how.edit else _given(how.message, how.file)

    def write(prefix: str) -> Deed:
        before = reads(prefix) if how.append else edited
        whole = f"{before}\n\n{text}" if how.append and before else text
        try:
            writes(prefix, whole, (before or "") if how.append or how.edit else None)
        except ChangedMeanwhileError:
            if how.edit:
                complain(f"what you have written is kept: {_kept(words.what, text)}")
            raise
        said = f"{prefix}: {words.written if text else words.gone}"
        return Deed(visible(said), {words.what: whole or None})

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


def _kept(what: str, text: str) -> str:
    """Keep a text that could not be written; return where."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix=f"ml-dash-{what}-", suffix=".md", delete=False
    ) as file:
        file.write(text)
    return file.name


def _edited(what: str, before: str | None) -> str:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="ml-dash-") as directory:
        path = os.path.join(directory, f"{what}.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(before or "")
        try:
            done = subprocess.run([*shlex.split(editor), path], check=False).returncode  # noqa: S603 - the user's own
        except OSError as error:
            raise InvalidArgumentError(
                f"the editor {editor!r} cannot be started ({error.strerror}): set EDITOR, or use --message"
            ) from error
        if done:
            raise InvalidArgumentError(f"{editor!r} ended with {done}: the {what} stays as it is")
        return _given(None, path)


def _shown(text: str | None) -> str:
    """Return a text as it is shown: of a terminal's control characters, none."""
    return "\n".join(visible(line) for line in (text or "").splitlines())
