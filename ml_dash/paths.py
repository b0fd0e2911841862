"""Paths that a user gives: what stands for the home directory is replaced, and what is no path here is refused."""

from __future__ import annotations

import os
import re
from typing import Any

from ml_dash.errors import InvalidArgumentError

# One slash is enough: `Path("s3://bucket")` has lost the other. One letter is none: that is a drive of Windows.
_ELSEWHERE = r"[A-Za-z][A-Za-z0-9+.-]+:/"


NOT_ON_WINDOWS = frozenset('<>:"|?*')
"""Characters that no name has there. A colon does worse: what follows it is a stream of the file before it."""
_DEVICES = frozenset(
    {
        *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"),
        *(f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"),
    }
)
"""Names by which Windows opens a device, in any directory, whatever their extension."""


def is_device(name: str) -> bool:
    """Whether Windows opens a device by this name."""
    return name.partition(".")[0].rstrip(" ").upper() in _DEVICES


def windows_fault(name: str) -> tuple[str, str] | None:
    """Return what keeps Windows from storing something under this name, and what to do; None where it can.

    Example:
        >>> windows_fault("con.txt")
        ('is the name of a device on Windows', "put something before it, as in 'run-con'")
    """
    if refused := sorted(NOT_ON_WINDOWS.intersection(name)):
        return f"contains {refused[0]!r}, which no name has on Windows", "replace it, for example by '-'"
    if name.endswith((".", " ")):
        return (
            "ends with a dot or a space, which Windows drops, so that two names become one",
            "end it with another character",
        )
    if is_device(name):
        return "is the name of a device on Windows", "put something before it, as in 'run-con'"
    return None


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
    if ":/" in path and re.match(_ELSEWHERE, path):
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


def config_directory() -> str:
    """Return `ML_DASH_CONFIG_DIR`, else ``~/.dash``, for what belongs to the user. It need not exist."""
    return absolute_path(os.environ.get("ML_DASH_CONFIG_DIR") or "~/.dash", "ML_DASH_CONFIG_DIR", "~/.dash")
