"""The check of an upload: its parts are read back, and are the blob only if the SHA-256 over all of them is right."""

from __future__ import annotations

import hashlib
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from ml_dash.protocol import ErrorCode
from ml_dash.server.blobs.reading import pieces, read_piece
from ml_dash.server.blobs.trash import REMOVALS
from ml_dash.server.db.database import is_disk_full
from ml_dash.server.errors import ApiError, busy, disk_full

if TYPE_CHECKING:
    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.blobs.catalogue import Blob, BlobCatalogue

# a check reads a whole blob from the disk: more of them at once would only slow each other, and all that is served
_THREADS = 2
_LOG = logging.getLogger("ml_dash.server")

Outcome = ApiError | None


class BlobChecker:
    """Checks uploads whose parts are all stored, each once at a time. Any thread may use it."""

    def __init__(self, catalogue: BlobCatalogue, backend: Backend) -> None:
        self._catalogue = catalogue
        self._objects = backend.objects
        self._keeper = backend.keeper
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ml-dash-check")
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, str], Future[Outcome]] = {}
        self._end = threading.Event()

    def close(self) -> None:
        """Stop: checks under way are given up, and begin anew when a client asks again."""
        self._end.set()
        self._threads.shutdown(cancel_futures=True)

    def check(self, blob: Blob) -> Future[Outcome]:
        """Begin the check of an upload, or return the one under way; its result is the error to answer, or None."""
        key = blob.owner, blob.checksum
        with self._lock:
            found = self._under_way.get(key)
            if found is None:
                if self._end.is_set():
                    raise busy("the server is shutting down")
                found = self._under_way[key] = self._threads.submit(self._check, blob)
        return found

    def _check(self, blob: Blob) -> Outcome:
        try:
            # a check of many gigabytes takes long, and the collector must not remove what it reads
            self._catalogue.touch(blob)
            return self._compare(blob)
        except ApiError as error:
            return error
        except OSError as error:
            return store_error(error)
        except SQLAlchemyError as error:
            _LOG.warning("a blob could not be checked: %s", error)
            return disk_full() if is_disk_full(error) else busy("the database does not answer at this moment")
        finally:
            with self._lock:
                del self._under_way[blob.owner, blob.checksum]

    def _compare(self, blob: Blob) -> Outcome:
        digest = hashlib.sha256()
        for piece in pieces(blob, 0, blob.size):
            if self._end.is_set():
                return busy("the server is shutting down")
            digest.update(read_piece(self._objects, piece))
        if digest.hexdigest() == blob.checksum:
            return None if self._catalogue.finish(blob) else busy("the upload was begun anew meanwhile")
        # at once, and not by way of the trash, which counts for no quota; but where a copy of the database uses the
        # store as well, the parts may be that one's too
        if self._catalogue.forget(blob) and self._keeper.may_remove():
            self._objects.discard([part.object for part in blob.parts])
            for part in blob.parts:
                REMOVALS.info(
                    "%s was removed: the upload that it is a part of has another checksum", part.object
                )
        return ApiError(
            422,
            ErrorCode.CHECKSUM_MISMATCH,
            f"the parts together have another SHA-256 than {blob.checksum}: they were removed; send the file again",
        )


def store_error(error: OSError) -> ApiError:
    """Return the answer to a request for which a blob could not be read or stored."""
    if is_disk_full(error):
        return disk_full()
    _LOG.warning("a blob could not be read or stored: %s", error)
    return busy("the server's blob store cannot be used at this moment")
