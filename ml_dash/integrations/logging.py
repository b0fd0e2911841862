"""Python's `logging`: ``logging.getLogger().addHandler(DashHandler(exp))`` logs what programs and libraries say."""

from __future__ import annotations

import logging
import threading
import traceback
from typing import TYPE_CHECKING, Any

from ml_dash.integrations.tracked import Tracked
from ml_dash.series import Kind

if TYPE_CHECKING:
    from ml_dash.sdk.experiment import Experiment
    from ml_dash.sdk.series_port import Port

_OWN = "ml_dash"
_LEVELS = (
    (logging.CRITICAL, "fatal"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warn"),
    (logging.INFO, "info"),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class DashHandler(logging.Handler):
    """Logs records as messages of an experiment.

    With each are its logger, place and traceback, and what was given as ``extra=``. Records are not printed again, and
    those of ML-Dash's own logger are left out. While the run is not open, records are passed over.

    Args:
        experiment: an `Experiment`, or the prefix of one, whose run is started.
        level: the least level, a number or a name.
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.

    Example:
        >>> logging.getLogger().addHandler(DashHandler(exp, level="INFO"))
    """

    def __init__(
        self, experiment: Experiment | str | None = None, level: int | str = logging.NOTSET, **arguments: Any
    ) -> None:
        super().__init__(level)
        self._tracked = Tracked(experiment, arguments)
        self._within = threading.local()
        self._port: Port | None = None
        if experiment is None or isinstance(experiment, str):
            self._tracked.start()

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        # What is said while a record is logged would come back here, for ever.
        if record.name.partition(".")[0] == _OWN or getattr(self._within, "is_busy", False):
            return
        if not self._tracked.experiment.run.is_open:
            return
        self._within.is_busy = True
        try:
            self._log(record)
        except Exception:  # noqa: BLE001 - `logging` has a way of its own to tell of it
            self.handleError(record)
        finally:
            self._within.is_busy = False

    def close(self) -> None:
        """End the run, if the handler has started it."""
        self._tracked.complete()
        super().close()

    def _log(self, record: logging.LogRecord) -> None:
        if self._port is None:
            # Not by `exp.log`, which prints what it logs: another handler does so here.
            self._port = self._tracked.experiment._session.port(Kind.LOG, None)  # noqa: SLF001
        told: dict[str, Any] = {"logger": record.name, "place": f"{record.pathname}:{record.lineno}"}
        if record.exc_info and record.exc_info[0] is not None:
            told["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        told |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
        row = {"level": level, "message": record.getMessage(), "metadata": told}
        self._port.write(int(record.created * 1e9), row)
