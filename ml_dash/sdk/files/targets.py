"""Where a downloaded file goes on this disk: names that come from elsewhere are made safe first."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING, Any

from ml_dash.errors import FileStoreError, InvalidArgumentError
from ml_dash.paths import NOT_ON_WINDOWS, is_device, local_path
from ml_dash.query.patterns import is_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# NAME_MAX of ext4, XFS and APFS; NTFS counts 255 UTF-16 units, which are never more than the bytes.
_MAX_BYTES = 255
_LISTED = 5
_NEVER = frozenset("/\\\0")


def safe_name(filename: str) -> str:
    """Return a name for one entry of a directory of this system, which is what follows the last slash of `filename`.

    Example:
        >>> safe_name("../../etc/passwd")
        'passwd'
    """
    name = filename.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    refused = _NEVER | (NOT_ON_WINDOWS if os.name == "nt" else frozenset())
    name = "".join("_" if c in refused or unicodedata.category(c) in {"Cc", "Cs"} else c for c in name)
    if os.name == "nt":
        # Windows drops these at a name's end, and two files would become one.
        name = name.rstrip(". ")
        name = f"_{name}" if is_device(name) else name
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


def is_hidden(row: Mapping[str, Any], asked: str | None) -> bool:
    """Say whether a file would get a name here that begins with a dot, or lie below one, and nobody has asked for that.

    Programs read such files by themselves: `.bashrc`, `.ssh/authorized_keys`, `.git/config`. Whoever downloads all of
    an experiment has not read what its files are called.

    Args:
        row: The file's.
        asked: The name or the pattern that it was asked for by. What the user has spelled out before the first wildcard
            is what they want, as in a shell: `.hydra/*` are the files of that directory.
    """
    spelled: list[str] = []
    for part in (asked or "").strip("/").split("/"):
        if is_pattern(part):
            break
        spelled.append(part)
    names = _safe_segments(row)
    return any(name.startswith(".") and names[: at + 1] != spelled[: at + 1] for at, name in enumerate(names))


def hidden_error(hidden: Sequence[Mapping[str, Any]], remedy: str) -> FileStoreError:
    """Return what is said of files that are not written for their names; see `is_hidden`."""
    names = [repr("/".join(_safe_segments(row))) for row in hidden]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    verb = "has a name that begins" if len(names) == 1 else "have names that begin"
    return FileStoreError(
        f"{', '.join(names[:_LISTED])}{more} {verb} with a dot, and programs obey such files: not written. {remedy}"
    )


def target_of(
    row: Mapping[str, Any], dest_path: str | os.PathLike[str] | None, *, asked: str | None, dotfiles: bool
) -> str:
    """Return where a file is downloaded to: at `dest_path`, or where that is a directory, under its own name in it.

    Such a name of its own may begin with a dot where `dotfiles` says so, or the user has `asked` for it by that.
    """
    dest = "." if dest_path is None else local_path(dest_path, "dest_path", "out/")
    if dest_path is not None and not (os.path.isdir(dest) or dest.endswith(("/", os.sep))):
        return dest
    name = safe_name(row["filename"])
    if not dotfiles and is_hidden({"path": "/", "filename": name}, (asked or "").rsplit("/", 1)[-1]):
        raise hidden_error(
            [{"path": "/", "filename": name}],
            f"Name its place (dest_path={os.path.join(dest, name)!r}), or pass allow_dotfiles=True",
        )
    return _within(dest, name if dest_path is None else os.path.join(dest, name))


class Below:
    """Places below a directory for the files of one download, under their paths: no two of them share one.

    An experiment may have names that no disk has beside one another: ``model`` and ``model/config.json``, names that
    differ in case on a disk that folds it, names that become the same when they are made safe. The first keeps its
    name; a file that cannot is called ``model (2)``, ``a (2).txt``. The same files get the same places each time.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], directory: str | os.PathLike[str] | None = None
    ) -> None:
        self._root = None if directory is None else local_path(directory, "dest_path", "out/")
        if self._root is not None and os.path.exists(self._root) and not os.path.isdir(self._root):
            raise InvalidArgumentError(
                f"{self._root!r} is not a directory, and these files keep their paths below one: name a directory"
            )
        own = [_safe_segments(row) for row in rows]
        self._own = {_folded(names) for names in own}
        self._directories = {_folded(names[:end]) for names in own for end in range(1, len(names))}
        self._taken: set[str] = set()
        self._files: set[tuple[int, int]] = set()

    def place(self, row: Mapping[str, Any]) -> str:
        """Return where a file goes; raise `FileStoreError` where links would lead it elsewhere."""
        *folders, name = _safe_segments(row)
        names = [*folders, name]
        number = 1
        while True:
            others = self._directories if number == 1 else self._directories | self._own
            if _folded(names) not in others:
                target = _within(self._root or ".", os.path.join(*filter(None, [self._root]), *names))
                if not self._is_taken(target):
                    return target
            number += 1
            names = [*folders, _numbered(name, number)]

    def take(self, target: str) -> None:
        """Note that a file of this download is there now."""
        self._taken.add(target)
        self._files.add(_file_at(target))

    def is_renamed(self, row: Mapping[str, Any], target: str) -> bool:
        """Say whether a place has another name than the file."""
        return os.path.basename(target) != _safe_segments(row)[-1]

    def _is_taken(self, target: str) -> bool:
        if target in self._taken:
            return True
        if not os.path.lexists(target) or _file_at(target) not in self._files:
            return False
        # One of ours by another name, as on a disk that folds case: it lists the name that was given first. A second
        # entry of the same file, such as a tool makes that links equal files, is a place of its own.
        directory, name = os.path.split(target)
        return os.stat(target).st_nlink == 1 or name not in os.listdir(directory or ".")


def _safe_segments(row: Mapping[str, Any]) -> list[str]:
    """Return the names of a file's directories, and its own, made safe."""
    folders = [each for each in str(row["path"]).split("/") if each not in {"", ".", ".."}]
    return [*map(safe_name, folders), safe_name(row["filename"])]


def _folded(names: Sequence[str]) -> str:
    # As the disks fold that do: it costs a file its name on those that do not, where two would only differ in case.
    return unicodedata.normalize("NFC", "/".join(names)).casefold()


def _numbered(name: str, number: int) -> str:
    stem, extension = os.path.splitext(name)
    suffix = f" ({number}){extension}"
    room = _MAX_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore") + suffix


def _file_at(path: str) -> tuple[int, int]:
    """Return what tells a file from all others."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


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
