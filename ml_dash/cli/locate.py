"""Finding the one experiment that somebody means."""

from __future__ import annotations

import difflib
import os

from ml_dash.errors import InvalidArgumentError, InvalidPrefixError
from ml_dash.identity import current_user, parse_prefix
from ml_dash.storage.survey import Located, is_experiment, prefix_under, stored_prefix, survey

__all__ = ["find_experiment", "full_prefix"]

_SHOWN = 5


def find_experiment(name: str, root: str) -> Located:
    """Return the experiment that is meant.

    Args:
        name: A prefix under the root, also in its short forms; a path to the experiment's directory; or the
            last part of a prefix, if no other experiment's ends so.
        root: Where prefixes begin.

    Raises:
        InvalidArgumentError: None is called so, or several are; the message names those that come near.
    """
    return _by_prefix(name, root) or _by_path(name, root) or _by_last_part(name, root)


def full_prefix(name: str) -> str:
    """Return the whole prefix that is meant where no directory tells: that of an experiment at a server.

    Raises:
        InvalidPrefixError: No experiment could be called so.
    """
    return parse_prefix(name, user=current_user, now_ns=int).prefix


def _by_prefix(name: str, root: str) -> Located | None:
    if os.path.isabs(name):
        return None
    try:
        full = full_prefix(name)
    except InvalidPrefixError:
        return None  # a path, or nothing that an experiment could be called
    for prefix in (name.strip("/"), full):
        directory = os.path.join(root, *prefix.split("/"))
        if is_experiment(directory):
            return Located(prefix, directory)
    return None


def _by_path(name: str, root: str) -> Located | None:
    path = os.path.normpath(name) if name else name
    if path and not is_experiment(path) and os.path.basename(os.path.abspath(path)) == "journal":
        path = os.path.dirname(os.path.abspath(path))
    if not path or not is_experiment(path):
        return None
    real, real_root = os.path.realpath(path), os.path.realpath(root)
    if real.startswith(os.path.join(real_root, "")):
        return Located(prefix_under(real_root, real), path)
    return Located(stored_prefix(path), path)


def _by_last_part(name: str, root: str) -> Located:
    experiments = survey(root).experiments if os.path.isdir(root) else []
    wanted = name.strip("/")
    matches = [each for each in experiments if wanted and f"/{each.prefix}".endswith(f"/{wanted}")]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InvalidArgumentError(
            f"{name!r} is the last part of {len(matches)} experiments: "
            f"{_listed([each.prefix for each in matches])}; give more of the prefix"
        )
    raise InvalidArgumentError(_unknown(name, root, [each.prefix for each in experiments]))


def _unknown(name: str, root: str, prefixes: list[str]) -> str:
    missing = f"there is no experiment {name!r} under {root!r}"
    if not prefixes:
        return f"{missing}, and no other: name the right --root"
    near = _near(name, prefixes)
    hint = f"did you mean {_listed(near)}? " if near else ""
    return f"{missing}: {hint}`ml-dash ls` lists those that there are"


def _near(name: str, prefixes: list[str]) -> list[str]:
    """Return the prefixes that are like `name`, as a whole or by their ends, the likest first."""
    depth = name.strip("/").count("/") + 1
    ends = {prefix: "/".join(prefix.split("/")[-depth:]) for prefix in prefixes}
    scores = {
        prefix: 1.0
        if name and name in prefix
        else max(difflib.SequenceMatcher(None, name, text).ratio() for text in {prefix, end})
        for prefix, end in ends.items()
    }
    return sorted((prefix for prefix in prefixes if scores[prefix] >= 0.6), key=lambda it: -scores[it])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
