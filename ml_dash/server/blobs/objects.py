"""The object store (``--blobs``): immutable objects, in a directory or in a bucket, through obstore.

An object is whole or missing: obstore writes a local one to a temporary file and renames it. It does not fsync, so that
is done here: when `put` has returned, the object survives a power cut.
"""

from __future__ import annotations

import errno
import logging
import os
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.journal.disk import sync_file
from ml_dash.paths import absolute_path
from ml_dash.server.blobs.listing import Entry, walk
from ml_dash.server.blobs.names import is_own, is_removable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger("ml_dash.server")
_BUFFER_BYTES = 5 << 20
"""The smallest part that a bucket accepts in a multipart upload."""
# parts sent at the same time: each more is 5 MiB of memory for every upload under way
_BUFFERS = 1
_PAGE = 500
_SCHEMES = frozenset({"s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss"})
# A request waits for this, and so does its client: rather than wait longer, it is asked to send it again.
_CLIENT: Any = {"timeout": "30s", "connect_timeout": "5s"}
_RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}


class ObjectError(OSError):
    """The object store cannot do what it was asked at the moment."""


class ObjectStore:
    """Objects by name. Any thread may use it.

    Attributes:
        where: Its directory, or its URL.
        stored: Changes with every object that was stored here by this process.

    Args:
        where: A directory, which is made, or a URL: ``file:///…``, ``s3://bucket/prefix``, ``gs://…``, ``az://…``. Keys
            and regions of a bucket come from the environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT``,
            ``AWS_ALLOW_HTTP``, …).
        make: Whether to make the directory if it is missing.

    Raises:
        InvalidArgumentError: The URL is invalid or names a store that is not supported, or there is no such directory.
        OSError: The directory cannot be made.
    """

    def __init__(self, where: str, *, make: bool = True) -> None:
        try:
            import obstore
            from obstore.store import LocalStore, from_url
        except ImportError as error:
            raise MissingExtraError("The server", "obstore", "server") from error
        self.stored = 0
        self._obstore: Any = obstore
        self._directory = _local_directory(where)
        self.where = self._directory or where
        if self._directory is not None:
            if not make and not os.path.isdir(self._directory):
                raise InvalidArgumentError(
                    f"there is no directory {where!r} with a blob store: name it by --blobs"
                )
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            self._store: Any = LocalStore(self._directory)
            return
        try:
            if urlsplit(where).scheme not in _SCHEMES:
                raise ValueError(f"there is no store {where.partition(':')[0]}:")
            options: Any = {**_CLIENT, "allow_http": _allows_http()}
            self._store = from_url(where, client_options=options, retry_config=_RETRIES)
        except Exception as error:  # obstore's own errors have no base below this
            raise InvalidArgumentError(
                f"blobs={where!r} cannot be used as a store: {_first_line(error)}. "
                "Give a directory, or a URL such as s3://bucket/prefix"
            ) from error

    def put(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Store an object, durably.

        Raises:
            OSError: It could not be stored; ENOSPC where the disk is full.
        """
        try:
            # in one request: in several, an object of a crashed server would stay half, unseen and paid for
            self._obstore.put(self._store, name, data, use_multipart=False)
        except Exception as error:  # obstore's own errors have no base below this
            raise _as_os_error(error, f"storing {name}") from error
        self._stored(name)

    def create(self, name: str, data: bytes) -> bool:
        """Store an object that is not there yet, durably; return False if it is.

        Raises:
            OSError: It could not be stored.
        """
        try:
            self._obstore.put(self._store, name, data, mode="create", use_multipart=False)
        except self._obstore.exceptions.AlreadyExistsError:
            return False
        except (self._obstore.exceptions.NotSupportedError, NotImplementedError):
            # a bucket that knows no conditions: who stores at the same moment finds out when it reads
            return self._create_unless_seen(name, data)
        except Exception as error:
            raise _as_os_error(error, f"storing {name}") from error
        self._stored(name)
        return True

    def _create_unless_seen(self, name: str, data: bytes) -> bool:
        try:
            self.read(name)
        except FileNotFoundError:
            self.put(name, data)
            return True
        return False

    def writer(self, name: str) -> ObjectWriter:
        """Return a writer that stores an object piece by piece.

        A local object grows in its final place, without a rename: until a transaction has listed its name, which nobody
        can guess, nothing refers to it.

        Raises:
            OSError: The object cannot be stored.
        """
        if self._directory is None:
            return ObjectWriter(self, name, self._open_remote(name))
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # unbuffered: pieces are large, and what is in a buffer would fail late, when it is closed
        return ObjectWriter(self, name, open(path, "xb", buffering=0))

    def finish(self, name: str) -> None:
        """Make an object that was written piece by piece survive a power cut."""
        self._stored(name)

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Return a part of an object.

        Raises:
            OSError: The object is missing, or the store out of reach.
        """
        if self._directory is not None:
            return _read_at(self._path(name), offset, length)
        try:
            return bytes(self._obstore.get_range(self._store, name, start=offset, length=length))
        except Exception as error:
            raise _as_os_error(error, f"reading {name}") from error

    def read(self, name: str) -> bytes:
        """Return a small object.

        Raises:
            FileNotFoundError: There is none.
            OSError: The store is out of reach.
        """
        try:
            return bytes(self._obstore.get(self._store, name).bytes())
        except Exception as error:
            raise _as_os_error(error, f"reading {name}") from error

    def modified(self, name: str) -> float:
        """Return when an object was stored, in seconds since the epoch, by the store's own clock.

        Raises:
            OSError: There is none, or the store is out of reach.
        """
        try:
            return float(self._obstore.head(self._store, name)["last_modified"].timestamp())
        except Exception as error:
            raise _as_os_error(error, f"looking at {name}") from error

    def delete(self, names: list[str]) -> None:
        """Remove objects; skip those that are missing.

        Raises:
            OSError: One could not be removed.
        """
        for name in names:
            _check_removable(name)
            try:
                if self._directory is not None:
                    os.unlink(self._path(name))
                else:
                    self._obstore.delete(self._store, name)
            except FileNotFoundError:
                continue
            except Exception as error:
                raise _as_os_error(error, f"removing {name}") from error

    def discard(self, names: list[str]) -> None:
        """Remove objects that no transaction has ever named; the collector removes what cannot be removed now."""
        try:
            self.delete(names)
        except OSError as error:
            _LOG.info("an unused object could not be removed, and is left to the collector: %s", error)

    def move(self, name: str, to: str) -> bool:
        """Give an object another name; return False if it is missing.

        Raises:
            OSError: It could not be moved.
        """
        _check_removable(name)
        _check_removable(to)
        try:
            if self._directory is not None:
                os.makedirs(os.path.dirname(self._path(to)), exist_ok=True)
                os.replace(self._path(name), self._path(to))
            else:
                self._obstore.rename(self._store, name, to)
        except FileNotFoundError:
            return False
        except Exception as error:
            raise _as_os_error(error, f"moving {name}") from error
        return True

    def entries(self, *, strangers: bool = False) -> Iterator[list[Entry]]:
        """Yield what is here, some at a time: this server's objects, those in the trash included.

        Args:
            strangers: Whether to yield all else as well.

        Raises:
            OSError: The store cannot be listed.
        """
        for page in self._pages(strangers=strangers):
            yield [entry for entry in page if strangers or is_removable(entry.name)]

    def _pages(self, *, strangers: bool) -> Iterator[list[Entry]]:
        if self._directory is not None:
            found = walk(self._directory, strangers=strangers)
            while page := list(islice(found, _PAGE)):
                yield page
            return
        pages = iter(self._obstore.list(self._store, chunk_size=_PAGE))
        while True:
            try:
                listed = next(pages, None)
            except Exception as error:
                raise _as_os_error(error, "listing objects") from error
            if listed is None:
                return
            yield [Entry(each["path"], each["size"], each["last_modified"].timestamp()) for each in listed]

    def _open_remote(self, name: str) -> Any:
        try:
            return self._obstore.open_writer(
                self._store, name, buffer_size=_BUFFER_BYTES, max_concurrency=_BUFFERS
            )
        except Exception as error:
            raise _as_os_error(error, f"storing {name}") from error

    def _path(self, name: str) -> str:
        return os.path.join(str(self._directory), *name.split("/"))

    def _stored(self, name: str) -> None:
        if self._directory is not None:
            self._sync(name)
        if is_own(name):
            # no lock: of two at once, one may count for both, and it has changed all the same
            self.stored += 1

    def _sync(self, name: str) -> None:
        path = self._path(name)
        _fsync(path)
        # the name, and those of the directories that it is in, are entries of the directories above
        for _ in name.split("/"):
            path = os.path.dirname(path)
            _fsync(path)


class ObjectWriter:
    """Stores one object, piece by piece, in what `ObjectStore.writer` opened. One thread at a time may use it."""

    def __init__(self, objects: ObjectStore, name: str, file: Any) -> None:
        self._objects = objects
        self._name = name
        self._file = file

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take a piece.

        Raises:
            OSError: It could not be stored; ENOSPC where the disk is full.
        """
        view = memoryview(data)
        # a write to a file may take less than it was given, as when the disk fills up: the next one then says why
        while view:
            view = view[self._call("write", view) :]

    def finish(self) -> None:
        """Complete the object, durably.

        Raises:
            OSError: It could not be stored.
        """
        self._call("close")
        self._objects.finish(self._name)

    def discard(self) -> None:
        """Leave nothing behind; the collector of objects removes what cannot be removed now."""
        try:
            # in a bucket too, where an upload of several parts that is not ended stays, unseen and paid for
            self._file.close()
        except Exception as error:  # noqa: BLE001 - obstore's own errors have no base below this
            _LOG.info("an unused object could not be closed: %s", error)
        self._objects.discard([self._name])

    def _call(self, method: str, *args: Any) -> Any:
        try:
            return getattr(self._file, method)(*args)
        except OSError:
            raise
        except Exception as error:  # obstore's own errors have no base below this
            raise _as_os_error(error, f"storing {self._name}") from error


def _check_removable(name: str) -> None:
    # the one place through which all removals go: whatever is wrong above, a stranger's file is not touched
    if not is_removable(name):
        raise ValueError(f"{name!r} is not the name of an object of ML-Dash, and is left alone")


def _allows_http() -> bool:
    # asked here, because options that are given to obstore replace those of the environment, this one included
    names = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")
    return any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in names)


def _local_directory(where: str) -> str | None:
    if "://" not in where:
        return absolute_path(where, "--blobs", "./blobs")
    url = urlsplit(where)
    return unquote(url.path) if url.scheme == "file" else None


def _read_at(path: str, offset: int, length: int) -> bytes:
    # the file itself: for a local range, obstore's round trip costs several times the read
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        return file.read(length)


def _fsync(path: str) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        if os.name == "nt":  # where a directory cannot be opened, and need not be
            return
        raise
    try:
        sync_file(handle)
    finally:
        os.close(handle)


def _as_os_error(error: Exception, what: str) -> OSError:
    # obstore has no error number, but the text of the one that Rust was given
    text = str(error)
    if "os error 28" in text or "No space left" in text:
        return OSError(errno.ENOSPC, f"no space left while {what}")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, f"{what} failed: it is missing")
    return ObjectError(f"{what} failed: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
