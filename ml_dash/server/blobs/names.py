"""Names in the object store: how those of this server's objects are made, and by what they are known again.

A store may lie in a directory or a bucket in which others keep things too. So what is ever moved or removed there has a
name of one of these forms, and any other name is a stranger's. That holds for objects of earlier versions as well:
their names were always made like this.
"""

from __future__ import annotations

import re
import secrets

IDENTITY = "ml-dash-store.json"
"""The object that says to which database a store belongs, see `ml_dash.server.blobs.identity`."""
TRASH = "trash"
# obstore writes a local object beside its place first: what a crash leaves of it ends in a number sign and a number
_OWN = re.compile(r"(?:exp_[a-z0-9]{20}/[0-9a-f]{32}|contents/([0-9a-f]{2})/\1[0-9a-f]{30})(?:#[0-9]{1,9})?")
_IN_TRASH = re.compile(r"trash/([0-9]{4}-[0-9]{2}-[0-9]{2})/(.+)")
# the directories in which such names can be, level by level: nothing is looked for in any other
_LEVELS = (
    re.compile(r"exp_[a-z0-9]{20}|contents|trash"),
    re.compile(r"[0-9a-f]{2}|[0-9]{4}-[0-9]{2}-[0-9]{2}"),
)


def rows_name(experiment_id: str) -> str:
    """Return a name for an object with rows that no other object has."""
    return f"{experiment_id}/{secrets.token_hex(16)}"


def part_name() -> str:
    """Return a name for a part of a blob that no other object has."""
    # 256 directories: one with all blobs would be slow on some file systems
    name = secrets.token_hex(16)
    return f"contents/{name[:2]}/{name}"


def experiment_of(name: str) -> str | None:
    """Return the id of the experiment whose rows an object has; None for a part of a blob."""
    head = name.partition("/")[0]
    return None if head == "contents" else head


def is_own(name: str) -> bool:
    """Say whether a name is of a form that only ML-Dash makes, outside of the trash."""
    return _OWN.fullmatch(name) is not None


def in_trash(name: str) -> tuple[str, str] | None:
    """Return the day on which an object was put into the trash, and the name that it had; None for any other name."""
    found = _IN_TRASH.fullmatch(name)
    return (found[1], found[2]) if found is not None and is_own(found[2]) else None


def is_removable(name: str) -> bool:
    """Say whether an object with this name may be moved or removed at all."""
    return is_own(name) or in_trash(name) is not None


def may_hold_own(directory: str) -> bool:
    """Say whether names of these forms may lie in a directory, which is named from the store's root."""
    levels = directory.split("/")
    if levels[0] == TRASH and len(levels) > 2:
        # below a day, the names are what they were
        return may_hold_own("/".join(levels[2:]))
    return all(form.fullmatch(level) for form, level in zip(_LEVELS, levels, strict=False))
