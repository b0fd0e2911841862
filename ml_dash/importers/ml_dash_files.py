"""The files of an experiment of the public package.

``files/.files_metadata.json`` lists them (``{"files": [{"id", "path", "filename", …}]}``), and what each holds lies in
``files/<path>/<id>/<filename>``. Saving a file of the same path and name once more replaces both; deleting one sets
``deletedAt`` and keeps what it holds. Where the list is lost, the directories tell most of it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, MLDashError
from ml_dash.identity import file_path
from ml_dash.importers.json_files import read_document
from ml_dash.importers.source import Item, Position, Row
from ml_dash.importers.times import from_iso
from ml_dash.query.files import FILES
from ml_dash.sdk.files.content_types import content_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store
    from ml_dash.journal.foreign_disk import ForeignDisk

FILES_METADATA = "files/.files_metadata.json"
_ID = re.compile(r"\d{6,}")
_CHANGEABLE = ("description", "tags", "bindrs", "metadata")


class Files:
    """All files of one experiment; which of them are here already is told by the journal.

    Args:
        directory: The experiment's.
        disk: Its files, and nothing that links in it lead to.
        there: The names of all that lies below ``files``.
    """

    name = FILES_METADATA

    def __init__(self, directory: str, disk: ForeignDisk, there: set[str]) -> None:
        self._directory, self._disk, self._there = directory, disk, there

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del position
        left = self._there - {FILES_METADATA}
        entries = self._entries(report) if FILES_METADATA in self._there else None
        for entry in entries or ():
            file = _checked(entry, self._path(FILES_METADATA), report)
            if file is not None:
                left.discard(file.place)
                yield from self._file(file, store, report)
        for place in sorted(left):
            file = _by_place(place) if entries is None and self._there else None
            if file is None:
                report.note(self._path(place), "no file of the experiment is said to be this")
                continue
            report.note(
                self._path(place), "nothing is known of it but its name: the list of files cannot be read"
            )
            file.times["uploadedAt"] = self._disk.modified_ns(self._path(place))
            yield from self._file(file, store, report)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, *name.split("/"))

    def _entries(self, report: RunReport) -> list[Any] | None:
        path = self._path(FILES_METADATA)
        try:
            entries = read_document(self._disk, path).get("files")
        except (OSError, ValueError) as error:
            report.note(path, f"it cannot be read ({error})")
            return None
        if not isinstance(entries, list):
            report.note(path, "it has no 'files'")
            return None
        return entries

    def _file(self, file: _File, store: Store, report: RunReport) -> Iterator[Item]:
        known = store.files.get(file.id)
        if known is None:
            yield from self._new(file, store, report)
        elif rows := tuple(_changes(file, known)):
            yield Item(rows)

    def _new(self, file: _File, store: Store, report: RunReport) -> Iterator[Item]:
        path = self._path(file.place)
        try:
            blob = store.staging.capture(path, opener=self._disk.open)
        except (MLDashError, OSError) as error:
            report.note(path, f"what the file holds is left out with it: {error}")
            return
        if file.checksum not in (None, blob.checksum):
            report.note(
                path,
                f"it holds something else than was saved (of SHA-256 {file.checksum}): taken as is",
            )
        saved = {
            "event": "save",
            "id": file.id,
            "path": file.path,
            "filename": file.filename,
            **file.details,
            "contentType": file.content_type,
            "sizeBytes": blob.size,
            "checksum": blob.checksum,
        }
        uploaded = file.times["uploadedAt"]
        rows = [Row(FILES, uploaded, saved)]
        if (updated := file.times.get("updatedAt", uploaded)) > uploaded:
            rows.append(Row(FILES, updated, {"event": "update", "id": file.id}))
        if (deleted := file.times.get("deletedAt")) is not None:
            rows.append(Row(FILES, deleted, {"event": "delete", "id": file.id}))
        yield Item(tuple(rows), blobs=(blob.path,))


class _File:
    """An entry of the list that makes a file."""

    def __init__(self, file_id: str, segments: tuple[str, ...], filename: str) -> None:
        self.id, self.filename = file_id, filename
        self.path = "/" + "/".join(segments)
        self.place = "/".join(("files", *segments, file_id, filename))
        self.content_type = content_type(filename)
        self.checksum: str | None = None
        self.details: dict[str, Any] = {"description": None, "tags": [], "bindrs": [], "metadata": None}
        self.times: dict[str, int] = {}


def _checked(entry: Any, path: str, report: RunReport) -> _File | None:
    """Return an entry of the list as a file; None where it is none, which is told."""
    record: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    file_id, filename, where = record.get("id"), record.get("filename"), record.get("path")
    uploaded = from_iso(record.get("uploadedAt"))
    if (
        not (isinstance(file_id, str) and isinstance(filename, str) and isinstance(where, str))
        or uploaded is None
    ):
        report.note(path, "an entry lacks 'id', 'path', 'filename' or 'uploadedAt'")
        return None
    try:
        segments = file_path(where, "path=")
        if len(file_path(filename, "filename=")) != 1 or len(file_path(file_id, "id=")) != 1:
            raise InvalidArgumentError(f"{filename!r} or {file_id!r} is not a name")
    except InvalidArgumentError as error:
        report.note(path, f"an entry cannot be a file here: {error}")
        return None
    file = _File(file_id, segments, filename)
    file.times["uploadedAt"] = uploaded
    for name in ("updatedAt", "deletedAt"):
        if (time_ns := from_iso(record.get(name))) is not None:
            file.times[name] = time_ns
    if isinstance(kind := record.get("contentType"), str):
        file.content_type = kind
    file.checksum = record["checksum"] if isinstance(record.get("checksum"), str) else None
    for name, value in file.details.items():
        given = record.get(name, value)
        if _is_sound(name, given):
            file.details[name] = given
        else:
            report.note(path, f"{name!r} of an entry is left out: it is of the wrong type", filename)
    return file


def _is_sound(name: str, value: Any) -> bool:
    if name in ("tags", "bindrs"):
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return value is None or isinstance(value, dict if name == "metadata" else str)


def _by_place(place: str) -> _File | None:
    """Return the file that lies there, for want of a list."""
    match place.split("/"):
        case ["files", *segments, file_id, filename] if _ID.fullmatch(file_id):
            return _File(file_id, tuple(segments), filename)
    return None


def _changes(file: _File, known: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what was said of a file since it was brought in."""
    updated = file.times.get("updatedAt")
    if updated is not None and updated > (from_iso(known["updatedAt"]) or 0):
        changed = {name: file.details[name] for name in _CHANGEABLE if file.details[name] != known[name]}
        yield Row(FILES, updated, {"event": "update", "id": file.id, **changed})
    deleted = file.times.get("deletedAt")
    if deleted is not None and known["deletedAt"] is None:
        yield Row(FILES, deleted, {"event": "delete", "id": file.id})
