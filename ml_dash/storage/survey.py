"""Which experiments there are under a root.

An experiment is a directory that has a directory `journal` in it, which in turn has none: so an owner or a
project that is called journal is not taken for one. Experiments may lie inside one another.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.disk import NOT_THERE, is_shortage, open_regular

_OWN_DIRECTORIES = frozenset({"journal", "files"})


class Located(NamedTuple):
    """An experiment: what it is called under the root, and its directory."""

    prefix: str
    directory: str

    @property
    def journal(self) -> str:
        """The directory of its segment files."""
        return os.path.join(self.directory, "journal")


@dataclass(slots=True)
class Survey:
    """The experiments under a root by prefix, and why directories could not be looked into, by path."""

    experiments: list[Located] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def is_experiment(directory: str) -> bool:
    """Say whether a directory is an experiment's."""
    journal = os.path.join(directory, "journal")
    try:
        with os.scandir(journal) as entries:
            return not any(entry.is_dir(follow_symlinks=False) for entry in entries)
    except (OSError, ValueError):
        # one that may not be read is there all the same; ValueError: no file can have such a name
        return os.path.isdir(journal)


def survey(root: str) -> Survey:
    """Find all experiments under a root, which may be one itself.

    Links are followed, after everything else, and no directory is visited twice: so links that form a loop
    end, and what is reachable by several names has the one that no link is part of.

    Raises:
        InvalidArgumentError: There is no such directory.
        OSError: There are no descriptors or no memory to look with, see `is_shortage`.
    """
    if not _may_be_directory(root):
        raise InvalidArgumentError(f"there is no directory {root!r}: name the one that experiments are in")
    found = Survey()
    visited: set[tuple[int, int]] = set()
    pending, links = [root], deque[str]()
    while pending or links:
        directory = pending.pop() if pending else links.popleft()
        try:
            status = os.stat(directory)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            inside = is_experiment(directory)
            _list(directory, inside, pending, links)
        except OSError as error:
            if is_shortage(error):
                raise
            found.refused[directory] = error.strerror or str(error)
            continue
        if inside:
            found.experiments.append(Located(prefix_under(root, directory), directory))
    found.experiments.sort()
    return found


def _list(directory: str, inside: bool, pending: list[str], links: deque[str]) -> None:
    """Enter what is in a directory into what is to be visited."""
    with os.scandir(directory) as entries:
        for entry in entries:
            # no segment of a prefix begins with a dot
            if entry.name.startswith(".") or (inside and entry.name in _OWN_DIRECTORIES):
                continue
            if entry.is_symlink():
                if _may_be_directory(entry.path):
                    links.append(entry.path)
            elif entry.is_dir():
                pending.append(entry.path)


def _may_be_directory(path: str) -> bool:
    """Whether there is a directory, or something that cannot be looked at: who goes on there is told why."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (*NOT_THERE, ValueError):
        return False
    except OSError as error:
        return error.errno != errno.ELOOP  # a link that leads to itself leads nowhere


def prefix_under(root: str, directory: str) -> str:
    """Return what an experiment is called under a root; one that is the root itself says it."""
    relative = os.path.relpath(directory, root)
    return stored_prefix(directory) if relative == os.curdir else relative.replace(os.sep, "/")


def stored_prefix(directory: str) -> str:
    """Return what the experiment calls itself, or else its directory's name."""
    try:
        with open_regular(os.path.join(directory, "experiment.json")) as file:
            record = json.load(file)
    except (OSError, ValueError):
        record = None
    prefix = record.get("prefix") if isinstance(record, dict) else None
    return prefix if isinstance(prefix, str) and prefix else os.path.basename(os.path.abspath(directory))
