"""A port: where rows of one series go into the pipeline, while the run is open."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from ml_dash.errors import InvalidArgumentError, ValueWarning
from ml_dash.events.column_event import ColumnEvent
from ml_dash.events.items import Event
from ml_dash.notices import is_news, logger, warn_user
from ml_dash.series import Kind
from ml_dash.values.pack import PACK_ERRORS, pack, pack_early, pack_event, packer_at_hand, represent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ml_dash.journal.blocks import Column
    from ml_dash.pipeline.channel import Channel
    from ml_dash.pipeline.queue import ClosedQueue, Queue

Put: TypeAlias = Callable[[Event], None]

LATEST = threading.local()
"""`LATEST.time_ns`: the time of this thread's latest metric or track row, for ``_ts=-1``."""

_MAX_NAME_BYTES = 1024
_OF_OTHERS = "Pass a number, a string, or a dict or list of these."
_WRAPPED = {
    "PIL.": "Wrap it: ml_dash.Image(…).",
    "matplotlib.": "Wrap it: ml_dash.Figure(…).",
    "plotly.": "Wrap it: ml_dash.Figure(…).",
    "pandas.": "Wrap it: ml_dash.Table(…).",
}
"""What to do with values of these packages, in a metric."""
_SINGLE = frozenset({int, float, bool, str, type(None)})
_LARGE = 1000
"""Numbers in an array, from which on it is hardly meant to be stored one by one."""
_OF_TRACED = (
    "It stands for a value that is computed later: return it from the function that is traced and log it there, or "
    "log it by jax.debug.callback()."
)


class Port:
    """Takes the rows of one series.

    `id`, `pack` and `queue` are for those who pack a row themselves, on the hot path:
    ``queue.put(port.pack([port.id, time, fields]))``.
    While the run is not open, `closed` is the queue, and refuses every event with `NotStartedError`.
    """

    __slots__ = ("_closed", "_fields_of", "_kind", "_name", "_warned", "id", "pack", "queue")

    def __init__(
        self,
        kind: Kind,
        name: str | None,
        closed: ClosedQueue,
        fields_of: Callable[[str | None, dict[str, Any]], dict[str, Any]] = lambda _, fields: fields,
    ) -> None:
        self._fields_of = fields_of
        self._kind = kind
        self._name = name
        self._closed = closed
        self._warned: set[str] = set()
        self.id = 0
        self.pack: Callable[[Any], bytes] = pack
        self.queue: Queue = closed

    def bind(self, channel: Channel, queue: Queue) -> None:
        """Let rows through."""
        # In this order: `MetricBuilder.log` reads the queue first, and must not find it open with another's id.
        self.pack = packer_at_hand() or self._pack_early
        self.id = channel.series_id(self._kind, self._name)
        self.queue = queue

    def _pack_early(self, event: list[Any]) -> bytes:
        """Pack a row, until the fast `pack` is there."""
        fast = packer_at_hand()
        if fast is None:
            return pack_early(event)
        self.pack = fast
        return fast(event)

    def unbind(self) -> None:
        """Refuse rows from now on."""
        self.queue = self._closed

    def check(self) -> None:
        """Raise `NotStartedError` unless the run is open."""
        self.opened()

    def opened(self) -> Put:
        """Return what takes rows, also of a run that ends in another thread meanwhile; raises as `check` does."""
        queue = self.queue
        if queue is self._closed:
            self._closed.put(b"")
        return queue.put

    def write(self, time_ns: int, fields: dict[str, Any], put: Put | None = None) -> None:
        """Put a row, whatever its values: what cannot be stored is stored as its `repr`, with one warning a key.

        By `put`, or where it is None, where the run has its rows put.
        """
        put = put or self.queue.put
        # Packed as they come, first: looking at every value beforehand would cost more than all the packing.
        try:
            event = self.pack([self.id, time_ns, fields])
        except PACK_ERRORS:
            pass  # and not put in here: what `put` raises has nothing to do with this error
        else:
            put(event)
            return
        self.write_odd(time_ns, fields, put)

    def write_odd(self, time_ns: int, fields: dict[str, Any], put: Put | None = None) -> None:
        """Put a row that `pack` has refused: the dear way, which looks at every value. See `write`."""
        # most rows that come here have numpy's scalars among their values, and nothing to be looked at closely
        if self._kind is Kind.METRIC and not _are_single(fields.values()):
            fields = self._fields_of(self._name, fields)
            self._tell_large(fields)
        put = put or self.queue.put
        converted, unstorable = pack_event(self.id, time_ns, fields, self._tell_unfetched)
        put(converted)
        for name, kind in unstorable.items():
            self.warn(name, kind)

    def write_columns(self, times: npt.NDArray[np.int64], columns: Sequence[Column]) -> None:
        """Put rows of numbers by their columns, which nobody may change any more."""
        queue = self.queue  # before the id; see `bind`
        queue.put_columns(ColumnEvent(self.id, times, columns))

    def warn(self, name: str, kind: str) -> None:
        """Warn, once a key, that a value is stored as its `repr`, since its type cannot be stored."""
        if is_news(name, self._warned):
            remedy = _OF_TRACED if kind.endswith("Tracer") else _OF_OTHERS
            if self._kind is Kind.METRIC:
                remedy = next((text for start, text in _WRAPPED.items() if kind.startswith(start)), remedy)
            warn_user(
                f"{name}=… of {self._label} is a {kind}, which cannot be stored as it is: its repr is stored instead "
                f"(said once). {remedy}",
                ValueWarning,
            )

    def _tell_large(self, fields: dict[str, Any]) -> None:
        """Say, once a key, of an array of many numbers what it could be wrapped in."""
        for name, value in fields.items():
            shape = _shape(value)
            if len(shape) > 1 and _size(shape) > _LARGE and is_news(name, self._warned):
                warn_user(
                    f"{name}=… of {self._label} is an array of the shape {tuple(shape)}, stored number by number, "
                    "as lists (said once). Wrap it, if that is not meant: ml_dash.Image(…) for a picture, "
                    "ml_dash.Histogram(…) for how its numbers are distributed; or save it: exp.files.save_pkl(…)",
                    ValueWarning,
                )

    def _tell_unfetched(self, name: str, why: str) -> None:
        # No warning: this is the background thread, in which the user's filters must not raise.
        if is_news(name, self._warned):
            logger().warning(
                "%s=… of %s could not be fetched from its device, and is stored as that (said once): %s",
                name, self._label, why,
            )  # fmt: skip

    @property
    def _label(self) -> str:
        kind_name = "log message" if self._kind is Kind.LOG else self._kind.name.lower()
        return f"a {kind_name}" if self._name is None else f"{kind_name} {self._name!r}"


def _are_single(values: Iterable[Any]) -> bool:
    try:
        return all(map(_is_single, map(type, values)))
    except Exception:  # noqa: BLE001 - foreign code: a type that refuses to be hashed is none of those that are known
        return False


@lru_cache(256)
def _is_single(kind: type) -> bool:
    """Whether values of a type are single ones: neither arrays nor media."""
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    return kind in _SINGLE or (generic is not None and issubclass(kind, generic))


def _shape(value: Any) -> tuple[Any, ...]:
    try:
        shape = value.shape
    except Exception:  # noqa: BLE001 - it is the script's, and may raise anything
        return ()
    return shape if isinstance(shape, tuple) else ()


def _size(shape: tuple[Any, ...]) -> int:
    return math.prod(side for side in shape if isinstance(side, int))


def row_time(given: Any) -> int:
    """Return the nanoseconds of a row whose ``_ts`` is `given`: seconds, -1 for this thread's latest, None for now.

    Raises:
        InvalidArgumentError: it is not a number, NaN, infinite, or beyond what int64 nanoseconds hold.
    """
    if given is None:
        return time.time_ns()
    try:
        seconds = given if isinstance(given, (int, float)) else given.item()
        # A truth value is an int to Python, and numpy's times and durations may give a number of nanoseconds.
        if isinstance(seconds, bool) or getattr(getattr(given, "dtype", None), "kind", "") in {"M", "m"}:
            raise TypeError
        if seconds == -1:
            # A thread's own: with -1 two threads that log side by side must not take each other's times.
            latest: int | None = getattr(LATEST, "time_ns", None)
            return time.time_ns() if latest is None else latest
        # Whole seconds apart: their product with 1e9 would lose the last 8 bits of the fraction.
        whole = int(seconds // 1)
        time_ns = whole * 1_000_000_000 + round((seconds - whole) * 1e9)
    except Exception:  # noqa: BLE001 - foreign code: whatever it raises, this is no time
        time_ns = 2**63
    if not -(2**63) <= time_ns < 2**63:
        shown = represent(given)["__repr__"]
        msg = f"_ts={shown} is not a time: pass seconds since the epoch, -1 for the previous row's, or leave it out"
        raise InvalidArgumentError(msg)
    return time_ns


def check_name(what: str, name: Any) -> None:
    """Raise `InvalidArgumentError` unless `name` can name a metric or a topic; `what` says which."""
    if not isinstance(name, str) or not name:
        msg = f"{name!r} cannot name a {what}: pass a non-empty string"
    elif len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES:
        msg = f"{name[:40]!r}… cannot name a {what}, being over {_MAX_NAME_BYTES} bytes: shorten it"
    elif any(character < " " or "\x7f" <= character <= "\x9f" for character in name):
        msg = f"{name!r} cannot name a {what}, having control characters: leave them out"
    else:
        return
    raise InvalidArgumentError(msg)


def split_name(name: str) -> tuple[str | None, str]:
    """Return the metric and the field of a name such as ``train/loss``."""
    metric, _, field = name.rpartition("/")
    if field in {"", "step", "_ts"}:  # what is called a step would take the place of the row's
        metric, field = name, "value"
    return metric.strip("/") or None, field
