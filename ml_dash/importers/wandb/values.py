"""What wandb writes for a value that is no number: an object with its type, and a file beside the log."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import MLDashError
from ml_dash.importers.json_files import read_document
from ml_dash.importers.media import Medium, medium
from ml_dash.importers.source import NotUnderstoodError
from ml_dash.sdk.media.tables import Histogram, Table, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_dash.journal.foreign_disk import ForeignDisk
    from ml_dash.storage.blobs import Staging

_FILES = {
    "image-file": "image",
    "audio-file": "audio",
    "video-file": "video",
    "plotly-file": "figure",
    "object3D-file": "mesh",
}
"""Types whose files are kept as they are, and what they are called here."""
_LISTS = frozenset({"audio", "videos", "html"})
"""Types of several, each of which is an object of its own in the field of that name."""
_KEPT = ("caption", "width", "height", "boxes")
_TEXT_BYTES_MAX = 64 << 20


class Media:
    """The media of one run.

    Attributes:
        taken: The paths of their files, relative to the run's.
    """

    def __init__(self, files: str, disk: ForeignDisk, staging: Staging) -> None:
        self._files, self._disk, self._staging = files, disk, staging
        self.taken: set[str] = set()

    def values_of(self, name: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield a value of an object, by its name; several, by names with numbers, where it is of several media.

        Raises:
            NotUnderstoodError: Its file is not there, or not what it should be.
        """
        try:
            several = list(self._several(value))
        except (MLDashError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise NotUnderstoodError(f"a value of the type {value.get('_type')!r}: {error}") from error
        if len(several) == 1:
            yield name, several[0]
        else:
            yield from ((f"{name}.{at}", each) for at, each in enumerate(several))

    def _several(self, value: Mapping[str, Any]) -> Iterator[Any]:
        kind = value.get("_type")
        if kind == "images/separated":
            captions = value.get("captions") or []
            for at, path in enumerate(value["filenames"]):
                caption = {"caption": captions[at]} if at < len(captions) and captions[at] else {}
                about = {"width": value.get("width"), "height": value.get("height"), **caption}
                yield self._file({"path": path, **about}, "image")
        elif kind in _LISTS and isinstance(several := value.get(kind), list):
            for each in several:
                yield from self._several(each)
        elif kind == "histogram":
            yield self._histogram(value)
        elif kind == "table-file":
            yield self._table(value)
        elif kind == "html-file":
            text = self._read(value["path"]).decode("utf-8", "backslashreplace")
            yield medium(Text(text), self._staging)
        elif kind in _FILES:
            yield self._file(value, _FILES[kind])
        else:
            yield dict(value)

    def _file(self, value: Mapping[str, Any], kind: str) -> Medium:
        path = self._path(value["path"])
        about = {name: value[name] for name in _KEPT if value.get(name) is not None}
        extension = path.rpartition("/")[2].partition(".")[2] or "bin"
        # of a name like plotly_0_9d1c.plotly.json all behind the first dot
        blob = self._staging.capture(os.path.join(self._files, path), opener=self._disk.open)
        return Medium({"_type": kind, **about}, extension, blob)

    def _histogram(self, value: Mapping[str, Any]) -> Medium:
        edges = value.get("bins")
        if edges is None:
            packed = value["packedBins"]
            edges = [packed["min"] + packed["size"] * at for at in range(packed["count"] + 1)]
        return medium(Histogram(counts=value["values"], edges=edges), self._staging)

    def _table(self, value: Mapping[str, Any]) -> Medium:
        path = self._path(value["path"])
        table = read_document(self._disk, os.path.join(self._files, path))
        return medium(Table([str(name) for name in table["columns"]], table["data"]), self._staging)

    def _read(self, path: str) -> bytes:
        full = os.path.join(self._files, self._path(path))
        size = self._disk.size(full)
        if size > _TEXT_BYTES_MAX:
            raise ValueError(f"{path!r} has {size:,} bytes")
        return self._disk.read_at(full, 0, size)

    def _path(self, path: str) -> str:
        self.taken.add(path)
        return path


def plain_value(text: bytes | str) -> Any:
    """Return the value that a JSON text says; NotUnderstoodError where it says none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotUnderstoodError("a value is no JSON") from error
