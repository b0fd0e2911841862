"""Which root is meant where none is named: as git finds a repository, and below it what a sweep has left.

In this order: ``ML_DASH_ROOT``; ``.dash`` in the working directory, or in the nearest directory above that has one of
the same user's; all ``.dash`` directories below the working directory, as Hydra's ``multirun/…/0/.dash``. The
configuration's own directory, mostly ``~/.dash``, is taken by nobody for a root who does not stand beside it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING

from ml_dash.errors import ExperimentMissingError, InvalidArgumentError
from ml_dash.identity import current_user, parse_prefix
from ml_dash.paths import config_directory, local_path
from ml_dash.storage.standing import is_experiment

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_ROOT = ".dash"
VARIABLE = "ML_DASH_ROOT"
_DEEP = 8
"""How many directories deep a root is looked for below; Hydra's lie four deep."""
_DIRECTORIES_MAX = 20_000
"""How many directories are looked into for that."""
_SHOWN = 5
_PASSED_OVER = frozenset({"node_modules", "__pycache__", "site-packages"})


class Roots(str):
    """The root that is meant, as its path; and where several were found, all of them.

    Attributes:
        all: The paths, in order of their names.
        is_given: Whether `VARIABLE` has said it.
    """

    __slots__ = ("all", "is_given")

    all: tuple[str, ...]
    is_given: bool

    @classmethod
    def of(cls, *paths: str, is_given: bool = False) -> Roots:
        """Return these, of which there must be one."""
        found = cls(paths[0])
        found.all, found.is_given = paths, is_given
        return found


def all_of(root: str) -> tuple[str, ...]:
    """Return all roots that are meant.

    Raises:
        InvalidArgumentError: `VARIABLE` names what is no directory that can be read.
    """
    if not isinstance(root, Roots):
        return (root,)
    if root.is_given:
        _check_given(root)
    return root.all


def right_root(root: str) -> str:
    """Return what is to be done where a root is not the right one."""
    if isinstance(root, Roots) and root.is_given:
        return f"let {VARIABLE} name the right root, unset it, or give --root"
    return "name the right --root"


def _check_given(root: Roots) -> None:
    try:
        os.scandir(root).close()
    except OSError as error:
        what = {FileNotFoundError: "is not there", NotADirectoryError: "is no directory"}.get(
            type(error), f"cannot be read ({error.strerror})"
        )
        raise InvalidArgumentError(
            f"{VARIABLE}={str(root)!r} {what}: set it to the directory that your experiments are in, or unset it"
        ) from None


def default_roots() -> Roots:
    """Return the root, or the roots, that are meant where none is named; ``.dash`` where none is found."""
    if given := os.environ.get(VARIABLE):
        return Roots.of(local_path(given, VARIABLE, ".dash"), is_given=True)
    if os.path.lexists(DEFAULT_ROOT):
        return Roots.of(DEFAULT_ROOT)
    try:
        here = os.getcwd()
    except OSError:  # it was removed
        return Roots.of(DEFAULT_ROOT)
    found = next(_above(here), None)
    return Roots.of(*([found] if found else sorted(_below(here)) or [DEFAULT_ROOT]))


def root_with(prefix: str) -> str:
    """Return the root that an experiment is opened in where none is named: of several, the one that has it.

    Raises:
        ExperimentMissingError: None of several roots has one of this name.
        InvalidArgumentError: More than one has; or `VARIABLE` names no directory.
        InvalidPrefixError: The prefix cannot name an experiment.
    """
    roots = all_of(default_roots())
    if len(roots) == 1:
        return roots[0]
    identity = parse_prefix(prefix, user=current_user, now_ns=time.time_ns)
    found = [root for root in roots if is_experiment(identity.directory(root))]
    if not found:
        raise ExperimentMissingError(
            f"there is no experiment {identity.prefix!r} in the {len(roots)} roots below the working directory, from "
            f"{roots[0]!r} to {roots[-1]!r}: `ml-dash ls` lists what they have"
        )
    if len(found) > 1:
        raise InvalidArgumentError(
            f"{len(found)} roots have an experiment {identity.prefix!r}: {', '.join(map(repr, found[:_SHOWN]))}"
            f"{' …' if len(found) > _SHOWN else ''}; say which one, as in ml_dash.open({prefix!r}, {found[0]!r})"
        )
    return found[0]


def _above(directory: str) -> Iterator[str]:
    while (above := os.path.dirname(directory)) != directory:
        directory = above
        path = os.path.join(directory, DEFAULT_ROOT)
        if _is_own(path):
            # as one would type it: messages show it
            yield os.path.relpath(path)


def _below(directory: str) -> Iterator[str]:
    pending = deque([(directory, 0)])
    looked = 0
    while pending and looked < _DIRECTORIES_MAX:
        place, depth = pending.popleft()
        looked += 1
        try:
            with os.scandir(place) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for name in names:
            path = os.path.join(place, name)
            if name == DEFAULT_ROOT and _is_own(path):
                yield os.path.relpath(path)
            elif not name.startswith(".") and name not in _PASSED_OVER and depth < _DEEP:
                pending.append((path, depth + 1))


def _is_own(path: str) -> bool:
    """Whether there is a root of this user's: what others put above the working directory is not taken for one."""
    try:
        status = os.stat(path)
        is_mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        return (
            os.path.isdir(path) and is_mine and os.path.realpath(path) != os.path.realpath(config_directory())
        )
    except OSError:
        return False
