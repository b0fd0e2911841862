"""Values buffered in memory until they are summarised: `exp.metrics(…).buffer` and `.summary_cache`.

Values are kept as float64, 8 bytes each, for percentiles need all of them. Those on a device are kept there until the
worker computes the summary, so that neither `buffer` nor `log_summary` waits for the device.
"""

from __future__ import annotations

import contextlib
import threading
from array import array
from time import time_ns
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.locks import MortalLock
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.sdk.guidance.calls import explained, flag, merged
from ml_dash.sdk.parts import Part
from ml_dash.sdk.series_port import LATEST
from ml_dash.values.aggregate import parse_aggregations, summarize
from ml_dash.values.pack import deferred_in, plain, represent
from ml_dash.values.tensors import Deferred, defer, element_count, fetch, on_device, take
from ml_dash.values.transfers import look_at_devices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_dash.sdk.parts import Step
    from ml_dash.sdk.series_port import Port, Put
    from ml_dash.sdk.session import Session
    from ml_dash.values.aggregate import Aggregation


_MANY = 256
"""Values of a field, each still on a device, of which those are read that have arrived."""


class _Numbers:
    """The values of one field, of which some may still be on a device."""

    __slots__ = ("_values", "late")

    def __init__(self) -> None:
        # Not a list: its floats would take 24 bytes each and a pointer, instead of 8 bytes in all.
        self._values = array("d")
        self.late: list[tuple[int, Deferred]] = []

    def append(self, value: float | Deferred) -> None:
        if isinstance(value, Deferred):
            # Its place among the others is kept by a NaN, which is replaced when it is read.
            self.late.append((len(self._values), value))
            value = float("nan")
        self._values.append(value)
        if self.late and len(self.late) % _MANY == 0:
            self._read_what_is_here()

    def _read_what_is_here(self) -> None:
        # Not for the memory alone: each holds some that is page-locked, of which there is not much.
        look_at_devices()
        late, self.late = self.late, []
        for index, deferred in late:
            if deferred.is_here:
                self._fetch(index, deferred)
            else:
                self.late.append((index, deferred))

    def _fetch(self, index: int, deferred: Deferred) -> None:
        with contextlib.suppress(Exception):  # the device's error belongs to the training loop, not to us
            self._values[index] = float(deferred.fetch())

    def copy(self) -> _Numbers:
        twin = _Numbers()
        twin._values, twin.late = self._values[:], self.late[:]
        return twin

    def read(self) -> array[float]:
        """Return the values, waiting for the device; one that it does not give is NaN."""
        for index, deferred in self.late:
            # One by one, and not as one tensor: values of one field may lie on several devices.
            self._fetch(index, deferred)
        self.late = []
        return self._values


class _LateSummary(Deferred):
    """One aggregation of values of which some are still on a device."""

    __slots__ = ("_aggregation", "_numbers")

    def __init__(self, numbers: _Numbers, aggregation: Aggregation) -> None:
        self.nbytes = 8
        self._numbers = numbers
        self._aggregation = aggregation

    @property
    def type_name(self) -> str:
        return "builtins.float"

    @property
    def is_there(self) -> bool:
        return all(deferred.is_there for _, deferred in self._numbers.late)

    def fetch(self) -> float:
        return summarize(self._numbers.read(), [self._aggregation])[self._aggregation.name]


class Store:
    """What one metric has buffered: numbers to be summarised by field, and fields that the summary gets as they are."""

    _lock = MortalLock()

    __slots__ = ("_fields", "_fixed", "_has_news", "_own_lock", "_port")

    def __init__(self, port: Port) -> None:
        self._port = port
        self.reset()

    def reset(self) -> None:
        """Forget everything, locks included: what a forked child does with what its parent has buffered."""
        # Reentrant: SIGTERM ends the run, and has summarised what the very thread that it interrupts is adding to.
        self._lock = threading.RLock()
        self._fields: dict[str, _Numbers] = {}
        self._fixed: dict[str, Any] = {}
        self._has_news = (
            False  # whether a value came since the last summary, which may have kept what it summarised
        )

    def __bool__(self) -> bool:
        """Whether something is in no summary yet; a field that was set does not ask for a row by itself."""
        return self._has_news

    def add(self, data: dict[str, Any]) -> None:
        """Append one value a field: all of them, or, where one is not a number or the run is not open, none."""
        # All are checked before the first is kept: a call that raises has done nothing.
        numbers = {name: _number(name, value) for name, value in data.items()}
        take(number for number in numbers.values() if isinstance(number, Deferred))
        numbers = {name: _if_here(number) for name, number in numbers.items()}
        with self._lock:
            self._port.check()  # under the lock: what it lets through is there for the summary at the run's end
            if not self._fields:
                RUNTIME.expect()
            for name, number in numbers.items():
                self._fields.setdefault(name, _Numbers()).append(number)
                self._has_news = True

    def set(self, data: dict[str, Any]) -> None:
        """Put fields into the next summary as they are."""
        self._port.check()
        fixed = {name: plain(value, represent) for name, value in data.items()}
        take(deferred_in(fixed))
        with self._lock:
            self._fixed = {**self._fixed, **fixed}

    def summarize(self, names: tuple[str, ...], *, clear: bool = True) -> None:
        """Log one row of the fields that were set and of aggregations of the others; none where there is nothing."""
        aggregations = parse_aggregations(names)
        # Before anything is taken: another thread may end the run meanwhile, and would find nothing that is left.
        put = self._port.opened()
        if clear:
            row = self._take(aggregations)
        else:
            with self._lock:
                # Copies, for the worker reads those on a device later, when more may have been added.
                copies = {name: numbers.copy() for name, numbers in self._fields.items()}
                fixed, self._has_news = self._fixed, False
            row = {**fixed, **_summary(copies, aggregations)}
        if row:
            now = time_ns()
            self._port.write(now, row, put)
            LATEST.time_ns = now

    def log_means(self, put: Put | None) -> None:
        """Log the summary of what is left when the run ends, by `put` where the port is closed."""
        with self._lock:  # a summary that another thread logs may have taken all of it
            row = self._take(parse_aggregations(())) if self else {}
        if row:
            self._port.write(time_ns(), row, put)

    @explained("exp.metrics('train').buffer.peek('loss', limit=5)")
    def peek(self, keys: tuple[str, ...], limit: Any) -> dict[str, list[float]]:
        """Return the last values of each field, or of those that are named."""
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidArgumentError(f"limit={limit!r} is not a number of values: pass 1 or more")
        with self._lock:
            names = keys or tuple(self._fields)
            return {
                name: self._fields[name].read()[-limit:].tolist() for name in names if name in self._fields
            }

    def _take(self, aggregations: tuple[Aggregation, ...]) -> dict[str, Any]:
        with self._lock:
            taken, self._fields = self._fields, {}
            fixed, self._fixed = self._fixed, {}
            self._has_news = False
        return {**fixed, **_summary(taken, aggregations)}


class _Buffer(Part):
    __slots__ = ("_store",)

    def __init__(self, session: Session, store: Store, *steps: Step) -> None:
        super().__init__(session, *steps)
        self._store = store

    @explained("exp.metrics('train').buffer.peek('loss', limit=5)")
    def peek(self, *keys: str, limit: int = 5) -> dict[str, list[float]]:
        """Return the last values of each field (or of the fields named), at most `limit` of each.

        Values on a device are waited for.
        """
        return self._store.peek(keys, limit)


class MetricBuffer(_Buffer, written="exp.metrics('train').buffer", is_hot=True):
    """The buffer of one metric. Calling it buffers values; `log_summary` logs what they amount to."""

    __slots__ = ()

    def __call__(self, /, *fields: Mapping[str, Any], **data: Any) -> None:
        """Keep values in memory until `log_summary`.

        Args:
            *fields: One number a field, as a dict; keyword arguments win over equal keys.
            **data: One number a field.

        Raises:
            InvalidArgumentError: a value is not a number; none of this call is kept.
            InvalidCallError: what is given by position is not a dict.
            NotStartedError: the run is not open.
        """
        if fields:
            data = merged(fields, data, "exp.metrics('train').buffer")
        if "_ts" in data:
            msg = f"_ts={data['_ts']!r} cannot be buffered: a summary has the time of its log_summary(); leave _ts out"
            raise InvalidArgumentError(msg)
        self._store.add(data)

    @explained("exp.metrics.buffer.log_summary('mean', 'p95')")
    def log_summary(self, *aggregations: str) -> None:
        """Log one row with each field's aggregations, as ``loss.mean``, and empty the buffer.

        Args:
            *aggregations: mean (the default), std, min, max, count, median, sum, first, last, p0 … p100.

        Raises:
            InvalidArgumentError: an aggregation is not known; nothing is logged, the buffer is kept.
            NotStartedError: the run is not open.
        """
        self._store.summarize(aggregations)


class BufferManager(Part, written="exp.metrics.buffer"):
    """`exp.metrics.buffer`: the unnamed metric's buffer, and all buffers at once."""

    def __init__(
        self,
        session: Session,
        buffer: Callable[[str | None], MetricBuffer],
        buffers: Callable[[], Mapping[str | None, MetricBuffer]],
    ) -> None:
        super().__init__(session, "metrics", "buffer")
        self._buffer = buffer
        self._buffers = buffers

    def __call__(self, /, *fields: Mapping[str, Any], **data: Any) -> None:
        """Buffer values for the unnamed metric; see `MetricBuffer`."""
        self._buffer(None)(**merged(fields, data, "exp.metrics.buffer"))

    @explained("exp.metrics.buffer.log_summary('mean', 'p95')")
    def log_summary(self, *aggregations: str) -> None:
        """Log a summary row for every metric that has buffered values; see `MetricBuffer.log_summary`."""
        self._buffer(None)  # there is one at least, which raises for what is wrong with the call
        for buffer in self._buffers().values():
            buffer.log_summary(*aggregations)

    @explained("exp.metrics('train').buffer.peek('loss', limit=5)")
    def peek(self, prefix: str | None = None, *keys: str, limit: int = 5) -> dict[str, list[float]]:
        """Return the last values buffered for a metric, or for all, then as ``train/loss``."""
        if prefix is not None:
            return self._buffer(prefix).peek(*keys, limit=limit)
        return {
            field if name is None else f"{name}/{field}": values
            for name, buffer in self._buffers().items()
            for field, values in buffer.peek(*keys, limit=limit).items()
        }


class SummaryCache(_Buffer, written="exp.metrics('train').summary_cache", is_hot=True):
    """Values to summarise, and values that stand beside the summary."""

    __slots__ = ()

    def store(self, /, *fields: Mapping[str, Any], **data: Any) -> None:
        """Keep one value a field for the next summary; takes and raises what `MetricBuffer` does."""
        self._store.add(merged(fields, data, "exp.metrics('train').summary_cache.store"))

    def set(self, /, *fields: Mapping[str, Any], **data: Any) -> None:
        """Put fields, as they are, into the next summary (an epoch, a learning rate)."""
        self._store.set(merged(fields, data, "exp.metrics('train').summary_cache.set"))

    @explained("exp.metrics('train').summary_cache.summarize('mean', clear=True)")
    def summarize(self, *aggregations: str, clear: bool = True) -> None:
        """Log one row: each stored field's aggregations (default: mean) and the fields that were set.

        Args:
            *aggregations: as for `MetricBuffer.log_summary`.
            clear: False keeps everything for the next summary.
        """
        self._store.summarize(aggregations, clear=flag("clear", clear))


def _summary(fields: dict[str, _Numbers], aggregations: tuple[Aggregation, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, numbers in fields.items():
        if numbers.late:
            # The worker computes it when it packs the row: the training loop never waits for its device.
            results: dict[str, Any] = {each.name: _LateSummary(numbers, each) for each in aggregations}
        else:
            results = dict(summarize(numbers.read(), aggregations))
        row |= {f"{name}.{aggregation}": result for aggregation, result in results.items()}
    return row


def _if_here(number: float | Deferred) -> float | Deferred:
    """Return a value that its device was done with; NaN for one that it does not give."""
    if not (isinstance(number, Deferred) and number.is_here):
        return number
    try:
        return float(number.fetch())
    except Exception:  # noqa: BLE001 - the device's error belongs to the training loop, not to us
        return float("nan")


def _number(name: str, value: Any) -> float | Deferred:
    """Return a buffered value as float64, or what will give it; None is NaN, which aggregates leave out."""
    # A missing value must not end a training loop, and must not count either.
    if value is None:
        return float("nan")
    # Foreign code: whatever it raises, this is no number.
    with contextlib.suppress(Exception):
        if on_device(value):
            if element_count(value) != 1:
                raise ValueError  # without reading it
            late = defer(value)
            if late is not None:
                return late
        if not isinstance(value, (int, float, str)) and callable(getattr(value, "item", None)):
            value = fetch(value)
        if isinstance(value, (int, float)):
            return float(value)
    shown = "a tensor" if on_device(value) else represent(value)["__repr__"]
    msg = f"{name}={shown} is not a number, and only numbers can be summarised: use log() for it"
    raise InvalidArgumentError(msg)
