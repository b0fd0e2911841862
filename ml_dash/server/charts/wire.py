"""Lines as they are sent: columns in few bytes, and of a line that the client has already only what is new.

A *mark* says what a client has: of which question, as of which state of the series, how many points, and their hash. So
nothing is kept of who asks. While the state is the same, nothing is drawn; else the points that are still the same stay
with the client. The last one is sent again mostly, for it goes on.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_dash.server.charts.lines import RELATIVE
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor

if TYPE_CHECKING:
    from ml_dash.server.charts.lines import LineRequest
    from ml_dash.server.charts.numbers import Array
    from ml_dash.server.charts.rows import ChartSource

_OPEN = 2
"""Points at the end that are not counted as settled: what comes next mostly changes the last of them."""
_FINE = 1 / 65_536
"""A float32 will do where it is off by no more than this share of what a column goes over: a tenth of a pixel."""
_TYPES = {"float64": "<f8", "float32": "<f4", "uint32": "<u4"}


class Mark(NamedTuple):
    """What a client has of a line.

    Attributes:
        question: What was asked for, see `digest_of`.
        version: Of the experiments; while it is the same nothing can have changed.
        state: See `state_of`; it may be the same though the version is not.
        points: How many points it has that are settled.
        hash: Theirs.
    """

    question: str
    version: str
    state: str
    points: int
    hash: str

    def written(self) -> str:
        """Return it as a text."""
        return write_cursor(self)


def read_mark(text: str) -> Mark:
    """Return the mark in a text.

    Raises:
        ApiError: 400 `invalid`: it has none.
    """
    match read_cursor(text):
        case [str() as question, str() as version, str() as state, int() as points, str() as known] if (
            points >= 0
        ):
            return Mark(question, version, state, points, known)
    raise invalid_cursor(text)


def digest_of(*told: Any) -> str:
    """Return what tells these from others."""
    return blake2b(repr(told).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def state_of(source: ChartSource, asked: LineRequest) -> str:
    """Return what is another text whenever a line may be another one."""
    shown = source.shown
    started_ns = source.started_ns() if asked.x == RELATIVE else None
    clock = None if source.clock is None else source.clock.state
    return digest_of(source.rows, shown.count, shown.superseded, shown.ranges, started_ns, clock)


def sent(columns: dict[str, Array], now: Mark, known: Mark | None, *, as_bytes: bool) -> dict[str, Any]:
    """Return what is told of a line: its columns from the first point on that the client does not have.

    Args:
        columns: The line's.
        now: What the client has then, but for its points and their hash.
        known: What it has now.
        as_bytes: Whether columns are bytes, little-endian, or lists.
    """
    total = len(columns["x"])
    first = 0
    if known is not None and known.question == now.question and known.points <= total:
        first = known.points if _hash_of(columns, known.points) == known.hash else 0
    settled = max(total - _OPEN, 0)
    return {
        "cursor": now._replace(points=settled, hash=_hash_of(columns, settled)).written(),
        "first": first,
        "columns": {
            name: _column(name, column, first, as_bytes=as_bytes)
            for name, column in columns.items()
            if _says_something(name, columns)
        },
    }


def _says_something(name: str, columns: dict[str, Array]) -> bool:
    """Say whether a column tells more than that all points are single rows with a number; of a band, each does."""
    if name in {"min", "max", "count"} and "std" not in columns:
        return not (columns["count"] == 1).all()
    return name not in {"nan", "posInf", "negInf"} or bool(columns[name].any())


def _column(name: str, column: Array, first: int, *, as_bytes: bool) -> dict[str, Any]:
    kind = "uint32" if column.dtype.kind == "i" else _float_kind(name, column)
    numbers = column[first:].astype(_TYPES[kind])
    if as_bytes:
        return {"type": kind, "data": numbers.tobytes()}
    # NaN is where there is no finite number
    return {"type": kind, "data": [None if each != each else each for each in numbers.tolist()]}  # noqa: PLR0124


def _float_kind(name: str, column: Array) -> str:
    known = column[~np.isnan(column)]
    if not len(known):
        return "float32"
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(known.astype(np.float32).astype(np.float64) - known).max()
    # each x is one that was logged, and told as it was
    slack = 0.0 if name == "x" else (known.max() / 2 - known.min() / 2) * 2 * _FINE
    return "float32" if off <= slack else "float64"


def _hash_of(columns: dict[str, Array], points: int) -> str:
    digest = blake2b(digest_size=12)
    for column in columns.values():
        digest.update(np.ascontiguousarray(column[:points]).tobytes())
    return digest.hexdigest()
