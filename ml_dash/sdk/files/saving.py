"""Saving: a blob is captured, made durable and offered to the server, and then the file's row is logged."""

from __future__ import annotations

import os
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ml_dash.errors import FileStoreError
from ml_dash.locks import MortalLock
from ml_dash.query.files import CHANGEABLE, fold_files
from ml_dash.query.times import iso_time
from ml_dash.sdk.files.details import Details, save_row, stored_form
from ml_dash.series import Kind
from ml_dash.spawning import is_last_thread
from ml_dash.storage.atomic import storing
from ml_dash.storage.blobs import Staged, Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ml_dash.sdk.files.names import Place
    from ml_dash.sdk.session import Session


class FileSaver:
    """Writes the files of one experiment, whose blobs on this disk are in `staging`; for any thread."""

    _lock = MortalLock()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._port = session.port(Kind.FILE, None)
        self._begin()
        session.on_fork.append(self._begin)

    def _begin(self) -> None:
        """Make, in a forked child once more, what another thread of the parent may have been in the middle of."""
        # Reentrant: a signal handler may save a file, too.
        self._lock = threading.RLock()
        self.staging = Staging(self._session.directory)

    @property
    def root(self) -> str:
        """The root of the experiment's directory."""
        return self._session.destination.root

    def check(self) -> None:
        """Raise `NotStartedError` unless the run is open: before a blob is captured that would get no row."""
        self._port.check()
        if is_last_thread():  # there is no `open` any more, and nothing can be imported
            raise FileStoreError(
                "no file can be saved while the interpreter frees its modules: save it before the script ends, or in "
                "an atexit handler, and not in a __del__"
            )

    def save(
        self,
        place: Place,
        details: Details,
        stage: Callable[[Staging], Staged],
        aliases: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Save the file whose blob `stage` captures, and return its row."""
        self.check()
        return self.log(place, details, stage(self.staging), aliases)

    def log(
        self, place: Place, details: Details, blob: Staged, aliases: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Log the row of a file whose blob is on this disk, or is known to be at the server."""
        with self._delivering():
            if os.path.exists(blob.path):
                self._hand_over(blob)
            fields, time_ns = self._put(save_row(place, details, blob, aliases))
        return fold_files([(time_ns, fields)]).rows()[0]

    def change(self, row: dict[str, Any], details: Details) -> dict[str, Any]:
        """Change what is said about a file; returns its row."""
        fields, time_ns = self._put({"event": "update", "id": row["id"], **details.given()})
        changed = {name: fields[name] for name in CHANGEABLE if name in fields}
        return {**row, **changed, "updatedAt": max(row["updatedAt"], iso_time(time_ns))}

    def name(self, row: dict[str, Any], aliases: Sequence[str], *, is_given: bool) -> dict[str, Any]:
        """Give a version aliases, which no other version has from then on, or take them from it; returns its row."""
        event = "alias" if is_given else "unalias"
        self._put({"event": event, "id": row["id"], "aliases": [*aliases]})
        others = set(row["aliases"]).difference(aliases)
        return {**row, "aliases": sorted(others.union(aliases) if is_given else others)}

    def delete(self, row: dict[str, Any]) -> dict[str, Any]:
        """Mark a file as deleted; returns its row."""
        _, time_ns = self._put({"event": "delete", "id": row["id"]})
        return {**row, "deletedAt": iso_time(time_ns)}

    def _delivering(self) -> AbstractContextManager[None]:
        """Return what is held from a blob's offer to its row: see `BlobLedger.logging`."""
        channel = self._session.channel
        if channel is None or channel.delivery is None:
            return nullcontext()
        return channel.delivery.blobs.logging()

    def _hand_over(self, blob: Staged) -> None:
        # before the row, which then is never anywhere without its blob
        channel = self._session.channel
        if channel is None:  # never started: the row will be refused
            return
        if channel.delivery is not None:
            with storing(blob.path):
                channel.delivery.offer(blob.checksum, blob.size)
        channel.secure(blob.path)

    def _put(self, fields: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """Log a row, and return it as it is read back, with its time: later than that of the one before."""
        # As it is read back, so that the row that is returned is the one that `list` gives.
        stored, unstorable = stored_form(fields)
        # Of two versions the later time wins when rows are folded.
        with self._lock:
            time_ns = self._session.next_ns()
            # Kept where other rows are dropped: the caller has been told that the file is saved.
            self._port.write(time_ns, stored, self._port.queue.keep)
        for name, kind in unstorable.items():
            self._port.warn(name, kind)
        return stored, time_ns
