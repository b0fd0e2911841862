"""Data types of the shape of wandb's: each becomes a file of its step, a histogram the numbers of a row."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, InvalidCallError
from ml_dash.integrations import media as kinds
from ml_dash.integrations.media import Media, save_media
from ml_dash.integrations.tracked import as_array, histogram_of
from ml_dash.notices import warn_user
from ml_dash.values.pack import represent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.sdk.experiment import Experiment


class _Medium:
    """Something that is logged as a file."""

    media: Media


class Image(_Medium):
    """An image: an array or tensor, a Pillow image, a figure of matplotlib, or a file's path; taken as it is now.

    Args:
        data_or_path: H×W, H×W×C or C×H×W; floats from 0 to 1, or from 0 to 255 where one is greater than 1.
        mode: not used: the shape says it.
        caption: for people.
        grouping: not used.
        classes: names of classes, for boxes.
        boxes: kept in the file's metadata.
        masks: not kept; a warning says so.
        file_type: not used: an image is a PNG.
    """

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: Any = None,
        masks: Any = None,
        file_type: str | None = None,
    ) -> None:
        if masks is not None:
            warn_user("masks= of an image is not kept: log them as images of their own", UserWarning)
        said = {"caption": caption, "boxes": boxes, "classes": classes}
        if isinstance(data_or_path, Image):
            other = data_or_path.media
            self.media = other._replace(details={**other.details, **said})
        elif isinstance(data_or_path, (str, os.PathLike)):
            self.media = kinds.of_path(data_or_path, **said)
        elif hasattr(data_or_path, "savefig"):
            self.media = kinds.of_figure(data_or_path, **said)
        else:
            pixels = data_or_path if hasattr(data_or_path, "getbands") else _scaled(as_array(data_or_path))
            self.media = kinds.of_image(pixels, **said)


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
            self.media = kinds.of_path(data_or_path, caption=caption)
        else:
            frames = as_array(data_or_path)
            layout = "NTCHW" if frames.ndim == 5 else "TCHW"
            self.media = kinds.of_video(frames, fps or 4, layout, format or "mp4", caption=caption)


class Audio(_Medium):
    """A sound: samples with their rate in Hz, or a file's path."""

    def __init__(self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        if isinstance(data_or_path, (str, os.PathLike)):
            self.media = kinds.of_path(data_or_path, caption=caption)
        elif sample_rate is None:
            raise InvalidArgumentError("Audio of samples needs their rate: pass sample_rate=16000")
        else:
            self.media = kinds.of_sound(data_or_path, sample_rate, caption=caption)


class Html(_Medium):
    """A page, or the path of one."""

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        text = data.read() if hasattr(data, "read") else os.fspath(data)
        if not data_is_not_path and text.endswith(".html") and os.path.isfile(text):
            self.media = kinds.of_path(text)
        else:
            self.media = kinds.of_text(text, "html")


class Object3D(_Medium):
    """A file of a mesh or of points, by its path, or an array of points; kept, and not drawn."""

    def __init__(self, data_or_path: Any, caption: str | None = None, **_: Any) -> None:
        if isinstance(data_or_path, (str, os.PathLike)):
            self.media = kinds.of_path(data_or_path, caption=caption)
        else:
            self.media = kinds.of_json(as_array(data_or_path), caption=caption)


class Histogram:
    """Counts of values, or counts and edges that are known.

    Args:
        sequence: the values.
        np_histogram: counts and edges, as of ``numpy.histogram``.
        num_bins: how many counts.
    """

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        if (sequence is None) == (np_histogram is None):
            raise InvalidCallError("Histogram takes values, or np_histogram=(counts, edges), and not both")
        self.value: dict[str, Any]
        if np_histogram is None:
            self.value = histogram_of(sequence, num_bins)
        else:
            counts, edges = (as_array(each).tolist() for each in np_histogram)
            if len(edges) != len(counts) + 1:
                raise InvalidArgumentError(
                    f"{len(counts)} counts have {len(counts) + 1} edges, and not {len(edges)}"
                )
            self.value = {"count": sum(counts), "counts": counts, "edges": edges}


class Table(_Medium):
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

    def save(self, experiment: Experiment, name: str, step: float | None) -> str:
        """Save its media, then the table with their names in it; return the file's name."""
        rows = [
            [
                stored(experiment, f"{name}/{column}/{number}", step, cell)
                for column, cell in zip(self.columns, row, strict=True)
            ]
            for number, row in enumerate(self.data)
        ]
        return save_media(
            experiment,
            name,
            step,
            kinds.of_json({"columns": self.columns, "data": _plain(rows)}, kind="table"),
        )


def stored(experiment: Experiment, name: str, step: float | None, value: Any) -> Any:
    """Return what a row has of a value: of media the name of the file that they are saved as, of others themselves."""
    if isinstance(value, Table):
        return value.save(experiment, name, step)
    if isinstance(value, Histogram):
        return value.value
    if isinstance(value, (list, tuple)) and any(isinstance(each, (_Medium, Histogram)) for each in value):
        return [stored(experiment, f"{name}/{place}", step, each) for place, each in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: stored(experiment, f"{name}/{key}", step, each) for key, each in value.items()}
    medium = _medium_of(value)
    return value if medium is None else save_media(experiment, name, step, medium)


def _medium_of(value: Any) -> Media | None:
    """Return the file that something becomes: media, figures of matplotlib, of pyplot, of plotly; None for others."""
    if isinstance(value, _Medium):
        return value.media
    if hasattr(value, "savefig"):
        return kinds.of_figure(value)
    return kinds.of_text(value.to_json(), "plotly.json") if hasattr(value, "to_plotly_json") else None


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
