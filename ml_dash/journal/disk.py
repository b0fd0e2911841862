"""The one way in for the file system, so that tests and the simulation can put a failing disk there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from io import FileIO
from typing import TYPE_CHECKING, Any, Protocol

fcntl: Any
try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

if TYPE_CHECKING:
    from collections.abc import Iterable

_BINARY = getattr(os, "O_BINARY", 0)
_NO_DIRECTORY_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})
"""What file systems answer that have no fsync of a directory."""
_NO_FULL_SYNC = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY})
"""What file systems of macOS answer that have no F_FULLFSYNC, as those of a network."""
_PIECE_BYTES = 1 << 20
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
NOT_THERE = (FileNotFoundError, NotADirectoryError)
"""Errors that say that there is no such file. After any other one nobody knows whether there is, or what is in it."""


def is_shortage(error: OSError) -> bool:
    """Say whether the process or the machine is short of descriptors or memory: nothing is wrong with the file then.

    Whoever reads passes such an error on. Taken for damage, or for a file that is gone, it would make losses of what
    can be read a moment later.
    """
    return error.errno in _SHORTAGES


class NotRegularError(OSError):
    """There is something that is no file: a pipe, a socket, a device or a directory."""


def open_regular(path: str, *, follow: bool = True, within: int | None = None) -> FileIO:
    """Open a regular file for reading, without ever waiting.

    A root may come from somebody else. To open a pipe would wait for who writes into it, for ever; and behind a link
    may be a file of the user's own, which is not to be sent anywhere.

    Args:
        path: The file's.
        follow: Whether a link is followed.
        within: The descriptor of the directory that a relative path begins in.

    Raises:
        NotRegularError: It is a pipe, a socket, a device or a directory.
        OSError: It cannot be opened, or it is a link.
    """
    # Looked at first: to open a device does something to some of them. And again: it may be another one by now.
    check_regular(path, os.stat(path, dir_fd=within, follow_symlinks=follow))
    links = 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    flags = os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0) | links
    fd = os.open(path, flags, dir_fd=within)
    try:
        check_regular(path, os.fstat(fd))
        return FileIO(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def check_regular(path: str, status: os.stat_result) -> None:
    """Raise an error where this is the status of something else than a regular file: see `open_regular`."""
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "it is a link, and links are not followed here", path)
    if stat.S_ISDIR(status.st_mode):
        raise NotRegularError(errno.EISDIR, "it is a directory, and no file", path)
    raise NotRegularError(errno.EINVAL, "it is a pipe, a socket or a device, and no regular file", path)


def read_from(file: FileIO, offset: int, length: int) -> bytes:
    """Return `length` bytes of an open file from `offset` on, fewer only where it ends."""
    file.seek(offset)
    data = file.read(length)
    # a raw read may return less than was asked for, of 2 GiB and more on Linux always
    while len(data) < length and (more := file.read(length - len(data))):
        data += more
    return data


def next_data_in(file: FileIO, offset: int) -> int:
    """Do as `Disk.next_data` does, for a file that is open."""
    if not hasattr(os, "SEEK_DATA"):
        return offset
    try:
        return os.lseek(file.fileno(), offset, os.SEEK_DATA)
    except OSError as error:
        # ENXIO: nothing but a hole follows. A file system that has no holes says EINVAL, or that all is data.
        return os.fstat(file.fileno()).st_size if error.errno == errno.ENXIO else offset


class SegmentFile(Protocol):
    """A file that is only ever appended to."""

    def write(self, data: bytes) -> None:
        """Append all of `data`, or raise OSError; then any part of it may have been appended."""

    def sync(self) -> None:
        """Return when all that was written before the call, and the file's name, would survive a power cut.

        Raises:
            OSError: Nothing is known of what was written since the last call that succeeded, and no later
                call can prove anything of it: the kernel may have dropped the pages.
        """

    def close(self) -> None:
        """Give the file back to the system, without a sync. Repeated calls do nothing."""


class Disk(Protocol):
    """What the journal asks of a file system. Every method may raise OSError."""

    def create(self, path: str) -> SegmentFile:
        """Create a file that is not there yet, and the directories above it."""

    def size(self, path: str) -> int:
        """Return a file's length in bytes."""

    def modified_ns(self, path: str) -> int:
        """Return when a file was last written, by the file system's clock: nanoseconds since the epoch."""

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on, fewer only where the file ends."""

    def next_data(self, path: str, offset: int) -> int:
        """Return where from `offset` on a file has bytes that are not known to be zeros; its length if nowhere.

        A file of a few bytes can claim terabytes, which it would take hours to read.
        """

    def list(self, directory: str) -> list[str]:
        """Return the names in a directory, sorted; none where there is no such directory."""

    def replace(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
        """Give a file this content, whole or in pieces, durably; after a crash it has its old one or all of the new.

        Where it need not be `durable`, nobody waits for the disk: after a power cut, anything may be in it.
        """

    def keep(self, path: str, kept: str) -> None:
        """Give a file's content another name too, durably: `path` may be replaced then.

        Raises:
            FileExistsError: There is a file of that name.
        """

    def remove(self, path: str) -> None:
        """Remove a file."""

    def secure(self, path: str, root: str, *, rewrite: bool = False) -> None:
        """Return when a file that others have written, and its name from `root` on, would survive a power cut.

        The entries of the directories from `root` on, and its own, are made durable too. With `rewrite`, the file is
        written anew first, as where an earlier call has failed: no fsync of the same file proves anything then.
        """


def sync_file(fd: int) -> None:
    """Return when what was written to an open file would survive a power cut; OSError where that is not known.

    On macOS, fsync returns when the drive has it, in a cache that forgets: only F_FULLFSYNC waits for the medium. Other
    systems have no such call, and a fsync that does that by itself.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(fd, full)
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise  # the medium's error: an fsync behind it would prove nothing
        else:
            return
    os.fsync(fd)


class RealDisk:
    """The machine's file systems."""

    def create(self, path: str) -> SegmentFile:
        """See `Disk.create`. Names are made durable by the file's first `sync`, off the appending path."""
        path = os.path.abspath(path)
        changed = _make_directories(os.path.dirname(path))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        return _RealSegmentFile(_above_standard(fd), path, changed)

    def size(self, path: str) -> int:
        """See `Disk.size`."""
        status = os.stat(path)
        check_regular(path, status)
        return status.st_size

    def modified_ns(self, path: str) -> int:
        """See `Disk.modified_ns`."""
        return os.stat(path).st_mtime_ns

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """See `Disk.read_at`."""
        with open_regular(path) as file:
            return read_from(file, offset, length)

    def next_data(self, path: str, offset: int) -> int:
        """See `Disk.next_data`."""
        with open_regular(path) as file:
            return next_data_in(file, offset)

    def list(self, directory: str) -> list[str]:
        """See `Disk.list`."""
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []

    def replace(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
        """See `Disk.replace`."""
        # a link stays: whoever laid it wants the file where it leads
        self.replace_name(os.path.realpath(path), data, durable=durable)

    def replace_name(self, path: str, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
        """Do as `replace` does; where the name is a link's, it is not one any more."""
        temporary = f"{path}.{os.urandom(4).hex()}.tmp"
        file = self.create(temporary)
        try:
            try:
                for piece in (data,) if isinstance(data, bytes) else data:
                    file.write(piece)
                if durable:
                    file.sync()
            finally:
                file.close()
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(temporary)
            raise
        if durable:
            _sync_directory(os.path.dirname(os.path.abspath(path)))

    def keep(self, path: str, kept: str) -> None:
        """See `Disk.keep`; a link stays, and what it leads to gets the name."""
        self.keep_name(os.path.realpath(path), kept)

    def keep_name(self, path: str, kept: str) -> None:
        """Do as `keep` does. No byte is copied where the file system has links: it may be terabytes of nothing."""
        try:
            os.link(path, kept)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):
            file = self.create(kept)
            try:
                for offset in range(0, self.size(path), _PIECE_BYTES):
                    file.write(self.read_at(path, offset, _PIECE_BYTES))
                file.sync()
            except BaseException:
                with contextlib.suppress(OSError):
                    os.remove(kept)
                raise
            finally:
                file.close()
        _sync_directory(os.path.dirname(os.path.abspath(kept)))

    def remove(self, path: str) -> None:
        """See `Disk.remove`."""
        os.remove(path)

    def secure(self, path: str, root: str, *, rewrite: bool = False) -> None:
        """See `Disk.secure`."""
        path, root = os.path.abspath(path), os.path.abspath(root)
        if rewrite:
            _write_anew(path)
        else:
            with open(path, "r+b", buffering=0) as file:  # Windows syncs only what is open for writing
                sync_file(file.fileno())
        directory = os.path.dirname(path)
        while directory.startswith(root) and directory != os.path.dirname(root):
            _sync_directory(directory)
            directory = os.path.dirname(directory)
        _sync_directory(os.path.dirname(root))


class _RealSegmentFile:
    """An open file descriptor, and the directories whose entries changed when it was made."""

    __slots__ = ("_changed", "_fd", "_path", "_size")

    def __init__(self, fd: int, path: str, changed: list[str]) -> None:
        self._fd = fd
        self._path = path
        self._changed = changed
        self._size = 0

    def write(self, data: bytes) -> None:
        """See `SegmentFile.write`. What a write left that failed half-way is cut off again, if that works."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def sync(self) -> None:
        """See `SegmentFile.sync`. A file that was deleted or moved away under us is not durable: an error."""
        sync_file(self._fd)
        if not self._is_in_place():
            raise FileNotFoundError(
                errno.ENOENT, "the file was deleted or moved while it was written", self._path
            )
        # from the top: a name is durable only below names that are; and each but once, for it is done then
        while self._changed:
            _sync_directory(self._changed[-1])
            self._changed.pop()

    def _is_in_place(self) -> bool:
        if os.name != "posix":
            return True  # an open file can be neither deleted nor moved there
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        # forgotten first: should close fail or be interrupted, the number may already be another file's
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _above_standard(fd: int) -> int:
    """Return a descriptor of the same file above 2: where the standard streams are closed, others write to theirs."""
    low = []
    while fd <= 2:
        low.append(fd)
        fd = os.dup(fd)
    for number in low:
        os.close(number)
    return fd


def _make_directories(directory: str) -> list[str]:
    """Make a directory and those above it; return those that get a new entry by this and a file in it."""
    changed = [directory]
    while not os.path.isdir(changed[-1]) and (above := os.path.dirname(changed[-1])) != changed[-1]:
        changed.append(above)
    os.makedirs(directory, exist_ok=True)
    return changed


def _write_anew(path: str) -> None:
    """Replace a file by a copy of itself that is durable."""
    import shutil

    temporary = os.path.join(os.path.dirname(path), f"tmp-{os.urandom(8).hex()}")
    try:
        with open(path, "rb", buffering=0) as source, open(temporary, "xb", buffering=0) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            sync_file(copy.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def _sync_directory(directory: str) -> None:
    """Make a directory's entries durable, where the system has a way to."""
    if os.name == "nt":
        return
    try:
        fd = os.open(directory, os.O_RDONLY)
        try:
            sync_file(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


REAL_DISK = RealDisk()
