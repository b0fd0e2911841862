"""Whether the contents of an experiment's files are on this disk, and are what their rows say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_dash.errors import MLDashError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.storage.survey import Located

__all__ = ["BlobsReport", "check_blobs"]


@dataclass(frozen=True, slots=True)
class BlobsReport:
    """What was found of the contents.

    Attributes:
        checked: Contents that were read, and are right.
        bytes: Bytes in these.
        faults: What is wrong with the others, by the names of their files.
        elsewhere: Contents that are not on this disk, and that a server has got.
        unnamed: Contents on this disk that no row names.
    """

    checked: int = 0
    bytes: int = 0
    faults: tuple[tuple[str, str], ...] = ()
    elsewhere: int = 0
    unnamed: int = 0

    def record(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "checked": self.checked,
            "bytes": self.bytes,
            "faults": [{"file": name, "reason": reason} for name, reason in self.faults],
            "elsewhere": self.elsewhere,
            "unnamed": self.unnamed,
        }


def check_blobs(located: Located) -> BlobsReport:
    """Read every content that a row names, those of deleted files and older versions too.

    A content that is not there is a fault, unless a server has it: an experiment that is sent somewhere keeps a marker
    for each content that has not arrived.

    Raises:
        JournalError: The journal cannot be read.
        OSError: The directory cannot be listed.
    """
    from ml_dash.cli.file_source import file_table
    from ml_dash.cli.reading import open_index
    from ml_dash.query.files import FileQuery, full_name
    from ml_dash.storage import blob_markers as unsent
    from ml_dash.storage.blobs import Staging

    rows = file_table(open_index(located)).rows(FileQuery(versions=True, deleted=True))
    staging = Staging(located.directory)
    named = {(row["checksum"], row["sizeBytes"]): full_name(row) for row in reversed(rows)}
    checked = size = elsewhere = 0
    faults: list[tuple[str, str]] = []
    is_sent = _is_sent(located) if named else False
    pending = {marker.checksum for marker in unsent.markers(located.directory)}
    for (checksum, wanted), name in named.items():
        path = staging.path_of(checksum)
        if not os.path.lexists(path) and is_sent and checksum not in pending:
            elsewhere += 1
        elif reason := _fault(path, checksum, wanted):
            faults.append((name, reason))
        else:
            checked, size = checked + 1, size + wanted
    found = set(_stored(os.path.join(located.directory, "files")))
    unnamed = len(found - {checksum for checksum, _ in named})
    return BlobsReport(checked, size, tuple(faults), elsewhere, unnamed)


def _fault(path: str, checksum: str, size: int) -> str | None:
    from ml_dash.storage.copying import checksum_of

    if not os.path.lexists(path):
        return f"its content is not there ({path})"
    try:
        found = checksum_of(path)
    except MLDashError as error:
        return str(error)
    if found.size != size:
        return f"its content has {found.size:,} bytes in place of {size:,} ({path})"
    return None if found.checksum == checksum else f"its content is damaged ({path})"


def _is_sent(located: Located) -> bool:
    """Whether a run was meant for a server."""
    from ml_dash.upload.leftovers import meant_for

    return any(meant_for(located.directory).values())


def _stored(files: str) -> Iterator[str]:
    """Yield the checksums of what lies in a directory of contents."""
    from ml_dash.query.files import is_checksum

    try:
        entries = list(os.scandir(files))
    except FileNotFoundError:
        return
    for entry in entries:
        if len(entry.name) == 2 and entry.is_dir():
            yield from (name for name in os.listdir(entry.path) if is_checksum(name))
