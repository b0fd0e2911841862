"""Metrics: `exp.metrics`.

`MetricBuilder.log` is the hot path of the whole package. Each line in it has been measured: packing the keyword
arguments as they come, names included, is cheaper for the caller than any look-up that would avoid it, and the worker
takes thousands of such rows apart at once (see `ml_dash.events.layout`). Putting the event is `EventQueue.put`
written out: as a call it would cost an eighth of the whole.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.forks import guarded_imports
from ml_dash.limits.sparing import check_numpy
from ml_dash.notices import warn_user
from ml_dash.query.listing.definitions import best_of, checked_best
from ml_dash.sdk.best.defining import DefinitionPort, unknown_field
from ml_dash.sdk.buffer import BufferManager, MetricBuffer, Store, SummaryCache
from ml_dash.sdk.guidance.calls import explained, merged
from ml_dash.sdk.guidance.guided import keep
from ml_dash.sdk.parts import Part
from ml_dash.sdk.series_port import LATEST, check_name, row_time
from ml_dash.series import Kind, Series
from ml_dash.slabs.layout import MARK
from ml_dash.spawning import is_last_thread
from ml_dash.status import RunStatus
from ml_dash.values.pack import PACK_ERRORS

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from ml_dash.query.listing.definitions import BestValue
    from ml_dash.query.listing.listed import Best
    from ml_dash.query.selection import AttemptChoice
    from ml_dash.sdk.series_port import Port, Put
    from ml_dash.sdk.session import Session


_NO_FIELDS: tuple[Any, ...] = ()
"""There is one empty tuple: to ask whether it is that takes half the time of asking whether it is empty."""


class _Metric:
    """What is behind the builder of one metric."""

    __slots__ = ("buffered", "cached", "definitions", "is_missed", "name", "port")

    def __init__(self, name: str | None, port: Port, definitions: DefinitionPort) -> None:
        self.definitions = definitions
        self.is_missed = False  # whether it was looked for already, when a read found no rows
        self.name = name
        self.port = port
        self.buffered = Store(port)
        self.cached = Store(port)

    def log_at(self, time: int, data: dict[str, Any]) -> None:
        self.port.write(time, data)
        LATEST.time_ns = time


class MetricBuilder(Part, written="exp.metrics('train')", is_hot=True):
    """One metric: logs rows to it, buffers values for it, and reads it back."""

    __slots__ = ("_metric", "_port", "buffer", "summary_cache")

    buffer: MetricBuffer
    summary_cache: SummaryCache

    def __init__(self, session: Session, metric: _Metric) -> None:
        steps = "metrics", (metric.name,)
        super().__init__(session, *steps)
        self._metric = metric
        self._port = metric.port  # here as well: one look-up less for each row
        keep(
            self,
            buffer=MetricBuffer(session, metric.buffered, *steps, "buffer"),
            summary_cache=SummaryCache(session, metric.cached, *steps, "summary_cache"),
        )

    def _repr_html_(self) -> str:
        from ml_dash.sdk.notebook import metrics_html

        return metrics_html(self._session, self._metric.name, is_one=True)

    def log(self, /, *fields: Mapping[str, Any], **data: Any) -> MetricBuilder:
        """Log one row.

        Args:
            *fields: The row's fields as a dict; keyword arguments win over equal keys.
            **data: The row's fields: numbers, strings, bools, None, numpy scalars, tensors, nested dicts and lists.
                ``_ts`` is the row's time in seconds since the epoch; left out it is now, -1 takes the time of
                this thread's previous row.

        Returns:
            This builder, so that ``.flush()`` can follow.

        Raises:
            NotStartedError: the run is not open.
            InvalidArgumentError: ``_ts`` is not a time.
            InvalidCallError: what is given by position is not a dict.
        """
        if fields is not _NO_FIELDS:
            data = merged(fields, data, f"{self._label}.log")
        if "_ts" in data:
            self._metric.log_at(row_time(data.pop("_ts")), data)
            return self
        now = time_ns()
        port = self._port
        # Before the id: a port that is bound meanwhile has its id first, and then its queue.
        queue = port.queue
        try:
            event = port.pack([port.id, now, data])
        except PACK_ERRORS:
            port.write_odd(now, data)
        else:
            write = queue.write
            try:
                write(event)
            except ValueError:
                queue.put(event)
            else:
                try:
                    write(MARK)
                except ValueError:
                    queue.end_event(write)
        LATEST.time_ns = now
        return self

    def log_columns(self, /, *fields: Mapping[str, Any], **columns: Any) -> MetricBuilder:
        """Log many rows at once, as a `log` of each would: for rollouts, replays and importers.

        The arrays are copied in the call, as fast as the journal takes them; numbers are by far the fastest.

        Args:
            *fields: The columns as a dict; keyword arguments win over equal keys.
            **columns: The rows' fields: of each an array, tensor, series or list with one value a row, all of one
                length. What is a single value, as a number or a text, is each row's. Where a masked array has no
                value, neither has the row. ``_ts`` is each row's time, or all rows'; left out it is now.

        Returns:
            This builder, so that ``.flush()`` can follow.

        Raises:
            NotStartedError: the run is not open.
            InvalidArgumentError: the lengths differ, no column was given, or ``_ts`` is not a time. Nothing was logged.
            InvalidCallError: what is given by position is not a dict.
            LimitError: a limit of the process leaves too little for numpy, which this needs: `log` does without.

        Example:
            >>> exp.metrics("rollout").log_columns(step=np.arange(4096), reward=rewards, policy="greedy")
        """
        columns = merged(fields, columns, f"{self._label}.log_columns")
        self._port.check()
        check_numpy()
        with guarded_imports():
            from ml_dash.sdk.table import Table

        table = Table(columns)
        table.write(self._port)
        if len(table.times):
            LATEST.time_ns = int(table.times[-1])
        return self

    @explained("exp.metrics('train').flush(), or exp.flush(timeout=10)")
    def flush(self) -> None:
        """Wait until everything logged so far is on disk."""
        self._session.flush()

    @explained("exp.metrics('train').read(start_index=0, limit=100)")
    def read(
        self,
        start_index: int = 0,
        limit: int = 100,
        *,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, Any]:
        """Read rows; sees everything logged before.

        Args:
            start_index: index of the first row.
            limit: rows to return at most.
            attempt: the rows of the attempt with this number, from 1 on, or ``"all"``; without it, all but those that a
                later attempt has superseded, which was started with ``resume_from=``.
            rank: only rows that this process of a distributed training has logged.
            x: what each row is placed by: ``"index"``, ``"time"``, a field of the metric, or a field of another one, as
                ``"train/step"``: the last value that this had at or before the row's time.

        Returns:
            ``{"data": [{"index", "data": {…, "_ts": seconds}, "createdAt"}], "startIndex", "endIndex", "total",
            "hasMore"}``; both indices are inclusive. A metric that is not there is empty. Rows that are left out, as
            superseded ones, keep their indices, and ``superseded`` says how many these are, where there are any. A row
            has the ``rank`` of the process that has logged it, where that has one, and the ``x`` that was asked for:
            None where there is none yet.

        Raises:
            InvalidArgumentError: there is no such attempt, rank, or x.
        """
        found = self._session.view.read(self._series, start_index, limit, attempt, rank, x)
        self._told(found["total"])
        return found

    @explained("exp.metrics('train').stats()")
    def stats(self, *, attempt: AttemptChoice = None, rank: int | None = None) -> dict[str, Any]:
        """Return counts, first and last value, and each field's count, nan, min, max, mean and last.

        Args:
            attempt: of which rows, see `read`.
            rank: of which rows, see `read`.
        """
        found = self._session.view.stats(self._series, attempt, rank)
        self._told(found["count"])
        return found

    @explained("exp.metrics('train').to_numpy()['loss']")
    def to_numpy(
        self, *, attempt: AttemptChoice = None, rank: int | None = None, x: str | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return rows as arrays: one a field, ``_ts`` (float64 seconds) and ``index``; never sampled.

        Args:
            attempt: which rows, see `read`.
            rank: which rows, see `read`. Without it, ``rank`` is a column where rows have one.
            x: as of `read`: another metric's field is one more column, of the name that is given here.
        """
        found = self._session.view.to_numpy(self._series, attempt, rank, x)
        self._told(len(found["index"]))
        return found

    @explained("exp.metrics('train').to_pandas()[['loss']]")
    def to_pandas(
        self, *, attempt: AttemptChoice = None, rank: int | None = None, x: str | None = None
    ) -> pd.DataFrame:
        """Return rows as a data frame; needs ``pip install pandas``.

        Args:
            attempt: which rows, see `read`.
            rank: which rows, see `to_numpy`.
            x: see `to_numpy`.
        """
        found = self._session.view.to_pandas(self._series, attempt, rank, x)
        self._told(len(found))
        return found

    @explained("exp.metrics('train').ranks()")
    def ranks(self) -> dict[int | None, int]:
        """Return how many rows each rank has logged, in order; None stands for processes without a rank.

        Example:
            >>> exp.metrics("train").ranks()
            {0: 5000, 1: 5000}
        """
        return self._session.view.ranks(self._series)

    @explained("exp.metrics('val').best('acc', mode='max')")
    def best(
        self, field: str, mode: Best | None = None, *, attempt: AttemptChoice = None, rank: int | None = None
    ) -> BestValue | None:
        """Return the best value of a field, and at which step it was logged; None where it has no numbers.

        Args:
            field: Its name; of an item of a nested dict with dots.
            mode: ``"max"``, ``"min"`` or ``"last"``. Without it what was defined counts (`define`), or what the names
                tell: a loss is best where it is least.
            attempt: of which rows, see `read`.
            rank: of which rows, see `read`.

        Raises:
            InvalidArgumentError: the metric has rows and no such field, or nobody says which value is the best.

        Example:
            >>> exp.metrics("val").best("acc", mode="max")
            BestValue(value=0.93, step=1200)
        """
        wanted = None if mode is None else checked_best(mode, "mode")
        name, view = self._metric.name, self._session.view
        found = view.summaries(self._series, attempt, rank)
        self._told(len(found))
        if field not in found:
            if found:
                raise InvalidArgumentError(unknown_field(self._label, field, found))
            return None
        defined = view.definitions().get((name, field)) if wanted is None else None
        return best_of(name, field, found[field], wanted, defined)

    @explained("exp.metrics('val').define('acc', best='max')")
    def define(self, field: str, *, best: Best) -> MetricBuilder:
        """Say which value of a field is its best: that of the summary, and what lists and tables show.

        Args:
            field: Its name; it need not have been logged yet.
            best: ``"max"``, ``"min"`` or ``"last"``; what is said later wins.

        Raises:
            NotStartedError: the run is not open.
            InvalidArgumentError: `best` is none of these.
        """
        self._metric.definitions.define(self._metric.name, field, best)
        return self

    def _told(self, rows: int) -> None:
        """Warn, at the first read of no rows, where another metric seems to be meant."""
        # not while the run is open: the rows may be still to come
        if not (rows or self._metric.is_missed or self._session.run_status == RunStatus.RUNNING):
            self._metric.is_missed = True
            if is_last_thread():  # nothing can be imported any more
                return
            with guarded_imports():
                from ml_dash.sdk.presence import warn_of_no_metric

            warn_of_no_metric(self._session, self._metric.name)

    @property
    def _series(self) -> Series:
        return Series(Kind.METRIC, self._metric.name)

    @property
    def _label(self) -> str:
        name = self._metric.name
        return "exp.metrics" if name is None else f"exp.metrics({name!r:.100})"


class _Metrics(dict["str | None", _Metric]):
    """The metrics used so far, by their names; what they have buffered outlives whatever the script lets go of."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.definitions = DefinitionPort(session)
        session.on_fork.append(self._forget)
        session.on_end.append(self._log_means)

    def __missing__(self, name: str | None) -> _Metric:
        if name is not None:
            check_name("metric", name)
        with self._session.lock:
            if name not in self:  # another thread may have made it since
                self[name] = _Metric(name, self._session.port(Kind.METRIC, name), self.definitions)
            return self[name]

    def _forget(self) -> None:
        for metric in self.values():
            metric.buffered.reset()
            metric.cached.reset()

    def _log_means(self, put: Put | None) -> None:
        # Values that are neither logged nor told of would be lost without anybody noticing.
        with self._session.lock:
            rest = [metric for metric in self.values() if metric.buffered or metric.cached]
        for metric in rest:
            metric.buffered.log_means(put)
            metric.cached.log_means(put)
        if rest:
            warn_user(
                f"{self._session.prefix!r} ended with values buffered for {[each.name for each in rest]} and not "
                "summarised: their mean was logged. Call metrics.buffer.log_summary() before the end.",
                UserWarning,
            )


class _Builders(dict["str | None", MetricBuilder]):
    """The builders given out so far, by their metrics' names; `__missing__` makes one at its first use."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._metrics = _Metrics(session)

    def __missing__(self, name: str | None) -> MetricBuilder:
        metric = self._metrics[name]
        with self._session.lock:
            if name not in self:  # another thread may have made it since
                self[name] = MetricBuilder(self._session, metric)
            return self[name]

    @explained("exp.metrics('train'), or exp.metrics(None) for the unnamed metric", name="exp.metrics")
    def named(self, prefix: str | None) -> MetricBuilder:
        return self[prefix]

    @property
    def definitions(self) -> DefinitionPort:
        return self._metrics.definitions

    def metric(self, name: str | None) -> _Metric:
        return self._metrics[name]

    def buffers(self) -> dict[str | None, MetricBuffer]:
        with self._session.lock:
            return {name: builder.buffer for name, builder in self.items()}


class MetricsManager(Part, written="exp.metrics"):
    """`exp.metrics`: gives the metrics by their names, and logs to several at once."""

    # Calling the manager is a look-up from end to end in C: a slot of this name holds a cache with no limit. A function
    # in Python instead would cost every ``exp.metrics("train").log(…)`` a twelfth of its time. The `__getitem__` of a
    # dict is 2 ns of 50 faster, and would not take ``prefix=`` by its name.
    __slots__ = ("__call__", "__weakref__", "_builders", "buffer")

    buffer: BufferManager

    if TYPE_CHECKING:

        def __call__(self, prefix: str | None) -> MetricBuilder:
            """Return the metric of a name; None is the unnamed one.

            Raises:
                InvalidArgumentError: the name is empty, too long, holds control characters, or is not a string.
            """
            ...

    def __init__(self, session: Session) -> None:
        super().__init__(session, "metrics")
        self._builders = builders = _Builders(session)
        if not TYPE_CHECKING:
            keep(self, __call__=functools.lru_cache(maxsize=None)(builders.named))
        keep(self, buffer=BufferManager(session, lambda name: builders[name].buffer, builders.buffers))

    def _repr_html_(self) -> str:
        from ml_dash.sdk.notebook import metrics_html

        return metrics_html(self._session)

    def log(self, /, *fields: Mapping[str, Any], **data: Any) -> MetricBuilder:
        """Log a row to each group, or to the unnamed metric.

        Args:
            *fields: Fields as a dict; keyword arguments win over equal keys.
            **data: A field whose value is a dict is a group: a row of the metric of that name. The other fields are
                merged into every group; a group's own win. Without groups they are a row of the unnamed metric.

        Returns:
            The unnamed metric's builder.

        Raises:
            NotStartedError: the run is not open.
            InvalidArgumentError: ``_ts`` is not a time.
            InvalidCallError: what is given by position is not a dict.
        """
        data = merged(fields, data, "exp.metrics.log")
        time = row_time(data.pop("_ts", None))
        groups = {name: group for name, value in data.items() if (group := _group(value)) is not None}
        shared = {name: value for name, value in data.items() if name not in groups}
        # All names and times are looked at before the first row is logged: a call that raises has logged nothing.
        metrics = {name: self._builders.metric(name) for name in groups}
        rows = {}
        for name, group in groups.items():
            row = {**shared, **group}
            own = row.pop("_ts", None)
            rows[name] = (time if own is None else row_time(own)), row
        for name, (row_ns, row) in rows.items():
            metrics[name].log_at(row_ns, row)
        if not groups:
            self._builders.metric(None).log_at(time, shared)
        return self(None)

    @explained("exp.metrics.flush(), or exp.flush(timeout=10)")
    def flush(self) -> None:
        """Wait until everything logged so far is on disk."""
        self._session.flush()

    @explained("exp.metrics.read(start_index=0, limit=100), or exp.metrics('train').read()")
    def read(
        self,
        start_index: int = 0,
        limit: int = 100,
        *,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, Any]:
        """Read the unnamed metric; see `MetricBuilder.read`."""
        return self(None).read(start_index, limit, attempt=attempt, rank=rank, x=x)

    @explained("exp.metrics.stats(), or exp.metrics('train').stats()")
    def stats(self, *, attempt: AttemptChoice = None, rank: int | None = None) -> dict[str, Any]:
        """Return the unnamed metric's statistics; see `MetricBuilder.stats`."""
        return self(None).stats(attempt=attempt, rank=rank)

    @explained("exp.metrics.define('val/acc', best='max')")
    def define(self, name: str, *, best: Best) -> MetricsManager:
        """Say which value of a metric's field is its best; see `MetricBuilder.define`.

        Args:
            name: Metric and field with a slash between them, or a field of the unnamed metric alone.
            best: ``"max"``, ``"min"`` or ``"last"``.
        """
        self._builders.definitions.define_title(name, best)
        return self

    @explained("exp.metrics.list()")
    def list(self, *, rank: int | None = None) -> list[dict[str, Any]]:
        """Return all metrics: ``[{"name", "count", "fields", "firstDataAt", "lastDataAt"}]``.

        Args:
            rank: only those that this process of a distributed training has logged, with the counts and times of its
                own rows.
        """
        return self._session.view.metrics(rank)


def _group(value: Any) -> dict[str, Any] | None:
    """Return the fields of a group; None for what is none, or what raises when it is read as one."""
    try:
        return {str(field): item for field, item in value.items()} if isinstance(value, Mapping) else None
    except Exception:  # noqa: BLE001 - foreign code: then it is a value, of which the repr is stored
        return None
