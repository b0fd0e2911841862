"""Hugging Face's `Trainer` and all that derive from it, as TRL's: ``Trainer(…, callbacks=[DashCallback("a/b/c")])``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_dash.integrations.frameworks import base_of, hook
from ml_dash.integrations.tracked import Tracked, log_values, save_directory, set_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import TrainerCallback as _Base

    from ml_dash.sdk.experiment import Experiment
else:
    _Base = base_of(
        "transformers", "transformers:TrainerCallback", "transformers.trainer_callback:TrainerCallback"
    )

_SUMMARY = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos")
"""What the trainer says once of a whole training."""
_GROUPS = ("eval", "test")


class DashCallback(_Base):
    """Logs what a `Trainer` logs, its arguments, the model's configuration and, if asked for, its checkpoints.

    The first process logs, and no other. A run that the callback has started stays open behind the training, for
    ``evaluate`` and ``predict``, until `complete` or the end of the script: then it is COMPLETED, or FAILED of the
    exception that the script ends by. A training that goes on from a checkpoint goes on in its experiment: what was
    logged behind the checkpoint is superseded, see `RunManager.start`.

    Args:
        experiment: an `Experiment`, or the prefix of one.
        checkpoints: whether the files of each checkpoint are saved with the experiment.
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        MissingExtraError: transformers is not installed.

    Example:
        >>> trainer = Trainer(model, arguments, train_dataset=data, callbacks=[DashCallback("alice/nlp/bert")])
    """

    def __init__(
        self, experiment: Experiment | str | None = None, *, checkpoints: bool = False, **arguments: Any
    ) -> None:
        super().__init__()
        self._tracked = Tracked(experiment, arguments)
        self._checkpoints = checkpoints
        self._described = False

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    def complete(self) -> None:
        """End the run, if it is the callback's, before the script ends: in a notebook, or between trainings."""
        self._tracked.complete()

    @hook
    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Start the run, and set its parameters."""
        if not state.is_world_process_zero:
            return
        if state.is_hyper_param_search:  # each trial is a run; the one before it ends here
            self._tracked.renew()
        # Steps are counted from 1 on: the checkpoint's own is the last that it has.
        resume_from = state.global_step + 1 if state.global_step else None
        self._describe(self._tracked.start(resume_from), args, state, model)

    @hook
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop a training of one process where its run is asked to; others would not stop at this step."""
        if args.world_size <= 1 and self._tracked.should_stop:
            control.should_training_stop = True

    @hook
    def on_log(
        self, args: Any, state: Any, control: Any, model: Any = None, logs: Any = None, **kwargs: Any
    ) -> None:
        """Log a row of ``train``, ``eval`` or ``test``."""
        if state.is_world_process_zero and logs:
            self._log(self._opened(args, state, model), logs, state)

    @hook
    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:
        """Log the metrics of a prediction."""
        if state.is_world_process_zero and metrics:
            self._log(self._opened(args, state, None), metrics, state)

    @hook
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save a checkpoint's files, if that is asked for."""
        if self._checkpoints and state.is_world_process_zero:
            name = f"checkpoint-{state.global_step}"
            details = {"step": state.global_step, "epoch": state.epoch}
            save_directory(
                self._opened(args, state, None),
                os.path.join(args.output_dir, name),
                f"checkpoints/{name}",
                metadata=details,
            )

    @hook
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set what the best checkpoint was, if the trainer has looked for it."""
        if state.is_world_process_zero and state.best_metric is not None:
            best = {"metric": state.best_metric, "step": getattr(state, "best_global_step", None)}
            set_params(self._tracked.start(), {"best": best})

    def _opened(self, args: Any, state: Any, model: Any) -> Experiment:
        """Return the experiment; `evaluate` may come without any training."""
        experiment = self._tracked.start()
        if not self._described:
            self._describe(experiment, args, state, model)
        return experiment

    def _describe(self, experiment: Experiment, args: Any, state: Any, model: Any) -> None:
        self._described = True
        told: dict[str, Any] = dict(args.to_dict())
        config = getattr(model, "config", None)
        if config is not None:
            told["model"] = config if isinstance(config, dict) else config.to_dict()
        adapters = getattr(model, "peft_config", None)
        if adapters is not None:
            told["peft"] = adapters
        if hasattr(model, "num_parameters"):
            told.setdefault("model", {})["num_parameters"] = model.num_parameters()
        if state.trial_params:
            told["trial"] = state.trial_params
        set_params(experiment, told)
        watched = getattr(args, "metric_for_best_model", None)
        if watched:
            name = watched if watched.startswith("eval_") else f"eval_{watched}"
            experiment.metrics.define(_named(name), best="max" if args.greater_is_better else "min")

    def _log(self, experiment: Experiment, logs: Mapping[str, Any], state: Any) -> None:
        values = {_named(name): value for name, value in logs.items() if name != "epoch"}
        log_values(experiment, values, state.global_step, epoch=logs.get("epoch", state.epoch))


def _named(name: str) -> str:
    """Return the metric and field of a name of the trainer's: of ``eval_loss``, ``eval/loss``."""
    for group in _GROUPS:
        if name.startswith(f"{group}_"):
            return f"{group}/{name[len(group) + 1 :]}"
    return f"summary/{name.removeprefix('train_')}" if name in _SUMMARY else f"train/{name}"
