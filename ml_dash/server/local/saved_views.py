"""Views of a project in a root on this disk: a readable file for each, in ``views/`` of the project's directory.

There is one person here: what is theirs and what is the project's is one. A file that was written or changed by hand is
a view as well, if it can be read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

from ml_dash.protocol import VIEW_BYTES_MAX, VIEW_PATTERN, VIEWS_MAX, ErrorCode
from ml_dash.query.times import iso_time
from ml_dash.server.catalogue.shelves import checked_base, no_such_view, too_many_views, too_new
from ml_dash.server.errors import ApiError
from ml_dash.storage.atomic import replacing
from ml_dash.storage.file_locks import directory_lock

if TYPE_CHECKING:
    from ml_dash.server.catalogue.shelves import NewSavedView, Shelf

_DIRECTORY, _SUFFIX = "views", ".json"
_FILE_BYTES = 2 * VIEW_BYTES_MAX


class LocalViews:
    """The views below a root; see `ml_dash.server.catalogue.shelves.ViewShelves`."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()

    def all(self, shelf: Shelf) -> list[dict[str, Any]]:
        """See `ViewShelves.all`."""
        found = [_read(self._path(shelf, id_), id_) for id_ in self._ids(shelf)]
        told = [{name: value for name, value in each.items() if name != "state"} for each in found if each]
        return sorted(told, key=lambda each: (each["name"], each["id"]))

    def get(self, shelf: Shelf, id_: str) -> dict[str, Any]:
        """See `ViewShelves.get`."""
        found = _read(self._path(shelf, id_), id_)
        if found is None:
            raise no_such_view(id_)
        return found

    def put(
        self,
        shelf: Shelf,
        id_: str,
        new: NewSavedView,
        based_on: str | None,
        who: str,  # noqa: ARG002 - there is one person here
    ) -> dict[str, Any]:
        """See `ViewShelves.put`."""
        try:
            os.makedirs(self._directory(shelf), exist_ok=True)
            # processes wait for one another by the directory, threads of this one by the lock
            with self._lock, directory_lock(self._directory(shelf)):
                return self._put(shelf, id_, new, based_on)
        except OSError as error:
            raise _not_written(error) from error

    def delete(self, shelf: Shelf, id_: str, based_on: str) -> None:
        """See `ViewShelves.delete`."""
        try:
            with self._lock, directory_lock(self._directory(shelf)):
                current = self.get(shelf, id_)
                checked_base(id_, current, based_on)
                os.remove(self._path(shelf, id_))
        except OSError as error:
            raise _not_written(error) from error

    def _put(self, shelf: Shelf, id_: str, new: NewSavedView, based_on: str | None) -> dict[str, Any]:
        path = self._path(shelf, id_)
        current = _read(path, id_)
        checked_base(id_, current, based_on)
        if current is not None and current["format"] > new.format:
            raise too_new(id_, current, new)
        if current is None and len(self._ids(shelf)) >= VIEWS_MAX:
            raise too_many_views()
        _write(path, {"name": new.name, "format": new.format, "default": new.default, "state": new.state})
        if new.default:
            for other in self._ids(shelf):
                view = None if other == id_ else _read(self._path(shelf, other), other)
                if view is not None and view["default"]:
                    kept = {name: view[name] for name in ("name", "format", "state")}
                    _write(self._path(shelf, other), {**kept, "default": False})
        return self.get(shelf, id_)

    def _ids(self, shelf: Shelf) -> list[str]:
        try:
            names = sorted(os.listdir(self._directory(shelf)))
        except OSError:
            return []
        ids = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
        return [each for each in ids if re.fullmatch(VIEW_PATTERN, each)]

    def _directory(self, shelf: Shelf) -> str:
        return os.path.join(self._root, shelf.owner, shelf.project, _DIRECTORY)

    def _path(self, shelf: Shelf, id_: str) -> str:
        return os.path.join(self._directory(shelf), f"{id_}{_SUFFIX}")


def _read(path: str, id_: str) -> dict[str, Any] | None:
    """Return the view in a file; None where there is none that can be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(_FILE_BYTES + 1)
            saved = os.fstat(file.fileno()).st_mtime_ns
        view = json.loads(data)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(view, dict) or not isinstance(view.get("state"), dict):
        return None
    name, kind = view.get("name"), view.get("format")
    return {
        "id": id_,
        "name": name if isinstance(name, str) else id_,
        "mine": False,
        "default": view.get("default") is True,
        "format": kind if isinstance(kind, int) and kind > 0 else 1,
        "version": hashlib.sha256(data).hexdigest()[:16],
        "updatedAt": iso_time(saved),
        "who": None,
        "state": view["state"],
    }


def _write(path: str, view: dict[str, Any]) -> None:
    text = json.dumps(view, indent=2)
    if len(text) >= _FILE_BYTES:
        # what people would not read any more
        text = json.dumps(view)
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write(f"{text}\n")


def _not_written(error: OSError) -> ApiError:
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return ApiError(403, ErrorCode.FORBIDDEN, f"views cannot be written in this root: {error.strerror}")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ApiError(
            507, ErrorCode.DISK_FULL, "the disk is full, and the view was not saved: make room there"
        )
    return ApiError(503, ErrorCode.BUSY, f"the view cannot be saved at this moment: {error}", retryAfter=1)
