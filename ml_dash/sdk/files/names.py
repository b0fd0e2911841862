"""Names of files within an experiment: where something that is saved goes, checked before anything is written."""

from __future__ import annotations

import os
from typing import Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.identity import file_path
from ml_dash.records import NamedTuple


class Place(NamedTuple):
    """Where a file lies in an experiment: the path, ``/models`` or ``/``, and the name there."""

    path: str
    filename: str

    @property
    def extension(self) -> str:
        """What follows the last dot of the name, in lower case; empty if there is none."""
        return os.path.splitext(self.filename)[1][1:].lower()

    @property
    def name(self) -> str:
        """The whole name, without a leading slash."""
        return f"{self.path.strip('/')}/{self.filename}".lstrip("/")


def checked_path(path: Any) -> str | None:
    """Return what was given as ``path`` to `exp.files`, checked, without slashes at its ends; None for the root."""
    if path is None:
        return None
    return "/".join(file_path(_text("path=", path), "path=")) or None


def place_of(base: str | None, to: Any, own_name: str | None = None) -> Place:
    """Return where a file goes.

    Args:
        base: the builder's path, from `checked_path`.
        to: the name asked for, with directories; one that ends with a slash keeps the file's own name.
        own_name: the file's own name; None for what has none.
    """
    if to is None:
        if own_name is None:
            raise InvalidArgumentError(
                "to= is missing: name the file, as in to='name.ext' or to='directory/name.ext'"
            )
        return _place(base, own_name, f"the file's own name {own_name!r} cannot be stored (pass to='…'): ")
    text = _text("to=", to)
    if text.startswith("/"):
        raise InvalidArgumentError(
            f"to={text!r} begins at the root, and is taken below the path of files(path): leave the leading slash out, "
            f"as in exp.files.save…(to={text.lstrip('/') or 'name.ext'!r})"
        )
    if text.endswith("/"):
        if own_name is None:
            raise InvalidArgumentError(f"to={text!r} names a directory: put a filename behind the slash")
        text += own_name
    return _place(base, text, "to=")


def name_on_disk(local_path: Any) -> str:
    """Return the name that a file on this disk has; raise `InvalidArgumentError` for what is not a path."""
    path = path_text(local_path)
    if path is None:
        raise InvalidArgumentError(
            f"local_path={local_path!r:.200} is not the path of a file: pass a str or a Path; what is not on disk is "
            "saved by save_json, save_text, save_blob, save_torch, save_pkl, save_fig, save_image or save_video"
        )
    # "/" has no name; that it is no file is told later.
    return os.path.basename(os.path.abspath(os.path.expanduser(path))) or "root"


def path_text(given: Any) -> str | None:
    """Return an argument as the text of a path; None if it is not a path."""
    path = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    return path if isinstance(path, str) and path and "\0" not in path else None


def _place(base: str | None, name: str, what: str) -> Place:
    # By itself first: what a message shows is what the caller gave.
    if not file_path(name, what):
        raise InvalidArgumentError(f"{what}{name!r} names nothing: pass to='name.ext'")
    *folders, filename = file_path("/".join(filter(None, [base, name])), "path and to= together: ")
    return Place("/" + "/".join(folders), filename)


def _text(what: str, given: Any) -> str:
    text = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise InvalidArgumentError(
            f"{what}{given!r:.200} is a {type(given).__qualname__}, not a str like 'models/best.pt'"
        )
    return text
