"""Structured values: distributions, tables, texts, points."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from ml_dash.errors import InvalidArgumentError
from ml_dash.limits.sparing import check_numpy
from ml_dash.sdk.files.encoders.objects import json_bytes
from ml_dash.sdk.media.value import MediaValue, file_of
from ml_dash.values.tensors import on_host

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

_BINS = 64
_ROWS_MAX = 100_000
_PREVIEW = 500
_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Most cells are of these: what JSON has, and nobody can change."""
_MESHES = frozenset({"glb", "gltf", "ply", "obj", "stl", "usdz"})


class Histogram(MediaValue):
    """How values are distributed at a step.

    Args:
        values: numbers, of any shape; NaN and infinities are counted apart. They may change after the call.
        bins: how many intervals of equal width, from the least to the largest value.
        counts: how many values each interval has, in the place of `values`; with `edges`.
        edges: where the intervals begin, and where the last one ends: one more than `counts`.

    Example:
        >>> exp.metrics("weights").log(step=10, layer1=ml_dash.Histogram(layer.weight))
    """

    kind = "histogram"

    def __init__(
        self,
        values: Any = None,
        bins: int = _BINS,
        *,
        counts: Sequence[float] | None = None,
        edges: Sequence[float] | None = None,
        caption: str | None = None,
    ) -> None:
        check_numpy()
        import numpy as np

        if [values is None, counts is None, edges is None] not in ([True, False, False], [False, True, True]):
            raise InvalidArgumentError("a histogram is made of values, or of counts= and edges= together")
        self._values = np.zeros(0)
        self._counted: dict[str, Any] | None = None
        if counts is not None and edges is not None:
            numbers, limits = np.asarray(counts, np.float64), np.asarray(edges, np.float64)
            if numbers.ndim != 1 or limits.shape != (len(numbers) + 1,) or not (np.diff(limits) > 0).all():
                raise InvalidArgumentError(
                    f"counts has the shape {numbers.shape} and edges {limits.shape}: edges are one more, and rise"
                )
            if not np.isfinite(numbers).all():
                raise InvalidArgumentError(
                    f"counts={numbers.tolist()!r:.200} of a histogram are finite numbers"
                )
            self._counted = {"counts": numbers.tolist(), "edges": limits.tolist(), "odd": 0}
        else:
            if bins not in range(1, 10_001):
                raise InvalidArgumentError(f"bins={bins!r} is not a number of intervals from 1 to 10,000")
            try:
                array = np.array(on_host(values), np.float64).ravel()
            except (TypeError, ValueError) as error:
                raise InvalidArgumentError(f"the values of a histogram are no numbers: {error}") from None
            self._values = array
        self._bins = bins
        super().__init__("histogram.json", self._values.nbytes, caption)

    def write(self, file: BinaryIO) -> object:
        """Count, and write ``counts``, ``edges``, and how many values were ``odd``: NaN or infinite."""
        return file.write(json_bytes(self._counted or _counted(self._values, self._bins)))


def _counted(values: npt.NDArray[np.float64], bins: int) -> dict[str, Any]:
    import numpy as np

    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, bins=bins) if len(finite) else (np.zeros(0), np.zeros(0))
    return {"counts": counts.tolist(), "edges": edges.tolist(), "odd": len(values) - len(finite)}


class Table(MediaValue):
    """Rows of texts, numbers and bools under named columns: predictions, completions, rollouts.

    Args:
        columns: their names; or a data frame, which has both.
        rows: a list with a value for each column in each; at most 100,000 rows. Dates are kept as texts in ISO 8601,
            and lists and dicts as JSON has them. They may change after the call.
        caption: a text below it.

    Raises:
        InvalidArgumentError: there are too many rows, one does not fit the columns, or a cell has no form in JSON.
    """

    kind = "table"

    def __init__(
        self, columns: Any, rows: Sequence[Sequence[Any]] | None = None, caption: str | None = None
    ) -> None:
        _check_rows(columns if rows is None and hasattr(columns, "itertuples") else rows)
        if rows is None and hasattr(columns, "itertuples"):
            rows = [list(row) for row in columns.itertuples(index=False)]
            columns = [str(name) for name in columns.columns]
        names = list(columns) if not isinstance(columns, str) else [columns]
        if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise InvalidArgumentError(f"columns={names!r:.200}: name each column, by a text of its own")
        taken = [list(row) for row in rows or ()]
        _check_rows(taken)
        for number, row in enumerate(taken):
            if len(row) != len(names):
                raise InvalidArgumentError(
                    f"row {number} of the table has {len(row)} values for {len(names)} columns: give each column one"
                )
            for at, cell in enumerate(row):
                if type(cell) not in _PLAIN:
                    row[at] = _taken(cell, number, names[at])
        self._names, self._rows = names, taken
        super().__init__("table.json", 64 * len(taken) * len(names), caption)

    def about(self) -> dict[str, Any]:
        """Return its columns, and how many rows it has."""
        return {**super().about(), "columns": self._names, "rows": len(self._rows)}

    def write(self, file: BinaryIO) -> object:
        """Write ``columns`` and ``rows``, as JSON."""
        return file.write(json_bytes({"columns": self._names, "rows": self._rows}))


def _taken(cell: Any, number: int, column: str) -> Any:
    """Return a cell as JSON has it, which its owner may change then."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and cell is getattr(pandas, "NA", None):
        return None
    if isinstance(cell, dt.date):
        return cell.isoformat()
    try:
        return json.loads(json_bytes(on_host(cell)))
    except InvalidArgumentError:
        raise InvalidArgumentError(
            f"row {number} of the table has in column {column!r} a {type(cell).__module__}.{type(cell).__qualname__}, "
            "which has no form in JSON: pass a text, a number, a bool or None, as str(…); an image or another medium "
            "is a field of its own beside the table"
        ) from None


def _check_rows(rows: Any) -> None:
    """Refuse too many rows before they are copied, where they can be counted; a generator's are counted afterwards."""
    count = len(rows) if hasattr(rows, "__len__") else 0
    if count > _ROWS_MAX:
        raise InvalidArgumentError(
            f"the table has {count:,} rows, and at most {_ROWS_MAX:,} are kept: log a sample, or save the whole as a "
            "file, by exp.files.save('table.parquet')"
        )


class Text(MediaValue):
    """A text of any length: a completion, a prompt, a rollout.

    Args:
        text: the text.
        caption: a title.
        markdown: whether it is Markdown.
    """

    kind = "text"

    def __init__(self, text: str, caption: str | None = None, *, markdown: bool = False) -> None:
        if not isinstance(text, str):
            raise InvalidArgumentError(
                f"ml_dash.Text takes a str, not {type(text).__qualname__}: pass str(…)"
            )
        self._text = text
        super().__init__("md" if markdown else "txt", 4 * len(text), caption)

    def about(self) -> dict[str, Any]:
        """Return how it begins, and its length."""
        return {**super().about(), "preview": self._text[:_PREVIEW], "characters": len(self._text)}

    def write(self, file: BinaryIO) -> object:
        """Write in UTF-8."""
        return file.write(self._text.encode("utf-8", "surrogatepass"))


class Points3D(MediaValue):
    """A cloud of points, as a PLY file.

    Args:
        points: an array N×3 of x, y and z, or N×6 with red, green and blue from 0 to 255 behind them.
        caption: a text below it.
    """

    kind = "points"

    def __init__(self, points: Any, caption: str | None = None) -> None:
        check_numpy()
        import numpy as np

        array = np.array(on_host(points))
        if array.ndim != 2 or array.shape[1] not in (3, 6) or array.dtype.kind not in "fiu":
            raise InvalidArgumentError(
                f"points have the shape {array.shape} and the type {array.dtype}: pass N×3 numbers, or N×6 with colours"
            )
        fields: list[tuple[str, str]] = [(name, "<f4") for name in "xyz"]
        if array.shape[1] == 6:
            if not ((array[:, 3:] >= 0) & (array[:, 3:] <= 255)).all():
                raise InvalidArgumentError("the colours of points are numbers from 0 to 255")
            fields += [(name, "u1") for name in ("red", "green", "blue")]
        self._rows = np.zeros(len(array), fields)
        for at, (name, _) in enumerate(fields):
            self._rows[name] = array[:, at]
        super().__init__("ply", self._rows.nbytes, caption)

    def about(self) -> dict[str, Any]:
        """Return how many points it has."""
        return {**super().about(), "points": len(self._rows)}

    def write(self, file: BinaryIO) -> object:
        """Write a PLY file, see http://paulbourke.net/dataformats/ply."""
        types = {"<f4": "float", "|u1": "uchar"}
        described = self._rows.dtype
        properties = [f"property {types[described[name].str]} {name}" for name in described.names or ()]
        head = [
            "ply",
            "format binary_little_endian 1.0",
            f"element vertex {len(self._rows)}",
            *properties,
            "end_header",
        ]
        file.write(("\n".join(head) + "\n").encode())
        return file.write(self._rows.tobytes())


class Mesh(MediaValue):
    """A 3D model in a file: glTF, PLY, OBJ, STL or USDZ; kept as it is.

    Args:
        path: the file.
        caption: a text below it.
    """

    kind = "mesh"

    def __init__(self, path: str | os.PathLike[str], caption: str | None = None) -> None:
        source, extension = file_of(path, _MESHES, "a 3D model")
        super().__init__(extension, 0, caption, source)
