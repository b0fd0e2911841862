"""What is still to be sent, in the outbox or elsewhere below a root: found without asking the server, and sent.

A journal that is only kept until the server has it is removed then.
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import shutil
import threading
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.errors import InvalidArgumentError, MLDashError
from ml_dash.forks import guarded_imports
from ml_dash.journal.blocks import block_rows
from ml_dash.journal.frame import parse_segment_name
from ml_dash.journal.index import JournalIndex
from ml_dash.notices import logger
from ml_dash.query.files import FILES, is_checksum, is_size
from ml_dash.storage.blobs import Marker, Staging, add_marker, is_used, markers
from ml_dash.storage.cursor import CURSOR_SUFFIX
from ml_dash.storage.manifest import Manifest
from ml_dash.storage.side_file import PARAMETERS_FILE, SIDE_FILE
from ml_dash.storage.survey import survey
from ml_dash.upload.unsent import unsent

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from ml_dash.client.bridge import RunBlocking
    from ml_dash.client.destination import Destination
    from ml_dash.upload.sync import SyncReport

_SIDE_FILES = (SIDE_FILE, PARAMETERS_FILE)
_SENT = "files.sent-"
"""How a directory of blobs begins that is about to be removed."""


class Leftover(NamedTuple):
    """Writers of an experiment that will write no more, and have frames that the server does not have."""

    directory: str
    writers: frozenset[str]


def earlier(directory: str, url: str, own: Container[str]) -> Leftover | None:
    """Return what earlier runs of an experiment have left of which a run begins that has this server.

    That is what was meant for it, or for none; None where there is nothing. What cannot be read is told.
    """
    try:
        left = unsent(directory, url) | {marker.writer for marker in markers(directory)}
        if not left - _those_in(own, left):
            return None
        manifest = Manifest(directory)
        meant = {writer for writer, target in manifest.meant_for().items() if target in (None, url)}
        found = (left & meant & manifest.done_writers()) - _those_in(own, left)
        return Leftover(directory, found) if found else None
    except (OSError, MLDashError) as error:
        _tell_unread(directory, error)
        return None


def _those_in(own: Container[str], writers: Iterable[str]) -> frozenset[str]:
    return frozenset(writer for writer in writers if writer in own)


def leftovers(
    directories: Iterable[str], url: str, own: Container[str] = frozenset(), *, are_removed: bool = False
) -> Iterator[Leftover]:
    """Yield what earlier runs that were meant for a server have left; what cannot be read is told, and passed over.

    Looked into are only experiments whose newest run was meant for this server, which a side file tells: a root may
    hold thousands of others. `ml-dash sync` looks into all of them.
    Left out are `own` writers, of this process: it sends what they write. So does any other process that lives, and
    where journals `are_removed` when they are sent, its own must not be removed under it: it would take them for lost.
    """
    for directory in directories:
        try:
            manifest = Manifest(directory)
            if manifest.describe().get("url") != url:
                continue
            # With frames, or blobs, that the server does not have.
            left = unsent(directory, url) | {marker.writer for marker in markers(directory)}
            if left:
                meant = {writer for writer, target in manifest.meant_for().items() if target == url}
                done = left & meant & manifest.done_writers()
                found = frozenset(writer for writer in done if writer not in own)
                if found and are_removed:
                    found -= manifest.of_others()
                if found:
                    yield Leftover(directory, found)
        except (OSError, MLDashError) as error:
            _tell_unread(directory, error)


def keep_marks(left: Leftover) -> None:
    """Mark the blobs that belong to what is left: the rows may arrive before them, and this process end in between.

    A run has marked its own. One of local mode has not: it was not to be sent then.
    """
    index = JournalIndex(os.path.join(left.directory, "journal"))
    index.refresh()
    staging = Staging(left.directory)
    known = set(markers(left.directory))
    for writer, blocks in index.blocks_by_writer(FILES):
        rows = (row for block in blocks for row in block_rows(block)) if writer in left.writers else ()
        for row in rows:
            blob = Marker(str(row.get("checksum")), writer)
            is_saved = (
                row.get("event") == "save" and is_checksum(blob.checksum) and is_size(row.get("sizeBytes"))
            )
            if is_saved and blob not in known and staging.has(blob.checksum, row["sizeBytes"]):
                add_marker(left.directory, *blob)


def tell(report: SyncReport) -> None:
    """Tell what of earlier runs was sent under another name, or is not taken."""
    if report.formerly is not None:
        logger().warning(
            "%s was logged as %s, and is sent as %s, by the place that it has now.",
            report.directory,
            report.formerly,
            report.prefix,
        )
    if report.left_behind is not None:
        logger().warning(
            "%s has events of an earlier run, which %s does not take (%s). They stay there; `ml-dash sync %s` tries "
            "again.",
            report.directory,
            report.url,
            report.left_behind,
            shlex.quote(report.directory),
        )


def _tell_unread(directory: str, reason: object) -> None:
    """Tell, of an experiment that cannot be read, that nobody knows whether something of it is still to be sent."""
    logger().warning(
        "%s cannot be read (%s): whether all of it was sent is not known. `ml-dash sync %s` tries again.",
        directory,
        reason,
        shlex.quote(directory),
    )


def clear(root: str, directory: str, names: Iterable[str]) -> None:
    """Remove the journals of writers that a server has in full, and with the last of them the experiment.

    Directories above the experiment are removed up to `root`, where they are empty.
    """
    journal = os.path.join(directory, "journal")
    done = frozenset(names)
    # Asked first: where nobody can tell, nothing must have been removed yet.
    has_unsent = bool(markers(directory))
    kept = 0
    try:
        names_there = os.listdir(journal)
    except FileNotFoundError:
        return  # another process has removed what was left, and with it the directory
    for name in names_there:
        named = parse_segment_name(name)
        if named is not None and named[0] in done:
            with contextlib.suppress(FileNotFoundError):  # another process has removed it
                os.remove(os.path.join(journal, name))
        else:
            kept += 1
    # After the segments: were it the other way round, a crash in between would make all of them count as not sent.
    for name in done:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(directory, name + CURSOR_SUFFIX))
    if not kept and not has_unsent and _clear_blobs(directory):
        for name in _SIDE_FILES:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(directory, name))
        # No `rmtree`: a directory stays that is not empty, of rejected frames, an experiment below, or one that begins.
        with contextlib.suppress(OSError):
            os.rmdir(journal)
            while directory.startswith(os.path.join(root, "")):
                os.rmdir(directory)
                directory = os.path.dirname(directory)


def _clear_blobs(directory: str) -> bool:
    """Remove the blobs of an experiment of which nothing is left to be sent; False where somebody goes on with it.

    They are taken out of the way first, and asked about again there: what is saved from now on is not among them.
    """
    files = os.path.join(directory, "files")
    aside = os.path.join(directory, f"{_SENT}{os.urandom(6).hex()}")
    if os.path.islink(files):
        return True  # what it leads to is not ours to remove
    try:
        os.rename(files, aside)
    except OSError:
        return True  # there are none, or they cannot be removed
    is_done = False
    try:
        is_done = not (os.listdir(os.path.join(directory, "journal")) or is_used(aside))
    finally:
        if not is_done:
            _put_back(aside, files)
        shutil.rmtree(aside, ignore_errors=True)
    return is_done


def _put_back(aside: str, files: str) -> None:
    for above, _, names in os.walk(aside):
        place = os.path.join(files, os.path.relpath(above, aside))
        os.makedirs(place, exist_ok=True)
        for name in names:
            os.replace(os.path.join(above, name), os.path.join(place, name))


class Replay:
    """Sends what lies below one root and was meant for one server, but for `own` writers; see `run`.

    Left out are directories of runs that are `open_now`: see `Earlier`.
    """

    def __init__(
        self,
        destination: Destination,
        own: Callable[[], Container[str]],
        run_blocking: RunBlocking,
        look_up: RunBlocking,
        open_now: Callable[[], Container[str]] = frozenset,
    ) -> None:
        self._destination = destination
        self._own = own
        self._open_now = open_now
        self._run_blocking = run_blocking
        self._look_up = look_up
        self.finished = threading.Event()

    async def run(self) -> None:
        """Send what writers left that will write no more, until it is sent or cannot be; an outage is waited for."""
        try:
            await self._run()
        except Exception:  # noqa: BLE001 - a defect of ours must not end the tracking
            logger().exception("What earlier runs left in %s cannot be sent.", self._destination.root)
        finally:
            self.finished.set()

    async def _run(self) -> None:
        with guarded_imports():
            from ml_dash.client.api import Client
            from ml_dash.client.http import AiohttpTransport
            from ml_dash.tokens.current import token_for
            from ml_dash.upload.sync import sync_experiment

        url = str(self._destination.url)
        client = Client(AiohttpTransport(url, lambda: token_for(url), self._look_up))
        for left in await self._run_blocking(self._find):
            await self._run_blocking(lambda: keep_marks(left))  # noqa: B023 - awaited
            report = await sync_experiment(
                left.directory, client, self._run_blocking, only=left.writers.__contains__, patience=math.inf
            )
            tell(report)
            if report.left_behind is None and not self._destination.keeps:
                with contextlib.suppress(OSError):  # it stays in the outbox, and the server ignores it
                    await self._run_blocking(
                        lambda: clear(self._destination.root, left.directory, left.writers)  # noqa: B023 - awaited
                    )

    def _find(self) -> list[Leftover]:
        try:
            found = survey(self._destination.root, is_own=True)
        except InvalidArgumentError:
            return []  # there is no such directory any more
        for refused, reason in found.refused.items():
            _tell_unread(refused, reason)
        # What is in the directories of runs that are open is sent with these.
        open_now = self._open_now()
        directories = [each.directory for each in found.experiments if each.directory not in open_now]
        url, are_removed = str(self._destination.url), not self._destination.keeps
        return list(leftovers(directories, url, self._own(), are_removed=are_removed))
