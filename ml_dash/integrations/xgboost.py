"""XGBoost, and its estimators for scikit-learn: ``xgboost.train(…, callbacks=[DashCallback("a/b/c")])``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from ml_dash.integrations.frameworks import base_of, hook
from ml_dash.integrations.tracked import Tracked, log_values, set_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xgboost.callback import TrainingCallback as _Base

    from ml_dash.sdk.experiment import Experiment
else:
    _Base = base_of("xgboost", "xgboost.callback:TrainingCallback")


class DashCallback(_Base):
    """Logs the metrics of each iteration, a row for each data set, the parameters, and what features are worth.

    A training of one process stops where its run is asked to. In a distributed one the process of rank zero logs. A
    run that the callback has started ends with the training; where that raises, it is FAILED with the script. A
    training with ``xgb_model=`` goes on in its experiment: iterations of earlier attempts from there on are
    superseded.

    Args:
        experiment: an `Experiment`, or the prefix of one.
        model: whether the trained model is saved, as ``model.ubj``.
        **arguments: for `Experiment`, with a prefix.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        MissingExtraError: XGBoost is not installed.

    Example:
        >>> xgboost.train(params, data, evals=[(data, "train")], callbacks=[DashCallback("alice/tables/boosted")])
    """

    def __init__(
        self, experiment: Experiment | str | None = None, *, model: bool = False, **arguments: Any
    ) -> None:
        super().__init__()
        self._tracked = Tracked(experiment, arguments)
        self._saves_model = model

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._tracked.experiment

    def before_training(self, model: Any) -> Any:
        """Start the run, and set its parameters."""
        if _is_first():
            self._begin(model)
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        """Log a row for each data set; stop the training, of one process, where its run is asked to."""
        if not _is_first():
            return False
        # Of a training that goes on with a model `epoch` begins anew.
        self._log(_rounds(model) - 1 if hasattr(model, "num_boosted_rounds") else epoch, evals_log)
        return not _is_distributed() and self._tracked.should_stop

    def after_training(self, model: Any) -> Any:
        """Log what features are worth, and end the run, if it is the callback's."""
        if _is_first():
            self._end(model)
        return model

    @hook
    def _begin(self, model: Any) -> None:
        rounds = _rounds(model)
        experiment = self._tracked.start(rounds or None)
        if hasattr(model, "save_config"):
            set_params(experiment, _settings(json.loads(model.save_config())))

    @hook
    def _log(self, epoch: int, evals_log: Mapping[str, Any]) -> None:
        values: dict[str, Any] = {}
        for data, metrics in evals_log.items():
            for metric, scores in metrics.items():
                last = scores[-1]
                # of a cross-validation it is the mean, and its deviation
                mean, *deviation = last if isinstance(last, tuple) else (last,)
                values[f"{data}/{metric}"] = mean
                values |= {f"{data}/{metric}-std": each for each in deviation}
        log_values(self._tracked.start(), values, epoch)

    @hook
    def _end(self, model: Any) -> None:
        experiment = self._tracked.start()
        told: dict[str, Any] = {}
        if hasattr(model, "get_score"):
            gains = {
                name: gain
                for name, gain in model.get_score(importance_type="gain").items()
                if gain is not None
            }
            if gains:
                experiment.metrics("importance").log(gains)
            told["num_features"] = model.num_features()
        told["num_rounds"] = _rounds(model)
        for name in ("best_iteration", "best_score"):
            try:
                told[name] = getattr(model, name)
            except (AttributeError, TypeError):  # it did not stop early
                continue
        set_params(experiment, {"model": told})
        if self._saves_model and hasattr(model, "save_raw"):
            experiment.files.save_blob(bytes(model.save_raw("ubj")), to="model.ubj")
        self._tracked.complete()


def _is_first() -> bool:
    """Say whether this is the process that logs: in a distributed training each has a callback."""
    collective = sys.modules.get("xgboost.collective")
    return collective is None or collective.get_rank() == 0


def _is_distributed() -> bool:
    """Say whether other processes take part, which would not stop at this iteration."""
    collective = sys.modules.get("xgboost.collective")
    return collective is not None and collective.get_world_size() > 1


def _rounds(model: Any) -> int:
    return int(model.num_boosted_rounds()) if hasattr(model, "num_boosted_rounds") else 0


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters in a learner's configuration: those of its parts, in one level, as XGBoost takes them."""
    found: dict[str, Any] = {}

    def walk(part: Mapping[str, Any]) -> None:
        for name, value in part.items():
            if isinstance(value, dict):
                walk(value)
            elif not isinstance(value, list):
                found.setdefault(name, _number(value))

    walk(config.get("learner", config))
    return found


def _number(text: Any) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text
