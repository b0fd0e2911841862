"""Ultralytics: ``log_to(model, "alice/vision/yolo")`` before ``model.train(…)``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ml_dash.integrations.frameworks import check_version, hook
from ml_dash.integrations.tracked import Tracked, log_values, set_params

if TYPE_CHECKING:
    from ml_dash.sdk.experiment import Experiment


def log_to(
    model: Any, experiment: Experiment | str | None = None, *, checkpoints: bool = True, **arguments: Any
) -> DashCallbacks:
    """Let a model's trainings log to an experiment.

    Args:
        model: a `YOLO`, or another model of Ultralytics'.
        experiment: an `Experiment`, or the prefix of one.
        checkpoints: whether the best weights are saved with the experiment.
        **arguments: for `Experiment`, with a prefix.

    Returns:
        The callbacks, whose `experiment` is the experiment.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.

    Example:
        >>> model = YOLO("yolo11n.yaml")
        >>> log_to(model, "alice/vision/yolo")
        >>> model.train(data="coco8.yaml", epochs=3)
    """
    check_version("ultralytics")
    callbacks = DashCallbacks(experiment, checkpoints=checkpoints, **arguments)
    for event in EVENTS:
        model.add_callback(event, getattr(callbacks, event))
    return callbacks


EVENTS = (
    "on_pretrain_routine_end",
    "on_train_batch_end",
    "on_train_epoch_end",
    "on_fit_epoch_end",
    "on_train_end",
    "teardown",
)


class DashCallbacks:
    """Logs each epoch's losses, learning rates and validation, the arguments, plots and the best weights.

    The process of rank zero logs. A run that it has started is FAILED when the training raises, and one that is asked
    to stop ends the training: behind the batch, or of several processes behind the epoch, for there Ultralytics has
    them agree. A training with ``resume=True`` goes on in its experiment.

    Args:
        experiment: an `Experiment`, or the prefix of one.
        checkpoints: whether the best weights are saved with the experiment.
        **arguments: for `Experiment`, with a prefix.
    """

    def __init__(
        self, experiment: Experiment | str | None = None, *, checkpoints: bool = True, **arguments: Any
    ) -> None:
        self._tracked = Tracked(experiment, arguments)
        self._checkpoints = checkpoints

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    @hook
    def on_pretrain_routine_end(self, trainer: Any) -> None:
        """Start the run, and set its parameters."""
        if _is_silent():
            return
        experiment = self._tracked.start(trainer.start_epoch or None)
        set_params(experiment, vars(trainer.args))
        parameters = sum(each.numel() for each in trainer.model.parameters())
        set_params(experiment, {"num_parameters": int(parameters)})

    @hook
    def on_train_batch_end(self, trainer: Any) -> None:
        """Stop a training of one process where its run is asked to."""
        if _is_alone() and self._tracked.should_stop:
            trainer.stop = True

    @hook
    def on_train_epoch_end(self, trainer: Any) -> None:
        """Log losses and learning rates."""
        if not _is_silent():
            losses = trainer.label_loss_items(trainer.tloss, prefix="train")
            log_values(self._tracked.start(), {**losses, **trainer.lr}, trainer.epoch)

    @hook
    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Log the validation's losses and metrics; stop the training where its run is asked to."""
        if _is_silent():
            return
        # Behind this the process of rank zero tells the others whether they stop. First, for the row may be refused.
        if self._tracked.should_stop:
            trainer.stop = True
        log_values(self._tracked.start(), trainer.metrics, trainer.epoch)

    @hook
    def on_train_end(self, trainer: Any) -> None:
        """Save plots and the best weights, and end the run, if it is the adapter's."""
        if _is_silent():
            return
        experiment = self._tracked.start()
        for path in [*trainer.plots, *trainer.validator.plots]:
            if os.path.isfile(path):
                experiment.files("plots").save(path)
        best = os.fspath(trainer.best)
        if self._checkpoints and os.path.isfile(best):
            fitness = None if trainer.best_fitness is None else float(trainer.best_fitness)
            experiment.files("checkpoints").save(best, tags=["best"], metadata={"fitness": fitness})
        self._tracked.complete()

    @hook
    def teardown(self, trainer: Any) -> None:
        """End a run that has not ended: the training has raised."""
        if not _is_silent() and self._tracked.is_ours and self._tracked.experiment.run.is_open:
            self._tracked.fail(sys.exc_info()[1] or "the training did not end")


def _is_silent() -> bool:
    return os.environ.get("RANK", "-1") not in {"-1", "0"}


def _is_alone() -> bool:
    return os.environ.get("RANK", "-1") == "-1" or os.environ.get("WORLD_SIZE", "1") == "1"
