"""Files that are there when they are complete: written beside, and renamed. And what is said where that fails.

The journal has a way of its own (`journal.disk`), which a crash does not undo, and on which the simulation can act.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ml_dash.errors import FileStoreError, MLDashError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEM_BYTES = 100
"""As much of a file's name is in that of its temporary file: the rest, and the digits, must fit in 255 bytes."""


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yield the path of a file to be made in the same directory, which takes the name `path` when the block ends well.

    By an error nothing of it is left, and `path` is as it was before. The file must be closed at the block's end: open
    files cannot be renamed on Windows.
    """
    with scratch(beside(path)) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def creating(path: str) -> Iterator[str]:
    """Do as `replacing` does, of a name that nothing has: FileStoreError where something has got it meanwhile."""
    with scratch(beside(path)) as temporary:
        yield temporary
        try:
            os.link(temporary, path, follow_symlinks=False)
        except (OSError, NotImplementedError) as error:
            if isinstance(error, FileExistsError) or os.path.lexists(path):
                raise FileStoreError(
                    f"cannot write {path!r}: somebody else has made it meanwhile, and it is left as it is. Remove it, "
                    "or choose another place"
                ) from None
            os.rename(temporary, path)  # a file system without links


def beside(path: str) -> str:
    """Return the path of a temporary file in the same directory, which tells whose it is and is nobody else's."""
    directory, name = os.path.split(os.path.abspath(path))
    stem = os.fsencode(name)[:_STEM_BYTES].decode(errors="ignore")
    return os.path.join(directory, f".{stem}.{os.urandom(6).hex()}.part")


@contextlib.contextmanager
def scratch(path: str) -> Iterator[str]:
    """Yield a path at which a file may be made, and is gone in the end unless it was renamed."""
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            os.remove(path)


def store_error(path: str, error: OSError) -> FileStoreError:
    """Return what a caller is told of a file that cannot be written."""
    failure = FileStoreError(
        f"cannot write {path!r}: {error.strerror or error}. Nothing was saved; make room or choose another place, and "
        "save again"
    )
    failure.errno = error.errno
    return failure


@contextlib.contextmanager
def storing(path: str) -> Iterator[None]:
    """Raise what cannot be written in the block as a FileStoreError that names the path."""
    try:
        yield
    except MLDashError:  # some are OSErrors as well, and say what they are
        raise
    except OSError as error:
        raise store_error(path, error) from error
