"""Ray Tune: ``RunConfig(callbacks=[DashCallback("alice/vision/sweep")])``, an experiment for each trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.integrations.frameworks import base_of, hook
from ml_dash.integrations.tracked import Tracked, log_values, set_params

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ray.tune.logger import LoggerCallback as _Base
else:
    _Base = base_of("ray", "ray.tune.logger:LoggerCallback", "ray.tune.logger.logger:LoggerCallback")

_NOT_LOGGED = frozenset(
    {"config", "date", "hostname", "node_ip", "pid", "trial_id", "experiment_tag", "checkpoint_dir_name"}
)
_OF_RAY = frozenset(
    {
        "done",
        "episodes_total",
        "iterations_since_restore",
        "time_since_restore",
        "time_this_iter_s",
        "time_total_s",
        "timestamp",
        "timesteps_since_restore",
        "timesteps_total",
        "training_iteration",
    }
)
"""What Tune adds to a result; it is logged as ``ray/…``."""


class DashCallback(_Base):
    """Logs each trial as an experiment ``<prefix>/<trial id>``, from the process that drives the trials.

    Results are rows of ``result``, with the iteration as their step, nested ones by their names. A trial that has
    raised is FAILED; one that a scheduler has stopped early is COMPLETED, as for Tune. A trial whose run is asked to
    stop ends with its next result, and the others go on.

    Args:
        prefix: the folder of the trials' experiments, ``owner/project/path…``.
        **arguments: for `Experiment`.

    Raises:
        InvalidPrefixError: the prefix cannot name a folder.
        InvalidArgumentError: it is not a text.
        MissingExtraError: Ray is not installed.

    Example:
        >>> tune.Tuner(train, run_config=tune.RunConfig(callbacks=[DashCallback("alice/vision/sweep")])).fit()
    """

    def __init__(self, prefix: str, **arguments: Any) -> None:
        super().__init__()
        if not isinstance(prefix, str):
            raise InvalidArgumentError(
                f"prefix={prefix!r:.200} is not a folder of experiments: pass 'owner/project', each trial is below it"
            )
        self._prefix = prefix.rstrip("/")
        Tracked(f"{self._prefix}/trial", arguments)
        self._arguments = arguments
        self._trials: dict[str, Tracked] = {}

    @hook
    def on_step_begin(self, iteration: int, trials: Sequence[Any], **info: Any) -> None:
        """Let the trials whose runs are asked to stop end with their next result."""
        asked = {name for name, tracked in self._trials.items() if tracked.should_stop}
        for trial in trials if asked else ():
            if trial.trial_id in asked:
                # A callback has no other way to end one; and a new one, for trials share what the user has given.
                trial.stopping_criterion = {**trial.stopping_criterion, "training_iteration": 0}

    @hook
    def log_trial_start(self, trial: Any) -> None:
        """Start a trial's run, or go on with it."""
        tracked = self._trials.get(trial.trial_id)
        if tracked is None:
            tracked = self._trials[trial.trial_id] = Tracked(
                f"{self._prefix}/{trial.trial_id}", self._arguments
            )
        last = (trial.last_result or {}).get("training_iteration")
        experiment = tracked.start(last + 1 if last else None)
        set_params(
            experiment, {**trial.config, "ray": {"trial": trial.trial_id, "trainable": trial.trainable_name}}
        )

    @hook
    def log_trial_result(self, iteration: int, trial: Any, result: Mapping[str, Any]) -> None:
        """Log a result."""
        values = {
            f"{'ray' if name in _OF_RAY else 'result'}/{name}": value
            for name, value in _flat(result)
            if name.partition("/")[0] not in _NOT_LOGGED
        }
        log_values(self._trials[trial.trial_id].start(), values, result.get("training_iteration", iteration))

    @hook
    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        """End a trial's run."""
        tracked = self._trials.pop(trial.trial_id, None)
        if tracked is None:
            return
        if failed:
            tracked.fail(_error_of(trial))
        else:
            tracked.complete()


def _flat(result: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}/")
        else:
            yield f"{above}{name}", value


def _error_of(trial: Any) -> str:
    """Return where Tune writes what a trial has died of: it says so only when callbacks have been called."""
    directory = getattr(trial, "local_path", None)
    return f"the trial has raised: {directory}/error.txt says what" if directory else "the trial has raised"
