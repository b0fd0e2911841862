"""Adding files to an experiment from outside of its runs: contents, and rows of a writer of its own."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError, JournalWriteError
from ml_dash.journal.disk import REAL_DISK
from ml_dash.journal.writer import JournalWriter
from ml_dash.pipeline.batch import Batcher, Packed
from ml_dash.pipeline.runtime import new_writer_id
from ml_dash.query.files import FILES
from ml_dash.values.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.sdk.files.details import Details
    from ml_dash.sdk.files.names import Place

__all__ = ["Addition", "NewFile", "make_experiment"]


class NewFile(NamedTuple):
    """A file that is to be added: where it is, where it goes, and what is said about it."""

    source: str
    place: Place
    details: Details


class Addition:
    """Adds files to one experiment; all that it has added is durable when the block ends.

    No run is begun by it, and none ended. It may be done while runs go on, in other processes too.

    Args:
        directory: The experiment's.
        for_server: Whether the contents are to be sent to a server.

    Example:
        >>> with Addition(directory, for_server=False) as addition:
        ...     addition.add(NewFile("best.pt", Place("/models", "best.pt"), Details()))
    """

    def __init__(self, directory: str, *, for_server: bool) -> None:
        from ml_dash.storage.blobs import Staging

        self.writer = new_writer_id()
        self._directory = directory
        self._for_server = for_server
        self._staging = Staging(directory)
        self._journal = JournalWriter(os.path.join(directory, "journal"), self.writer)

    def __enter__(self) -> Addition:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()

    def add(self, new: NewFile, on_progress: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Add a file.

        Returns:
            The row.

        Raises:
            FileMissingError: It is not there.
            FileChangedError: It changes while it is copied.
            FileStoreError: It cannot be read, or its copy not be written.
            OSError: The journal cannot be written.
        """
        from ml_dash.sdk.files.row import save_row

        time_ns = SYSTEM_CLOCK.time_ns()
        staged = self._staging.capture(new.source, on_progress)
        if self._for_server:
            from ml_dash.storage import blob_markers as unsent

            unsent.add(self._directory, staged.checksum, self.writer)
        REAL_DISK.secure(staged.path, self._directory)
        row = save_row(new.place, new.details, staged)
        event = pack([0, time_ns, row])
        self._journal.append(Batcher().blocks(Packed([event], event), [FILES]))
        return row


def make_experiment(directory: str, prefix: str, url: str) -> None:
    """Make the directory of an experiment that is only to be sent, in the outbox, unless it is there.

    Raises:
        JournalWriteError: It cannot be made.
    """
    from ml_dash.client.destination import make_outbox

    record = os.path.join(directory, "experiment.json")
    try:
        make_outbox()
        os.makedirs(os.path.join(directory, "journal"), exist_ok=True)
        if not os.path.exists(record):
            REAL_DISK.replace(record, json.dumps({"prefix": prefix, "url": url}).encode())
    except OSError as error:
        raise JournalWriteError(
            f"{prefix!r} cannot wait for its server in {directory!r}: {error.strerror or error}. Make that directory "
            "writable, or set ML_DASH_CONFIG_DIR"
        ) from error


def check_text(name: str, text: str) -> None:
    """Refuse what is no text, as of a terminal with another encoding.

    Raises:
        InvalidArgumentError: It is not valid Unicode.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name} {text!r} is not valid Unicode: write it in UTF-8") from None
