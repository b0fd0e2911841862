"""What an experiment is called whose directory was moved, renamed or copied.

Below a root, the place is the name: so scripts open an experiment and commands list it. What a directory says of itself
is what it was called when it was logged: were it sent under that name after a rename, it would be mixed with another
experiment that has taken the name since.
"""

from __future__ import annotations

import os

from ml_dash.errors import InvalidPrefixError
from ml_dash.identity import parse_prefix

_USUAL_ROOT = ".dash"


def name_by_place(directory: str, said: str, root: str | None = None) -> str:
    """Return what an experiment is called by its place; where that tells nothing, what it says itself.

    Args:
        directory: The experiment's.
        said: What it was called when it was logged.
        root: In which directory prefixes began then, if that is known.
    """
    places = [os.path.abspath(directory), os.path.realpath(directory)]
    if any(place.endswith(os.sep + said.replace("/", os.sep)) for place in places):
        return said
    for place in places:
        for name in _names(place, said.split("/"), root):
            if _is_prefix(name):
                return name
    return said


def _names(place: str, said: list[str], root: str | None) -> list[str]:
    """Return what the directory may be called, the surest first."""
    names = []
    if root is not None and place.startswith(os.path.join(root, "")):
        names.append(os.path.relpath(place, root).replace(os.sep, "/"))
    parts = place.split(os.sep)
    # A root that was moved as a whole has its own name still.
    kept = {_USUAL_ROOT, os.path.basename(root or _USUAL_ROOT)}
    names += ["/".join(parts[at + 1 :]) for at, part in reversed([*enumerate(parts)]) if part in kept]
    # Owner and project one below the other are hardly there by chance; the owner alone is the name of many a home.
    pairs = range(len(parts) - 3, -1, -1)
    names += ["/".join(parts[at:]) for at in pairs if parts[at : at + 2] == said[:2]]
    return names


def _is_prefix(name: str) -> bool:
    try:
        return name.count("/") >= 2 and parse_prefix(name, user=str, now_ns=int).prefix == name
    except InvalidPrefixError:
        return False
