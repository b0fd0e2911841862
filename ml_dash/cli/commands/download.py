"""`ml-dash download`: files of an experiment, copied out."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from ml_dash.cli.file_source import Alias, FileSource, chosen, open_source
from ml_dash.cli.overview import report_damage
from ml_dash.cli.progress import Bar
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, ExperimentName, Root, ServerOption, given_path
from ml_dash.cli.text import complain, count_text, print_json, size_text, standard_output
from ml_dash.errors import ContentError, FileMissingError, FileStoreError, InvalidArgumentError
from ml_dash.query.files import full_name
from ml_dash.sdk.files.targets import Below, is_hidden
from ml_dash.storage.hashing import checksum_of

_OF_ONE_FILE = (ContentError, FileMissingError, FileStoreError, InvalidArgumentError)
"""What stands in the way of one file, and not of the others."""


def download(
    exp: ExperimentName,
    glob: Annotated[
        str,
        typer.Argument(
            metavar="[GLOB]",
            help="A file, a directory, or a pattern such as '*.pt' or 'models/**'; all files by default.",
            show_default=False,
        ),
    ] = "",
    *,
    directory: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="The directory to put them in, which is made if need be; - writes one file to standard output.",
            callback=given_path,
        ),
    ] = ".",
    file_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="The file with this id; it may be an older version.",
            show_default=False,
        ),
    ] = None,
    alias: Alias = None,
    root: Root = DEFAULT_ROOT,
    url: ServerOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ.")] = False,
    dotfiles: Annotated[
        bool, typer.Option("--allow-dotfiles", help="Copy files whose names begin with a dot without asking.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy files of an experiment to a directory.

    Their paths are kept, and every file is compared with its checksum. A file that is there already is skipped if it
    is the same, and replaced only with --force if it differs. Names that begin with a dot, such as .bashrc, are asked
    about unless GLOB spells them out. Exit code 1: a file is missing or left out, or nothing matches.
    """
    if alias is not None and file_id is not None:
        raise InvalidArgumentError(f"--id {file_id} and --alias {alias}: give one of them")
    if glob and file_id is not None:
        raise InvalidArgumentError(f"--id {file_id} and {glob!r}: give one of them")
    if as_json and directory == "-":
        raise InvalidArgumentError("-o - and --json would both go to standard output: give one of them")
    with open_source(exp, root, url) as source:
        try:
            rows = _wanted(source, exp, glob, file_id, alias)
        except FileMissingError:
            report_damage(source.damage)  # it may be there, in what cannot be read
            raise
        hidden = [row["id"] for row in rows if is_hidden(row, glob)] if directory != "-" else []
        if hidden and (dotfiles or _wants([full_name(row) for row in rows if row["id"] in hidden])):
            hidden = []
        with Bar() as bar:
            if directory == "-":
                done = _print(source, rows, bar)
            else:
                downloads = _Downloads(source, directory, bar, rows, force, frozenset(hidden), quiet=as_json)
                done = downloads.run()
                if as_json:
                    print_json({"done": downloads.done, "failed": downloads.failed})
        if report_damage(source.damage) or not done:
            raise typer.Exit(1)


def _wanted(
    source: FileSource, exp: str, glob: str, file_id: str | None, alias: str | None
) -> list[dict[str, Any]]:
    if file_id is not None:
        row = source.file(file_id)
        if row is None:
            raise FileMissingError(f"no file of {exp!r} has the id {file_id!r}: `ml-dash files` lists all")
        return [row]
    rows = source.files(chosen(glob, alias=alias))
    if not rows:
        meant = f"no file of {exp!r} matches {glob!r}" if glob else f"{exp!r} has no files"
        meant += f" with the alias {alias!r}" if alias else ""
        raise FileMissingError(f"{meant}: `ml-dash files` lists all")
    return rows


def _wants(names: Sequence[str]) -> bool:
    """Ask whether files are to be copied whose names begin with a dot; nobody is asked who cannot answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    for name in names:
        complain(f"  {name}")
    return typer.confirm(
        f"{count_text(len(names), 'file')} with a name that begins with a dot, which programs obey: copy too?",
        err=True,
    )


def _print(source: FileSource, rows: Sequence[dict[str, Any]], bar: Bar) -> bool:
    """Write a file to standard output, once all of it is here and right."""
    if len(rows) > 1:
        raise InvalidArgumentError(
            f"-o - is standard output, which takes one file, and {len(rows)} are meant: name one of them, or give a "
            "directory"
        )
    (row,) = rows
    with tempfile.TemporaryDirectory(prefix="ml-dash-") as directory:
        path = os.path.join(directory, "content")
        _check_present(row)
        source.fetch(row, path, lambda done: bar.show(full_name(row), done, row["sizeBytes"]))
        with open(path, "rb") as file, standard_output() as out:
            shutil.copyfileobj(file, out)
    return True


def _check_present(row: dict[str, Any]) -> None:
    if row["deletedAt"]:
        raise FileMissingError(f"was deleted at {row['deletedAt']}")


@dataclass(slots=True)
class _Downloads:
    """Files on their way to a directory, one after the other."""

    source: FileSource
    directory: str
    bar: Bar
    rows: Sequence[dict[str, Any]]
    force: bool
    hidden: frozenset[str]  # ids of those that are left out for their names
    quiet: bool  # a program is told in the end, and nothing before
    done: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    below: Below = field(init=False)

    def __post_init__(self) -> None:
        self.below = Below(self.rows, self.directory)

    def run(self) -> bool:
        """Get them all; False where one could not be had."""
        total = sum(row["sizeBytes"] for row in self.rows)
        # One file that cannot be had must not keep the others from coming.
        begun = 0
        for row in self.rows:
            name = full_name(row)
            try:
                target = self.below.place(row)
                self._get(row, name, target, begun, total)
                self.below.take(target)
            except _OF_ONE_FILE as error:
                self.bar.say(f"{name}: {error}", wrong=True)
                self.failed.append({"name": name, "id": row["id"], "reason": str(error)})
            begun += row["sizeBytes"]
        return not self.failed

    def _get(self, row: dict[str, Any], name: str, target: str, begun: int, total: int) -> None:
        _check_present(row)
        # `lexists`, for a link that leads nowhere is in the way, too
        if os.path.lexists(target):
            if _is_same(target, row):
                self._tell(row, target, f"{target}  already there", was_there=True)
                return
            if not self.force:
                raise FileStoreError(f"{target!r} exists and differs: --force replaces it")
        if row["id"] in self.hidden:
            raise FileStoreError(
                "left out, since its name begins with a dot, and programs obey such files: --allow-dotfiles copies it"
            )
        # it may take hours, in which somebody makes a file of that name
        new = not self.force
        self.source.fetch(row, target, lambda done: self.bar.show(name, begun + done, total), new=new)
        renamed = (
            f"  ({name}: this disk has the name for another)" if self.below.is_renamed(row, target) else ""
        )
        self._tell(row, target, f"{target}  {size_text(row['sizeBytes'])}{renamed}", was_there=False)

    def _tell(self, row: dict[str, Any], target: str, line: str, *, was_there: bool) -> None:
        told = {"name": full_name(row), "id": row["id"], "path": target, "bytes": row["sizeBytes"]}
        self.done.append({**told, "alreadyThere": was_there})
        if not self.quiet:
            self.bar.say(line)


def _is_same(path: str, row: dict[str, Any]) -> bool:
    if os.path.isdir(path):
        raise FileStoreError(f"{path!r} is a directory: remove it, or choose another one by -o")
    # the size first: a checksum takes reading all of what may be gigabytes
    if not os.path.isfile(path) or os.path.getsize(path) != row["sizeBytes"]:
        return False
    return checksum_of(path).checksum == str(row["checksum"])
