"""Where a downloaded file goes on this disk: names that come from elsewhere are made safe first."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING, Any

from ml_dash.errors import FileStoreError, InvalidArgumentError
from ml_dash.sdk.files.names import path_text

if TYPE_CHECKING:
    from collections.abc import Mapping

# NAME_MAX of ext4, XFS and APFS; NTFS counts 255 UTF-16 units, which are never more than the bytes.
_MAX_BYTES = 255
_NEVER = frozenset("/\\\0")
_NOT_ON_WINDOWS = frozenset(':*?"<>|')
# Windows opens a device for these names, whatever their extension.
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"COM{n}" for n in range(1, 10)), *(f"LPT{n}" for n in range(1, 10))}
)


def safe_name(filename: str) -> str:
    """Return a name for one entry of a directory of this system, which is what follows the last slash of `filename`.

    Example:
        >>> safe_name("../../etc/passwd")
        'passwd'
    """
    name = filename.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    refused = _NEVER | (_NOT_ON_WINDOWS if os.name == "nt" else frozenset())
    name = "".join("_" if c in refused or unicodedata.category(c) in {"Cc", "Cs"} else c for c in name)
    if os.name == "nt":
        # Windows drops these at a name's end, and two files would become one.
        name = name.rstrip(". ")
        name = f"_{name}" if name.partition(".")[0].upper() in _DEVICES else name
    if name in {"", ".", ".."}:
        return "file"
    return _cut(name)


def _cut(name: str) -> str:
    """Shorten a name that no file system takes, in its middle: what it ends with says what it is."""
    if len(name.encode()) <= _MAX_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    # A longer "extension" is a sentence with a dot in it.
    end = f"{dot}{extension}" if stem and len(extension.encode()) <= 20 else ""
    kept = (stem if end else name).encode()[: _MAX_BYTES - len(end.encode())]
    return kept.decode(errors="ignore") + end


def target_of(row: Mapping[str, Any], dest_path: str | os.PathLike[str] | None) -> str:
    """Return where a file is downloaded to: at `dest_path`, or where that is a directory, under its own name in it."""
    if dest_path is None:
        return _within(".", safe_name(row["filename"]))
    dest = dest_text(dest_path)
    if os.path.isdir(dest) or dest.endswith(("/", os.sep)):
        return _within(dest, os.path.join(dest, safe_name(row["filename"])))
    return dest


def target_below(row: Mapping[str, Any], directory: str | os.PathLike[str] | None) -> str:
    """Return where a file goes below a directory, under its path there; refuse what links would lead out of it."""
    root = "." if directory is None else dest_text(directory)
    segments = [each for each in str(row["path"]).split("/") if each not in {"", ".", ".."}]
    names = [*map(safe_name, segments), safe_name(row["filename"])]
    target = os.path.join(*names) if directory is None else os.path.join(root, *names)
    return _within(root, target)


def _within(root: str, target: str) -> str:
    """Return a place whose name comes from elsewhere; refuse one that is not at this name below `root`.

    The name is safe by now, but what is there may be a link that somebody has laid. The user has not named it: it is
    neither followed nor replaced, and neither is a device or a pipe.
    """
    real = os.path.realpath(root)
    parent = os.path.realpath(os.path.dirname(target) or ".")
    if parent != real and not parent.startswith(os.path.join(real, "")):
        raise FileStoreError(
            f"{os.path.dirname(target)!r} is a link that leads out of {root!r}: remove it, or choose another directory"
        )
    if os.path.islink(target):
        raise FileStoreError(
            f"{target!r} is a link to {os.readlink(target)!r}, which you have not named: remove it, or name what it "
            "leads to, or choose another directory"
        )
    if os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target):
        raise FileStoreError(
            f"{target!r} is a device or a pipe, which you have not named: remove it, or choose another directory"
        )
    return target


def dest_text(dest_path: Any) -> str:
    """Return a destination as text; raise `InvalidArgumentError` for what is not a path."""
    dest = path_text(dest_path)
    if dest is None:
        raise InvalidArgumentError(
            f"dest_path={dest_path!r} is not a path: pass a file's, a directory's, or nothing for the working directory"
        )
    return dest
