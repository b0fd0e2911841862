"""Metrics: `exp.metrics`.

`MetricBuilder.log` is the hot path of the whole package. Each line in it has been measured: packing the keyword
arguments as they come, names included, is cheaper for the caller than any look-up that would avoid it, and the worker
takes thousands of such rows apart at once (see `ml_dash.pipeline.layout`). Putting the event is `EventQueue.put`
written out: as a call it would cost an eighth of the whole.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any

from ml_dash.callers import warn_user
from ml_dash.errors import InvalidArgumentError
from ml_dash.pipeline.queue import LARGE_EVENT
from ml_dash.sdk.buffer import BufferManager, MetricBuffer, SummaryCache
from ml_dash.sdk.series_port import LATEST, row_time
from ml_dash.series import Kind, Series
from ml_dash.values.pack import PACK_ERRORS, pack

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from ml_dash.sdk.experiment import Experiment
    from ml_dash.sdk.series_port import Put

__all__ = ["MetricBuilder", "MetricsManager", "check_name"]

_MAX_NAME_BYTES = 1024


class MetricBuilder:
    """One metric: logs rows to it, buffers values for it, and reads it back."""

    __slots__ = ("_experiment", "_port", "buffer", "name", "summary_cache")

    def __init__(self, experiment: Experiment, name: str | None) -> None:
        self._experiment = experiment
        self._port = experiment.port(Kind.METRIC, name)
        self.name = name
        self.buffer = MetricBuffer(self)
        self.summary_cache = SummaryCache(self)

    def __repr__(self) -> str:
        return f"<metric {self.name!r} of {self._experiment.prefix!r}>"

    def log(self, /, **data: Any) -> MetricBuilder:
        """Log one row.

        Args:
            **data: The row's fields: numbers, strings, bools, None, numpy scalars, tensors, nested dicts and lists.
                ``_ts`` is the row's time in seconds since the epoch; left out it is now, -1 takes the time of
                this thread's previous row.

        Returns:
            This builder, so that ``.flush()`` can follow.

        Raises:
            NotStartedError: the run is not open.
            InvalidArgumentError: ``_ts`` is not a time.
        """
        if "_ts" in data:
            self.log_at(row_time(data.pop("_ts")), data)
            return self
        now = time_ns()
        port = self._port
        # Before the id: a port that is bound meanwhile has its id first, and then its queue.
        queue = port.queue
        try:
            event = pack([port.id, now, data])
        except PACK_ERRORS:
            port.write(now, data)
        else:
            events = queue.events
            events.append(event)
            if len(events) > queue.limit or len(event) > LARGE_EVENT:
                queue.attend(event)
        LATEST.time_ns = now
        return self

    def log_at(self, time: int, data: dict[str, Any]) -> None:
        """Log one row at a time in nanoseconds since the epoch."""
        self._port.write(time, data)
        LATEST.time_ns = time

    def log_fields(self, fields: dict[str, Any]) -> None:
        """Log one row with the time of now; nothing where there are no fields."""
        if fields:
            self.log_at(time_ns(), fields)

    @property
    def holds_values(self) -> bool:
        """Whether something that was buffered waits to be summarised."""
        return self.buffer.holds_values or self.summary_cache.holds_values

    def summarize_leftovers(self, put: Put | None = None) -> None:
        """Log the means of what was buffered and not summarised; by `put` where the run has ended."""
        for part in (self.buffer, self.summary_cache):
            if part.holds_values:
                self._port.write(time_ns(), part.take_means(), put)

    def check_open(self) -> None:
        """Raise `NotStartedError` unless the run is open."""
        self._port.check()

    def flush(self) -> None:
        """Wait until everything logged so far is on disk."""
        self._experiment.flush()

    def read(self, start_index: int = 0, limit: int = 100) -> dict[str, Any]:
        """Read rows; sees everything logged before.

        Args:
            start_index: index of the first row.
            limit: rows to return at most.

        Returns:
            ``{"data": [{"index", "data": {…, "_ts": seconds}, "createdAt"}], "startIndex", "endIndex", "total",
            "hasMore"}``; both indices are inclusive. A metric that is not there is empty.
        """
        return self._experiment.view.read(self._series, start_index, limit)

    def stats(self) -> dict[str, Any]:
        """Return counts, first and last value, and each field's count, nan, min, max, mean and last."""
        return self._experiment.view.stats(self._series)

    def to_numpy(self) -> dict[str, npt.NDArray[Any]]:
        """Return every row as arrays: one a field, ``_ts`` (float64 seconds) and ``index``; never sampled."""
        return self._experiment.view.to_numpy(self._series)

    def to_pandas(self) -> pd.DataFrame:
        """Return every row as a data frame; needs the extra ``ml-dash[pandas]``."""
        return self._experiment.view.to_pandas(self._series)

    @property
    def _series(self) -> Series:
        return Series(Kind.METRIC, self.name)


class MetricsManager(dict["str | None", MetricBuilder]):
    """`exp.metrics`: gives the metrics by their names, and logs to several at once.

    It is the dict of the builders given out so far, and calling it is looking up: done in C, which saves every
    ``exp.metrics("train").log(…)`` a twelfth of its time. `__missing__` makes a builder at its first use.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self._experiment = experiment
        self._lock = threading.RLock()
        self.buffer = BufferManager(self)

    if TYPE_CHECKING:

        def __call__(self, prefix: str | None, /) -> MetricBuilder:
            """Return the metric of a name; None is the unnamed one.

            Raises:
                InvalidArgumentError: the name is empty, too long, holds control characters, or is no string.
            """
            ...

    else:
        __call__ = dict.__getitem__

    def __missing__(self, name: str | None) -> MetricBuilder:
        if name is not None:
            check_name("metric", name)
        with self._lock:
            return self.setdefault(name, MetricBuilder(self._experiment, name))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<metrics of {self._experiment.prefix!r}>"

    def log(self, /, **data: Any) -> MetricBuilder:
        """Log a row to each group, or to the unnamed metric.

        Args:
            **data: A field whose value is a dict is a group: a row of the metric of that name. The other fields are
                merged into every group; a group's own win. Without groups they are a row of the unnamed metric.

        Returns:
            The unnamed metric's builder.
        """
        time = row_time(data.pop("_ts", None))
        groups = {name: value for name, value in data.items() if isinstance(value, Mapping)}
        shared = {name: value for name, value in data.items() if name not in groups}
        builders = {name: self(name) for name in groups}
        rows = {}
        for name, group in groups.items():
            fields = {**shared, **{str(field): value for field, value in group.items()}}
            own = fields.pop("_ts", None)
            rows[name] = (time if own is None else row_time(own)), fields
        for name, row in rows.items():
            builders[name].log_at(*row)
        if not groups:
            self(None).log_at(time, shared)
        return self(None)

    def flush(self) -> None:
        """Wait until everything logged so far is on disk."""
        self._experiment.flush()

    def read(self, start_index: int = 0, limit: int = 100) -> dict[str, Any]:
        """Read the unnamed metric; see `MetricBuilder.read`."""
        return self(None).read(start_index, limit)

    def stats(self) -> dict[str, Any]:
        """Return the unnamed metric's statistics; see `MetricBuilder.stats`."""
        return self(None).stats()

    def list(self) -> list[dict[str, Any]]:
        """Return all metrics: ``[{"name", "count", "fields", "firstDataAt", "lastDataAt"}]``."""
        return self._experiment.view.metrics()

    def builders(self) -> tuple[MetricBuilder, ...]:
        """Return the builders given out so far."""
        with self._lock:
            return tuple(self.values())

    def summarize_leftovers(self, put: Put | None = None) -> None:
        """Log the mean of what was buffered and not summarised when the run ends, and say so.

        Args:
            put: where the rows go; None for where all rows go, which needs an open run.
        """
        left = [builder for builder in self.builders() if builder.holds_values]
        for builder in left:
            builder.summarize_leftovers(put)
        if left:
            warn_user(
                f"{self._experiment.prefix!r} ended with values buffered for {[b.name for b in left]} and not "
                "summarised: their mean was logged. Call metrics.buffer.log_summary() before the end.",
                UserWarning,
            )

    def forked(self) -> None:
        """Forget, in a forked child, what the parent had buffered."""
        self._lock = threading.RLock()
        for builder in self.values():
            builder.buffer.forked()
            builder.summary_cache.forked()


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
