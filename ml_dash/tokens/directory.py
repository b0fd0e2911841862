"""Files that only the user may read, in the directory of what belongs to the user and not to an experiment."""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_dash.journal.disk import sync_file
from ml_dash.notices import logger
from ml_dash.storage.atomic import replacing
from ml_dash.storage.file_locks import try_lock
from ml_dash.tokens.token import TokenStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK_SECONDS = 10.0
_POLL_SECONDS = 0.02


def make_private(directory: str) -> None:
    """Create a directory that only its owner may enter, or make an existing one so, with a warning."""
    if os.path.isdir(directory):
        keep_private(directory)
        return
    try:
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        os.mkdir(directory, 0o700)
    except OSError as error:
        if os.path.isdir(directory):
            return  # another process was faster, and made it private
        raise TokenStoreError(
            f"directory {directory!r} for tokens cannot be made: {error.strerror}; "
            "let ML_DASH_CONFIG_DIR name another one"
        ) from error


def keep_private(path: str) -> None:
    """Take from others what rights they have on a file or a directory, with a warning."""
    if os.name == "nt":
        return  # there, rights come from the user's profile, and these bits mean nothing
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if not mode & 0o077:
            return
        os.chmod(path, mode & ~0o077)
    except FileNotFoundError:
        return
    except OSError as error:
        logger().warning("%s can be read by others, which cannot be changed: %s", path, error.strerror)
        return
    logger().warning(
        "%s was open to others (mode %03o): it is private now. If it held tokens, and others use this machine, "
        "run `ml-dash logout` and `ml-dash login`.",
        path,
        mode,
    )


def replace_private(path: str, content: bytes) -> None:
    """Put a file's new content in place as a whole: nobody ever sees half of it, and only its owner sees it."""
    # a link stays: many keep their settings in a repository, and link to them
    with replacing(os.path.realpath(path)) as beside:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(beside, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            sync_file(file.fileno())


def set_aside(path: str) -> str:
    """Rename a file that is of no use to ``….bad`` (``….bad.2`` and so on if there is one), and return that."""
    aside, number = f"{path}.bad", 1
    while os.path.lexists(aside):
        number += 1
        aside = f"{path}.bad.{number}"
    os.rename(path, aside)
    return aside


@contextmanager
def locked(directory: str) -> Iterator[None]:
    """Keep other processes from changing the directory's files meanwhile; they wait, but not for ever.

    Raises:
        TokenStoreError: Another process has held the lock for too long.
    """
    # a file of its own: the one with the tokens is replaced, and with it would go whatever lock is on it
    path = os.path.join(directory, "token.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                raise TokenStoreError(
                    f"{path!r} has been locked for {_LOCK_SECONDS:.0f} s: another `ml-dash login` or `logout` hangs; "
                    "end it, and try again"
                )
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        # closing it unlocks it
        os.close(descriptor)
