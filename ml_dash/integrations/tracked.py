"""What an adapter logs to: an experiment of the script's, or one of its own, and who ends its run.

Names of values are taken apart at their last slash: ``train/loss`` is the field ``loss`` of the metric ``train``,
and a name without one a field of the unnamed metric.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, InvalidParameterError
from ml_dash.locks import MortalLock
from ml_dash.notices import warn_user
from ml_dash.sdk.experiment import Experiment
from ml_dash.sdk.series_port import split_name
from ml_dash.sdk.starting.prefixes import sample
from ml_dash.values.config_fields import config_fields
from ml_dash.values.pack import represent
from ml_dash.values.tensors import on_host

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SHOWN = 5  # names in a warning


class Tracked:
    """An experiment, and whether its run is the script's or this adapter's.

    Args:
        experiment: an experiment, whose run the script starts and ends if it is open, or the prefix of one that is
            made when the training starts, by the process that logs: a number ``{n}`` is taken once.
        arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        InvalidArgumentError: an argument has a value of the wrong kind, or arguments come with an experiment.
    """

    _lock = MortalLock()

    def __init__(
        self, experiment: Experiment | str | None, arguments: Mapping[str, Any] | None = None
    ) -> None:
        self._arguments = dict(arguments or {})
        self._experiment: Experiment | None = None
        self._is_given = isinstance(experiment, Experiment)
        self._prefix: str | None = None
        self._is_ours = False
        self._lock = threading.RLock()
        if isinstance(experiment, Experiment):
            if self._arguments:
                raise InvalidArgumentError(
                    f"{', '.join(self._arguments)} cannot be given with an experiment that is made: pass them to "
                    "Experiment(…), or pass a prefix instead of the experiment"
                )
            self._experiment = experiment
        else:
            self._prefix = experiment
            # One is made here: what is wrong is told where it stands, and not when the training has begun.
            Experiment(sample(experiment), **self._arguments)

    def __getstate__(self) -> dict[str, Any]:
        # In another process the run is part of the one here, and not its to end.
        state = {name: value for name, value in self.__dict__.items() if name != "_own_lock"}
        return {**state, "_is_ours": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        with self._lock:
            if self._experiment is None:
                self._experiment = Experiment(self._prefix, **self._arguments)
            return self._experiment

    @property
    def is_ours(self) -> bool:
        """Whether the adapter has started the run, and ends it."""
        return self._is_ours

    @property
    def should_stop(self) -> bool:
        """Whether the run is asked to stop, see `ml_dash.sdk.run.should_stop`; False where none was made."""
        return self._experiment is not None and self._experiment.should_stop

    def start(self, resume_from: float | None = None) -> Experiment:
        """Return the experiment, with its run open: where it is not, it is started.

        Args:
            resume_from: as for `RunManager.start`; of no effect on a run that is open.
        """
        experiment = self.experiment
        if not experiment.run.is_open:
            with self._lock:
                if not experiment.run.is_open:
                    experiment.run.start(resume_from=resume_from)
                    self._is_ours = True
        return experiment

    def complete(self) -> None:
        """End the run, if it is the adapter's."""
        if self._is_ours:
            self.experiment.run.complete()

    def renew(self) -> None:
        """End the run, if it is the adapter's; the next one of a prefix is made anew, with the next number ``{n}``."""
        if self._is_ours:
            self.experiment.run.complete()
        with self._lock:
            self._is_ours = False
            if not self._is_given:
                self._experiment = None

    def cancel(self) -> None:
        """End the run as cancelled, if it is the adapter's."""
        if self._is_ours:
            self.experiment.run.cancel()

    def fail(self, error: BaseException | str | None = None) -> None:
        """End the run as failed, if it is the adapter's."""
        if self._is_ours:
            self.experiment.run.fail(error)


def log_values(
    experiment: Experiment, values: Mapping[str, Any], step: float | None = None, **shared: Any
) -> None:
    """Log values by their names: one row for each metric, with the step and what all rows share."""
    rows: dict[str | None, dict[str, Any]] = {}
    for name, value in values.items():
        metric, field = split_name(str(name))
        rows.setdefault(metric, {})[field] = value
    beside = shared if step is None else {"step": step, **shared}
    for metric, row in rows.items():
        experiment.metrics(metric).log({**beside, **row})


def set_params(experiment: Experiment, params: Any) -> None:
    """Set parameters of a framework's: what cannot be stored is stored as its text, with one warning."""
    fields = dict(params) if isinstance(params, Mapping) else config_fields(params)
    if fields is None:
        experiment.params.set(config=_text(params))
        return
    with contextlib.suppress(InvalidParameterError):
        experiment.params.set(fields)
        return
    refused: list[str] = []
    experiment.params.set(
        {str(name): _storable(experiment, str(name), value, refused) for name, value in fields.items()}
    )
    if refused:
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        warn_user(
            f"parameters {', '.join(refused[:_SHOWN])}{more} have values that cannot be stored: their texts are",
            UserWarning,
        )


def _storable(experiment: Experiment, name: str, value: Any, refused: list[str]) -> Any:
    from ml_dash.values.params import flatten_params

    try:
        flatten_params({name: value})
    except InvalidParameterError:
        if isinstance(value, Mapping):
            return {
                str(key): _storable(experiment, f"{name}.{key}", item, refused) for key, item in value.items()
            }
        refused.append(name)
        return _text(value)
    return value


def _text(value: Any) -> str:
    text: str = represent(value)["__repr__"]
    return text


def save_directory(
    experiment: Experiment, directory: str | os.PathLike[str], to: str, **details: Any
) -> list[dict[str, Any]]:
    """Save all files below a directory, such as a checkpoint, and return their rows."""
    rows = []
    for above, _, names in sorted(os.walk(directory)):
        below = os.path.relpath(above, directory).replace(os.sep, "/")
        path = to if below == os.curdir else f"{to}/{below}"
        rows += [experiment.files(path).save(os.path.join(above, name), **details) for name in sorted(names)]
    return rows


def image_of(pixels: Any, layout: str = "HWC") -> npt.NDArray[Any]:
    """Return an array, or a tensor on the CPU, as H×W×C, whose axes are named by `layout`: ``CHW``, ``HW``, …."""
    import numpy as np

    array = as_array(pixels)
    if array.ndim != len(layout):
        raise InvalidArgumentError(
            f"an image of the shape {array.shape} has not the axes {layout!r}: pass dataformats= with a letter an axis"
        )
    moved: npt.NDArray[np.generic] = np.moveaxis(
        array, [layout.index(axis) for axis in "HWC" if axis in layout], range(array.ndim)
    )
    return moved


def as_array(values: Any) -> npt.NDArray[Any]:
    """Return an array of what is one, or a tensor of any framework on any device."""
    import numpy as np

    return np.asarray(on_host(values))
