"""`ml-dash sync`: send to a server what it does not have."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import typer

from ml_dash.cli.progress import Bar
from ml_dash.cli.relaying import follow
from ml_dash.cli.roots import all_of, default_roots
from ml_dash.cli.select import AsJson, full_prefix, strange_hint
from ml_dash.cli.text import complain, count_text, print_json
from ml_dash.client.destination import OUTBOX, server_url
from ml_dash.client.retry import Trouble
from ml_dash.errors import InvalidArgumentError, MLDashError
from ml_dash.journal.disk import NOT_THERE
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.paths import config_directory
from ml_dash.storage.manifest import Manifest
from ml_dash.storage.recovery import catch_up, recover_dead
from ml_dash.storage.survey import Located, is_inside, survey
from ml_dash.upload.outbox import clear
from ml_dash.upload.sync import SyncProgress, SyncReport, report_unasked, sync_experiment
from ml_dash.upload.sync_many import Progress, sync_many
from ml_dash.upload.unsent import unsent
from ml_dash.visible import visible


class _Journal(NamedTuple):
    """What is to be sent of an experiment, and where to."""

    manifest: Manifest
    url: str
    writers: frozenset[str] | None  # whose frames; None for all
    outbox: str | None  # the outbox's root, where the journal lies in it


def sync(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[PATH]...",
            help="Directories of experiments, or directories above them; .dash and the outbox by default.",
            show_default=False,
        ),
    ] = [],  # noqa: B006 - typer wants a list, and makes a new one
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="URL",
            help="Send to this server, whichever the runs were meant for.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="PREFIX",
            help="Send the one experiment that PATH names under this prefix.",
            show_default=False,
        ),
    ] = None,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Bring back experiments that were deleted at the server.")
    ] = False,
    patience: Annotated[
        float,
        typer.Option(
            "--patience", metavar="SECONDS", min=0.0, help="How long to try again at a server that fails."
        ),
    ] = 30.0,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on: follow what runs write, until SIGTERM or Ctrl-C."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send to a server what it does not have.

    It may be run again, by two at once, and beside the run itself: the server stores everything once. Runs in local
    mode are skipped, unless --to names a server. With --watch it is a relay, which sends within seconds what live runs
    write. Exit code 1: something could not be sent, and stays in its journal, or something cannot be read.
    """
    target = None if to is None else server_url(to)
    if watch:
        if name is not None:
            raise InvalidArgumentError(f"--as {name} is a name for one experiment, and --watch follows all")
        follow(paths, to=target, recreate=recreate, as_json=as_json)
        return
    recover_dead()  # first: what a killed run had written nothing of has no journal yet
    journals, local, failed = _find(paths, target, None if name is None else full_prefix(name))
    failed |= _refuse_one_name_for_two(journals)
    if local:
        complain(f"{count_text(local, 'experiment')} in local mode skipped: --to URL sends them too")
    reports = asyncio.run(_send(journals, named=target, recreate=recreate, patience=patience))
    for report in reports:
        _tell(report, quiet=as_json)
    if as_json:
        told = [(report, _record(report)) for report in reports]
        print_json(
            {
                "done": [record for report, record in told if report.left_behind is None],
                "failed": [
                    {**record, "reason": report.left_behind}
                    for report, record in told
                    if report.left_behind is not None
                ],
                "local": local,
                "allRead": not failed,
            }
        )
    if not journals and not failed:
        complain("nothing to send")
    if failed or any(report.left_behind is not None for report in reports):
        raise typer.Exit(1)


def _find(paths: list[str], target: str | None, name: str | None) -> tuple[list[_Journal], int, bool]:
    """Return what is to be sent, how many experiments have rows of local mode, and whether something cannot be read."""
    journals: list[_Journal] = []
    seen: set[str] = set()
    local = 0
    directories, failed = _directories(paths)
    if name is not None and len(directories) != 1:
        raise InvalidArgumentError(
            f"--as {name} is a name for one experiment, and {len(directories)} are meant: name its directory"
        )
    for directory, outbox in directories:
        # By the real path: the outbox may lie below a directory that is named as well.
        if os.path.realpath(directory) in seen:
            continue
        seen.add(os.path.realpath(directory))
        manifest = Manifest(directory, name=name, disk=ForeignDisk(directory))
        if target is not None:
            journals.append(_Journal(manifest, target, None, outbox))
        try:
            failed |= _tell_unread(manifest)
            if target is not None:
                continue
            meant = manifest.meant_for()
            if outbox is not None and not any(meant.values()):
                # files that were uploaded from outside: no run says where to, and nothing else waits here
                meant = dict.fromkeys(meant, manifest.describe().get("url"))
        except (MLDashError, OSError) as error:
            complain(f"Warning: {error}")
            failed = True
            continue
        # Counted, not sent: rows of local mode were never meant to leave this machine.
        local += None in meant.values()
        # One experiment may have had several servers, one after the other: each gets the rows meant for it.
        for url in dict.fromkeys(url for url in meant.values() if url is not None):
            writers = frozenset(writer for writer, its in meant.items() if its == url)
            journals.append(_Journal(manifest, url, writers, outbox))
    return journals, local, failed


def _tell_unread(manifest: Manifest) -> bool:
    """Say what of an experiment cannot be read, or is not; and whether there is anything."""
    unread = {odd.path: odd.reason for odd in Located("", manifest.directory).odd_entries()}
    unread |= manifest.unreadable()
    for path, reason in unread.items():
        complain(f"Warning: cannot read {path!r}: {reason}")
    return bool(unread)


def _refuse_one_name_for_two(journals: list[_Journal]) -> bool:
    """Take out what would be mixed with another experiment under its name; say whether there is any.

    Of those that are called alike, the one that lies where its name says has it. What lies in an outbox is the same
    experiment as that in a root: nobody renames directories there.
    """
    called = {each.manifest.directory: _prefix_of(each.manifest) for each in journals}
    places: dict[tuple[str, str], str] = {}
    refused: set[str] = set()
    for journal in sorted(journals, key=lambda each: not _is_in_place(each, called)):
        directory = journal.manifest.directory
        prefix = called[directory]
        if prefix is None or journal.outbox is not None:
            continue
        if places.setdefault((journal.url, prefix), directory) == directory:
            continue
        refused.add(directory)
        complain(
            f"{directory} is called {prefix}, as {places[journal.url, prefix]} is, and is not sent: `ml-dash sync "
            f"{shlex.quote(directory)} --as PREFIX` sends it under another name"
        )
    journals[:] = [each for each in journals if each.manifest.directory not in refused]
    return bool(refused)


def _prefix_of(manifest: Manifest) -> str | None:
    try:
        prefix = manifest.describe().get("prefix")
    except (MLDashError, OSError):
        return None  # it is told when it is to be sent
    return prefix if isinstance(prefix, str) else None


def _is_in_place(journal: _Journal, called: dict[str, str | None]) -> bool:
    directory = journal.manifest.directory
    return f"/{os.path.abspath(directory)}".replace(os.sep, "/").endswith(f"/{called[directory]}")


def _directories(paths: list[str]) -> tuple[list[tuple[str, str | None]], bool]:
    """Return the directories of experiments, with the outbox's root for those that lie in one.

    And whether something cannot be read: then nobody knows whether all was sent that is to be.
    """
    directories: list[tuple[str, str | None]] = []
    outboxes, failed = _outboxes()
    for path in paths or [root for root in (*all_of(default_roots()), *outboxes) if os.path.lexists(root)]:
        found = survey(path)
        for refused, reason in found.refused.items():
            # A link that leads out of this one: what it leads to may be named as well.
            if any(each != path and is_inside(each, refused) for each in paths):
                continue
            complain(f"Warning: cannot read {refused!r}: {reason}")
            failed = True
        hint = strange_hint(found.strange, path)
        if paths and not found.experiments and not found.refused:
            raise InvalidArgumentError(
                f"there is no experiment in {path!r}: {hint or 'name its directory, or one above it'}"
            )
        if hint is not None:
            complain(f"Note: {hint}")
        for each in found.experiments:
            real = os.path.realpath(each.directory)
            inside = [root for root in outboxes if real.startswith(os.path.join(os.path.realpath(root), ""))]
            directories.append((each.directory, inside[0] if inside else None))
    return directories, failed


def _outboxes() -> tuple[list[str], bool]:
    """Return the roots of the journals that are only kept until a server has them: one a server.

    And whether they cannot be looked for.
    """
    outbox = os.path.join(config_directory(), OUTBOX)
    try:
        with os.scandir(outbox) as entries:
            return [entry.path for entry in entries if entry.is_dir()], False
    except NOT_THERE:
        return [], False
    except OSError as error:
        complain(f"Warning: cannot read {outbox!r}: {error.strerror or error}")
        return [], True


async def _send(
    journals: list[_Journal], *, named: str | None, recreate: bool, patience: float
) -> list[SyncReport]:
    # aiohttp takes a fifth of a second, which the help must not
    from ml_dash.cli.remote import open_clients

    async with open_clients(named=named is not None, option="--to") as client_of:
        with Bar() as bar:
            told: set[tuple[str, str]] = set()

            def tell(url: str, trouble: Trouble, seconds: float) -> None:
                if (url, trouble.kind) not in told:  # of a server that fails, each experiment under way hears
                    told.add((url, trouble.kind))
                    bar.say(f"{trouble.reason}; trying again for {seconds:.0f} s", wrong=True)

            async def send(journal: _Journal, on_progress: Callable[[SyncProgress], None]) -> SyncReport:
                await asyncio.to_thread(catch_up, journal.manifest.directory)
                report = await sync_experiment(
                    journal.manifest.directory,
                    client_of(journal.url),
                    asyncio.to_thread,
                    manifest=journal.manifest,
                    only=lambda writer: journal.writers is None or writer in journal.writers,
                    recreate=recreate,
                    patience=patience,
                    on_progress=on_progress,
                    on_trouble=partial(tell, journal.url),
                )
                if journal.outbox is not None and report.left_behind is None:
                    await asyncio.to_thread(_clear, journal)
                return report

            def show(at: Progress) -> None:
                bar.show(f"{at.finished}/{at.jobs} experiments", at.done, at.total)

            return await sync_many([_Job(journal, send) for journal in journals], show)


class _Job:
    """See `SyncJob`."""

    def __init__(
        self,
        journal: _Journal,
        send: Callable[[_Journal, Callable[[SyncProgress], None]], Awaitable[SyncReport]],
    ) -> None:
        self.url = journal.url
        # by what it is called: its directory in a root and the one in the outbox are one experiment
        self.line = (journal.url, _prefix_of(journal.manifest) or journal.manifest.directory)
        self.size = _size_of(journal.manifest.journal)
        self._journal, self._send = journal, send

    async def send(self, on_progress: Callable[[SyncProgress], None]) -> SyncReport:
        return await self._send(self._journal, on_progress)

    async def pass_over(self, reason: str) -> SyncReport:
        return await report_unasked(self._journal.manifest, self.url, asyncio.to_thread, reason)


def _size_of(directory: str) -> int:
    """Return about how many bytes a journal has; what cannot be looked at is told when it is to be sent."""
    try:
        with os.scandir(directory) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except OSError:
        return 0


def _clear(journal: _Journal) -> None:
    """Remove from the outbox what the server has now, but for writers that may go on."""
    directory = journal.manifest.directory
    done = journal.manifest.done_writers() - unsent(directory, journal.url, journal.manifest.disk)
    try:
        clear(str(journal.outbox), directory, done)
    except OSError as error:
        complain(f"Warning: {directory} cannot be removed from the outbox: {error}")


def _record(report: SyncReport) -> dict[str, Any]:
    return {
        "prefix": report.prefix,
        "directory": report.directory,
        "url": report.url,
        "sentEvents": report.sent_rows,
        "knownEvents": report.known_rows,
        "rejectedEvents": report.rejected_rows,
        "sentFiles": report.sent_files,
        "lostFrames": report.lost_frames,
        "tornBytes": report.torn_bytes,
    }


def _tell(report: SyncReport, *, quiet: bool) -> None:
    name = report.prefix or report.directory
    if report.formerly is not None:
        complain(
            f"{report.directory} was logged as {report.formerly}, and is sent as {name}, which is its name now"
        )
    parts = [f"{count_text(report.sent_rows, 'event')} sent"]
    if report.known_rows:
        parts.append(f"{count_text(report.known_rows, 'event')} already there")
    if report.sent_files:
        parts.append(f"{count_text(report.sent_files, 'file')} sent")
    if report.rejected_rows:
        parts.append(f"{count_text(report.rejected_rows, 'event')} refused and set aside in rejected/")
    if report.lost_frames:
        parts.append(f"{count_text(report.lost_frames, 'frame')} damaged on this disk")
    if report.torn_bytes:
        parts.append(f"{count_text(report.torn_bytes, 'byte')} that are no frame (see `ml-dash verify`)")
    if not quiet:
        typer.echo(visible(f"{name} -> {report.url}: {', '.join(parts)}"))
    if report.left_behind is not None:
        complain(f"{name}: not all of it was sent: {report.left_behind}")
