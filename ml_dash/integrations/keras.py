"""Keras 3, on any of its backends: ``model.fit(…, callbacks=[DashCallback("alice/vision/mnist")])``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.integrations.frameworks import base_of, hook
from ml_dash.integrations.tracked import Tracked, log_values, set_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keras.callbacks import Callback as _Base

    from ml_dash.sdk.experiment import Experiment
else:
    _Base = base_of("keras", "keras.callbacks:Callback")


class DashCallback(_Base):
    """Logs the metrics of each epoch, if asked for of batches, the model's configuration, and evaluations.

    Keras's names are taken apart at ``val_``: ``val_loss`` is ``val/loss``, and ``loss`` is ``train/loss``. A run
    that the callback has started stays open behind the training, for ``evaluate``, until `complete` or the end of
    the script: then it is COMPLETED, or FAILED of the exception that the script ends by. With ``initial_epoch=`` a
    training goes on in its experiment: later epochs of earlier attempts are superseded, see `RunManager.start`.

    Args:
        experiment: an `Experiment`, or the prefix of one.
        every_batches: log the running metrics of every so many batches as ``batch/…``; None for none.
        model: whether the model's architecture is saved, as ``model.json``.
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidArgumentError: `every_batches` is no number of batches.
        InvalidPrefixError: the prefix cannot name an experiment.
        MissingExtraError: Keras is not installed.

    Example:
        >>> model.fit(x, y, epochs=10, callbacks=[DashCallback("alice/vision/mnist")])
    """

    def __init__(
        self,
        experiment: Experiment | str | None = None,
        *,
        every_batches: int | None = None,
        model: bool = True,
        **arguments: Any,
    ) -> None:
        super().__init__()
        given: Any = every_batches
        if given is not None and (not isinstance(given, int) or given < 1):
            raise InvalidArgumentError(
                f"every_batches={every_batches!r} is not a number of batches: pass 1 or more, or None"
            )
        self._tracked = Tracked(experiment, arguments)
        self._every = every_batches
        self._saves_model = model
        self._batches = 0
        self._epoch = 0
        self._is_training = False
        self._starts = True

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    def complete(self) -> None:
        """End the run, if it is the callback's, before the script ends: in a notebook, or between trainings."""
        self._tracked.complete()

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Note that evaluations are a part of the training from here on."""
        # The run starts with the first epoch: only there Keras says with which one it begins.
        self._is_training, self._starts = True, True

    @hook
    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start the run with the first epoch."""
        self._epoch = epoch
        if self._starts:
            self._starts = False
            experiment = self._tracked.start(epoch or None)
            self._describe(experiment)

    @hook
    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log the running metrics, if that is asked for; stop the training where its run is asked to."""
        self._batches += 1
        if self._tracked.should_stop:
            self.model.stop_training = True
        if self._every is not None and self._batches % self._every == 0 and logs:
            row = {f"batch/{name}": value for name, value in logs.items()}
            # By its own count: `step` is the epoch, by which an attempt is superseded.
            log_values(self._tracked.start(), row, self._epoch, batch=self._batches)

    @hook
    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log a row of ``train``, with the learning rate, and one of ``val``."""
        values = {_named(name): value for name, value in (logs or {}).items()}
        rate = _learning_rate(self.model)
        if rate is not None:
            values.setdefault("train/learning_rate", rate)
        log_values(self._tracked.start(), values, epoch)

    @hook
    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Log what `evaluate` has found, outside of a training."""
        if not self._is_training and logs:
            log_values(
                self._tracked.start(), {f"test/{name}": value for name, value in logs.items()}, self._epoch
            )

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Note that evaluations are no part of the training any more."""
        self._is_training = False

    def _describe(self, experiment: Experiment) -> None:
        model, told = self.model, {"fit": dict(self.params or {})}
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None:
            told["optimizer"] = optimizer.get_config()
        told["model"] = {"name": model.name, "num_parameters": model.count_params()}
        set_params(experiment, told)
        if self._saves_model:
            experiment.files.save_json(json.loads(model.to_json()), to="model.json")


def _named(name: str) -> str:
    return f"val/{name[4:]}" if name.startswith("val_") else f"train/{name}"


def _learning_rate(model: Any) -> float | None:
    rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
    return None if rate is None else float(rate)
