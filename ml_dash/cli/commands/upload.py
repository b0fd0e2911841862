"""`ml-dash upload`: files added to an experiment, from outside of its runs."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import typer

from ml_dash.cli.progress import Bar
from ml_dash.cli.roots import DEFAULT_ROOT
from ml_dash.cli.select import AsJson, ExperimentName, Root, find_experiment, full_prefix
from ml_dash.cli.text import complain, count_text, print_json, size_text
from ml_dash.client.destination import destination, make_outbox
from ml_dash.clock import SYSTEM_CLOCK, RisingClock
from ml_dash.errors import InvalidArgumentError, JournalWriteError
from ml_dash.events.batch import Batcher
from ml_dash.identity import file_path
from ml_dash.journal.disk import REAL_DISK
from ml_dash.journal.frame import new_writer_id
from ml_dash.journal.latest import latest_ns
from ml_dash.journal.writer import JournalWriter
from ml_dash.query.files import FILES
from ml_dash.sdk.files.details import Details, checked_aliases, save_row
from ml_dash.sdk.files.directories import Directory
from ml_dash.sdk.files.names import Place
from ml_dash.storage.blobs import Staging, add_marker
from ml_dash.storage.manifest import Manifest
from ml_dash.upload.outbox import clear
from ml_dash.upload.sync import SyncReport, sync_experiment
from ml_dash.values.pack import pack


class _Place(NamedTuple):
    """The experiment to which files are added."""

    directory: str
    prefix: str
    url: str | None  # of the server that gets them
    outbox: str | None  # the outbox's root, where they wait in it, and are removed when they are sent


def upload(
    exp: ExperimentName,
    paths: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="The files, and directories of files.")
    ],
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="PATH",
            help="The name in the experiment; with a slash at its end, or for several files, the directory for them.",
            show_default=False,
        ),
    ] = "",
    description: Annotated[
        str | None,
        typer.Option("--description", metavar="TEXT", help="A description, for people.", show_default=False),
    ] = None,
    tag: Annotated[
        list[str], typer.Option("--tag", metavar="TAG", help="A tag to search by; may be repeated.")
    ] = [],  # noqa: B006 - typer wants a list, and makes a new one
    alias: Annotated[
        list[str],
        typer.Option("--alias", metavar="ALIAS", help="A name that means these versions; may be repeated."),
    ] = [],  # noqa: B006 - typer wants a list, and makes a new one
    root: Root = DEFAULT_ROOT,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Add to an experiment at this server instead of this disk; EXP is a whole prefix then.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add files to an existing experiment.

    The status of its runs stays as it is. If the experiment is sent to a server, so are the files. Exit code 1: they
    could not be sent; `ml-dash sync` sends them later.
    """
    aliases = checked_aliases(alias)
    new = _new_files(paths, to, description, tag, root)
    place = _local(exp, root) if url is None else _at_server(exp, url)
    with Bar() as bar:
        writer, added = _add(place, new, aliases, bar, quiet=as_json)
        report = asyncio.run(_send(place, writer, bar, named=url is not None)) if place.url else None
    if as_json:
        _tell_json(place, added, report)
    if report is not None:
        _tell(report, len(new))


def _new_files(
    paths: Sequence[str], to: str, description: str | None, tags: Sequence[str], root: str
) -> list[NewFile]:
    """Return what is to be added; nothing is, where something is wrong with one of them."""
    for name, text in [("--description", description or ""), *(("--tag", each) for each in tags)]:
        check_text(name, text)
    into = to.endswith("/") or len(paths) > 1
    found = []
    for source in paths:
        if os.path.isdir(source):
            found += _in_directory(source, to, Details(description, tags), root)
            continue
        if not os.path.exists(source):
            raise InvalidArgumentError(f"there is no file {source!r}: name an existing one")
        if not os.path.isfile(source) or not os.access(source, os.R_OK):
            raise InvalidArgumentError(f"{source!r} is not a readable regular file: name one that is")
        own = os.path.basename(source)
        *above, filename = file_path(
            f"{to.rstrip('/')}/{own}" if into else to or own, "--to " if to else "FILE "
        )
        details = Details(description, tags)
        found.append(NewFile(source, Place("/" + "/".join(above), filename), details))
    names = [each.place.name for each in found]
    # checked before anything is added: half of the files would be worse than none
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgumentError(f"several FILEs would be {name!r}: upload them one by one, with --to")
    return found


def _in_directory(source: str, to: str, details: Details, root: str) -> list[NewFile]:
    """Return the files of a directory, each under its path from there."""
    directory = Directory(source, root)
    found = []
    for each in directory.files():
        *above, filename = file_path(f"{to.rstrip('/')}/{each.name}".lstrip("/"), "--to and FILE: ")
        found.append(NewFile(each.path, Place("/" + "/".join(above), filename), details))
    if not found:
        raise directory.missing()
    if left_out := directory.left_out():
        complain(f"Warning: {left_out}")
    return found


def _local(exp: str, root: str) -> _Place:
    located = find_experiment(exp, root)
    # a writer that begins no run belongs where all the others do
    for odd in located.odd_entries():
        raise InvalidArgumentError(
            f"nothing is added to {located.prefix}: {odd.path} is not used: {odd.reason}"
        )
    manifest = Manifest(located.directory, disk=located.disk)
    for path, reason in manifest.unreadable().items():
        complain(f"Warning: cannot read {path!r}: {reason}")
    urls = set(manifest.meant_for().values())
    return _Place(located.directory, located.prefix, urls.pop() if len(urls) == 1 else None, None)


def _at_server(exp: str, url: str) -> _Place:
    from ml_dash.cli.remote import open_remote

    target = destination(url, None)
    prefix = full_prefix(exp)
    with open_remote(str(target.url), prefix, named=True):
        pass  # it is there: what is made here would otherwise become an experiment without a run
    directory = os.path.join(target.root, *prefix.split("/"))
    make_experiment(directory, prefix, str(target.url))
    return _Place(directory, prefix, target.url, target.root)


def _add(
    place: _Place, new: Sequence[NewFile], aliases: Sequence[str], bar: Bar, *, quiet: bool
) -> tuple[str, list[dict[str, Any]]]:
    """Add files to the experiment's directory, and return the writer of their rows, and what `--json` has of each."""
    added = []
    total = sum(os.path.getsize(each.source) for each in new)
    done = 0
    with Addition(place.directory, for_server=place.url is not None) as addition:
        for each in new:
            name = each.place.name
            row = addition.add(
                each,
                lambda size: bar.show(name, done + size, total),  # noqa: B023 - called at once
                aliases,
            )
            done += row["sizeBytes"]
            added.append({"source": each.source, "name": name, "id": row["id"], "bytes": row["sizeBytes"]})
            if not quiet:
                bar.say(
                    f"{each.source} -> {place.prefix}: {name}  {size_text(row['sizeBytes'])}  {row['id']}"
                )
    return addition.writer, added


async def _send(place: _Place, writer: str, bar: Bar, *, named: bool) -> SyncReport:
    from ml_dash.cli.remote import open_clients

    async with open_clients(named=named) as client_of:
        report = await sync_experiment(
            place.directory,
            client_of(str(place.url)),
            asyncio.to_thread,
            # what else waits here belongs to runs, which may be sending it right now
            only=writer.__eq__,
            on_progress=lambda at: bar.show(place.prefix, at.done, at.total),
        )
    if place.outbox is not None and report.left_behind is None:
        await asyncio.to_thread(clear, place.outbox, place.directory, [writer])
    return report


def _tell_json(place: _Place, added: list[dict[str, Any]], report: SyncReport | None) -> None:
    reason = None if report is None else report.left_behind
    sent = None if report is None else reason is None
    print_json({"prefix": place.prefix, "done": added, "url": place.url, "sent": sent, "reason": reason})


def _tell(report: SyncReport, count: int) -> None:
    files = count_text(count, "file")
    if report.left_behind is not None:
        complain(
            f"{files} added, but not sent to {report.url}: {report.left_behind}. What the server is missing stays in "
            f"{report.directory}; `ml-dash sync` sends it"
        )
        raise typer.Exit(1)
    complain(f"{files} sent to {report.url}")


class NewFile(NamedTuple):
    """A file that is to be added: where it is, where it goes, and what is said about it."""

    source: str
    place: Place
    details: Details


class Addition:
    """Adds files to one experiment; all that it has added is durable when the block ends.

    No run is begun by it, and none ended. It may be done while runs go on, in other processes too.
    """

    def __init__(self, directory: str, *, for_server: bool) -> None:
        journal = os.path.join(directory, "journal")
        self._times = RisingClock(SYSTEM_CLOCK)
        self.writer = new_writer_id(self._times.next_ns(latest_ns(journal)))
        self._directory = directory
        self._for_server = for_server
        self._staging = Staging(directory)
        self._journal = JournalWriter(journal, self.writer)

    def __enter__(self) -> Addition:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()

    def add(
        self,
        new: NewFile,
        on_progress: Callable[[int], None] | None = None,
        aliases: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Add a file, and return its row."""
        time_ns = self._times.next_ns()
        # Blob, marker, row, in this order: a crash in between leaves a blob too many, and never a row without its blob.
        staged = self._staging.capture(new.source, on_progress)
        if self._for_server:
            add_marker(self._directory, staged.checksum, self.writer)
        REAL_DISK.secure(staged.path, self._directory)
        row = save_row(new.place, new.details, staged, aliases)
        event = pack([0, time_ns, row])
        self._journal.append(Batcher().blocks([event], [FILES]))
        return row


def make_experiment(directory: str, prefix: str, url: str) -> None:
    """Make the directory of an experiment that is only to be sent, in the outbox, unless it is there."""
    record = os.path.join(directory, "experiment.json")
    try:
        make_outbox()
        os.makedirs(os.path.join(directory, "journal"), exist_ok=True)
        # one that is there is a run's, and says more
        if not os.path.exists(record):
            REAL_DISK.replace(record, json.dumps({"prefix": prefix, "url": url}).encode())
    except OSError as error:
        raise JournalWriteError(
            f"{prefix!r} cannot wait for its server in {directory!r}: {error.strerror or error}. Make that directory "
            "writable, or set ML_DASH_CONFIG_DIR"
        ) from error


def check_text(name: str, text: str) -> None:
    """Refuse what is not valid Unicode, as a terminal with another encoding gives it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name} {text!r} is not valid Unicode: write it in UTF-8") from None
