"""What is written for the user, at a path of his: what is there already decides how.

=============================  =================================================================================
nothing, or a file             written beside it and renamed, so that nobody sees half of it; it keeps its rights
a link, wherever it leads      what it leads to is written as here, and the link stays
a device, a pipe, a socket     written into: a file in its place would take it from everybody else who uses it
/dev/stdout, /dev/fd/3 …       goes on where that stream is, and cuts off nothing that was written to it before
a directory, a read-only file  refused
=============================  =================================================================================
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ml_dash.errors import FileStoreError, InvalidArgumentError
from ml_dash.journal.disk import NOT_THERE, sync_file
from ml_dash.storage.atomic import creating, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINKS_MAX = 40
"""As many as Linux follows before it answers ELOOP."""
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class Place(NamedTuple):
    """Where something is to be written: the path behind all links, and how that is done.

    Attributes:
        path: What has no name of its own, such as a pipe behind ``/dev/stdout``, has the one that was given.
        is_stream: Whether it is written into as it is.
        descriptor: The open stream of this process that the path means, if it means one.
    """

    path: str
    is_stream: bool = False
    descriptor: int | None = None


def place_at(path: str) -> Place:
    """Return what a path of the user's means.

    Raises:
        InvalidArgumentError: It is a directory.
        FileStoreError: It is a file that must not be written, or links that lead round in a circle.
    """
    found = os.path.abspath(path)
    for _ in range(_LINKS_MAX):
        # Link by link, and not by `realpath`: /dev/stdout leads to "pipe:[1234]", which is the path of nothing.
        directory = os.path.realpath(os.path.dirname(found))
        found = os.path.join(directory, os.path.basename(found))
        descriptor = _descriptor(found)
        if descriptor is not None:
            return Place(found, is_stream=True, descriptor=descriptor)
        mode = _mode(found)
        if mode is not None and stat.S_ISDIR(mode):
            raise InvalidArgumentError(f"cannot write to {path!r}: it is a directory; name a file in it")
        leads_to = os.path.join(directory, os.readlink(found)) if os.path.islink(found) else None
        # not what is behind a link: it may be an open stream of ours, by another name
        if mode is not None and not stat.S_ISREG(mode) and not (leads_to and os.path.lexists(leads_to)):
            return Place(found, is_stream=True)
        if leads_to is None:
            # `replacing` needs the directory's permission only, and would overwrite what somebody has protected
            if mode is not None and not os.access(found, os.W_OK):
                raise FileStoreError(
                    f"cannot write {path!r}: the file there is read-only. Make it writable (chmod u+w) or remove it, "
                    "or choose another place"
                )
            return Place(found)
        found = leads_to
    raise FileStoreError(f"cannot write {path!r}: {os.strerror(errno.ELOOP)}; remove the link")


@contextlib.contextmanager
def placing(path: str, *, new: bool = False) -> Iterator[str]:
    """Yield the path of a file to be made, which is put where `path` says when the block ends well.

    By an error nothing of it is left, and what `path` names is as it was before. With `new`, a file that is there by
    then is left as it is: that is a FileStoreError. The file must be closed at the block's end. Raises what `place_at`
    does, and OSError.
    """
    place = place_at(path)
    if not place.is_stream:
        with (creating if new else replacing)(place.path) as temporary:
            yield temporary
            if not new:
                _keep_rights(place.path, temporary)
        return
    import tempfile

    # Not beside it: in /dev, files are in memory. And not at once: a stream takes nothing back, should it be wrong.
    with tempfile.TemporaryDirectory(prefix="ml-dash-") as directory:
        temporary = os.path.join(directory, "content")
        yield temporary
        with open(temporary, "rb") as source, _stream(place) as out:
            shutil.copyfileobj(source, out)


@contextlib.contextmanager
def writing(path: str) -> Iterator[BinaryIO]:
    """Open what `path` says for writing: a stream as it is, and else a file that is there when the block ends well.

    Raises what `place_at` does, and OSError.
    """
    place = place_at(path)
    if place.is_stream:
        with _stream(place) as out:
            yield out
        return
    with replacing(place.path) as temporary:
        with open(temporary, "xb") as out:
            yield out
            out.flush()
            # on disk before it has the name: a crash must not leave an empty file in an older one's place
            sync_file(out.fileno())
        _keep_rights(place.path, temporary)


def _descriptor(path: str) -> int | None:
    directory, name = os.path.split(path)
    # /dev/fd is a link to /proc/self/fd on Linux, and that one to the process's own directory
    if name.isdecimal() and os.name == "posix" and directory == os.path.realpath("/dev/fd"):
        return int(name)
    return _STANDARD.get(path)


def _mode(path: str) -> int | None:
    """Return type and rights of what is there, behind links; None where there is nothing."""
    try:
        return os.stat(path).st_mode
    except NOT_THERE:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None  # told when all links have been followed
        raise


def _keep_rights(path: str, temporary: str) -> None:
    # who may read the file is its owner's choice, which a new version must not undo
    with contextlib.suppress(FileNotFoundError):
        shutil.copymode(path, temporary)


@contextlib.contextmanager
def _stream(place: Place) -> Iterator[BinaryIO]:
    if place.descriptor is None:
        # Without O_CREAT and O_TRUNC: Linux refuses those for somebody else's pipe in /tmp (fs.protected_fifos).
        descriptor = os.open(place.path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
    else:
        # What was printed comes first. A copy of the descriptor has its position, and not one of its own.
        for printed in (sys.stdout, sys.stderr):
            if printed is not None and not printed.closed:
                printed.flush()
        descriptor = os.dup(place.descriptor)
    with open(descriptor, "wb") as out:
        yield out
