"""Data types of the shape of wandb's: each is a value of a row of ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, InvalidCallError
from ml_dash.integrations import media
from ml_dash.integrations.tracked import as_array
from ml_dash.sdk.media import pictures, sound, tables
from ml_dash.values.pack import represent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.sdk.media.value import MediaValue


class _Medium:
    """Something with a value of ours."""

    value: MediaValue


class Image(_Medium):
    """An image: an array or tensor, a Pillow image, a figure of matplotlib, or a file's path; taken as it is now.

    Args:
        data_or_path: H×W, H×W×C or C×H×W; floats from 0 to 1, or from 0 to 255 where one is greater than 1.
        mode: not used: the shape says it.
        caption: for people.
        grouping: not used.
        classes: not used: boxes have the names of their classes.
        boxes: groups of boxes, in pixels or in parts of the image.
        masks: groups of classes by pixel.
        file_type: not used: an image is a PNG.
    """

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: Mapping[str, Any] | None = None,
        masks: Mapping[str, Any] | None = None,
        file_type: str | None = None,
    ) -> None:
        if isinstance(data_or_path, Image):
            self.value: MediaValue = data_or_path.value
            return
        layers = {
            name: as_array(mask["mask_data"]) for name, mask in (masks or {}).items() if "mask_data" in mask
        }
        if isinstance(data_or_path, (str, os.PathLike)) or hasattr(data_or_path, "savefig"):
            self.value = pictures.Image(data_or_path, caption, masks=layers)
            return
        pixels = data_or_path if hasattr(data_or_path, "getbands") else _scaled(as_array(data_or_path))
        plain = media.image(pixels)
        size = plain.about()["width"], plain.about()["height"]
        self.value = media.image(pixels, None, caption, _boxes(boxes or {}, size), layers)


class Video(_Medium):
    """A video: frames T×C×H×W, several of them N×T×C×H×W, or a file's path."""

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: float | None = None,
        format: str | None = None,
    ) -> None:
        if isinstance(data_or_path, (str, os.PathLike)):
            self.value: MediaValue = pictures.Video(data_or_path, caption=caption)
        else:
            frames = as_array(data_or_path)
            layout = "NTCHW" if frames.ndim == 5 else "TCHW"
            self.value = media.video(frames, fps or 4, layout, caption, format=format or "mp4")


class Audio(_Medium):
    """A sound: samples with their rate in Hz, or a file's path."""

    def __init__(self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        self.value = sound.Audio(data_or_path, sample_rate, caption)


class Html(_Medium):
    """A page, or the path of one; kept as a text."""

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        text = data.read() if hasattr(data, "read") else os.fspath(data)
        if not data_is_not_path and text.endswith(".html") and os.path.isfile(text):
            with open(text, encoding="utf-8") as file:
                text = file.read()
        self.value = tables.Text(text)


class Object3D(_Medium):
    """The file of a mesh, by its path, or an array of points."""

    def __init__(self, data_or_path: Any, caption: str | None = None, **_: Any) -> None:
        if isinstance(data_or_path, (str, os.PathLike)):
            self.value: MediaValue = tables.Mesh(data_or_path, caption)
        else:
            self.value = tables.Points3D(as_array(data_or_path), caption)


class Histogram(_Medium):
    """Counts of values, or counts and edges that are known.

    Args:
        sequence: the values.
        np_histogram: counts and edges, as of ``numpy.histogram``.
        num_bins: how many counts.
    """

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        if (sequence is None) == (np_histogram is None):
            raise InvalidCallError("Histogram takes values, or np_histogram=(counts, edges), and not both")
        if np_histogram is None:
            self.value = tables.Histogram(as_array(sequence), num_bins)
        else:
            counts, edges = (as_array(each).tolist() for each in np_histogram)
            self.value = tables.Histogram(counts=counts, edges=edges)


class Table:
    """Rows of columns; cells may be images and other media.

    Args:
        columns: the names of the columns.
        data: the rows, or a data frame.
        rows: the rows, under an older name.
        dataframe: a data frame, which has both.
        **_: other settings, which mean nothing here.
    """

    def __init__(
        self,
        columns: Sequence[Any] | None = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        **_: Any,
    ) -> None:
        frame = dataframe if dataframe is not None else data if hasattr(data, "to_dict") else None
        if frame is not None:
            columns, data = list(frame.columns), frame.to_numpy().tolist()
        given = data if data is not None else rows
        self.data: list[list[Any]] = [list(row) for row in ([] if given is None else given)]
        width = len(self.data[0]) if self.data else 0
        self.columns: list[Any] = (
            list(columns) if columns is not None else [f"c{place}" for place in range(width)]
        )
        for row in self.data:
            self._check(row)

    def _check(self, row: Sequence[Any]) -> None:
        if len(row) != len(self.columns):
            raise InvalidArgumentError(
                f"a row of {len(row)} cells does not fit {len(self.columns)} columns: {self.columns}"
            )

    def add_data(self, *cells: Any) -> None:
        """Add a row."""
        self._check(cells)
        self.data.append(list(cells))

    add_row = add_data

    def add_column(self, name: Any, data: Any) -> None:
        """Add a column, with a cell for each row."""
        cells = list(data)
        if self.data and len(cells) != len(self.data):
            raise InvalidArgumentError(f"a column of {len(cells)} cells does not fit {len(self.data)} rows")
        self.data = self.data or [[] for _ in cells]
        self.columns.append(name)
        for row, cell in zip(self.data, cells, strict=True):
            row.append(cell)

    def get_column(self, name: Any) -> list[Any]:
        """Return a column's cells."""
        place = self.columns.index(name)
        return [row[place] for row in self.data]

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield each row with its number."""
        yield from enumerate(self.data)

    def values(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield the table under its name, and media of cells under theirs, which the cells have instead."""
        rows: list[list[Any]] = []
        for number, row in enumerate(self.data):
            cells = []
            for column, cell in zip(self.columns, row, strict=True):
                within = f"{name}.{column}.{number}"
                found = dict(values_of(within, cell)) if isinstance(cell, _Medium) else {}
                yield from found.items()
                cells.append(within if found else _plain(cell))
            rows.append(cells)
        yield name, tables.Table([str(column) for column in self.columns], rows)


def values_of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a row has of a value that was logged by a name: several, by names of their own, of several media."""
    if isinstance(value, Table):
        yield from value.values(name)
    elif isinstance(value, _Medium):
        yield name, value.value
    elif hasattr(value, "savefig") or hasattr(value, "to_plotly_json"):
        yield name, pictures.Figure(value)
    elif isinstance(value, (list, tuple)) and any(isinstance(each, _Medium) for each in value):
        for at, each in enumerate(value):
            yield from values_of(name if len(value) == 1 else f"{name}.{at}", each)
    elif isinstance(value, Mapping) and any(isinstance(each, (_Medium, Table)) for each in value.values()):
        for key, each in value.items():
            yield from values_of(f"{name}.{key}", each)
    else:
        yield name, value


def _boxes(groups: Mapping[str, Any], size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the boxes of all groups, in pixels: by wandb they are in parts of the image, unless they say otherwise."""
    found = []
    for group, told in groups.items():
        labels = told.get("class_labels") or {}
        for box in told.get("box_data", []):
            place = box["position"]
            if "middle" in place:
                (x, y), wide, high = place["middle"], place["width"], place["height"]
                corners = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]
            else:
                corners = [place["minX"], place["minY"], place["maxX"], place["maxY"]]
            if box.get("domain") != "pixel":
                corners = [corner * size[at % 2] for at, corner in enumerate(corners)]
            label = box.get("box_caption") or labels.get(box.get("class_id")) or group
            score = next(iter((box.get("scores") or {}).values()), None)
            found.append({"box": corners, "label": str(label), **({} if score is None else {"score": score})})
    return found


def _plain(value: Any) -> Any:
    """Return cells as JSON has them: what it has not, as its text."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "tolist"):
        return _plain(as_array(value).tolist())
    return represent(value)["__repr__"]


def _scaled(pixels: Any) -> Any:
    """Return floats from 0 to 1, and whole numbers as bytes: floats up to 255 are taken by wandb, too."""
    import numpy as np

    if pixels.dtype in {np.dtype(np.bool_), np.dtype(np.uint8)}:
        return pixels
    if not (np.issubdtype(pixels.dtype, np.floating) or np.issubdtype(pixels.dtype, np.integer)):
        return pixels  # it is refused when it is saved
    if np.issubdtype(pixels.dtype, np.floating) and (pixels.size == 0 or np.nanmax(pixels) <= 1.01):
        return pixels
    return np.nan_to_num(pixels.astype(np.float64)).clip(0, 255).astype(np.uint8)
