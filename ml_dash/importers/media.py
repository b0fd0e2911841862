"""Images, sounds, histograms and the like in rows that are imported: their contents become files, as everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.importers.source import Item, Row
from ml_dash.query.files import FILES
from ml_dash.sdk.files.details import Details, save_row
from ml_dash.sdk.media.places import media_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_dash.sdk.media.value import MediaValue
    from ml_dash.series import Series
    from ml_dash.storage.blobs import Staged, Staging

_TOKEN = 8
"""Characters of a checksum that tell contents of one name and step apart."""


class Medium(NamedTuple):
    """A value of a row with contents of its own: what the row says of it, what its file's name ends with, and these."""

    about: Mapping[str, Any]
    extension: str
    blob: Staged


def medium(value: MediaValue, staging: Staging) -> Medium:
    """Store a media value's contents."""
    return Medium(value.about(), value.extension, value.stage(staging))


def medium_of(about: Mapping[str, Any], extension: str, data: bytes, staging: Staging) -> Medium:
    """Store contents that are encoded already."""
    return Medium(about, extension, staging.write(lambda file: file.write(data)))


class Taken(NamedTuple):
    """Rows without media in them, those of their files, and where the contents lie."""

    rows: tuple[Row, ...]
    blobs: tuple[str, ...]

    def item(self, **more: Any) -> Item:
        """Return these as an item."""
        return Item(self.rows, blobs=self.blobs, **more)


def without_media(rows: Iterable[Row]) -> Taken:
    """Return rows with what is said of media in their places, and the files of these."""
    taken: list[Row] = []
    blobs: list[str] = []
    for row in rows:
        fields = dict(row.fields)
        files = []
        for field, value in row.fields.items():
            if isinstance(value, Medium):
                fields[field], file = _saved(row.series, row.time_ns, field, fields.get("step"), value)
                files.append(file)
                blobs.append(value.blob.path)
        taken += [*files, row._replace(fields=fields)]
    return Taken(tuple(taken), tuple(blobs))


def _saved(series: Series, time_ns: int, field: str, step: Any, value: Medium) -> tuple[dict[str, Any], Row]:
    at = step if isinstance(step, int) else 0
    place = media_place(series.name, field, at, value.blob.checksum[:_TOKEN], value.extension)
    details = Details(metadata={"metric": series.name, "field": field, "step": step, **value.about})
    return {**value.about, "file": place.name}, Row(FILES, time_ns, save_row(place, details, value.blob))


NOTHING = Taken((), ())
