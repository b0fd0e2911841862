"""Whether an experiment is as it was when its journal was read, by its files' sizes and times: none is opened."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from ml_dash.journal.disk import is_shortage
from ml_dash.journal.frame import SEGMENT_SUFFIX
from ml_dash.storage.side_file import SIDE_FILE
from ml_dash.storage.summaries.tree import stamp_of


class Signature(NamedTuple):
    """What an experiment's files look like.

    Attributes:
        seen: Of its directory, see `stamp_of`: what else lies in it may have changed where this has.
        content: Of its segments and its side file. Two experiments that have the same have the same in them: names of
            segments are never given twice.
    """

    seen: str
    content: bytes


def signature_of(directory: str, now_ns: int) -> Signature | None:
    """Return what an experiment's files look like; None where its journal cannot be listed.

    OSError where there are no descriptors or no memory to look with.
    """
    found: list[tuple[str, int, int]] = []
    try:
        seen = stamp_of(os.stat(directory), now_ns)
        with os.scandir(os.path.join(directory, "journal")) as entries:
            for entry in entries:
                if entry.name.endswith(SEGMENT_SUFFIX):
                    status = entry.stat(follow_symlinks=False)
                    found.append((entry.name, status.st_size, status.st_mtime_ns))
    except OSError as error:
        if is_shortage(error):
            raise
        return None
    found.sort()
    try:
        status = os.lstat(os.path.join(directory, SIDE_FILE))
        found.append((SIDE_FILE, status.st_size, status.st_mtime_ns))
    except OSError as error:
        if is_shortage(error):
            raise
    return Signature(
        seen, hashlib.blake2b(repr(found).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    )
