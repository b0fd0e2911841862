"""LightGBM, and its estimators for scikit-learn: ``lightgbm.train(…, callbacks=[DashCallback("a/b/c")])``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.integrations.frameworks import hook, load_module
from ml_dash.integrations.tracked import Tracked, log_values, set_params

if TYPE_CHECKING:
    from ml_dash.sdk.experiment import Experiment


class DashCallback:
    """Logs the metrics of each iteration, a row for each data set, the parameters, and what features are worth.

    A training stops where its run is asked to. LightGBM says when one ends only where it ends by its number of
    rounds. A run that the callback has started ends there, else by `complete`, or with the script. A training with
    ``init_model=`` goes on in its experiment: iterations of earlier attempts from there on are superseded.

    Args:
        experiment: an `Experiment`, or the prefix of one.
        model: whether the trained model is saved, as ``model.txt``.
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        MissingExtraError: LightGBM is not installed.

    Example:
        >>> lightgbm.train(params, data, valid_sets=[data], callbacks=[DashCallback("alice/tables/boosted")])
    """

    order = 25
    """Behind what prints (10), and before what stops early (30), by an error."""
    before_iteration = False

    def __init__(
        self, experiment: Experiment | str | None = None, *, model: bool = False, **arguments: Any
    ) -> None:
        self._lightgbm = load_module("lightgbm", "DashCallback", "lightgbm")
        self._tracked = Tracked(experiment, arguments)
        self._saves_model = model

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    def complete(self) -> None:
        """End the run, if it is the callback's."""
        self._tracked.complete()

    def __call__(self, env: Any) -> None:
        """Log an iteration; end the training where its run is asked to stop.

        Raises:
            EarlyStopException: of LightGBM's: that is how a callback stops.
        """
        self._log(env)
        # of several machines, the others would not stop at this iteration
        if self._tracked.should_stop and env.params.get("num_machines", 1) in (1, "1"):
            self._end(env)
            raise self._lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list or [])

    @hook
    def _log(self, env: Any) -> None:
        if env.iteration == env.begin_iteration:
            experiment = self._tracked.start(env.begin_iteration or None)
            set_params(experiment, env.params)
        values: dict[str, Any] = {}
        for result in env.evaluation_result_list or []:
            data, metric, value, _, *deviation = _fields(result)
            values[f"{data}/{metric}"] = value
            values |= {f"{data}/{metric}-std": each for each in deviation if each is not None}
        log_values(self._tracked.start(), values, env.iteration)
        if env.iteration == env.end_iteration - 1:
            self._finish(env.model)

    @hook
    def _end(self, env: Any) -> None:
        if env.iteration < env.end_iteration - 1:
            self._finish(env.model)

    def _finish(self, model: Any) -> None:
        experiment = self._tracked.start()
        if not hasattr(model, "boosters"):  # those of a cross-validation
            names, gains = model.feature_name(), model.feature_importance("gain").tolist()
            experiment.metrics("importance").log(dict(zip(names, gains, strict=True)))
        if self._saves_model:
            experiment.files.save_text(model.model_to_string(), to="model.txt")
        self._tracked.complete()


def _fields(result: Any) -> tuple[Any, ...]:
    """Return data set, metric, value, direction and deviation: older versions have a tuple for them."""
    if isinstance(result, tuple):
        return result
    names = ("dataset_name", "metric_name", "metric_value", "is_higher_better", "metric_std_dev")
    return tuple(getattr(result, name, None) for name in names)
