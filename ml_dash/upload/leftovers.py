"""What is still to be sent: the writers of journals that a server does not have in full, found without asking it.

Also the end of what waited in the outbox: a journal that is only kept until the server has it is removed then.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.errors import MLDashError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.feed import JournalFeed, writers
from ml_dash.journal.frame import parse_segment_name
from ml_dash.storage.blobs import markers
from ml_dash.storage.cursor import CURSOR_SUFFIX, CursorFile
from ml_dash.storage.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator


__all__ = ["Leftover", "clear", "leftovers", "unsent"]

_SIDE_FILES = ("experiment.json", "parameters.json")


class Leftover(NamedTuple):
    """Writers of an experiment that will write no more, and have frames that the server does not have."""

    directory: str
    writers: frozenset[str]


def unsent(directory: str, url: str, disk: Disk = REAL_DISK) -> frozenset[str]:
    """Return the writers with frames that a server has not acknowledged, as far as is known here.

    Raises:
        JournalVersionError: A later version wrote the journal.
        OSError: The journal cannot be read.
    """
    journal = os.path.join(directory, "journal")
    return frozenset(
        name for name in writers(journal, disk) if _has_more(directory, journal, name, url, disk)
    )


def _has_more(directory: str, journal: str, writer: str, url: str, disk: Disk) -> bool:
    cursor = CursorFile(directory, writer, disk).load(url)
    feed = JournalFeed(journal, writer, disk)
    feed.seek(cursor.seq + 1 if cursor else 1)
    return bool(feed.next_batch(1))


def leftovers(directories: Iterable[str], url: str, own: Container[str] = frozenset()) -> Iterator[Leftover]:
    """Yield what earlier runs that were meant for a server have left; what cannot be read is passed over.

    Looked into are only experiments whose newest run was meant for this server, which a side file tells: a root may
    hold thousands of others. `ml-dash sync` looks into all of them.

    Args:
        directories: Those of experiments.
        url: The server's.
        own: Writers of this process, which send what they write themselves.
    """
    for directory in directories:
        with contextlib.suppress(OSError, MLDashError):
            manifest = Manifest(directory)
            if manifest.describe().get("url") == url and (left := _left(directory, url)):
                meant = {writer for writer, target in manifest.meant_for().items() if target == url}
                found = frozenset(
                    writer for writer in left & meant & manifest.done_writers() if writer not in own
                )
                if found:
                    yield Leftover(directory, found)


def _left(directory: str, url: str) -> frozenset[str]:
    """Return the writers with frames, or contents of files, that a server does not have."""
    marked = {marker.writer for marker in markers(directory)}
    return unsent(directory, url) | marked


def clear(root: str, directory: str, names: Iterable[str]) -> None:
    """Remove the journals of writers that a server has in full, and with the last of them the experiment.

    Args:
        root: The outbox's; directories above the experiment are removed up to it, where they are empty.
        directory: The experiment's.
        names: The writers' ids.

    Raises:
        OSError: Something cannot be removed.
    """
    journal = os.path.join(directory, "journal")
    done = frozenset(names)
    kept = 0
    for name in os.listdir(journal):
        named = parse_segment_name(name)
        if named is not None and named[0] in done:
            os.remove(os.path.join(journal, name))
        else:
            kept += 1
    for name in done:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(directory, name + CURSOR_SUFFIX))
    if not kept and not markers(directory):
        shutil.rmtree(os.path.join(directory, "files"), ignore_errors=True)
        _remove_experiment(root, directory, journal)


def _remove_experiment(root: str, directory: str, journal: str) -> None:
    """Remove what is left of an experiment without segments. What somebody else puts there meanwhile stays."""
    for name in _SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(directory, name))
    with contextlib.suppress(
        OSError
    ):  # not empty: rejected frames, an experiment below, or one that begins now
        os.rmdir(journal)
        while directory.startswith(os.path.join(root, "")):
            os.rmdir(directory)
            directory = os.path.dirname(directory)
