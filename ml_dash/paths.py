"""Paths that a user gives: what stands for the home directory is replaced, and what is no path here is refused."""

from __future__ import annotations

import os
import re
from typing import Any

from ml_dash.errors import InvalidArgumentError

# One slash is enough: `Path("s3://bucket")` has lost the other. One letter is none: that is a drive of Windows.
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(given: Any, name: str, example: str = "./data") -> str:
    """Return a path as text, with ``~`` and ``~user`` replaced by the home directory, as a shell does it.

    Args:
        given: a str or an `os.PathLike` of one.
        name: of the argument, for messages.
        example: of a right value, for messages.

    Raises:
        InvalidArgumentError: It is no path, or the address of a place that is not on this machine's disks.
    """
    path = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path:
        raise InvalidArgumentError(f"{name}={given!r:.200} is not a path: pass a string such as {example!r}")
    if "\0" in path:
        raise InvalidArgumentError(
            f"{name}={given!r:.200} has a NUL character, which no path may have: leave it out"
        )
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{name}={path!r:.200} has a character that no path of this system may have: leave it out ({error})"
        ) from error
    if _ELSEWHERE.match(path):
        raise InvalidArgumentError(
            f"{name}={path!r:.200} is an address and not a path on this machine: pass a path such as {example!r}, "
            "perhaps of where that is mounted"
        )
    return os.path.expanduser(path)


def absolute_path(given: Any, name: str, example: str = "./data") -> str:
    """Return a path as `local_path` does, from the root on, whatever becomes of the working directory."""
    path = local_path(given, name, example)
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        raise InvalidArgumentError(
            f"{name}={path!r:.200} is relative to the working directory, which was deleted: change to one that is "
            "there, or pass an absolute path"
        ) from error
