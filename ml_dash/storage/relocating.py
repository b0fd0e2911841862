"""An experiment's directory given another place, with all that is the experiment's and nothing else.

Experiments may lie inside one another: below an experiment's directory there may be those of others, and these stay
where they are. Where there are none, and nothing is in the way, it is one rename. Else the experiment's own entries are
renamed one by one. Then a crash parts them; who does the same again completes it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from ml_dash.errors import InvalidArgumentError
from ml_dash.storage.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterable

JOURNAL = "journal"
"""The directory that makes a directory an experiment's."""


def relocate(source: str, target: str, *, journal_first: bool = False) -> None:
    """Move an experiment from one directory to another, which may be there but must be no experiment's.

    Args:
        source: Its directory.
        target: Where it goes; above or below `source`, too.
        journal_first: Whether the source is to be no experiment any more before anything else is moved. Else the target
            is one when all else is there.

    Raises:
        InvalidArgumentError: Something in the target has the name of something that is moved. Nothing was moved.
        OSError: It cannot be moved.
    """
    below = _below(source)
    if not below and not os.path.lexists(target) and not _is_inside(source, target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(source, target)
        return
    if _is_inside(source, target):
        below.add(os.path.relpath(target, source).split(os.sep)[0])
    names = [name for name in os.listdir(source) if name not in below]
    names.sort(key=lambda name: (name == JOURNAL) != journal_first)
    for name in names:
        if os.path.lexists(os.path.join(target, name)):
            raise InvalidArgumentError(
                f"{os.path.join(target, name)!r} is in the way of what is in {source!r}: nothing was moved; choose "
                "another name, or see what it is"
            )
    os.makedirs(target, exist_ok=True)
    for name in names:
        os.rename(os.path.join(source, name), os.path.join(target, name))


def merge(source: str, target: str) -> None:
    """Move what a directory has into another one; of a file that both have, the target's stays, and the source's too.

    Raises:
        OSError: Something cannot be moved; who merges again goes on.
    """
    for name in os.listdir(source):
        here, there = os.path.join(source, name), os.path.join(target, name)
        if not os.path.lexists(there):
            os.rename(here, there)
        elif all(os.path.isdir(path) and not os.path.islink(path) for path in (here, there)):
            merge(here, there)


def prune(directory: str, root: str) -> None:
    """Remove a directory that is empty, or gone, and those above it that become so, below a root."""
    with contextlib.suppress(OSError):
        while directory.startswith(os.path.join(root, "")):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(directory)
            directory = os.path.dirname(directory)


def _below(directory: str) -> set[str]:
    """Return what in a directory leads to experiments below it."""
    found: Iterable[str] = (each.directory for each in survey(directory, is_own=True).experiments)
    real = os.path.realpath(directory)
    inner = (os.path.relpath(each, directory) for each in found if os.path.realpath(each) != real)
    return {path.split(os.sep)[0] for path in inner}


def _is_inside(directory: str, path: str) -> bool:
    return path.startswith(os.path.join(directory, ""))
