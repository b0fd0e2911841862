"""Files that are there when they are complete, and what is said where they cannot be written."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ml_dash.errors import FileStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["store_error", "storing"]


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
    """Let what cannot be written in the block be a FileStoreError that names the path."""
    try:
        yield
    except FileStoreError:
        raise
    except OSError as error:
        raise store_error(path, error) from error
