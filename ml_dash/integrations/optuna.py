"""Optuna: ``study.optimize(objective, callbacks=[DashCallback("alice/sweep")])``, an experiment for each trial.

Within the objective, `DashCallback.track` decorates it and gives it the trial's experiment, so that it logs rows of
its own.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.integrations.frameworks import hook, load_module
from ml_dash.integrations.tracked import Tracked, set_params
from ml_dash.locks import MortalLock
from ml_dash.sdk.experiment import Experiment
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable


class DashCallback:
    """Logs each trial of a study as an experiment ``<prefix>/trial-<number>``.

    It has the trial's parameters, intermediate values and result.

    A trial whose run is asked to stop is the study's last. A trial that was pruned is CANCELLED, with the tag
    ``pruned`` and the parameter ``optuna.state`` PRUNED; one that has raised is FAILED, with its error. An error
    that ends the study is seen in objectives that `track` decorates only.

    Args:
        prefix: the folder of the trials' experiments, ``owner/project/path…``.
        metric_name: what the objective's value is called; of several objectives a list of names. None for those of
            the study, else ``value``, or ``values.0``, ….
        **arguments: for `Experiment`.

    Raises:
        InvalidPrefixError: the prefix cannot name a folder.
        InvalidArgumentError: an argument has a value of the wrong kind.
        MissingExtraError: Optuna is not installed.

    Example:
        >>> study.optimize(objective, n_trials=100, callbacks=[DashCallback("alice/vision/sweep")])
    """

    _lock = MortalLock()

    def __init__(self, prefix: str, *, metric_name: str | list[str] | None = None, **arguments: Any) -> None:
        self._optuna = load_module("optuna", "DashCallback", "optuna")
        if not isinstance(prefix, str):
            raise InvalidArgumentError(
                f"prefix={prefix!r:.200} is not a folder of experiments: pass 'owner/project', each trial is below it"
            )
        self._prefix = prefix.rstrip("/")
        Tracked(self._prefix_of(0), arguments)
        self._arguments = arguments
        self._names = [metric_name] if isinstance(metric_name, str) else metric_name
        self._open: dict[int, Experiment] = {}
        self._lock = threading.RLock()

    def track(self, objective: Callable[..., Any]) -> Callable[[Any], Any]:
        """Decorate an objective: it gets the trial, and the trial's experiment with its run open.

        Example:
            >>> @callback.track
            ... def objective(trial, exp):
            ...     exp.metrics("train").log(step=0, loss=0.5)
        """

        @functools.wraps(objective)
        def call(trial: Any) -> Any:
            experiment = self._started(trial.number)
            try:
                return objective(trial, experiment)
            except self._optuna.TrialPruned:
                raise
            except BaseException as error:
                # Here, for Optuna calls no callback for an error that ends the study.
                set_params(experiment, trial.params)
                experiment.run.fail(error)
                raise

        return call

    @hook
    def __call__(self, study: Any, trial: Any) -> None:
        """Log a trial that has ended, and end its run."""
        if self._has_failed(trial):
            return
        experiment = self._started(trial.number)
        self._describe(experiment, study, trial)
        for step, value in sorted(trial.intermediate_values.items()):
            experiment.metrics("intermediate").log(step=step, value=value)
        if trial.values is not None:
            names = self._value_names(study, trial)
            experiment.metrics("objective").log(dict(zip(names, trial.values, strict=True)))
            for name, direction in zip(names, study.directions, strict=True):
                experiment.metrics("objective").define(
                    name, best="max" if direction.name == "MAXIMIZE" else "min"
                )
        if experiment.should_stop:
            study.stop()
        with self._lock:
            self._open.pop(trial.number, None)
        states = self._optuna.trial.TrialState
        if trial.state == states.FAIL:
            experiment.run.fail("the objective has raised, or returned no number")
        elif trial.state == states.PRUNED:
            experiment.tags = [*experiment.tags, "pruned"]
            experiment.run.cancel()
        else:
            experiment.run.complete()

    def _has_failed(self, trial: Any) -> bool:
        """Return whether the run of a trial has ended already, by an error in a tracked objective; forget it then."""
        with self._lock:
            experiment = self._open.get(trial.number)
            if experiment is None or experiment.run.status != RunStatus.FAILED:
                return False
            del self._open[trial.number]
            return True

    def _prefix_of(self, number: int) -> str:
        return f"{self._prefix}/trial-{number}"

    def _started(self, number: int) -> Experiment:
        with self._lock:
            experiment = self._open.get(number)
            if experiment is None:
                experiment = self._open[number] = Experiment(self._prefix_of(number), **self._arguments)
        experiment.run.start()
        return experiment

    def _describe(self, experiment: Experiment, study: Any, trial: Any) -> None:
        told = {"study": study.study_name, "number": trial.number, "state": trial.state.name}
        told["directions"] = [direction.name for direction in study.directions]
        if trial.duration is not None:
            told["duration"] = trial.duration.total_seconds()
        set_params(experiment, {**trial.params, "optuna": {**told, "user_attrs": trial.user_attrs}})

    def _value_names(self, study: Any, trial: Any) -> list[str]:
        given = self._names or getattr(study, "metric_names", None)
        if given is not None and len(given) == len(trial.values):
            return list(given)
        return (
            ["value"] if len(trial.values) == 1 else [f"values.{place}" for place in range(len(trial.values))]
        )
